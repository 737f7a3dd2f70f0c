"""Every sampler with every operator that it accepts, small and quick."""

import pytest
import torch
from torch import Tensor

from redgui.operators import OPERATORS, Operator
from redgui.priors import GaussianPrior
from redgui.randomness import Generators
from redgui.runs.budget import with_steps
from redgui.samplers import SAMPLERS, Sampler

PRIOR = GaussianPrior(size=16)
SIGMA_Y = 0.1
PAIRS = [(s, o()) for s in SAMPLERS for o in OPERATORS if s.accepts(o())]
every_pair = pytest.mark.parametrize(("cls", "H"), PAIRS, ids=[f"{s.name}-{H.name}" for s, H in PAIRS])
every_sampler = pytest.mark.parametrize("cls", SAMPLERS, ids=[s.name for s in SAMPLERS])


def small(cls: type[Sampler]) -> Sampler:
    """The sampler with few steps, where it has such a knob."""
    return with_steps(cls(), 6)


def measurement(H: Operator, n: int) -> Tensor:
    pictures = PRIOR.sample(n, torch.Generator().manual_seed(1)).clamp(-1, 1)
    y = H(pictures)
    return y + SIGMA_Y * H.on_support(Generators(range(100, 100 + n)).randn_like(y))


def stream(cls: type[Sampler], H: Operator, y: Tensor, seeds: list[int]):
    return small(cls)(PRIOR, H, y, SIGMA_Y, generator=Generators(seeds))
