"""Denoising: H = I, so y = x + sigma_y n.

H^T = H^+ = I, and the one eigenvalue is 1: f(H^T H) x = f(1) x. All there is to set is the problem's sigma_y.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

from redgui.operators.base import SpectralOperator


@final
@dataclass(frozen=True, kw_only=True)
class Denoise(SpectralOperator):
    """y = x: only noise is added."""

    name = "denoise"
    label = "Denoising"
    about = "The whole picture is measured; nothing is lost but to noise."
    pointwise = True

    def __call__(self, x: Tensor) -> Tensor:
        return x.clone()  # whoever adds noise to y in place must not add it to x

    def adjoint(self, y: Tensor) -> Tensor:
        return y.clone()

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return f(x.new_ones(())) * x
