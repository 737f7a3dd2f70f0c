"""Samplers and the registry of them: one file and one name each."""

from redgui import knobs
from redgui.samplers.base import Sampler, SamplerError, Step, Steps
from redgui.samplers.reddiff import RedDiff

__all__ = ["SAMPLERS", "RedDiff", "Sampler", "SamplerError", "Step", "Steps", "build"]

SAMPLERS: tuple[type[Sampler], ...] = (RedDiff,)


def build(spec: str) -> Sampler:
    """A sampler from its text form, `reddiff:lr=0.1,steps=100`. Raises KnobError naming what there is."""
    name, given = knobs.parse(spec)
    return knobs.build(knobs.find(SAMPLERS, name, "sampler"), given)
