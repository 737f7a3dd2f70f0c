"""A prior with room around its pictures, for what was measured of a scene that goes on beyond the frame.

A network of one size says nothing of the margin. There x0 is taken to be N(d, s^2 I), with d the nearest pixel of the network's
D: its posterior mean is s^2 / (s^2 + sigma^2) x + sigma^2 / (s^2 + sigma^2) d. What is out there explains the measurement near
the border and is not part of the result, so that little has to be known of it.
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.priors.base import Back, Prior, Sigma, Wrapped, per_image

SPREAD = 0.3  # s: about how much pictures change within a kernel's reach


@final
class Bordered(Wrapped):
    """The prior `inner` in the middle of pictures of h x w."""

    def __init__(self, inner: Prior, h: int, w: int):
        super().__init__(inner)
        c, rows, columns = inner.shape
        self.shape = (c, h, w)
        self.top, self.left = (h - rows) // 2, (w - columns) // 2
        self.around = (self.left, w - columns - self.left, self.top, h - rows - self.top)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self.shape

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        return self._extended(self.inner.denoise(self._middle(x), sigma), x, sigma)

    def linearized(self, x: Tensor, sigma: Sigma) -> tuple[Tensor, Back]:
        D, back = self.inner.linearized(self._middle(x), sigma)
        with torch.enable_grad():
            D, x = D.detach().requires_grad_(True), x.detach().requires_grad_(True)
            whole = self._extended(D, x, sigma)

        def through_both(u: Tensor) -> Tensor:
            of_D, of_x = torch.autograd.grad(whole, (D, x), u)
            return of_x + F.pad(back(of_D), self.around)

        return whole.detach(), through_both

    def _middle(self, x: Tensor) -> Tensor:
        _, rows, columns = self.inner.shape
        return x[..., self.top : self.top + rows, self.left : self.left + columns].contiguous()

    def _extended(self, D: Tensor, x: Tensor, sigma: Sigma) -> Tensor:
        nearest = F.pad(D, self.around, mode="replicate")
        margin = F.pad(torch.zeros_like(D[:1, :1]), self.around, value=1.0)
        variance = per_image(sigma, x) ** 2
        return nearest + margin * (SPREAD**2 / (SPREAD**2 + variance)) * (x - nearest)
