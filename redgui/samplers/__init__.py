"""Samplers and the registry of them: one file and one name each."""

from redgui import knobs
from redgui.samplers.base import Sampler, SamplerError, Step, Steps
from redgui.samplers.ddnm import DDNM
from redgui.samplers.ddrm import DDRM
from redgui.samplers.dps import DPS
from redgui.samplers.mcg import MCG
from redgui.samplers.pigdm import PiGDM
from redgui.samplers.reddiff import RedDiff
from redgui.samplers.repaint import RePaint

__all__ = [
    "DDNM",
    "DDRM",
    "DPS",
    "MCG",
    "SAMPLERS",
    "PiGDM",
    "RePaint",
    "RedDiff",
    "Sampler",
    "SamplerError",
    "Step",
    "Steps",
    "build",
]

SAMPLERS: tuple[type[Sampler], ...] = (RedDiff, DPS, PiGDM, DDRM, MCG, DDNM, RePaint)


def build(spec: str) -> Sampler:
    """A sampler from its text form, `reddiff:lr=0.1,steps=100`. Raises KnobError naming what there is."""
    name, given = knobs.parse(spec)
    return knobs.build(knobs.find(SAMPLERS, name, "sampler"), given)
