"""Super-resolution: y is the picture made smaller by a whole factor k, with anti-aliasing, once along each axis.

    y = A_h x A_w^T,        A of (n / k, n), rows that sum to 1

mean     each pixel of y is the mean of a k x k block (DDRM's and DDNM's "sr_averagepooling", RED-diff's "sr{k}"; Pillow's BOX).
         H H^T = I / k^2 exactly: H^+ repeats each pixel k x k times, and with the projection P = H^+ H
         f(H^T H) x = f(0) (x - P x) + f(1/k^2) P x.
bicubic  Keys' kernel with a = -1/2, stretched by k: 4 k taps (for even k) at distances (i - 2k + 1/2) / k from the centre of
         the block, normalised (DDRM's "sr_bicubic", Pillow's BICUBIC; R. Keys, Cubic convolution interpolation for digital
         image processing, 1981). It is spectral by its axes, see `redgui.operators.separable`.

Beyond the border of a picture the bicubic kernel takes it to be mirrored, index -j - 1 (border mirror), or what was made
smaller is a frame within x, and the 2 k pixels around it are to be found as well (border valid). Sides that k does not divide
have a few unmeasured rows and columns at the border of x.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.knobs import knob
from redgui.operators import separable
from redgui.operators.base import OperatorError, SpectralOperator, through_gram
from redgui.operators.frame import Framed, Margin
from redgui.operators.separable import Axis


@final
@dataclass(frozen=True, kw_only=True)
class SuperRes(Framed, SpectralOperator):
    """y = A_h x A_w^T, (b, c, h/k, w/k)."""

    name = "superres"
    label = "Super-resolution"
    about = "The picture is measured at a fraction of its size; the fine detail is to be found."

    factor: int = knob(4, 2, 16, help="how many times smaller each side gets")
    kernel: Literal["mean", "bicubic"] = knob(
        "mean", help="how pixels are merged: the mean of each block, or smooth bicubic weights"
    )
    border: Literal["auto", "mirror", "valid"] = knob(
        "auto",
        help="the picture is mirrored beyond its border, or the scene goes on there unseen (valid); "
        "auto: mirror, but valid for a picture that is already small",
        only_with=("kernel", ("bicubic",)),
    )

    @property
    def scale(self) -> int:
        return self.factor

    @property
    def overlap(self) -> int:
        return 0 if self.kernel == "mean" or self.border == "mirror" else 2 * self.factor

    @property
    def framed(self) -> bool:
        return True

    @property
    def valid(self) -> bool:
        return self.kernel == "bicubic" and self.border == "valid"

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "SuperRes":
        k, H = self.factor, self.unplaced
        left, top = w % k // 2, h % k // 2  # of what k does not divide, half at each side
        whole = (left, top, left + w - w % k, top + h - h % k)
        box = whole if box is None else box
        room = min(a - b for a, b in zip((box[0], box[1], -box[2], -box[3]), (left, top, -whole[2], -whole[3]), strict=True))
        if box != whole and self.border == "auto" and room >= self.overlap > 0:
            H = replace(H, border="valid")
        around = [box[0], box[1], w - box[2], h - box[3]]
        if H.valid:  # whole blocks, so that the grid of blocks stays
            around = [n if n >= H.overlap else n + k * -(-(H.overlap - n) // k) for n in around]
        H = H.with_margin(Margin(*around))
        H.check_size(h, w)
        return H

    def check_size(self, h: int, w: int) -> None:
        k, m = self.factor, self.beyond
        rows, columns = h - m.rows, w - m.columns
        if min(rows, columns) < k:
            raise OperatorError(
                f"superres: got a picture of {h}x{w}, which is nothing at a {k}th of its size. "
                f"Use pictures of at least {k + m.rows}x{k + m.columns}, or choose another factor."
            )
        if rows % k or columns % k:
            raise OperatorError(
                f"superres: both sides must be divisible by the factor {k}; got a picture of {h}x{w}. "
                f"Crop to {h - rows % k}x{w - columns % k}, or choose another factor."
            )

    def __call__(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        self.check_size(h, w)
        if self.kernel == "mean":
            return F.avg_pool2d(self.beyond.cut(x), self.factor)
        return separable.applied(*self._axes((h, w), x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        k, m = self.factor, self.beyond
        if self.kernel == "mean":
            return m.around(F.interpolate(y / k**2, scale_factor=k, mode="nearest"))
        return separable.adjoint(*self._axes((k * y.shape[-2] + m.rows, k * y.shape[-1] + m.columns), y), y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.kernel == "mean":
            return through_gram(self, x.new_full((), self.lam_max), f, x)
        self.check_size(*x.shape[-2:])
        return separable.spectral(*self._axes(x.shape[-2:], x), f, x)

    @property
    def lam_max(self) -> float:
        # Of both kernels a constant picture is the largest singular vector: s^2 = 1/k along each axis.
        return 1 / self.factor**2

    def _axes(self, size: tuple[int, ...], like: Tensor) -> tuple[Axis, Axis]:
        (h, w), m, k = size, self.beyond, self.factor
        rows, columns = (_axis(k, n, before, after, self.valid, like.dtype, like.device)
                         for n, before, after in ((h, m.top, m.bottom), (w, m.left, m.right)))  # fmt: skip
        return rows, columns


def bicubic(n: int, k: int) -> np.ndarray:
    """A (n/k, n): one axis made k times smaller, mirrored beyond its ends."""
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
def _axis(k: int, n: int, before: int, after: int, valid: bool, dtype: torch.dtype, device: torch.device) -> Axis:
    """An axis of n pixels, of which `before` and `after` are not made smaller; with `valid` they are looked at."""
    frame = n - before - after
    if valid:
        whole = bicubic(frame + 4 * k, k)[2:-2]  # whose mirrors are not reached
        A = np.pad(whole, ((0, 0), (before - 2 * k, after - 2 * k)))
    else:
        A = np.pad(bicubic(frame, k), ((0, 0), (before, after)))
    return Axis.of(A, dtype, device)
