"""Models of the noise in a measurement: how it is drawn, and how likely it makes a picture.

y is the measurement and z = H(x) what it would be without noise, both in [-1, 1]; u = (z + 1) / 2 and v = (y + 1) / 2 are the same
in units of light, 0 (black) to 1 (white).

    gaussian   y = z + sigma_y n
    poisson    v = N / k + (sigma_y / 2) n,  N ~ Poisson(k u)        k photons at white; with sigma_y the Poisson-Gaussian model
    speckle    v = g u + (sigma_y / 2) n,    g ~ Gamma(L) / L        L looks: the standard deviation of the factor is 1 / sqrt(L)
    outliers   gaussian, and a share of the values replaced by others

Samplers are given a residual r with |r|^2 / 2 = level^2 (l(z) - l(y)) for the negative log-likelihood l: with the sign of z - y that is
the deviance residual of generalised linear models, times `level`. At the true z it has about the standard deviation `level`.

poisson and speckle have the variance V(u) = c + a u + b u^2, c = (sigma_y / 2)^2. Their l is the quasi-likelihood of Wedderburn
(Biometrika 61, 1974), l(u) - l(v) = integral from u to v of (v - t) / V(t) dt, which is the exact likelihood of Poisson (a = 1 / k,
c = 0) and Gamma (b = 1 / L, c = 0), and for c > 0 has the right mean and variance (of Poisson-Gaussian: the shifted Poisson).
Its derivative is (u - v) / V(u). The variance of what is darker than `darkest` is that of `darkest`, so that l is finite
and convex there.

outliers has Huber's l (Annals of Mathematical Statistics 35, 1964), r^2 / 2 up to 1.345 s and linear beyond; s is sigma_y, or LEAST.
"""

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from redgui import knobs
from redgui.knobs import knob
from redgui.operators.base import Operator, OperatorError
from redgui.randomness import Generators

HUBER = 1.345  # Huber's threshold over the scale: 95 % of the efficiency of least squares where there are no outliers
LEAST = 0.04  # Huber's least scale, five grey levels: what a value may be off without counting as an outlier


@dataclass(frozen=True, kw_only=True)
class Noise(abc.ABC):
    """A model of noise. Class attributes: `name` (command line), `label` and `about` (for people)."""

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]

    def __post_init__(self) -> None:
        knobs.check(self)

    @abc.abstractmethod
    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        """y - z for a measurement z (b, ...) without noise; row k has the numbers of the k-th generator."""

    @abc.abstractmethod
    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        """r, like y: level(sigma_y)^2 times the negative log-likelihood of z is |r|^2 / 2, up to a constant. Differentiable in z."""

    def level(self, sigma_y: float) -> float:
        """Standard deviation of a mid-grey value, in [-1, 1] units: that of r at the truth, for all values."""
        return sigma_y

    def check_fit(self, H: Operator) -> None:
        """Raises OperatorError where the noise is not of a kind that the operator's measurement can have."""
        if not (H.pictorial and H.compared):
            raise OperatorError(
                f"{self.label} is noise of a camera, on a picture of which each value counts; {H.label} measures something else. "
                "Choose the noise gaussian, or another degradation."
            )


@final
@dataclass(frozen=True, kw_only=True)
class Gaussian(Noise):
    """y = z + sigma_y n."""

    name = "gaussian"
    label = "Gaussian"
    about = "the same everywhere: σ_y alone"

    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        return sigma_y * generator.randn_like(z)

    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        return z - y

    def check_fit(self, H: Operator) -> None:
        """It fits every operator."""


