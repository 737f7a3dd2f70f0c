"""A small sweep over two knobs of RED-diff."""

import torch

from redgui import images
from redgui.operators import build
from redgui.priors import GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.samplers import RedDiff

SIDE = 16
PRIOR = GaussianPrior(size=SIDE)
PICTURE = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3))))
START = RedDiff(steps=8)


def problem(sigma_y: float = 0.1, operator: str = "inpaint") -> Problem:
    return Problem.simulate(PICTURE, build(operator), sigma_y, seed=4)


def grid(sampler=START, rows=("lr", "0.03, 0.1, 0.3"), columns=("lam", "0.1, 0.25")) -> Grid:
    return Grid(sampler, axis(type(sampler), *rows), axis(type(sampler), *columns))


def sweep(of: Grid | None = None, sigma_y: float = 0.1, prior=PRIOR, **options) -> Sweep:
    return Sweep(PICTURE, problem(sigma_y), prior, of or grid(), **options)


def played(one: Sweep) -> Sweep:
    for _ in one.play():
        pass
    return one
