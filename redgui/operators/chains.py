"""Chains of operators: what of a picture they measure together, and their text, `inpaint(kind=half;side=top)>blur(size=5)`.

See `redgui.operators.compose`.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

from torch import Tensor

from redgui import knobs, operators
from redgui.knobs import knob
from redgui.operators.base import Operator, OperatorError
from redgui.operators.blur import CircularBlur
from redgui.operators.colorize import Colorize
from redgui.operators.denoise import Denoise
from redgui.operators.fourier import Fourier
from redgui.operators.frame import Framed, Margin
from redgui.operators.inpaint import Inpaint
from redgui.operators.superres import SuperRes

COMPOSE = "compose"  # a chain holds no chain
DEFAULT = "blur(size=5;width=1)>superres(factor=2)"


@dataclass(frozen=True, kw_only=True)
class Chain(Operator):
    """Operators one after the other: their text, and what of x they measure."""

    of: str = knob(
        DEFAULT,
        hi=200_000,
        label="Chain",
        help="degradations in their order, > between them and knobs in parentheses: inpaint(kind=half;side=top)>blur(size=5)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # One text for one operator: knobs at their defaults and spaces left out.
        object.__setattr__(self, "of", ">".join(text(part) for part in parse(self.of)))

    @property
    def parts(self) -> tuple[Operator, ...]:
        """H_1, ..., H_n, the first applied first."""
        return parse(self.of)

    def check_size(self, h: int, w: int) -> None:
        for part in self.parts:
            part.check_size(h, w)
            h, w = part.measured_size(h, w)

    @property
    def scale(self) -> int:
        return math.prod(part.scale for part in self.parts)

    def measured_size(self, h: int, w: int) -> tuple[int, int]:
        for part in self.parts:
            h, w = part.measured_size(h, w)
        return h, w

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> Self:
        """Each part in its place; around a picture that was measured elsewhere the first one has what the others leave."""
        parts: list[Operator] = []
        first, rest = True, self._reach
        for part in self.parts:
            own = part.overlap
            inner = None if box is None or not self.framed else (own, own, w - own, h - own)
            if inner is not None and first and part.framed:  # what is unmeasured beyond what the others leave is its own
                left, top, right, bottom = box or inner
                inner, first = (left - rest + own, top - rest + own, right + rest - own, bottom + rest - own), False
            parts.append(part.placed(h, w, inner))
            h, w = parts[-1].measured_size(h, w)
            rest = (rest - own) // part.scale
        return self._of(parts)

    @property
    def unplaced(self) -> Self:
        return self._of(part.unplaced for part in self.parts)

    def _of(self, parts: Iterable[Operator]) -> Self:
        return replace(self, of=">".join(text(part) for part in parts))

    @property
    def overlap(self) -> int:
        # In whole pixels of y, so that those of a larger y would lie on the same grid.
        return -(-self._reach // self.scale) * self.scale if self.framed else 0

    @property
    def _reach(self) -> int:
        total = 0
        for part in reversed(self.parts):
            total = part.overlap + part.scale * total
        return total

    @property
    def framed(self) -> bool:
        return all(part.framed or part.pointwise for part in self.parts) and any(part.framed for part in self.parts)

    def visible(self, x: Tensor) -> Tensor:
        return self.beyond.cut(x).contiguous() if self.framed and any(self.beyond) else x

    def size_of_x(self, y: Tensor) -> tuple[int, int] | None:
        if not self.framed:
            return None
        m, (h, w) = self.beyond, y.shape[-2:]
        return self.scale * h + m.rows, self.scale * w + m.columns

    @property
    def beyond(self) -> Margin:
        """The margin of x around what y shows."""
        total, scale = Margin(), 1
        for part in self.parts:
            own = part.beyond if isinstance(part, Framed) else Margin()
            total = Margin(*(n + scale * m for n, m in zip(total, own, strict=True)))
            scale *= part.scale
        return total


# --- the text form --------------------------------------------------------------------------------------------------

_BODY = r"(?:\\.|[^\\()>])*"
_PART = re.compile(rf"\s*([A-Za-z0-9_-]+)\s*(?:\(({_BODY})\))?\s*", re.DOTALL)


@lru_cache(maxsize=64)
def parse(of: str) -> tuple[Operator, ...]:
    """The parts that a text names. Raises OperatorError or KnobError with what to do."""
    parts: list[Operator] = []
    at = 0
    while True:
        found = _PART.match(of, at)
        if found is None or (found.end() < len(of) and of[found.end()] != ">"):
            shown = of[at : at + 40] or "nothing"
            raise OperatorError(
                "a composition is written operator(knob=value;knob=value)>operator, the first applied first; "
                f"got {shown!r}{' at the end' if at and at == len(of) else ''}."
            )
        parts.append(_part(found[1], found[2] or ""))
        at = found.end() + 1
        if found.end() == len(of):
            break
    _check(tuple(parts))
    return tuple(parts)


def _part(name: str, body: str) -> Operator:
    values = {}
    for setting in re.findall(r"(?:\\.|[^\\;,])+", body, re.DOTALL):
        key, equals, value = setting.partition("=")
        if not equals:
            raise knobs.KnobError(f"knobs are written knob=value with semicolons between; got {setting.strip()!r} in {name}.")
        value = re.sub(r"^\s+|(?<!\\)\s+\Z", "", value)
        values[key.strip()] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    cls = knobs.find(tuple(c for c in operators.OPERATORS if c.name != COMPOSE), name, "operator to compose")
    return knobs.build(cls, values)


def _check(parts: tuple[Operator, ...]) -> None:
    for part in parts[:-1]:
        if not part.pictorial:
            raise OperatorError(f"{part.name} measures no picture, so nothing can follow it in a composition. Put it last.")
    grey = [k for k, part in enumerate(parts) if isinstance(part, Colorize)]
    for part in parts[grey[0] + 1 :] if grey else ():
        if part.name in ("colorize", "jpeg"):
            raise OperatorError(f"{part.name} needs colours, but colorize comes before it. Change the order or leave one out.")


def text(part: Operator) -> str:
    """A part as `parse` reads it back."""
    name, values = knobs.parse(knobs.spec(part))
    settings = ";".join(f"{key}=" + re.sub(r"([\\,;()>]|^\s|\s\Z)", r"\\\1", value) for key, value in values.items())
    return f"{name}({settings})" if settings else name


# --- what the parts of a chain are -----------------------------------------------------------------------------------


def spatial(parts: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """The parts that mix pixels: neither those that mix channels only, nor those that do nothing."""
    return tuple(part for part in parts if not isinstance(part, (Colorize, Denoise)))


def disjoint(parts: tuple[Operator, ...]) -> bool:
    """Whether each value of y is made of pixels of its own."""
    return all(isinstance(part, Inpaint) or is_mean(part) for part in parts)


def convolution(parts: tuple[Operator, ...]) -> bool:
    """Whether H^T H is a circular convolution."""
    blurs = parts[:-1] if parts and isinstance(parts[-1], Fourier) else parts
    return all(isinstance(part, CircularBlur) for part in blurs)


def is_mean(part: Operator) -> bool:
    return isinstance(part, SuperRes) and part.kernel == "mean"