@dataclass(frozen=True, kw_only=True)
class SignalDependent(Noise):
    """Noise whose variance V(u) = c + a u + b u^2 in units of light depends on the light itself, with a = 0 or b = 0."""

    darkest: ClassVar[float]

    @property
    @abc.abstractmethod
    def slopes(self) -> tuple[float, float]:
        """a and b."""

    def variance(self, u: Tensor, sigma_y: float) -> Tensor:
        """V in units of light, at least that of `darkest`."""
        a, b = self.slopes
        u = u.clamp(min=self.darkest)
        return (sigma_y / 2) ** 2 + a * u + b * u * u

    def level(self, sigma_y: float) -> float:
        return 2 * float(self.variance(torch.tensor(0.5, dtype=torch.float64), sigma_y)) ** 0.5

    def deviance(self, u: Tensor, v: Tensor, sigma_y: float) -> Tensor:
        """2 (l(u) - l(v)) >= 0, elementwise in units of light, to about 1e-10 in float64."""
        (A, B), (Av, Bv) = self._integrals(u, sigma_y), self._integrals(v, sigma_y)
        return 2 * (v * (Av - A) - (Bv - B)).clamp(min=0)

    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        u, v = (z.detach().double() + 1) / 2, (y.double() + 1) / 2
        off, variance, level = u - v, self.variance(u, sigma_y), self.level(sigma_y)
        root = self.deviance(u, v, sigma_y).sqrt()
        near = off.abs() < 1e-3 * variance.sqrt()  # where the deviance is a difference of equal numbers
        value = torch.where(near, off / variance.sqrt(), off.sign() * root)
        slope = torch.where(near, variance.rsqrt(), off / (variance * torch.where(near, 1.0, value)))
        # The value with its own derivative, which autograd would lose at the root's zero.
        return (level * value).to(z) + (level / 2 * slope).to(z) * (z - z.detach())

    def _integrals(self, t: Tensor, sigma_y: float) -> tuple[Tensor, Tensor]:
        """The integrals of 1 / V and of t / V from `darkest` to t."""
        (a, b), c, dark = self.slopes, (sigma_y / 2) ** 2, self.darkest
        least = c + a * dark + b * dark * dark
        s = t.clamp(min=dark)
        if b == 0:
            A = torch.log((c + a * s) / least) / a
            B = (s - dark - c * A) / a
        else:
            B = torch.log((c + b * s * s) / least) / (2 * b)
            q = (b / c) ** 0.5 if c > 0 else 0.0
            A = (torch.atan(q * s) - torch.atan(q * s.new_tensor(dark))) / (b * c) ** 0.5 if c > 0 else (1 / dark - 1 / s) / b
        below = t < dark
        return torch.where(below, (t - dark) / least, A), torch.where(below, (t * t - dark * dark) / (2 * least), B)


@final
@dataclass(frozen=True, kw_only=True)
class Poisson(SignalDependent):
    """Counted photons, and a camera's read noise where sigma_y > 0."""

    name = "poisson"
    label = "Photons (Poisson)"
    about = "few photons: bright pixels are noisier; σ_y is the camera's read noise on top"
    darkest = 1 / 510  # half a grey level

    photons: float = knob(30.0, 1.0, 1e5, log=True, help="that a white pixel counts; the fewer, the noisier")

    @property
    def slopes(self) -> tuple[float, float]:
        return 1 / self.photons, 0.0

    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        k = self.photons
        counts = generator.each(lambda row, g: torch.poisson(row, generator=g), k * ((z + 1) / 2).clamp(min=0))
        return 2 * counts / k - 1 - z + sigma_y * generator.randn_like(z)


@final
@dataclass(frozen=True, kw_only=True)
class Speckle(SignalDependent):
    """A random factor per value, as coherent light (radar, ultrasound, lasers) has it."""

    name = "speckle"
    label = "Speckle"
    about = "each value times a random factor, as in radar and ultrasound; σ_y comes on top"
    darkest = 0.02  # five grey levels: the likelihood of a factor grows too steep for darker ones

    looks: int = knob(16, 1, 200, log=True, help="pictures averaged: the factor's standard deviation is 1 over their root")

    @property
    def slopes(self) -> tuple[float, float]:
        return 0.0, 1 / self.looks

    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        def exponentials(row: Tensor, g: torch.Generator) -> Tensor:
            return -torch.rand(self.looks, *row.shape, generator=g).neg().log1p().mean(0)

        factor = generator.each(exponentials, z)
        return (factor - 1) * (z + 1).clamp(min=0) + sigma_y * generator.randn_like(z)


@final
@dataclass(frozen=True, kw_only=True)
class Outliers(Noise):
    """Gaussian noise, and values that say nothing: salt and pepper, dead and hot pixels."""

    name = "outliers"
    label = "Outliers"
    about = "σ_y, and some values wrong altogether: salt and pepper, dead pixels"

    share: float = knob(0.02, 0.0, 0.5, step=0.005, help="how many of the values are wrong, where they are simulated")
    kind: Literal["salt-pepper", "random"] = knob("salt-pepper", help="what they are: black or white, or anything between")

    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        def uniform(row: Tensor, g: torch.Generator) -> Tensor:
            return torch.rand(row.shape, generator=g)

        noise = sigma_y * generator.randn_like(z)
        value = 2 * generator.each(uniform, z) - 1
        if self.kind == "salt-pepper":
            value = torch.where(value < 0, -1.0, 1.0).to(z)
        return torch.where(generator.each(uniform, z) < self.share, value - z, noise)

    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        r, most = z - y, HUBER * max(sigma_y, LEAST)
        size = r.abs().clamp(min=most)  # of what is beyond; the root has no derivative to spoil where it is not used
        return torch.where(r.abs() <= most, r, r.sign() * (2 * most * size - most * most).sqrt())
