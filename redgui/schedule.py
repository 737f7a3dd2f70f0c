"""Noise levels: sigma grids in the coordinate x = x0 + sigma * eps.

A grid is a float64 tensor on the CPU. Priors own an ascending training grid; samplers visit a descending
selection of it. `alpha_bar = 1 / (1 + sigma^2)` links it to the variance-preserving notation of the papers.
"""

import math

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
