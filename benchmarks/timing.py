"""What is timed: the bare network, and a whole run around it, as the app and the command line make it."""

import time
from typing import Any

import torch

from redgui import api, images, presets, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve


def face(prior: priors.Prior, side: int | None = None) -> tuple[torch.Tensor, Problem]:
    """A picture, of the prior's size or side x side, and the problem of filling a box in it."""
    h, w = (side, side) if side else prior.picture_shape[-2:]
    picture = images.load(api.resolve("example:face-06"), h, w)
    return picture, Problem.simulate(picture, build("inpaint"))


def bare(prior: Any, steps: int, batch: int = 1, side: int | None = None) -> float:
    """Seconds of the network alone, called `steps` times as the run calls it."""
    c, h, w = prior.shape
    x = torch.zeros(batch, c, side or h, side or w, device=prior.device).to(prior.dtype, memory_format=torch.channels_last)
    t = torch.full((batch,), 500.0, device=prior.device)
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(steps):
            prior.net(x, t, return_dict=False)
    if prior.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def full(prior: priors.Prior, problem: Problem, steps: int, batch: int = 1) -> float:
    """Seconds of a whole RED-diff run: random numbers, operator, optimiser, metrics and network."""
    sampler = presets.sampler_for(f"reddiff:steps={steps}", problem.H)
    began = time.perf_counter()
    counted = Counted(prior)
    for _ in measured(solve(problem, counted, sampler, batch), problem, counted):
        pass
    return time.perf_counter() - began
