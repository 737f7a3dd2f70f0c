"""Degradations: what happened to the picture before it was measured.

A new operator is one file and one name in OPERATORS; the app, the command line, the benchmark and the tests then have it.
"""

from redgui import knobs
from redgui.operators.base import LinearOperator, Operator, OperatorError, SpectralOperator
from redgui.operators.blur import Blur
from redgui.operators.colorize import Colorize
from redgui.operators.denoise import Denoise
from redgui.operators.inpaint import Inpaint
from redgui.operators.superres import SuperRes

OPERATORS: tuple[type[Operator], ...] = (Denoise, Inpaint, SuperRes, Blur, Colorize)

__all__ = [
    "OPERATORS",
    "Blur",
    "Colorize",
    "Denoise",
    "Inpaint",
    "LinearOperator",
    "Operator",
    "OperatorError",
    "SpectralOperator",
    "SuperRes",
    "build",
]


def build(spec: str) -> Operator:
    """The operator of a specification such as `superres:factor=4,kernel=bicubic`; an error says what there is."""
    name, values = knobs.parse(spec)
    return knobs.build(knobs.find(OPERATORS, name, "operator"), values)
