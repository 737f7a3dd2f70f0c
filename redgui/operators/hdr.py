"""High dynamic range: y = clip(a x, -1, 1), an exposure so long that bright and dark tones are lost at both ends.

a = 2 is that of RED-diff and DAPS. The derivative is a where |a x| < 1 and 0 elsewhere. A clipped value says only "at least
this bright", so the residual there is one-sided: r = min(a x - 1, 0) where y = 1, max(a x + 1, 0) where y = -1, and a x - y
where nothing was clipped. f+(y) = y / a, which is right wherever nothing was clipped.
"""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import Operator, clipped_residual


@final
@dataclass(frozen=True, kw_only=True)
class HDR(Operator):
    """y = clip(a x, -1, 1), the same size as x."""

    name = "hdr"
    label = "High dynamic range"
    about = "The contrast is so high that bright and dark tones are clipped; they are to be found."
    pointwise = True

    gain: float = knob(2.0, 1.0, 8.0, step=0.1, help="a: how many times the contrast is; RED-diff and DAPS have 2")

    def __call__(self, x: Tensor) -> Tensor:
        return (self.gain * x).clamp(-1, 1)

    def start(self, y: Tensor) -> Tensor:
        return y / self.gain

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        return clipped_residual(self.gain * x, y)
