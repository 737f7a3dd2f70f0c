"""Noise levels: sigma grids in the coordinate x = x0 + sigma * eps.

A grid is a float64 tensor on the CPU. Priors own an ascending training grid; samplers visit a descending
selection of it. `alpha_bar = 1 / (1 + sigma^2)` links it to the variance-preserving notation of the papers.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar, final

import torch
from torch import Tensor


def alpha_bar(sigma: Tensor) -> Tensor:
    """alpha_bar = 1 / (1 + sigma^2), any shape."""
    return 1 / (1 + sigma.square())


def sigma_of(alpha_bar: Tensor) -> Tensor:
    """sigma = sqrt((1 - alpha_bar) / alpha_bar), any shape; infinite where alpha_bar is 0."""
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def linear_beta(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """The ascending sigma grid of DDPM's linear beta schedule (arXiv 2006.11239), shape (steps,)."""
    betas = torch.linspace(start, end, steps, dtype=torch.float64)
    return sigma_of((1 - betas).cumprod(0))


def uniform(sigmas: Tensor, n: int) -> Tensor:
    """n levels evenly spaced over the indices of an ascending grid, descending, both ends included.

    With more levels than the grid has, levels repeat. n = 1 gives the highest level.
    """
    index = torch.linspace(len(sigmas) - 1, 0, n, dtype=torch.float64).round().long()
    return sigmas[index]


def trailing(sigmas: Tensor, n: int) -> Tensor:
    """n levels that end every n-th part of the grid: starts at the highest, stops before the lowest.

    The `trailing` spacing of arXiv 2305.08891, table 2.
    """
    total = len(sigmas)
    index = (torch.arange(n, 0, -1, dtype=torch.float64) * total / n).round().long() - 1
    return sigmas[index]


def leading(sigmas: Tensor, n: int) -> Tensor:
    """Levels 0, skip, 2 skip, ... with skip = T // n, descending: the spacing of RED-diff's public code.

    If n does not divide the grid this has more than n levels, as it has there.
    """
    skip = max(1, len(sigmas) // n)
    return sigmas[::skip].flip(0)


def karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """n levels from sigma_max down to sigma_min, evenly spaced in sigma^(1/rho) (arXiv 2206.00364, eq. 5)."""
    ramp = torch.linspace(0, 1, n, dtype=torch.float64)
    hi, lo = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return (hi + ramp * (lo - hi)) ** rho


def descent(sigmas: Tensor, n: int, *, start: float = math.inf, length: int = 1, repeats: int = 1) -> list[tuple[float, float]]:
    """The pairs (sigma, next smaller level) that a sampler visits over an ascending grid, `uniform` in n levels, then 0.

    Args:
        start: the highest level, included if it is one of the grid's.
        length, repeats: time travel (arXiv 2201.09865): on reaching a level that is a multiple of `length` levels above the
            lowest, go back up by `length` levels, `repeats` - 1 times. A pair that starts higher than the one before ends is
            such a jump.
    """
    levels = [*uniform(sigmas[sigmas <= start], n).tolist(), 0.0]
    jumps = {n - 1 - up: repeats - 1 for up in range(0, n - length, length)}
    pairs, k = [], 0
    while k < n:
        if jumps.get(k, 0) > 0:
            jumps[k] -= 1
            k -= length
        pairs.append((levels[k], levels[k + 1]))
        k += 1
    return pairs


def pairs(levels: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The pairs (level, next level) of a list of levels, the last one's next being 0."""
    return list(itertools.pairwise([*levels, 0.0]))


class Planned(Protocol):
    """What a path takes for a sampler: it has `steps`, the class attributes `grid` and `endless` of `Sampler`, and a plan."""

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]: ...


S = TypeVar("S", bound=Planned)
Plan = Callable[[S, int, Any], list[tuple[Any, Any]]]


@final
class Path(Generic[S]):
    """The iterations of a sampler, for a `for` loop, with levels that are planned anew when its knobs change in mid-run.

        path = Path(self, prior.sigmas)
        for i, sigma in path:
            x0_hat = ...
            self = path.follow((yield Step(i, path.n, sigma, x0_hat)) or self)
            x = ...                                                              # from sigma to path.s

    A change of a knob in `grid` replans the iterations that are left: `steps` less those made, at least one. They begin at the
    present level, which is followed by another `s` then; those of an `endless` sampler lie beyond it, and can follow the last.

    Args:
        sampler: whose levels they are.
        sigmas: an ascending grid of noise levels.
        start: the highest level.
        plan: plan(sampler, n, start), the pairs (level, next level) of n iterations from `start` on; by default the sampler's.
        ahead: the sampler is at `s` already when it yields, so that new levels begin there.

    Attributes:
        n: the number of iterations, those made included.
        first: the level of the first.
        s: the level after the present one, 0 at the end.
        up: the level at which the next iteration begins: s, or one above it to which time travels back (0 at the end).
    """

    def __init__(
        self, sampler: S, sigmas: Tensor, start: float = math.inf, *, plan: Plan[S] | None = None, ahead: bool = False
    ):
        self.plan: Plan[S] = plan or (lambda k, n, start: k.plan(sigmas, n, start))
        self.sampler: Any = sampler
        self.ahead = ahead
        self.rest = self.plan(sampler, self.sampler.steps, start)
        self.first = self.s = self.rest[0][0]
        self.i, self.sigma = -1, start
        self.levels: list[Any] = []  # those from the first down to the present one

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        while self.rest:
            sigma, s = self.rest.pop(0)
            if not self.sampler.endless and sigma > self.s:  # time travel: what lies below will be visited again
                self.levels = [level for level in self.levels if level > sigma]
            self.levels.append(sigma)
            self.i, self.sigma, self.s = self.i + 1, sigma, s
            yield self.i, sigma

    @property
    def n(self) -> int:
        return self.i + 1 + len(self.rest)

    @property
    def up(self) -> float:
        return self.rest[0][0] if self.rest else 0.0

    def follow(self, tuned: S) -> S:
        """The sampler with knobs as they are from now on, which replans what is left if they decide the levels."""
        old, self.sampler = self.sampler, tuned
        new = self.sampler
        if all(getattr(old, name) == getattr(new, name) for name in new.grid) or not (self.rest or new.endless):
            return tuned
        # A run made shorter than it is already ends with one more step, which knows that it is the last.
        left = max(new.steps - len(self.levels), 1 if self.rest else 0)
        if new.endless:
            self.rest = self.plan(tuned, left, self.sigma if self.rest else math.inf) if left else []
        elif self.ahead:
            self.rest = self.plan(tuned, left, self.s)
            self.s = self.up
        else:
            (_, self.s), *self.rest = self.plan(tuned, 1 + left, self.sigma)
        return tuned
