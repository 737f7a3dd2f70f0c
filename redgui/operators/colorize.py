"""Colorisation: y = w^T (R, G, B), one grey value per pixel.

H H^T = |w|^2 I, so H^T y = w y, H^+ y = w y / |w|^2 (grey in all three channels when the weights are equal) and with
the projection P = w w^T / |w|^2

    f(H^T H) x = f(0) (x - P x) + f(|w|^2) P x.

Equal weights are those of DDRM, DDNM and RED-diff; luma is that of ITU-R BT.601, as in JPEG and Pillow's "L", which is how a
grey picture that comes from elsewhere was most likely made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, final

import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import OperatorError, SpectralOperator, through_gram

WEIGHTS = {"mean": (1 / 3, 1 / 3, 1 / 3), "luma": (0.299, 0.587, 0.114)}
WEIGHTS["auto"] = WEIGHTS["mean"]


@final
@dataclass(frozen=True, kw_only=True)
class Colorize(SpectralOperator):
    """y = w^T (R, G, B), (b, 1, h, w)."""

    name = "colorize"
    label = "Colorisation"
    about = "Only the brightness is measured; the colours are to be found."
    pointwise = True

    weights: Literal["auto", "mean", "luma"] = knob(
        "auto",
        help="how red, green and blue make the grey: equal parts, or as bright as the eye sees them (luma); "
        "auto: equal parts, but luma for a picture that is already grey",
    )

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "Colorize":
        return self if box is None or self.weights != "auto" else replace(self, weights="luma")

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise OperatorError(f"colorize needs pictures of 3 channels; got {x.shape[1]}. Choose a prior of colour pictures.")
        return (_weights(self.weights, x.dtype, x.device) * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return _weights(self.weights, y.dtype, y.device) * y

    def measurement_of(self, picture: Tensor) -> Tensor:
        return self(picture)  # a grey picture comes with three equal channels

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return through_gram(self, x.new_full((), self.lam_max), f, x)

    @property
    def lam_max(self) -> float:
        return sum(w * w for w in WEIGHTS[self.weights])


@lru_cache(maxsize=16)
def _weights(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(WEIGHTS[name], dtype=dtype, device=device)[:, None, None]
