r"""Composition: several degradations one after the other, y = H_n(... H_2(H_1(x))), and noise once, at the end.

The knob `of` names them in the order in which they are applied, `>` between them and their knobs in parentheses:

    compose:of=inpaint(kind=random;fraction=0.5)>blur(size=5)

masks first and blurs what is left. Knobs are separated by `;` (or `,`, which in a specification has to be written `\,`); in a
text, a backslash goes before any of `\ , ; ( ) >`. Only the last may measure something that is not a picture (phase, fourier,
compressed-sensing).

What a composition can do depends on its parts, and a call of `Compose` makes an instance of the class that fits:

    Compose            something in it is not linear; the residual is that of the last part
    LinearCompose      all is linear: H^T = H_1^T ... H_n^T; solve and H^+ by conjugate gradients
    SpectralCompose    H^T H can be diagonalised. With S the composition without colorize, that is where
        S has one part, or none
        S is of masks and block means: each value of y is made of pixels of its own, so that H H^T = diag(gamma), and gamma is
          H H^T 1 (for a mask before means of k x k: the number of pixels kept in each block over k^4)
        S is of circular blurs and, last, perhaps a Fourier subsampling: H^T H is a convolution, of eigenvalues F H^T H delta
        S is of circular blurs and block means: H H^T is a convolution of the small picture, of eigenvalues F H H^T delta
      and where colorize is among the parts, w w^T (x) S^T S has the eigenvalues |w|^2 lambda_S.

The pseudo-inverse of a product is not the product of the pseudo-inverses: for a mask before block means H_1^+ H_2^+ violates
H A H = H (it divides by k^2 where fewer pixels than that were kept). H^+ here is that of the whole.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from redgui import knobs, operators
from redgui.knobs import knob
from redgui.operators.base import ByLevel, LinearOperator, Operator, OperatorError, SpectralOperator, divided, through_gram
from redgui.operators.blur import CircularBlur
from redgui.operators.colorize import WEIGHTS, Colorize
from redgui.operators.denoise import Denoise
from redgui.operators.fourier import Fourier
from redgui.operators.inpaint import Inpaint
from redgui.operators.superres import SuperRes

DEFAULT = "blur(size=5;width=1)>superres(factor=2)"


@dataclass(frozen=True, kw_only=True)
class Compose(Operator, metaclass=ByLevel):
    """y = H_n(... H_1(x))."""

    name = "compose"
    label = "Composition"
    about = "Several degradations one after the other, the first written applied first, and noise at the end."

    of: str = knob(
        DEFAULT,
        hi=200_000,
        label="Chain",
        help="degradations in their order, > between them and knobs in parentheses: inpaint(kind=half;side=top)>blur(size=5)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # One text for one operator: knobs at their defaults and spaces left out.
        object.__setattr__(self, "of", ">".join(_text(part) for part in parse(self.of)))

    def level(self) -> "type[Compose]":
        """The class of a composition of these parts."""
        return level(self.parts)

    @property
    def parts(self) -> tuple[Operator, ...]:
        """H_1, ..., H_n, the first applied first."""
        return parse(self.of)

    @property
    def pictorial(self) -> bool:
        return self.parts[-1].pictorial

    @property
    def ambiguous(self) -> bool:
        return any(part.ambiguous for part in self.parts)

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

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def start(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.start(y)
        return y

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        *before, last = self.parts
        for part in before:
            x = part(x)
        return last.residual(x, y)

    def noise_floor(self, y: Tensor, sigma_y: float) -> Tensor:
        return self.parts[-1].noise_floor(y, sigma_y)

    def entries(self, y: Tensor) -> int:
        return int(self.on_support(torch.ones_like(y[:1])).sum())

    def on_support(self, u: Tensor) -> Tensor:
        return self.parts[-1].on_support(u)

    def measurement_of(self, picture: Tensor) -> Tensor:
        *before, last = self.parts
        for part in before:
            picture = part(picture) if isinstance(part, Colorize) else picture
        return self.on_support(last.measurement_of(picture))

    def picture(self, y: Tensor) -> Tensor:
        return self.parts[-1].picture(y)


@dataclass(frozen=True, kw_only=True)
class LinearCompose(LinearOperator, Compose):
    """A composition of linear operators."""

    def adjoint(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.adjoint(y)  # type: ignore[attr-defined]  # all are linear
        return y


@final
@dataclass(frozen=True, kw_only=True)
class SpectralCompose(SpectralOperator, LinearCompose):
    """A composition whose H^T H can be diagonalised."""

    @property
    def cutoff(self) -> float:
        return max(part.cutoff for part in self.parts if isinstance(part, SpectralOperator))  # all are

    @property
    def lam_max(self) -> float:
        bound = 1.0
        for part in self.parts:
            assert isinstance(part, SpectralOperator)
            bound *= part.lam_max
        return bound

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        spatial = _spatial(self.parts)
        colour = next((part for part in self.parts if isinstance(part, Colorize)), None)
        if colour is None:
            return self._spectral(spatial, f, x)
        # x along w / |w| has the eigenvalues |w|^2 lambda_S, the rest 0.
        w = x.new_tensor(WEIGHTS[colour.weights])[:, None, None]
        w = w / w.norm()
        along = (w * x).sum(1, keepdim=True)
        return f(x.new_zeros(())) * (x - w * along) + w * self._spectral(spatial, lambda lam: f(colour.lam_max * lam), along)

    def _spectral(self, spatial: "tuple[Operator, ...]", f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """f(S^T S) x."""
        if len(spatial) == 1:
            return spatial[0].spectral(f, x)  # type: ignore[attr-defined]  # such parts are spectral
        if not spatial:
            return f(x.new_ones(())) * x
        S = Compose(of=">".join(_text(part) for part in spatial))
        assert isinstance(S, LinearOperator)
        lam = _eigenvalues(S, *x.shape[-2:], x.dtype, x.device)
        if _disjoint(spatial):
            return through_gram(S, lam, f, x)
        if _convolution(spatial):
            return _convolved(f(lam), x)
        return f(x.new_zeros(())) * x + S.adjoint(_convolved(divided(f, lam), S(x)))

    def on_support(self, u: Tensor) -> Tensor:
        if not _disjoint(_spatial(self.parts)):
            return super().on_support(u)
        return u * (self(self.adjoint(torch.ones_like(u[:1]))) > 0)  # H H^T is diagonal


def level(parts: tuple[Operator, ...]) -> type[Compose]:
    """The class for a composition of these parts."""
    if not all(isinstance(part, LinearOperator) for part in parts):
        return Compose
    spatial = _spatial(parts)
    one = len(spatial) <= 1 and all(isinstance(part, SpectralOperator) for part in spatial)
    blurred_means = all(isinstance(part, CircularBlur) or _is_mean(part) for part in spatial)
    return SpectralCompose if one or _disjoint(spatial) or _convolution(spatial) or blurred_means else LinearCompose


def _spatial(parts: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """The parts that mix pixels: neither those that mix channels only, nor those that do nothing."""
    return tuple(part for part in parts if not isinstance(part, (Colorize, Denoise)))


def _disjoint(spatial: tuple[Operator, ...]) -> bool:
    """Whether each value of y is made of pixels of its own."""
    return all(isinstance(part, Inpaint) or _is_mean(part) for part in spatial)


def _convolution(spatial: tuple[Operator, ...]) -> bool:
    """Whether H^T H is a circular convolution."""
    blurs = spatial[:-1] if spatial and isinstance(spatial[-1], Fourier) else spatial
    return all(isinstance(part, CircularBlur) for part in blurs)


def _is_mean(part: Operator) -> bool:
    return isinstance(part, SuperRes) and part.kernel == "mean"


def _convolved(gain: Tensor, x: Tensor) -> Tensor:
    return torch.fft.ifft2(gain * torch.fft.fft2(x)).real


@lru_cache(maxsize=32)
def _eigenvalues(S: SpectralCompose, h: int, w: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Of masks and block means the diagonal of H H^T; of what is a convolution, H^T H or H H^T, the transform of its kernel."""
    x = torch.zeros(1, 1, h, w, dtype=torch.float64, device=device)
    if _disjoint(S.parts):
        return S(S.adjoint(torch.ones_like(S(x)))).to(dtype)
    inner = _convolution(S.parts)
    delta = torch.zeros_like(x if inner else S(x))
    delta[..., 0, 0] = 1
    kernel = S.gram(delta) if inner else S(S.adjoint(delta))
    return torch.fft.fft2(kernel).real.clamp(min=0).to(dtype)


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
    cls = knobs.find(tuple(c for c in operators.OPERATORS if not issubclass(c, Compose)), name, "operator to compose")
    return knobs.build(cls, values)


def _check(parts: tuple[Operator, ...]) -> None:
    for part in parts[:-1]:
        if not part.pictorial:
            raise OperatorError(f"{part.name} measures no picture, so nothing can follow it in a composition. Put it last.")
    grey = [k for k, part in enumerate(parts) if isinstance(part, Colorize)]
    for part in parts[grey[0] + 1 :] if grey else ():
        if part.name in ("colorize", "jpeg"):
            raise OperatorError(f"{part.name} needs colours, but colorize comes before it. Change the order or leave one out.")


def _text(part: Operator) -> str:
    """A part as `parse` reads it back."""
    name, values = knobs.parse(knobs.spec(part))
    settings = ";".join(f"{key}=" + re.sub(r"([\\,;()>]|^\s|\s\Z)", r"\\\1", value) for key, value in values.items())
    return f"{name}({settings})" if settings else name
