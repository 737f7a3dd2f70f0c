"""Samplers and the registry of them: one file and one name each."""

from typing import TYPE_CHECKING, Any

from redgui import knobs, plugins
from redgui.samplers.base import Sampler, SamplerError, Step, Steps
from redgui.samplers.classic import Classic
from redgui.samplers.daps import DAPS
from redgui.samplers.ddnm import DDNM
from redgui.samplers.ddrm import DDRM
from redgui.samplers.diffpir import DiffPIR
from redgui.samplers.dps import DPS
from redgui.samplers.mcg import MCG
from redgui.samplers.pigdm import PiGDM
from redgui.samplers.reddiff import RedDiff
from redgui.samplers.repaint import RePaint
from redgui.samplers.rsd import RSD
from redgui.samplers.sitcom import SITCOM
from redgui.samplers.vml_map import VmlMap

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "MCG",
    "RSD",
    "SAMPLERS",
    "SITCOM",
    "Classic",
    "DiffPIR",
    "PiGDM",
    "RePaint",
    "RedDiff",
    "Sampler",
    "SamplerError",
    "Step",
    "Steps",
    "VmlMap",
    "build",
]

if TYPE_CHECKING:
    SAMPLERS: tuple[type[Sampler], ...]

# In the order in which people see them.
OWN: tuple[type[Sampler], ...] = (
    RedDiff, VmlMap, DPS, PiGDM, DDRM, MCG, DDNM, DiffPIR, DAPS, RePaint, SITCOM, RSD, Classic,
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """SAMPLERS: OWN and those of plugins, which are read when it is first asked for."""
    if name != "SAMPLERS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return plugins.joined("samplers", OWN)


def build(spec: str) -> Sampler:
    """A sampler from its text form, `reddiff:lr=0.1,steps=100`. Raises KnobError naming what there is."""
    name, given = knobs.parse(spec)
    return knobs.build(knobs.find(plugins.joined("samplers", OWN), name, "sampler"), given)
