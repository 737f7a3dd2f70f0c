"""Super-resolution: y is the picture made smaller by a whole factor k, with anti-aliasing, once along each axis.

    y = A_h x A_w^T,        A of (n / k, n), rows that sum to 1

mean     each pixel of y is the mean of a k x k block (DDRM's and DDNM's "sr_averagepooling", RED-diff's "sr{k}").
         H H^T = I / k^2 exactly: H^+ repeats each pixel k x k times, and with the projection P = H^+ H
         f(H^T H) x = f(0) (x - P x) + f(1/k^2) P x.
bicubic  Keys' kernel with a = -1/2, stretched by k: 4 k taps (for even k) at distances (i - 2k + 1/2) / k from the centre of
         the block, normalised; beyond the border the picture is mirrored, index -j - 1 (DDRM's "sr_bicubic"; R. Keys, Cubic
         convolution interpolation for digital image processing, 1981). With the thin SVD A = U S V^T of each axis, the
         eigenvalues of H^T H are the products S_h[i]^2 S_w[j]^2 on V_h x V_w, and 0 elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import OperatorError, SpectralOperator, through_gram


@final
@dataclass(frozen=True, kw_only=True)
class SuperRes(SpectralOperator):
    """y = A_h x A_w^T, (b, c, h/k, w/k)."""

    name = "superres"
    label = "Super-resolution"
    about = "The picture is measured at a fraction of its size; the fine detail is to be found."

    factor: int = knob(4, 2, 8, help="how many times smaller each side gets; it must divide both sides")
    kernel: Literal["mean", "bicubic"] = knob(
        "mean", help="how pixels are merged: the mean of each block, or smooth bicubic weights"
    )

    def check_size(self, h: int, w: int) -> None:
        k = self.factor
        if h % k or w % k:
            remedy = f"Crop to {h - h % k}x{w - w % k}" if min(h, w) >= k else f"Use pictures of at least {k}x{k}"
            raise OperatorError(
                f"superres: both sides must be divisible by the factor {k}; got a picture of {h}x{w}. "
                f"{remedy}, or choose another factor."
            )

    def measured_size(self, h: int, w: int) -> tuple[int, int]:
        return h // self.factor, w // self.factor

    def __call__(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        self.check_size(h, w)
        if self.kernel == "mean":
            return F.avg_pool2d(x, self.factor)
        return _axis(self.factor, h, x.dtype, x.device)[0] @ x @ _axis(self.factor, w, x.dtype, x.device)[0].mT

    def adjoint(self, y: Tensor) -> Tensor:
        k = self.factor
        if self.kernel == "mean":
            return F.interpolate(y / k**2, scale_factor=k, mode="nearest")
        h, w = k * y.shape[-2], k * y.shape[-1]
        return _axis(k, h, y.dtype, y.device)[0].mT @ y @ _axis(k, w, y.dtype, y.device)[0]

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.kernel == "mean":
            return through_gram(self, x.new_full((), self.lam_max), f, x)
        h, w = x.shape[-2:]
        self.check_size(h, w)
        _, lam_h, V_h = _axis(self.factor, h, x.dtype, x.device)
        _, lam_w, V_w = _axis(self.factor, w, x.dtype, x.device)
        f0 = f(x.new_zeros(()))
        coefficients = V_h.mT @ x @ V_w
        return f0 * x + V_h @ ((f(lam_h[:, None] * lam_w) - f0) * coefficients) @ V_w.mT

    @property
    def lam_max(self) -> float:
        # Of both kernels a constant picture is the largest singular vector: s^2 = 1/k along each axis.
        return 1 / self.factor**2


def bicubic(n: int, k: int) -> np.ndarray:
    """A (n/k, n): one axis made k times smaller."""
    A = np.zeros((n // k, n))
    for i in range(n // k):
        centre = (i + 0.5) * k - 0.5
        j = np.arange(np.floor(centre - 2 * k) + 1, np.ceil(centre + 2 * k)).astype(int)
        taps = keys((j - centre) / k)
        # Mirrored at half a pixel beyond both ends, as often as it takes: period 2 n.
        j = j % (2 * n)
        np.add.at(A[i], np.where(j < n, j, 2 * n - 1 - j), taps / taps.sum())
    return A


def keys(t: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel, zero from |t| = 2 on."""
    t = np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t < 1, near, np.where(t < 2, far, 0))


@lru_cache(maxsize=32)
def _axis(k: int, n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A, the eigenvalues of A^T A that are not zero, and their eigenvectors as columns (n, n/k)."""
    A = bicubic(n, k)
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    A, lam, V = (torch.from_numpy(np.ascontiguousarray(part)).to(dtype).to(device) for part in (A, s**2, Vt.T))
    return A, lam, V
