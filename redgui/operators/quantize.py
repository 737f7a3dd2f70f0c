"""Quantisation: y = Q(x), the nearest of 2^b evenly spaced values from -1 to 1.

With u = (x + 1) / 2 clipped to [0, 1], Q(x) = 2 round((2^b - 1) u) / (2^b - 1) - 1. The true derivative is 0 almost
everywhere, with which a method runs on its prior alone; here H has the straight-through derivative, that of the clipping.

y says that x lies in a cell of width D = 2 / (2^b - 1) around it. The residual is the distance to that cell, and not to its
middle: r = x - clip(x, y - D/2, y + D/2), where the first and the last cell have no outer wall. f+(y) = y.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import Operator, through


@final
@dataclass(frozen=True, kw_only=True)
class Quantize(Operator):
    """y = Q(x), the same size as x."""

    name = "quantize"
    label = "Quantisation"
    about = "Each channel has only a few tones left, and the shades between them are to be found."
    pointwise = True

    bits: int = knob(2, 1, 8, help="bits per channel: 2 to that power tones")

    @property
    def steps(self) -> int:
        """Between the darkest and the brightest tone."""
        return 2**self.bits - 1

    def __call__(self, x: Tensor) -> Tensor:
        clipped = x.clamp(-1, 1)
        return through(((clipped + 1) / 2 * self.steps).round() / self.steps * 2 - 1, clipped)

    def start(self, y: Tensor) -> Tensor:
        return y.clone()

    def plausible(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Anywhere in the cells, and not in their middles as y is."""
        within = torch.rand(y.shape[1:], generator=generator).to(y) * 2 - 1
        return (self(y) + within / self.steps).clamp(-1, 1)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        half = 1 / self.steps
        lo = torch.where(y < -1 + half, -math.inf, y - half)
        hi = torch.where(y > 1 - half, math.inf, y + half)
        return x - x.clamp(lo, hi)
