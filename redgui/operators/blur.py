"""Blur: y = k * x, circular convolution with a kernel that sums to 1.

The picture is taken to repeat beyond its borders, which makes the Fourier transform F diagonalise H: with K = F k,

    H x = F^-1 K F x,     H^T y = F^-1 conj(K) F y,     f(H^T H) x = F^-1 f(|K|^2) F x.

DPS and DAPS reflect at the border instead; that is linear but not diagonal in any cheap basis, and a measurement made with
one border and inverted with another shows at the edges, so only the circular one is offered. DDRM, DDNM and RED-diff lose the
kernel's last tap (gain 0.64, half a pixel of shift); here none is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators import kernels
from redgui.operators.base import OperatorError, SpectralOperator


@final
@dataclass(frozen=True, kw_only=True)
class Blur(SpectralOperator):
    """y = k * x, the same size as x."""

    name = "blur"
    label = "Blur"
    about = "The picture is blurred: by a lens out of focus, a moving camera, a Gaussian."

    # A blur's singular values fall off smoothly to nothing: inverted down to 1e-3, noise would show a thousandfold.
    cutoff = 3e-2

    kind: Literal["gaussian", "uniform", "anisotropic", "motion", "disc"] = knob(
        "gaussian", help="a soft Gaussian, a square, a Gaussian longer than wide, a moving camera, or a lens out of focus"
    )
    size: int = knob(9, 3, 127, step=2, help="pixels across the kernel, an odd number; DPS has 61 for pictures of 256")
    width: float = knob(
        2.0,
        0.1,
        50.0,
        step=0.1,
        help="standard deviation of the Gaussian in pixels; along the angle, if it has one",
        only_with=("kind", ("gaussian", "anisotropic")),
    )
    across: float = knob(
        0.5, 0.1, 50.0, step=0.1, help="standard deviation at right angles to the angle", only_with=("kind", ("anisotropic",))
    )
    angle: float = knob(
        0.0,
        -180.0,
        180.0,
        step=1,
        help="direction in degrees, counter-clockwise from the horizontal; of a motion, when its seed is 0",
        only_with=("kind", ("anisotropic", "motion")),
    )
    seed: int = knob(
        0,
        0,
        2**31 - 1,
        help="0: straight motion; any other number: a shaking hand, each its own",
        only_with=("kind", ("motion",)),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise OperatorError(
                f"blur: size must be odd, so that the kernel has a middle; got {self.size}. "
                f"Use {self.size - 1} or {self.size + 1}."
            )

    def kernel(self) -> np.ndarray:
        """k, (size, size), sums to 1."""
        match self.kind:
            case "gaussian":
                return kernels.gaussian(self.size, self.width)
            case "uniform":
                return kernels.uniform(self.size)
            case "anisotropic":
                return kernels.anisotropic(self.size, self.width, self.across, self.angle)
            case "motion":
                return kernels.shake(self.size, self.seed) if self.seed else kernels.line(self.size, self.angle)
            case "disc":
                return kernels.disc(self.size)

    def check_size(self, h: int, w: int) -> None:
        n = min(h, w)
        if self.size > n:
            raise OperatorError(
                f"blur: the kernel of {self.size} pixels is larger than the picture of {h}x{w}. "
                f"Use a size of at most {n - 1 + n % 2}."
            )

    def __call__(self, x: Tensor) -> Tensor:
        return _filtered(_transfer_like(self, x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        return _filtered(_transfer_like(self, y).conj(), y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return _filtered(f(_transfer_like(self, x).abs().square()), x)


def _filtered(gain: Tensor, x: Tensor) -> Tensor:
    return torch.fft.irfft2(gain * torch.fft.rfft2(x), s=x.shape[-2:])


def _transfer_like(H: Blur, x: Tensor) -> Tensor:
    return _transfer(H, *x.shape[-2:], x.dtype, x.device)


@lru_cache(maxsize=32)
def _transfer(H: Blur, h: int, w: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """K (h, w // 2 + 1), for real transforms, of the kernel with its middle at the first pixel."""
    H.check_size(h, w)
    padded = np.zeros((h, w))
    padded[: H.size, : H.size] = H.kernel()
    K = np.fft.rfft2(np.roll(padded, (-(H.size // 2), -(H.size // 2)), (0, 1)))
    return torch.from_numpy(K).to(dtype.to_complex()).to(device)
