"""What lies beyond the frame: an operator of pictures that are larger than what was measured of them.

A scene goes on where a photograph ends, and what lies out there was blurred into it. Such an operator measures a frame within
the picture x that is restored, with a margin of unmeasured pixels around it,

    y = C K x,    C x the frame of x,    C^T y = y with zeros around,

where K mixes neighbours. Where the margin is as wide as K reaches, C K is exactly a "valid" convolution, whatever K does at the
border of x (S. Reeves, Fast image restoration without boundary artifacts, 2005; M. Almeida and M. Figueiredo, Deconvolving
images with unknown boundaries using the alternating direction method of multipliers, 2013).
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch.nn.functional as F
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import Operator, OperatorError


class Margin(NamedTuple):
    """Pixels around a frame."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def rows(self) -> int:
        """Above and below the frame together."""
        return self.top + self.bottom

    @property
    def columns(self) -> int:
        """At its left and right together."""
        return self.left + self.right

    def cut(self, x: Tensor) -> Tensor:
        """C x: the frame of pictures (b, c, h, w)."""
        h, w = x.shape[-2:]
        return x[..., self.top : h - self.bottom, self.left : w - self.right]

    def around(self, y: Tensor) -> Tensor:
        """C^T y: zeros around y."""
        return F.pad(y, (self.left, self.right, self.top, self.bottom)) if any(self) else y

    def extended(self, y: Tensor) -> Tensor:
        """y with its border repeated around it."""
        return F.pad(y, (self.left, self.right, self.top, self.bottom), mode="replicate") if any(self) else y


@dataclass(frozen=True, kw_only=True)
class Framed(Operator):
    """An operator that may measure less than all of x."""

    margin: str = knob("", hi=40, shown=False, help="pixels around the measured frame, left+top+right+bottom; the fit says it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.margin:
            return
        parts = re.fullmatch(r"(\d{1,4})\+(\d{1,4})\+(\d{1,4})\+(\d{1,4})", self.margin, re.ASCII)
        if parts is None:
            raise OperatorError(f"{self.name}: margin is left+top+right+bottom in pixels; got {self.margin!r}. Leave it out.")
        least = self.overlap if self.valid else 0
        if min(self.beyond) < least:
            raise OperatorError(f"{self.name}: the margin is at least {least} wide; got {self.margin}. Leave it out.")

    @property
    def valid(self) -> bool:
        """Whether y depends on what lies beyond its frame."""
        return False

    @property
    def beyond(self) -> Margin:
        """The margin around the frame within x."""
        if self.margin:
            return Margin(*(int(n) for n in self.margin.split("+")))
        least = self.overlap if self.valid else 0
        return Margin(least, least, least, least)

    def measured_size(self, h: int, w: int) -> tuple[int, int]:
        m = self.beyond
        return (h - m.rows) // self.scale, (w - m.columns) // self.scale

    def visible(self, x: Tensor) -> Tensor:
        return self.beyond.cut(x).contiguous() if any(self.beyond) else x

    def size_of_x(self, y: Tensor) -> tuple[int, int] | None:
        m, (h, w) = self.beyond, y.shape[-2:]
        return self.scale * h + m.rows, self.scale * w + m.columns

    def with_margin(self, margin: Margin) -> Self:
        """The same with another margin; one that it has by itself is not written down."""
        plain = replace(self, margin="")
        return plain if plain.beyond == margin else replace(self, margin="+".join(map(str, margin)))

    @property
    def unplaced(self) -> Self:
        return replace(self, margin="")
