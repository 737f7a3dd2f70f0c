"""A prior that breaks in the middle of a run, and runs of all samplers for it."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from redgui import images
from redgui.operators import Inpaint
from redgui.priors import Counted, GaussianPrior, Prior
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.stream import measured, solve
from redgui.samplers import SAMPLERS, Sampler
from redgui.samplers import build as sampler_of

PRIOR = GaussianPrior(size=16)
PICTURE = images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3)).clamp(-1, 1))
ALL = float("inf")
SIGMA_Y = 0.1
OF_ALL = [sampler_of(f"{cls.name}:steps=6") for cls in SAMPLERS if cls.learned]
every_sampler = pytest.mark.parametrize("sampler", OF_ALL, ids=lambda s: s.name)


def problem(seed: int = 2) -> Problem:
    return Problem.simulate(images.to_tensor(PICTURE), Inpaint(), SIGMA_Y, seed=seed)


def run_of(prior: Prior, sampler: Sampler, particles: int = 1) -> list:
    counted = Counted(prior)
    return list(measured(solve(problem(), counted, sampler, particles), problem(), counted))


class Breaking(Prior):
    """One pixel of its answers for picture `row` of a batch is `bad` from the k-th call on, or in that one alone (`once`)."""

    def __init__(self, k: int, bad: float = math.nan, row: int = 0, once: bool = False):
        self.inner, self.k, self.bad, self.row, self.once, self.calls = PRIOR, k, bad, row, once, 0
        self.name, self.shape, self.sigmas, self.multiple = PRIOR.name, PRIOR.shape, PRIOR.sigmas, PRIOR.multiple

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        self.calls += 1
        x0_hat = self.inner.denoise(x, sigma)
        if self.calls == self.k or (self.calls > self.k and not self.once):
            hit = torch.zeros(x0_hat.shape, dtype=torch.bool)
            hit[self.row, 1, 5, 9] = True
            x0_hat = torch.where(hit, self.bad, x0_hat)
        return x0_hat


def run_of_record(record: Record, steps: int):
    *_, last = dataclasses.replace(record, steps=steps).replay(PRIOR)
    return last


def unplayed(prior: Prior, sampler: Sampler) -> Run:
    return Run(images.to_tensor(PICTURE), problem(), prior, sampler)
