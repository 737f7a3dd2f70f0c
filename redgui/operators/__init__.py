"""Degradations: what happened to the picture before it was measured.

A new operator is one file and one name in OWN, or a plugin (`redgui.plugins`); the app, the command line, the benchmark and the
tests (of one's own) then have it.
"""

from typing import TYPE_CHECKING, Any

from redgui import knobs, plugins
from redgui.operators.base import LinearOperator, Operator, OperatorError, SpectralOperator
from redgui.operators.blur import Blur
from redgui.operators.colorize import Colorize
from redgui.operators.compose import Compose
from redgui.operators.compressed_sensing import CompressedSensing
from redgui.operators.denoise import Denoise
from redgui.operators.fourier import Fourier
from redgui.operators.hdr import HDR
from redgui.operators.inpaint import Inpaint
from redgui.operators.jpeg import JPEG
from redgui.operators.nonlinear_blur import NonlinearBlur
from redgui.operators.phase import PhaseRetrieval
from redgui.operators.quantize import Quantize
from redgui.operators.superres import SuperRes

if TYPE_CHECKING:
    OPERATORS: tuple[type[Operator], ...]

# In the order in which people see them.
OWN: tuple[type[Operator], ...] = (
    Denoise, Inpaint, SuperRes, Blur, Colorize, HDR, PhaseRetrieval, NonlinearBlur, JPEG, Quantize,
    CompressedSensing, Fourier, Compose,
)  # fmt: skip

__all__ = [
    "HDR",
    "JPEG",
    "OPERATORS",
    "Blur",
    "Colorize",
    "Compose",
    "CompressedSensing",
    "Denoise",
    "Fourier",
    "Inpaint",
    "LinearOperator",
    "NonlinearBlur",
    "Operator",
    "OperatorError",
    "PhaseRetrieval",
    "Quantize",
    "SpectralOperator",
    "SuperRes",
    "build",
]


def __getattr__(name: str) -> Any:
    """OPERATORS: OWN and those of plugins, which are read when it is first asked for."""
    if name != "OPERATORS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return plugins.joined("operators", OWN)


def build(spec: str) -> Operator:
    """The operator of a specification such as `superres:factor=4,kernel=bicubic`; an error says what there is."""
    name, values = knobs.parse(spec)
    return knobs.build(knobs.find(plugins.joined("operators", OWN), name, "operator"), values)
