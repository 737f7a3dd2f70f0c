"""Samplers on one measurement of a small picture, ready to race."""

import torch

from redgui import images
from redgui.operators import Inpaint
from redgui.priors import GaussianPrior
from redgui.runs.budget import within
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.samplers import Sampler
from redgui.samplers import build as sampler

PRIOR = GaussianPrior(size=16)
PICTURE = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3))))
FIVE = ("reddiff:steps=9", "vml-map:steps=5", "ddrm:steps=7", "diffpir:steps=6", "dps:steps=4")


def problem(sigma_y: float = 0.1) -> Problem:
    return Problem.simulate(PICTURE, Inpaint(), sigma_y, seed=2)


def contestant(one: str | Sampler, prior=PRIOR, budget=None, sigma_y: float = 0.1) -> Contestant:
    chosen, plan = (sampler(one) if isinstance(one, str) else one), ()
    if budget is not None:
        chosen, plan = within(chosen, sigma_y, budget)
    return Contestant(chosen.name, chosen.label, Run(PICTURE, problem(sigma_y), prior, chosen), budget, plan)


def race(*specs: str, **options) -> Race:
    return Race([contestant(spec) for spec in specs], **options)
