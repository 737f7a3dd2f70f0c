"""Samplers and the registry of them: one file and one name each."""

from redgui import knobs
from redgui.samplers.base import Sampler, SamplerError, Step, Steps
from redgui.samplers.daps import DAPS
from redgui.samplers.diffpir import DiffPIR
from redgui.samplers.reddiff import RedDiff
from redgui.samplers.rsd import RSD
from redgui.samplers.sitcom import SITCOM
from redgui.samplers.vml_map import VmlMap

__all__ = [
    "DAPS",
    "RSD",
    "SAMPLERS",
    "SITCOM",
    "DiffPIR",
    "RedDiff",
    "Sampler",
    "SamplerError",
    "Step",
    "Steps",
    "VmlMap",
    "build",
]

SAMPLERS: tuple[type[Sampler], ...] = (RedDiff, VmlMap, DiffPIR, DAPS, SITCOM, RSD)


def build(spec: str) -> Sampler:
    """A sampler from its text form, `reddiff:lr=0.1,steps=100`. Raises KnobError naming what there is."""
    name, given = knobs.parse(spec)
    return knobs.build(knobs.find(SAMPLERS, name, "sampler"), given)
