"""Fourier subsampling: y = M F x, part of the orthonormal Fourier transform of each channel, as in magnetic resonance imaging.

F x is complex and stored as real channels, the real parts of all channels first and then the imaginary parts; sigma_y is that
of each. Where M = 0 nothing is measured and y is 0. H^T y = Re(F^H M y). For real pictures a frequency k and its opposite -k
carry the same number, so that with M_s(k) = (M(k) + M(-k)) / 2, which is 0, 1/2 or 1,

    H^T H = F^H M_s F,     f(H^T H) x = F^H f(M_s) F x.

cartesian  whole columns: the middle ones and others drawn at random (fastMRI, arXiv 1811.08839: acceleration 4 with the middle
           8 %, 8 with 4 %)
radial     straight lines through the middle at even angles
random     single frequencies, denser in the middle: probability falling as (1 - radius)^3

The lowest frequencies are always measured. One coil only, and the picture is real: this is not all of an MRI reconstruction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import SpectralOperator


@final
@dataclass(frozen=True, kw_only=True)
class Fourier(SpectralOperator):
    """y = M F x, (b, 2 c, h, w) with zeros where nothing is measured."""

    name = "fourier"
    label = "Fourier subsampling"
    about = "Part of the picture's frequencies is measured, as in a scanner that has to be fast."
    pictorial: ClassVar[bool] = False

    pattern: Literal["cartesian", "radial", "random"] = knob(
        "cartesian",
        help="what is measured: columns, lines through the middle, or single frequencies, denser in the middle",
    )
    acceleration: float = knob(4.0, 1.0, 16.0, step=0.5, help="one frequency in so many is measured")
    centre: float = knob(
        0.08,
        0.0,
        0.5,
        step=0.01,
        help="share of the lowest frequencies that is always measured",
        only_with=("pattern", ("cartesian", "random")),
    )
    seed: int = knob(0, 0, 2**31 - 1, help="draws other columns or frequencies", only_with=("pattern", ("cartesian", "random")))

    def mask(self, h: int, w: int) -> np.ndarray:
        """M (h, w), True where measured, the lowest frequency in the middle as a person sees it."""
        match self.pattern:
            case "cartesian":
                return columns(h, w, self.acceleration, self.centre, self.seed)
            case "radial":
                return spokes(h, w, self.acceleration)
            case "random":
                return scattered(h, w, self.acceleration, self.centre, self.seed)

    def __call__(self, x: Tensor) -> Tensor:
        k = _parts_like(self, x)[0] * torch.fft.fft2(x, norm="ortho")
        return torch.cat((k.real, k.imag), 1)

    def adjoint(self, y: Tensor) -> Tensor:
        real, imag = y.chunk(2, 1)
        return torch.fft.ifft2(_parts_like(self, y)[0] * torch.complex(real, imag), norm="ortho").real

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return torch.fft.ifft2(f(_parts_like(self, x)[1]) * torch.fft.fft2(x)).real

    def entries(self, y: Tensor) -> int:
        return y.shape[1] * int(_parts_like(self, y)[0].sum())

    def on_support(self, u: Tensor) -> Tensor:
        return _parts_like(self, u)[0] * u

    def measurement_of(self, picture: Tensor) -> Tensor:
        return self(picture)  # a person has a picture, not its frequencies

    def picture(self, y: Tensor) -> Tensor:
        """H^T y, the picture with zeros for what was not measured."""
        return self.adjoint(y).clamp(-1, 1)


def columns(h: int, w: int, acceleration: float, centre: float, seed: int) -> np.ndarray:
    """round(w / acceleration) columns, the middle `centre` of the width first."""
    n = max(1, round(w / acceleration))
    middle = _middle_first(np.abs(np.arange(w) - w // 2))[: max(1, round(centre * w))]
    others = np.setdiff1d(np.arange(w), middle)
    drawn = np.random.default_rng(seed).permutation(others)[: max(0, n - len(middle))]
    chosen = np.zeros(w, bool)
    chosen[middle] = chosen[drawn] = True
    return np.broadcast_to(chosen, (h, w)).copy()


def spokes(h: int, w: int, acceleration: float) -> np.ndarray:
    """As many lines at even angles as bring the share measured to 1 / acceleration."""
    mask = np.zeros((h, w), bool)
    for n in range(1, 4 * (h + w)):
        mask[:] = False
        reach = np.linspace(-0.5, 0.5, 4 * max(h, w) + 1)
        for angle in np.pi * np.arange(n) / n:
            rows = np.floor(h // 2 + reach * h * np.sin(angle) + 0.5).astype(int)
            cols = np.floor(w // 2 + reach * w * np.cos(angle) + 0.5).astype(int)
            inside = (rows >= 0) & (rows < h) & (cols >= 0) & (cols < w)
            mask[rows[inside], cols[inside]] = True
        if mask.mean() >= 1 / acceleration:
            break
    return mask


def scattered(h: int, w: int, acceleration: float, centre: float, seed: int) -> np.ndarray:
    """round(h w / acceleration) frequencies: the middle ones, then by a draw without replacement that favours low ones."""
    rows, cols = np.ogrid[:h, :w]
    radius = np.hypot((rows - h // 2) / (h / 2), (cols - w // 2) / (w / 2)).ravel() / np.sqrt(2)
    n = max(1, round(h * w / acceleration))
    first = _middle_first(radius)[: max(1, min(n, round(centre * h * w)))]
    weight = (1 - radius.clip(0, 1)) ** 3 + 1e-6
    # The n smallest of exponential times are a weighted draw without replacement.
    times = np.random.default_rng(seed).exponential(size=h * w) / weight
    times[first] = -1
    mask = np.zeros(h * w, bool)
    mask[np.argsort(times)[:n]] = True
    return mask.reshape(h, w)


def _middle_first(distance: np.ndarray) -> np.ndarray:
    return np.argsort(distance.round(9), kind="stable")


def _parts_like(H: Fourier, x: Tensor) -> tuple[Tensor, Tensor]:
    return _parts(H, *x.shape[-2:], x.dtype, x.device)


@lru_cache(maxsize=32)
def _parts(H: Fourier, h: int, w: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """M and M_s (h, w), the lowest frequency first as the transform has it."""
    M = np.fft.ifftshift(H.mask(h, w)).astype(float)
    opposite = M[np.ix_(-np.arange(h) % h, -np.arange(w) % w)]
    M, M_s = (torch.from_numpy(part).to(device, dtype) for part in (M, (M + opposite) / 2))
    return M, M_s
