r"""Composition: several degradations one after the other, y = H_n(... H_2(H_1(x))), and noise once, at the end.

The knob `of` names them in the order in which they are applied, `>` between them and their knobs in parentheses:

    compose:of=inpaint(kind=random;fraction=0.5)>blur(size=5)

masks first and blurs what is left. Knobs are separated by `;` (or `,`, which in a specification has to be written `\,`); in a
text, a backslash goes before any of `\ , ; ( ) >`. Only the last may measure something that is not a picture (phase, fourier,
compressed-sensing).

What a composition can do depends on its parts, and a call of `Compose` makes an instance of the class that fits:

    Compose            something in it is not linear; the residual is that of the last part
    LinearCompose      all is linear: H^T = H_1^T ... H_n^T; solve and H^+ by conjugate gradients
    FramedCompose      and a blur among the parts sees beyond the frame: H^+ is damped
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from redgui.operators.base import ByLevel, LinearOperator, Operator, SpectralOperator, divided, through_gram
from redgui.operators.blur import SMOOTH, Blur, CircularBlur
from redgui.operators.chains import COMPOSE, Chain, convolution, disjoint, is_mean, spatial, text
from redgui.operators.colorize import WEIGHTS, Colorize
from redgui.operators.frame import Margin


@dataclass(frozen=True, kw_only=True)
class Compose(Chain, metaclass=ByLevel):
    """y = H_n(... H_1(x))."""

    name = COMPOSE
    label = "Composition"
    about = "Several degradations one after the other, the first written applied first, and noise at the end."

    def level(self) -> "type[Compose]":
        """The class of a composition of these parts."""
        return level(self.parts)

    @property
    def pictorial(self) -> bool:
        return self.parts[-1].pictorial

    @property
    def ambiguous(self) -> bool:
        return any(part.ambiguous for part in self.parts)

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def start(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.start(y)
        return y

    @property
    def compared(self) -> bool:
        return self.parts[-1].compared

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
class FramedCompose(LinearCompose):
    """A composition of linear operators in which a blur sees beyond the frame."""

    @property
    def lam_max(self) -> float:
        """An upper bound of H^T H's eigenvalues."""
        return math.prod(part.lam_max if isinstance(part, SpectralOperator) else 1.0 for part in self.parts)

    @property
    def completes(self) -> bool:
        return isinstance(self._circular, SpectralOperator)

    @property
    def _circular(self) -> Compose:
        """The same on pictures that repeat."""
        parts = (part.unplaced for part in self.parts)
        return self._of(replace(part, border="wrap") if isinstance(part, Blur) else part for part in parts)

    def pinv(self, y: Tensor) -> Tensor:
        """Damped as that of a blur is."""
        return self.solve(self.adjoint(y), Blur.cutoff**2 * self.lam_max)

    def completed(self, y: Tensor) -> tuple[SpectralOperator, Tensor]:
        H = self._circular
        assert isinstance(H, SpectralOperator)
        whole = H(self.solve(self.adjoint(y), SMOOTH * self.lam_max))
        cells = Margin(*(n // self.scale for n in self.beyond))
        cells.cut(whole).copy_(y)
        return H, whole


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
        mixing = spatial(self.parts)
        colour = next((part for part in self.parts if isinstance(part, Colorize)), None)
        if colour is None:
            return self._spectral(mixing, f, x)
        # x along w / |w| has the eigenvalues |w|^2 lambda_S, the rest 0.
        w = x.new_tensor(WEIGHTS[colour.weights])[:, None, None]
        w = w / w.norm()
        along = (w * x).sum(1, keepdim=True)
        return f(x.new_zeros(())) * (x - w * along) + w * self._spectral(mixing, lambda lam: f(colour.lam_max * lam), along)

    def _spectral(self, mixing: tuple[Operator, ...], f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """f(S^T S) x."""
        if len(mixing) == 1:
            return mixing[0].spectral(f, x)  # type: ignore[attr-defined]  # such parts are spectral
        if not mixing:
            return f(x.new_ones(())) * x
        S = Compose(of=">".join(text(part) for part in mixing))
        assert isinstance(S, LinearOperator)
        lam = _eigenvalues(S, *x.shape[-2:], x.dtype, x.device)
        if disjoint(mixing):
            return through_gram(S, lam, f, x)
        if convolution(mixing):
            return _convolved(f(lam), x)
        return f(x.new_zeros(())) * x + S.adjoint(_convolved(divided(f, lam), S(x)))

    def on_support(self, u: Tensor) -> Tensor:
        if not disjoint(spatial(self.parts)):
            return super().on_support(u)
        return u * (self(self.adjoint(torch.ones_like(u[:1]))) > 0)  # H H^T is diagonal


def level(parts: tuple[Operator, ...]) -> type[Compose]:
    """The class for a composition of these parts."""
    if not all(isinstance(part, LinearOperator) for part in parts):
        return Compose
    mixing = spatial(parts)
    one = len(mixing) <= 1 and all(isinstance(part, SpectralOperator) for part in mixing)
    blurred_means = all(isinstance(part, CircularBlur) or is_mean(part) for part in mixing)
    if one or disjoint(mixing) or convolution(mixing) or blurred_means:
        return SpectralCompose
    return FramedCompose if any(isinstance(part, Blur) and part.valid for part in parts) else LinearCompose


def _convolved(gain: Tensor, x: Tensor) -> Tensor:
    return torch.fft.ifft2(gain * torch.fft.fft2(x)).real


@lru_cache(maxsize=32)
def _eigenvalues(S: SpectralCompose, h: int, w: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Of masks and block means the diagonal of H H^T; of what is a convolution, H^T H or H H^T, the transform of its kernel."""
    x = torch.zeros(1, 1, h, w, dtype=torch.float64, device=device)
    if disjoint(S.parts):
        return S(S.adjoint(torch.ones_like(S(x)))).to(dtype)
    inner = convolution(S.parts)
    delta = torch.zeros_like(x if inner else S(x))
    delta[..., 0, 0] = 1
    kernel = S.gram(delta) if inner else S(S.adjoint(delta))
    return torch.fft.fft2(kernel).real.clamp(min=0).to(dtype)
