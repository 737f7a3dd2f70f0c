"""Particles as an ensemble: their mean and spread, and whether the ground truth lies where they say it does.

What is compared with a calibrated ensemble, one whose particles and truth are draws of one distribution, allows for its size n:

    share beyond 2 std     P(|t| > 2 / sqrt(1 + 1/n)), t with n - 1 degrees of freedom, for normal draws; 4.6 % for n large
    share outside min..max 2 / (n + 1), for any distribution
    spread / error         sqrt((1 + 1/n) mean var) / RMSE of the mean, 1 when calibrated (Fortin et al. 2014,
                           J. Hydrometeorology 15, 1708, equation 15)
    coverage of a level    the level: the share of truths in mean +- t std sqrt(1 + 1/n), t the level's quantile of the same
                           Student distribution (a reliability curve), for normal draws

Spreads are in units of [0, 1], `LEVELS` of them in 8-bit levels; particles and truth are pictures in [-1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from torch import Tensor

from redgui import metrics

LEVELS = 255.0  # 8-bit levels in a unit of [0, 1]
HALF_LEVEL = 0.5 / LEVELS  # an 8-bit truth is known no better
VISIBLE = 2 / LEVELS  # below this, spread and error are nothing that an eye would see
FAR = 2.0  # standard deviations
NOMINAL = tuple(k / 10 for k in range(1, 10))  # levels of the coverage curve
ONE_STD = 0.68  # the level at which a std is calibrated


@dataclass(frozen=True)
class Ensemble:
    """n particles of one problem, and the truth where it is known.

    Attributes:
        particles: (n, c, h, w) in [-1, 1], n at least 2.
        x_true: (1, c, h, w), or None.
        tolerance: a difference up to this, in units of [0, 1], is none: half a level of an 8-bit truth.
    """

    particles: Tensor
    x_true: Tensor | None = None
    tolerance: float = HALF_LEVEL

    def __post_init__(self) -> None:
        if len(self.particles) < 2:
            raise ValueError(f"an ensemble has at least 2 particles; got {len(self.particles)}.")

    @cached_property
    def mean(self) -> Tensor:
        """The mean over particles, (1, c, h, w) in [-1, 1]."""
        return self.particles.mean(0, keepdim=True)

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation over particles (with n - 1) of every entry, (c, h, w) in units of [0, 1]."""
        return self.particles.std(0) / 2

    @property
    def std_map(self) -> Tensor:
        """That of every pixel, (h, w) in units of [0, 1]: root mean square over the channels."""
        return self.std.square().mean(0).sqrt()

    @cached_property
    def error(self) -> Tensor:
        """|truth - mean| of every entry, (c, h, w) in units of [0, 1]."""
        return (self._truth - self.mean)[0].abs() / 2

    @cached_property
    def beyond(self) -> Tensor:
        """Where the truth is further than `FAR` standard deviations from the mean, bool (c, h, w)."""
        return self.error > (FAR * self.std).clamp(min=self.tolerance)

    @cached_property
    def outside(self) -> Tensor:
        """Where no particle is as low as the truth, or none as high, bool (c, h, w)."""
        truth, margin = self._truth[0], 2 * self.tolerance
        return (truth < self.particles.amin(0) - margin) | (truth > self.particles.amax(0) + margin)

    @cached_property
    def ratio(self) -> Tensor:
        """|truth - mean| over std of the `unsettled` entries, (entries,): 0 within the tolerance, else inf where std is 0."""
        error, std = self.error[self.unsettled], self.std[self.unsettled]
        return (error / std).where(error > self.tolerance, 0.0)

    def coverage(self, levels: Sequence[float] = NOMINAL) -> list[float] | None:
        """The share of the unsettled entries whose truth is in the interval of each level; None where nothing is unsettled."""
        n, ratio = len(self.particles), self.ratio
        return [float((ratio <= far_of(n, level)).float().mean()) for level in levels] if len(ratio) else None

    @property
    def std_factor(self) -> float | None:
        """By what the std is to be multiplied for a coverage of ONE_STD at that level, over all unsettled entries together.

        None where no factor does it: nothing is unsettled, or particles that are all alike are wrong.
        """
        if not len(self.ratio):
            return None
        found = float(self.ratio.kthvalue(math.ceil(ONE_STD * len(self.ratio))).values) / far_of(len(self.particles), ONE_STD)
        return found if math.isfinite(found) else None

    @cached_property
    def unsettled(self) -> Tensor:
        """Where there is something to be right about: spread or error exceeds `VISIBLE`, bool (c, h, w).

        What was measured without noise is settled, and would make any share small. A sampler that is sure and wrong stays in.
        """
        return (self.std > VISIBLE) | (self.error > VISIBLE)

    def figures(self) -> dict[str, Any]:
        """All figures by name; without a truth those that need none. Shares are of all entries, and of the `unsettled` ones."""
        n = len(self.particles)
        rms = float(self.std.square().mean().sqrt())
        found: dict[str, Any] = {"n": n, "mean_std": float(self.std.mean()), "rms_std": rms}
        if self.x_true is None:
            return found
        each = metrics.psnr(self.particles, self._truth)
        unsettled, rmse = self.unsettled, float(self.error.square().mean().sqrt())
        found |= {"psnr_mean": float(metrics.psnr(self.mean, self._truth)), "psnr_particle": float(each.mean())}
        found |= {"psnr_each": each.tolist(), "rmse": rmse, "unsettled": float(unsettled.float().mean())}
        found |= {"spread_over_error": (1 + 1 / n) ** 0.5 * rms / rmse if rmse > 0 else None}
        for name, where, wanted in (("beyond", self.beyond, share_beyond(n)), ("outside", self.outside, share_outside(n))):
            share = int((where & unsettled).sum()) / max(int(unsettled.sum()), 1)
            found |= {name: float(where.float().mean()), f"{name}_unsettled": share, f"{name}_calibrated": wanted}
        return found | {"levels": list(NOMINAL), "coverage": self.coverage(), "std_factor": self.std_factor}

    @property
    def _truth(self) -> Tensor:
        if self.x_true is None:
            raise ValueError("there is no ground truth to compare the particles with.")
        return self.x_true.to(self.particles)


def share_beyond(n: int, far: float = FAR) -> float:
    """The share of truths further than `far` sample standard deviations from the mean of n normal draws of the same law.

    (truth - mean) / (std sqrt(1 + 1/n)) has Student's distribution with n - 1 degrees of freedom, whose central probability is
    a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    v = n - 1
    theta = math.atan(far / (1 + 1 / n) ** 0.5 / v**0.5)
    sin, cos = math.sin(theta), math.cos(theta)
    if v % 2:
        term, total = cos, 0.0
        for k in range(1, v - 1, 2):
            total += term
            term *= cos * cos * (k + 1) / (k + 2)
        return 1 - 2 / math.pi * (theta + sin * total)
    term, total = 1.0, 0.0
    for k in range(0, v - 1, 2):
        total += term
        term *= cos * cos * (k + 1) / (k + 2)
    return 1 - sin * total


@lru_cache(maxsize=1000)
def far_of(n: int, level: float) -> float:
    """Half the width of the interval of a level, 0 to 1, in sample standard deviations of n normal draws: mean +- it."""
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_beyond(n, middle) > 1 - level else (low, middle)
    return high


def share_outside(n: int) -> float:
    """The share of truths below the least or above the greatest of n draws of the same law: every rank is equally likely."""
    return 2 / (n + 1)
