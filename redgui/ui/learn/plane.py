"""A picture of two pixels: a plane on which a sampler can be watched.

The prior is a mixture of Gaussians, exactly known, and the measurement one number, y = a . x + sigma_y n: a line. What walks is
redgui's own sampler on redgui's own `MixturePrior`; here are only the problem and what is exactly true of it. With
a = (cos angle, sin angle) and components N(m_k, s^2 I) of weights w_k, the posterior is again a mixture, of weights

    p(k | y) ~ w_k N(y; a . m_k, s^2 + sigma_y^2)

so that the share of the particles at each component can be laid beside the share that samples of the posterior have.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from redgui import knobs
from redgui.knobs import knob
from redgui.operators import SpectralOperator
from redgui.priors import MixturePrior
from redgui.randomness import Generators
from redgui.samplers import DDRM, DPS, RSD, RedDiff, Sampler, VmlMap

SECONDS = 2.0  # that one walk may take: at usual settings it takes a tenth of them


def _ring(n: int) -> list[tuple[float, float]]:
    return [(0.75 * math.cos(2 * math.pi * k / n), 0.75 * math.sin(2 * math.pi * k / n)) for k in range(n)]


# Means in the plane, weights, and the standard deviation of every component.
PRIORS: dict[str, tuple[list[tuple[float, float]], list[float], float]] = {
    "three modes": ([(0.45, -0.55), (0.45, 0.6), (-0.55, 0.3)], [0.5, 0.2, 0.3], 0.1),
    "ring": (_ring(8), [1 / 8] * 8, 0.09),
    "grid": ([(0.65 * i, 0.65 * j) for j in (1, 0, -1) for i in (-1, 0, 1)], [1 / 9] * 9, 0.08),
    "one mode": ([(0.3, 0.2)], [1.0], 0.3),
}

# With the knobs that suit two pixels: the presets of the Restore tab are of faces. At the first plane and 24 particles RED-diff
# leaves 0.92 of them at the larger mode, whose share of the posterior is 0.71; VML-MAP 1.00, RSD 0.58, DPS 0.67, DDRM 0.62.
WALKERS: tuple[Sampler, ...] = (
    RedDiff(steps=150, lr=0.03, lam=1.0, spacing="karras", sigma_start=2.0, sigma_end=0.02),
    DPS(steps=200, zeta=0.02), DDRM(steps=50), VmlMap(steps=60),
    RSD(steps=150, lr=0.03, lam=1.0, gamma=0.1, spacing="karras", sigma_start=2.0),
)  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class Ray(SpectralOperator):
    """y = a . x for pictures (b, 1, 1, 2), with the unit vector a = (cos angle, sin angle); y is (b, 1, 1, 1).

    H^T H = a a^T has the eigenvalues 1 along a and 0 across it.
    """

    name = "ray"
    label = "One number of two pixels"
    about = "The projection on a line: what lies across it is lost."
    pictorial = False

    angle: float = knob(0.0, -90.0, 90.0, help="of the direction that is measured, in degrees")

    def direction(self, x: Tensor) -> Tensor:
        """a, (2,), in the dtype of x."""
        turn = math.radians(self.angle)
        return torch.tensor([math.cos(turn), math.sin(turn)]).to(x)

    def __call__(self, x: Tensor) -> Tensor:
        return (x * self.direction(x)).sum(-1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.direction(y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        f0, f1 = f(x.new_zeros(())), f(x.new_ones(()))
        return f0 * x + (f1 - f0) * self.adjoint(self(x))


@dataclass(frozen=True, kw_only=True)
class Plane:
    """What is on the plane: the prior, the measurement, and how many walk."""

    name = "plane"

    prior: Literal["three modes", "ring", "grid", "one mode"] = knob(
        "three modes", label="Prior p(x₀)", help="a mixture of Gaussians"
    )
    angle: float = knob(0.0, -90.0, 90.0, step=1, label="Direction measured", help="degrees; 0 measures the first pixel alone")
    y: float = knob(0.45, -1.0, 1.0, step=0.01, label="Measured y", help="where the line lies")
    sigma_y: float = knob(0.05, 0.01, 0.5, step=0.01, label="Noise σ_y", help="standard deviation: the line's width")
    particles: int = knob(24, 1, 48, help="pictures that walk, in one batch")
    seed: int = knob(0, 0, 2**31 - 1, help="of all random numbers")

    def __post_init__(self) -> None:
        knobs.check(self)

    def mixture(self) -> MixturePrior:
        """The prior, of pictures (1, 1, 2)."""
        means, weights, std = PRIORS[self.prior]
        return MixturePrior(torch.tensor(means).reshape(-1, 1, 1, 2), std, torch.tensor(weights), name=self.prior)

    def posterior_weights(self) -> Tensor:
        """p(k | y) of the components, (k,), float64."""
        prior, H = self.mixture(), Ray(angle=self.angle)
        means = prior.means.double()
        logits = prior.weights.double().log() - (self.y - H(means)).flatten() ** 2 / 2 / (prior.std**2 + self.sigma_y**2)
        return logits.softmax(0)


@dataclass(frozen=True)
class Walk:
    """What a sampler did on a plane.

    Attributes:
        sigma: the noise level of each of its n steps.
        points: the estimates, (n, b, 2).
        share: how much of the particles is at each component after each step, (n, k); every row sums to 1.
        whole: False where time ran out before the last step.
    """

    sigma: list[float]
    points: Tensor
    share: Tensor
    whole: bool


def walk(plane: Plane, sampler: Sampler, seconds: float = SECONDS) -> Walk:
    """`sampler` on the plane from its own start to its end, or until it has taken `seconds` of the processor."""
    prior, b = plane.mixture(), plane.particles
    y = torch.full((b, 1, 1, 1), plane.y)
    generator = Generators.of_run(plane.seed, b)
    sigma: list[float] = []
    points: list[Tensor] = []
    begun, whole = math.inf, True
    for step in sampler(prior, Ray(angle=plane.angle), y, plane.sigma_y, generator=generator):
        begun = min(begun, time.thread_time())  # after the first step: what is loaded before it, once, is not the walk's
        sigma.append(float(step.sigma))
        points.append(step.x0_hat.reshape(b, 2))
        if time.thread_time() > begun + seconds:
            whole = step.i + 1 == step.n
            break
    path = torch.stack(points)
    share = prior.responsibilities(path.reshape(-1, 1, 1, 2), 0.0).reshape(*path.shape[:2], -1).mean(1)
    return Walk(sigma, path, share, whole)
