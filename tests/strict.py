"""A prior that watches how it is asked."""

import torch
from torch import Tensor

from redgui.priors import GaussianPrior


class Strict(GaussianPrior):
    """Fails when a graph could pass through it."""

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not x.requires_grad
        return super().denoise(x, sigma)
