"""Models of the noise in a measurement: how it is drawn, and how likely it makes a picture.

y is the measurement and z = H(x) what it would be without noise, both in [-1, 1]; u = (z + 1) / 2 and v = (y + 1) / 2 are the
same in units of light, 0 (black) to 1 (white).

    gaussian   y = z + sigma_y n
    poisson    v = N / k + (sigma_y / 2) n,  N ~ Poisson(k u)        k photons at white; with sigma_y the Poisson-Gaussian model
    speckle    v = g u + (sigma_y / 2) n,    g ~ Gamma(L) / L        L looks: the factor has the standard deviation 1 / sqrt(L)
    outliers   gaussian, and a share of the values replaced by others

Samplers are given a residual r with |r|^2 / 2 = level^2 (l(z) - l(y)) for the negative log-likelihood l: with the sign of z -
y that is the deviance residual of generalised linear models, times `level`. At the true z it has about the standard deviation
`level`.

poisson and speckle have the variance V(u) = c + a u + b u^2, c = (sigma_y / 2)^2. Their l is the quasi-likelihood of
Wedderburn (Biometrika 61, 1974), l(u) - l(v) = integral from u to v of (v - t) / V(t) dt, which is the exact likelihood of
Poisson (a = 1 / k, c = 0) and Gamma (b = 1 / L, c = 0), and for c > 0 has the right mean and variance (of Poisson-Gaussian:
the shifted Poisson). Its derivative is (u - v) / V(u). The variance of what is darker than `darkest` is that of `darkest`, so
that l is finite and convex there.

outliers has the l of a mixture: with the probability 1 - p a value has the standard deviation s around z, otherwise it is
anything, half of it black or white: l = -log[(1 - p) N(z - y; s) + p q(y)], s the larger of sigma_y and LEAST, times s^2. Far
values do not pull at all. Or it has Huber's l (Annals of Mathematical Statistics 35, 1964), r^2 / 2 up to 1.345 s and linear
beyond, which is convex.
"""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from redgui import knobs
from redgui.knobs import knob
from redgui.operators.base import Operator, OperatorError
from redgui.randomness import Generators

STEP = 2 / 255  # between grey levels
HUBER = 1.345  # Huber's threshold over the scale: 95 % of the efficiency of least squares where there are no outliers
# Least scales of the two losses where there is no other noise: wide enough that a sampler's early pictures do not take good
# values for wrong ones (mixture), narrow enough that wrong ones pull little (Huber).
LEAST, LEAST_HUBER = 0.15, 0.01


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
        """r, like y, differentiable in z: |r|^2 / 2 is level(sigma_y)^2 times the negative log-likelihood, up to a constant."""

    def level(self, sigma_y: float) -> float:
        """Standard deviation of a mid-grey value, in [-1, 1] units: that of r at the truth, for all values."""
        return sigma_y

    def absent(self, sigma_y: float) -> bool:
        """Whether there is no noise of any kind."""
        return False

    def check_fit(self, H: Operator) -> None:
        """Raises OperatorError where the noise is not of a kind that the operator's measurement can have."""
        if not (H.pictorial and H.compared):
            raise OperatorError(
                f"{self.label} is noise of a camera, on pictures whose values all count; {H.label} measures something else. "
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

    def absent(self, sigma_y: float) -> bool:
        return sigma_y == 0

    def check_fit(self, H: Operator) -> None:
        """It fits every operator."""


@dataclass(frozen=True, kw_only=True)
class SignalDependent(Noise):
    """Noise whose variance V(u) = c + a u + b u^2 in units of light depends on the light itself, with a = 0 or b = 0."""

    darkest: ClassVar[float] = 0.02  # five grey levels: for darker ones l grows too steep for steps of any one size

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
        """2 (l(u) - l(v)), elementwise in units of light, to about 1e-10 in float64."""
        (A, B), (Av, Bv) = self._integrals(u, sigma_y), self._integrals(v, sigma_y)
        return 2 * (v * (Av - A) - (Bv - B))

    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        u, v = (z.detach().double() + 1) / 2, (y.double() + 1) / 2
        weight = 1 / self.variance(u, sigma_y)
        r, slope = rooted(u - v, self.deviance(u, v, sigma_y) / 2, (u - v) * weight, weight)
        level = self.level(sigma_y)
        return with_slope(z, level * r, level / 2 * slope)

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

    share: float = knob(0.02, 0.0, 0.5, step=0.005, help="of the values that are wrong, as simulated and as expected")
    kind: Literal["salt-pepper", "random"] = knob("salt-pepper", help="what they are: black or white, or anything between")

    loss: Literal["mixture", "huber"] = knob(
        "mixture", advanced=True, help="likelihood: a mixture, which lets go of what is far off, or Huber's, which is convex"
    )

    def drawn(self, z: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        def uniform(row: Tensor, g: torch.Generator) -> Tensor:
            return torch.rand(row.shape, generator=g)

        noise = sigma_y * generator.randn_like(z)
        value = 2 * generator.each(uniform, z) - 1
        if self.kind == "salt-pepper":
            value = torch.where(value < 0, -1.0, 1.0).to(z)
        return torch.where(generator.each(uniform, z) < self.share, value - z, noise)

    def residual(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        return self._huber(z - y, sigma_y) if self.loss == "huber" else self._mixture(z, y, sigma_y)

    def _mixture(self, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        s, y = max(sigma_y, LEAST), y.double()
        t = (z.detach().double() - y) / s
        density = self.share / 4 * (1 + ((y.abs() - 1).abs() < STEP / 4) / STEP)
        odds = density * (2 * math.pi) ** 0.5 * s / (1 - self.share)  # that it is wrong, where z explains it best
        bell = (-t * t / 2).clamp(min=-700).exp()
        gap = torch.log1p(odds) - torch.log(bell + odds)
        r, slope = rooted(t, gap, t * bell / (bell + odds), 1 / (1 + odds))
        return with_slope(z, s * r, slope)

    def _huber(self, off: Tensor, sigma_y: float) -> Tensor:
        most = HUBER * max(sigma_y, LEAST_HUBER)
        size = off.abs().clamp(min=most)  # of what is beyond: the root has no derivative to spoil where it is not used
        return torch.where(off.abs() <= most, off, off.sign() * (2 * most * size - most * most).sqrt())


def rooted(t: Tensor, gap: Tensor, force: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """r = sign(t) sqrt(2 gap) and its derivative, for a gap that is 0 at t = 0, with the derivative `force`.

    Near 0 the gap is a difference of equal numbers and the root has no derivative: there by `curvature`, its second derivative.
    """
    root = curvature.sqrt()
    near = t.abs() * root < 1e-3
    r = torch.where(near, t * root, t.sign() * (2 * gap.clamp(min=0)).sqrt())
    return r, torch.where(near, root, force / torch.where(near, 1.0, r))


def with_slope(z: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """`value` like z, with the derivative `slope` in z."""
    return value.to(z) + slope.to(z) * (z - z.detach())
