"""Inpainting in windows around the holes: the sampler works on them alone, side by side on one canvas (`redgui.windows`).

Far from a hole all is measured and nothing is to be found: with a prior of any size a large picture costs what its holes do.
The prior is shown each window by itself, so that neighbours on the canvas do not see each other. The Steps hold whole pictures,
with the measurement outside the windows. With noise the whole picture is solved: its measured pixels are to be found, too.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self, final

import torch
from torch import Tensor

from redgui import windows
from redgui.operators.base import Operator
from redgui.operators.inpaint import Inpaint, of_mask
from redgui.priors.base import Prior, Sigma, Wrapped
from redgui.runs.mapped import mapped
from redgui.samplers.base import Steps
from redgui.windows import Packing, part


@dataclass(frozen=True)
class Windows:
    """A problem on a canvas.

    Attributes:
        H: the inpainting of the canvas.
        packing: where the windows are.
        y: the measurement of the whole picture, (b, c, h, w).
    """

    H: Inpaint
    packing: Packing
    y: Tensor

    @classmethod
    def of(cls, prior: Prior, H: Operator, y: Tensor, sigma_y: float) -> Self | None:
        """The windows of a problem; None where the whole picture is solved."""
        if not isinstance(H, Inpaint) or not windows.solved_in_windows(H, sigma_y, prior.multiple):
            return None
        packed = _packed(H, *y.shape[-2:], prior.multiple)
        return None if packed is None else cls(*packed, y)

    def on_canvas(self, prior: Prior) -> tuple[Prior, Operator, Tensor]:
        """What the sampler is given: the prior of the windows, their inpainting, and their measurement."""
        return Windowed(prior, self.packing), self.H, self.packing.pack(self.y)

    def pictures(self, steps: Steps) -> Steps:
        """The stream with whole pictures for canvases."""
        return mapped(steps, lambda step: replace(step, x0_hat=self.packing.unpack(step.x0_hat, self.y)))


@lru_cache(maxsize=8)
def _packed(H: Inpaint, h: int, w: int, multiple: int) -> tuple[Inpaint, Packing] | None:
    boxes = windows.around(H.hole(h, w), multiple)
    if not boxes:
        return None
    packing = Packing(boxes, (h, w))
    return of_mask(packing.pack(torch.from_numpy(H.hole(h, w).copy())).numpy()), packing


@final
class Windowed(Wrapped):
    """A prior of canvases that asks another for each window; beside them D is 0, as all there is."""

    def __init__(self, prior: Prior, packing: Packing):
        super().__init__(prior)
        self.packing = packing

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        D = torch.zeros_like(x)
        found = self.inner.denoise_each([part(x, place) for place in self.packing.places], sigma)
        for place, own in zip(self.packing.places, found, strict=True):
            part(D, place).copy_(own)
        return D
