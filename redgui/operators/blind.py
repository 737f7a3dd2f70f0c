"""Blind deblurring: a blur whose kernel nobody knows. A run finds it first, and then restores as with a kernel that is known.

A picture that is given was blurred by a kernel of which only the size is said, the largest that it may have. Where the
measurement is simulated, a motion makes it (`kind=motion` with the same angle and seed), which no sampler is told.

k and x are found up to a shift: k shifted one way and x the other explain the same y. The kernel that is found has its centre
of mass in the middle, and figures are those of x shifted back.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from redgui.operators import kernels
from redgui.operators.base import OperatorError
from redgui.operators.blur import Blur

LARGEST = 31  # pixels across a kernel that nobody knows


@final
@dataclass(frozen=True, kw_only=True)
class BlindBlur(Blur):
    """A blur whose kernel is to be found (`kind=blind`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size > LARGEST:
            raise OperatorError(f"blur: a kernel that is to be found has at most {LARGEST} pixels a side; got {self.size}.")

    def known(self, kernel: np.ndarray) -> Blur:
        """The blur of pictures as large by a kernel (size, size) that was found."""
        return replace(self, kind="file", taps=kernels.encode(kernel))

    def pinv(self, y: Tensor) -> Tensor:
        """y itself with its border repeated: nothing says how to invert the blur."""
        return self.beyond.extended(y)

    def aligned(self, x: Tensor, x_true: Tensor) -> Tensor:
        """x shifted by the fraction of pixels at which it correlates best with x_true, by half the kernel at most."""
        return shifted(x, *offset(x, x_true, self.size // 2))


def offset(x: Tensor, x_true: Tensor, most: int) -> tuple[float, float]:
    """(rows, columns) by which x (b, c, h, w) is to be shifted to lie best on x_true (1 or b, c, h, w), in fractions of pixels.

    The peak of the circular cross-correlation of their channels' sums, and the parabola through it and its neighbours.
    """
    a, b = (torch.fft.rfft2((v - v.mean((-2, -1), keepdim=True)).double().sum((0, 1))) for v in (x, x_true))
    match = torch.fft.irfft2(b * a.conj(), s=x.shape[-2:])
    near = torch.roll(match, (most, most), (0, 1))[: 2 * most + 1, : 2 * most + 1]
    row, column = divmod(int(near.argmax()), near.shape[1])
    row, column = row - most, column - most
    return row + _vertex(match[:, column], row), column + _vertex(match[row], column)


def shifted(x: Tensor, rows: float, columns: float) -> Tensor:
    """x (b, c, h, w) moved down and to the right on a torus, by fractions of pixels too: exact for what is band-limited."""
    if rows == columns == 0:
        return x
    h, w = x.shape[-2:]
    turn = torch.fft.fftfreq(h, device=x.device)[:, None] * rows + torch.fft.rfftfreq(w, device=x.device) * columns
    return torch.fft.irfft2(torch.fft.rfft2(x) * torch.polar(torch.ones_like(turn), -2 * torch.pi * turn), s=(h, w))


def _vertex(values: Tensor, at: int) -> float:
    """Where the parabola through a peak and its two neighbours is highest, beside the peak by at most a half."""
    n = len(values)
    before, peak, after = (float(values[(at + k) % n]) for k in (-1, 0, 1))
    bend = before - 2 * peak + after
    return max(-0.5, min(0.5, (before - after) / (2 * bend))) if bend < 0 else 0.0
