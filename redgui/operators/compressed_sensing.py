"""Compressed sensing: y = M W S x, some coefficients of a Walsh-Hadamard transform, each channel for itself.

W is the orthonormal Walsh-Hadamard transform over the h x w pixels, both powers of two (Sylvester's order: W_h on the columns,
W_w on the rows); S flips the signs of pixels at random, or is I as in DDRM and DDNM; M keeps round(ratio h w) coefficients, by
a seed. y has the shape of x with zeros where nothing is measured. All are orthogonal but M, so that H^+ = H^T and

    f(H^T H) x = S W f(M) W S x.

Without S the first coefficient is the mean, and is always kept: a random choice loses it with probability 1 - ratio, and the
brightness of the picture with it. With S no coefficient matters more than another.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import OperatorError, SpectralOperator


@final
@dataclass(frozen=True, kw_only=True)
class CompressedSensing(SpectralOperator):
    """y = M W S x, (b, c, h, w) of coefficients with zeros where nothing is measured."""

    name = "compressed-sensing"
    label = "Compressed sensing"
    about = "Far fewer numbers than pixels are measured, each a sum of all pixels with random signs."
    pictorial: ClassVar[bool] = False

    ratio: float = knob(0.25, 0.01, 1.0, step=0.01, help="how many numbers are measured per pixel; DDNM has 0.25")
    signs: Literal["random", "none"] = knob(
        "random", help="pixels' signs are flipped at random first, so that every number tells as much; or not (DDRM, DDNM)"
    )
    keep_dc: bool = knob(True, help="the mean of the picture is always measured (without random signs)")
    seed: int = knob(0, 0, 2**31 - 1, help="draws other signs and another choice of coefficients")

    def check_size(self, h: int, w: int) -> None:
        if any(n & (n - 1) or n == 0 for n in (h, w)):
            below = "x".join(str(1 << max(n.bit_length() - 1, 0)) for n in (h, w))
            raise OperatorError(
                f"compressed-sensing: both sides must be powers of two; got a picture of {h}x{w}. "
                f"Crop to {below}, or choose another operator."
            )

    def __call__(self, x: Tensor) -> Tensor:
        S, M = _parts_like(self, x)
        return M * walsh_hadamard(S * x)

    def adjoint(self, y: Tensor) -> Tensor:
        S, M = _parts_like(self, y)
        return S * walsh_hadamard(M * y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        S, M = _parts_like(self, x)
        return S * walsh_hadamard(f(M) * walsh_hadamard(S * x))

    def entries(self, y: Tensor) -> int:
        return y.shape[1] * int(_parts_like(self, y)[1].sum())

    def on_support(self, u: Tensor) -> Tensor:
        return _parts_like(self, u)[1] * u

    def measurement_of(self, picture: Tensor) -> Tensor:
        return self(picture)  # a person has a picture, not its coefficients

    def picture(self, y: Tensor) -> Tensor:
        """H^T y, what the coefficients show by themselves."""
        return self.adjoint(y).clamp(-1, 1)


def walsh_hadamard(x: Tensor) -> Tensor:
    """The orthonormal transform of (b, c, h, w) over both axes, its own inverse; h and w powers of two."""
    h, w = x.shape[-2:]
    for n, after in ((h, w), (w, 1)):
        half = 1
        while half < n:
            pairs = x.reshape(*x.shape[:-2], -1, 2, half * after)
            a, b = pairs[..., 0, :], pairs[..., 1, :]
            x = torch.stack((a + b, a - b), -2).reshape(*x.shape[:-2], h, w)
            half *= 2
    return x / math.sqrt(h * w)


def _parts_like(H: CompressedSensing, x: Tensor) -> tuple[Tensor, Tensor]:
    return _parts(H, *x.shape[-2:], x.dtype, x.device)


@lru_cache(maxsize=32)
def _parts(H: CompressedSensing, h: int, w: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """S and M, both (h, w)."""
    H.check_size(h, w)
    rng = np.random.default_rng(H.seed)
    order = rng.permutation(h * w)
    signs = rng.choice([-1.0, 1.0], (h, w)) if H.signs == "random" else np.ones((h, w))
    if H.signs == "none" and H.keep_dc:
        order = np.concatenate(([0], order[order != 0]))
    chosen = np.zeros(h * w)
    chosen[order[: max(1, round(H.ratio * h * w))]] = 1
    S, M = (torch.from_numpy(part).to(device, dtype) for part in (signs, chosen.reshape(h, w)))
    return S, M
