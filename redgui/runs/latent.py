"""Problems in the space of a latent prior: the sampler's x is a latent, and H sees the picture that is decoded from it.

    H'(x) = H(decode(x)),    f+(y) = encode(H's own f+(y))

H' is differentiable and not linear, whatever H is: methods that need a linear operator refuse it. Their y is the same.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui.operators.wrapped import WrappedOperator
from redgui.priors.base import Prior


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded(WrappedOperator):
    """H of the decoded picture."""

    name = "decoded"
    label = "Decoded"
    about = "A degradation of the picture that is decoded from a latent."

    prior: Prior

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "label", f"{self.H.label} of a decoded latent")

    def __call__(self, x: Tensor) -> Tensor:
        return self.H(self.prior.decode(x))

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        return self.H.residual(self.prior.decode(x), y)

    @torch.no_grad()
    def start(self, y: Tensor) -> Tensor:
        return self.prior.encode(self.H.start(y).clamp(-1, 1))

    def noise_floor(self, y: Tensor, sigma_y: float) -> Tensor:
        return self.H.noise_floor(y, sigma_y)
