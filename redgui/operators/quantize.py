"""Quantisation: y = Q(x), one of 2^b tones for each channel. The numbers of files are i = 127.5 (x + 1), 0 to 255, clipped.

    nearest   evenly spaced from black to white: Q = n D with D = 255 / (2^b - 1) and n = round(i / D)
    down      the high b bits of the rounded number, as Pillow's posterize and many editors keep them: D = 256 / 2^b and
              n = floor((i + 1/2) / D); white is not among these tones

The true derivative is 0 almost everywhere, with which a method runs on its prior alone; here H has the straight-through
derivative, that of the clipping. y says that x lies in a cell of width D: around it, or from half a number below it upwards.
The residual is the distance to that cell, and not to y: r = x - clip(x, cell), where the first and the last cell have no outer
wall. f+(y) is the middle of the cell.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import Operator, through

HALF = 127.5  # numbers in a unit of x


@final
@dataclass(frozen=True, kw_only=True)
class Quantize(Operator):
    """y = Q(x), the same size as x."""

    name = "quantize"
    label = "Quantisation"
    about = "Each channel has only a few tones left, and the shades between them are to be found."
    pointwise = True

    bits: int = knob(2, 1, 8, help="bits per channel: 2 to that power tones")
    rounding: Literal["nearest", "down"] = knob(
        "nearest", help="to evenly spaced tones from black to white, or down to the high bits, as posterize of Pillow does"
    )

    @property
    def width(self) -> float:
        """Of a cell, in units of x."""
        return 2 / (2**self.bits - 1) if self.rounding == "nearest" else 256 / 2**self.bits / HALF

    @property
    def middle(self) -> float:
        """Of a cell, above its tone."""
        return 0.0 if self.rounding == "nearest" else (self.width - 1 / HALF) / 2

    def __call__(self, x: Tensor) -> Tensor:
        clipped = x.clamp(-1, 1)
        if self.rounding == "down":
            return through(((clipped + 1 - self.middle) / self.width + 0.5).floor() * self.width - 1, clipped)
        steps = 2**self.bits - 1
        return through(((clipped + 1) / 2 * steps).round() / steps * 2 - 1, clipped)

    def start(self, y: Tensor) -> Tensor:
        return y + self.middle

    def plausible(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Anywhere in the cells, and not in their middles."""
        within = torch.rand(y.shape[1:], generator=generator).to(y) * 2 - 1
        return (self.start(self(self.start(y))) + within / (2 / self.width)).clamp(-1, 1)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        middle, half = self.start(y), self.width / 2
        lo = torch.where(middle < -1 + self.middle + half, -math.inf, middle - half)
        hi = torch.where(middle > 1 - half, math.inf, middle + half)
        return x - x.clamp(lo, hi)


def told(image: Image.Image, **said: Any) -> dict[str, Any]:
    """The knobs by which a picture has only the tones that it has, the fewest bits that will do; none where there are no such.

    Args:
        said: knobs that are known already.
    """
    tones = set(np.unique(np.asarray(image)).tolist())
    for H in _below_eight(said):
        if tones <= set(np.round(np.arange(2**H.bits) * H.width * HALF).tolist()):
            return {"bits": H.bits, "rounding": H.rounding}
    return {}


def _below_eight(said: dict[str, Any]) -> Iterator[Quantize]:
    for bits in [int(said["bits"])] if "bits" in said else range(1, 8):
        for rounding in [said["rounding"]] if "rounding" in said else ("nearest", "down"):
            yield Quantize(bits=bits, rounding=rounding)
