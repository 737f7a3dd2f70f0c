"""Blind problems: the steps that find the operator, and then those of the sampler with what was found.

    for step in blindly(H, y, sampler, lambda found, sampler: ...):
        step.found                          # the operator so far

The search looks at the measurement alone. It calls no network, draws no random numbers, and is the same on every device, so
that a record replays; the particles of a run have one operator. What is tuned meanwhile is kept for the sampler.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redgui.noise import Likelihood
from redgui.operators import kernel_search
from redgui.operators.base import Operator
from redgui.operators.blind import BlindBlur
from redgui.operators.blur import Blur
from redgui.runs.mapped import mapped
from redgui.samplers.base import Sampler, Step, Steps

FLOOR = 0.01  # sigma_y, at least: what an error of the kernel leaves of y

Solve = Callable[[Operator, Sampler], Steps]


def unknown(H: Operator) -> BlindBlur | None:
    """What of a likelihood a run has to find first; None where all of it is known."""
    H = _measuring(H)
    return H if isinstance(H, BlindBlur) else None


@torch.no_grad()
def blindly(H: Operator, y: Tensor, sampler: Sampler, solve: Solve) -> Generator[Step, Any, None]:
    """The Steps that find `unknown(H)`, and those of `solve` with what was found in its place; i and n count both.

    Args:
        y: (b, c, h, w), the same measurement for every particle.
        solve: makes the sampler's Steps.
    """
    blind = unknown(H)
    assert blind is not None
    grey = y[:1].mean(1, keepdim=True)
    before = kernel_search.turns(blind.size)
    found = H
    for turn in kernel_search.search(_array(grey), blind.size, periodic=not blind.valid):
        known = blind.known(turn.kernel)
        found = replace(H, H=known) if isinstance(H, Likelihood) else known
        sharp = torch.from_numpy(2 * turn.sharp - 1).to(y)
        x0_hat = blind.beyond.extended((y + (sharp - grey)).clamp(-1, 1))  # sharp edges in y's own colours
        n = before + getattr(sampler, "steps", 1)
        sampler = (yield Step(turn.done - 1, n, 0.0, x0_hat, found=found, before=before)) or sampler

    def counted(step: Step) -> Step:
        return replace(step, i=before + step.i, n=before + step.n, found=found, before=before)

    yield from mapped(solve(found, sampler), counted)


def found_kernel(step: Step) -> np.ndarray | None:
    """The kernel so far, (size, size), of a blind run; None of any other."""
    H = None if step.found is None else _measuring(step.found)
    return H.kernel() if isinstance(H, Blur) else None


def kernel_picture(kernel: np.ndarray) -> Tensor:
    """A kernel as a picture (1, 1, size, size) in [-1, 1]: black 0, white its largest weight."""
    return torch.from_numpy(2 * kernel / kernel.max() - 1).float()[None, None]


def _measuring(H: Operator) -> Operator:
    """The operator of a likelihood; of any other it is itself."""
    return H.H if isinstance(H, Likelihood) else H


def _array(grey: Tensor) -> np.ndarray:
    return (grey[0, 0].cpu().double() / 2 + 0.5).numpy()
