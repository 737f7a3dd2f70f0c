"""Poisson and Poisson-Gaussian noise made Gaussian, for methods that need a linear operator.

The generalised Anscombe transform of N photons, counted with a read noise of s of them, is f = 2 sqrt(N + 3/8 + s^2): its
noise has a standard deviation near 1 whatever the light is (Starck, Murtagh, Bijaoui, Image Processing and Data Analysis,
1998). Back goes the closed form of its exact unbiased inverse (Makitalo, Foi, IEEE TIP 20, 2011, and 22, 2013).

f acts on single values. So it holds for operators that do, denoising and masks: M f(x) = f(M x) where it is measured. A blur
of f(x) is not f of the blur: other operators are not offered.

What the sampler restores is then f(x), brought by a scale and a shift as near to x as they bring it. That is a picture of
another tone curve than those that the prior was trained on: the likelihood is right, the prior approximate.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from redgui.noise.models import Noise, Poisson
from redgui.operators.base import Operator
from redgui.operators.compose import Compose
from redgui.operators.denoise import Denoise
from redgui.operators.inpaint import Inpaint


def selects(H: Operator) -> bool:
    """Whether each value of the measurement is a value of the picture."""
    return all(selects(part) for part in H.parts) if isinstance(H, Compose) else isinstance(H, (Denoise, Inpaint))


@dataclass(frozen=True)
class Stabilised:
    """The problem of f(x), whose measurement has Gaussian noise of the standard deviation `level`.

    Attributes:
        H: the operator, of f(x) as of x.
        photons: k, at white.
        read: s, the standard deviation of the read noise in photons.
    """

    H: Operator
    photons: float
    read: float

    @classmethod
    def of(cls, H: Operator, noise: Noise, sigma_y: float) -> Self | None:
        """That of a problem; None where the transform does not fit its operator or its noise."""
        if not isinstance(noise, Poisson) or not selects(H):
            return None
        return cls(H, noise.photons, noise.photons * sigma_y / 2)

    @cached_property
    def line(self) -> tuple[float, float]:
        """The scale and the shift that bring f nearest to the light itself, by least squares over all tones."""
        u = torch.linspace(0, 1, 1001, dtype=torch.float64)
        f = self._f(u)
        scale = float(((f - f.mean()) * (u - u.mean())).mean() / f.var(correction=0))
        return scale, float(u.mean() - scale * f.mean())

    @property
    def level(self) -> float:
        """Standard deviation of the noise, in [-1, 1] units."""
        return 2 * self.line[0]

    def measurement(self, y: Tensor) -> Tensor:
        """y, stabilised; still zero where nothing is measured."""
        scale, shift = self.line
        return self.H.on_support((2 * (scale * self._f((y.double() + 1) / 2) + shift) - 1).to(y))

    def picture(self, x: Tensor) -> Tensor:
        """A picture x of which the stabilised one is what the sampler restored. No darker than black."""
        scale, shift = self.line
        d = (((x.double() + 1) / 2 - shift) / scale).clamp(min=2 * (3 / 8) ** 0.5)
        root = 1.5**0.5
        counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8 - self.read**2
        return (2 * counts.clamp(min=0) / self.photons - 1).to(x)

    def _f(self, v: Tensor) -> Tensor:
        return 2 * (self.photons * v + 3 / 8 + self.read**2).clamp(min=0).sqrt()
