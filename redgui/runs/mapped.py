"""A stream of Steps whose sampler works on something else than pictures: what it restores, as pictures."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import torch

from redgui.noise.stabilised import Stabilised
from redgui.priors.base import Prior
from redgui.samplers.base import Step, Steps


def mapped(steps: Steps, change: Callable[[Step], Step]) -> Generator[Step, Any, None]:
    """The stream with every Step changed. What is sent to it goes to the sampler."""
    try:
        step = next(steps, None)
        while step is not None:
            with torch.no_grad():
                seen = change(step)
            tuned = yield seen
            try:
                step = steps.send(tuned)
            except StopIteration:
                return
    finally:
        steps.close()


def decoded(steps: Steps, prior: Prior) -> Generator[Step, Any, None]:
    """The stream with pictures for latents: one call of the decoder a Step, more than nothing only for latent priors."""

    def change(step: Step) -> Step:
        picture = prior.decode(step.x0_hat)
        finite = (step.x0_hat.isfinite().flatten(1).all(1) & picture.isfinite().flatten(1).all(1)).view(-1, 1, 1, 1)
        return replace(step, x0_hat=torch.where(finite, picture.clamp(-1, 1), torch.nan))  # the clamp makes a picture of an inf

    return mapped(steps, change)


def unstabilised(steps: Steps, through: Stabilised, level: float) -> Generator[Step, Any, None]:
    """The stream with pictures for what a sampler restores of a stabilised measurement, and misfits in their units.

    Args:
        level: of the noise, in units of pictures (`Noise.level`).
    """
    scale = level / through.level

    def change(step: Step) -> Step:
        powers = {"residual": 1, "data": 2}
        scalars = {name: value * scale ** powers.get(name, 0) for name, value in step.scalars.items()}
        return replace(step, x0_hat=through.picture(step.x0_hat), scalars=scalars)

    return mapped(steps, change)
