"""Blur: y = k * x, convolution with a kernel that sums to 1, and what happens at the border.

wrap    The picture is taken to repeat beyond its borders, which makes the Fourier transform F diagonalise H: with K = F k,

            H x = F^-1 K F x,     H^T y = F^-1 conj(K) F y,     f(H^T H) x = F^-1 f(|K|^2) F x.

        This is how measurements are simulated. A photograph is another matter: its scene does not repeat.
valid   y is a frame within x, and what lies around it is to be found as well: H = C F^-1 K F with the crop C of
        `redgui.operators.frame`, exact whatever the scene is. Where the kernel is an outer product, k = u v^T, H acts on
        rows and columns apart and is spectral (`redgui.operators.separable`). Of any other kernel the systems are solved by
        conjugate gradients, with the circular (|K|^2 + reg)^-1 near them.

DPS and DAPS reflect at the border, which is no truer of a photograph than repeating it. DDRM, DDNM and RED-diff lose the
kernel's last tap (gain 0.64, half a pixel of shift); here none is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators import kernels, separable
from redgui.operators.base import ByLevel, LinearOperator, OperatorError, SpectralOperator
from redgui.operators.frame import Framed, Margin
from redgui.operators.krylov import conjugate_gradients
from redgui.operators.separable import Axis

FEWEST = 8  # pixels a side that a frame has


@dataclass(frozen=True, kw_only=True)
class Blur(Framed, LinearOperator, metaclass=ByLevel):
    """y = k * x: of the size of x, or with the border valid smaller by the kernel's reach on all sides.

    An instance is a `BlindBlur`, a `CircularBlur`, a `SeparableBlur`, or, border valid and the kernel no outer product, a Blur.
    """

    name = "blur"
    label = "Blur"
    about = "The picture is blurred: by a lens out of focus, a moving camera, a Gaussian."

    # A blur's singular values fall off smoothly to nothing: inverted down to 1e-3, noise would show a thousandfold.
    cutoff: ClassVar[float] = 3e-2
    completes = True

    kind: Literal["gaussian", "uniform", "anisotropic", "motion", "disc", "file", "blind"] = knob(
        "gaussian",
        help="soft, a square, soft and longer than wide, a moving camera, out of focus, one's own file, or blind: to be found",
    )
    size: int = knob(
        9,
        3,
        127,
        step=2,
        help="pixels across the kernel, an odd number; DPS has 61 for pictures of 256; of a blind one the most, 31 at most",
        only_with=("kind", ("gaussian", "uniform", "anisotropic", "motion", "disc", "blind")),
    )
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
        only_with=("kind", ("anisotropic", "motion", "blind")),
    )
    seed: int = knob(
        0,
        0,
        2**31 - 1,
        help="0: straight motion; any other number: a shaking hand, each its own",
        only_with=("kind", ("motion", "blind")),
    )

    border: Literal["auto", "wrap", "valid"] = knob(
        "auto",
        help="the picture repeats beyond its border (wrap), or the scene goes on there unseen (valid); "
        "auto: wrap, but valid for a picture that is already damaged",
    )
    taps: str = knob("", hi=90_000, help="a kernel of one's own as text, WxH:... (kind=file)", shown=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "file":
            if not self.taps:
                raise OperatorError(
                    "blur: there is no kernel. Give a picture or a .npy of one: blur:kind=file,path=k.png on the command line, "
                    "`kernel` in Python and over HTTP, an upload on the page."
                )
            kernels.decode(self.taps)
        elif self.size % 2 == 0:
            raise OperatorError(
                f"blur: size must be odd, so that the kernel has a middle; got {self.size}. "
                f"Use {self.size - 1} or {self.size + 1}."
            )

    def level(self) -> "type[Blur]":
        """The class of an operator with these knobs."""
        from redgui.operators.blind import BlindBlur  # which is one

        if self.kind == "blind":
            return BlindBlur
        if not self.valid:
            return CircularBlur
        return Blur if factors(self) is None else SeparableBlur

    def kernel(self) -> np.ndarray:
        """k, (size, size), sums to 1."""
        match self.kind:
            case "gaussian":
                return kernels.gaussian(self.size, self.width)
            case "uniform":
                return kernels.uniform(self.size)
            case "anisotropic":
                return kernels.anisotropic(self.size, self.width, self.across, self.angle)
            case "motion" | "blind":  # what simulates the measurement
                return kernels.shake(self.size, self.seed) if self.seed else kernels.line(self.size, self.angle)
            case "disc":
                return kernels.disc(self.size)
            case "file":
                return kernels.decode(self.taps)

    @property
    def across_pixels(self) -> int:
        """Pixels across the kernel."""
        return len(kernels.decode(self.taps)) if self.kind == "file" else self.size

    @property
    def overlap(self) -> int:
        return 0 if self.border == "wrap" else self.across_pixels // 2

    @property
    def valid(self) -> bool:
        return self.border == "valid"

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "Blur":
        H = self
        if box is not None and self.border == "auto":
            H = replace(self, border="valid")
        if box is not None and H.valid:
            least = H.overlap
            H = H.with_margin(Margin(*(max(n, least) for n in (box[0], box[1], w - box[2], h - box[3]))))
        H.check_size(h, w)
        m = H.beyond
        if H.valid and min(frame := (h - m.rows, w - m.columns)) < FEWEST:
            raise OperatorError(
                f"blur: of a picture of {h}x{w} a kernel of {H.across_pixels} pixels leaves a frame of {frame[0]}x{frame[1]}; "
                f"at least {FEWEST}x{FEWEST} are needed. Use a smaller kernel, a prior of any size, or border=wrap."
            )
        return H

    def check_size(self, h: int, w: int) -> None:
        n, size = min(h, w), self.across_pixels
        if size > n:
            most = n - 1 + n % 2
            raise OperatorError(
                f"blur: the kernel of {size} pixels is larger than the picture of {h}x{w}. Use a size of at most {most}."
            )

    def __call__(self, x: Tensor) -> Tensor:
        return self.beyond.cut(_filtered(_transfer_like(self, x), x))

    def adjoint(self, y: Tensor) -> Tensor:
        whole = self.beyond.around(y)
        return _filtered(_transfer_like(self, whole).conj(), whole)

    def solve(self, b: Tensor, reg: float) -> Tensor:
        return self._solved(b, torch.full_like(b[0, 0, :1, :1], max(reg, LEAST)), ITERATIONS)

    def _solved(self, b: Tensor, rough: Tensor, limit: int) -> Tensor:
        """(H^T H + F^-1 rough F)^-1 b by conjugate gradients on the spectrum of the solution, two transforms an iteration."""
        size, m = b.shape[-2:], self.beyond
        K = _transfer_like(self, b)
        # Half a spectrum stands for all of it: with these weights its norm is that of the picture.
        weight = torch.full((size[1] // 2 + 1,), 2**0.5).to(b)
        weight[[0] if size[1] % 2 else [0, -1]] = 1.0
        into, out = K / weight, K.conj() * weight
        inverse = (1 / (K.abs().square() + rough))[..., None]

        def normal(v: Tensor) -> Tensor:
            half = torch.view_as_complex(v)
            seen = m.around(m.cut(torch.fft.irfft2(into * half, s=size)))
            return torch.view_as_real(out * torch.fft.rfft2(seen) + rough * half)

        found = conjugate_gradients(
            normal, torch.view_as_real(weight * torch.fft.rfft2(b)), limit=limit, near=lambda v: inverse * v
        )
        return torch.fft.irfft2(torch.view_as_complex(found) / weight, s=size)

    def pinv(self, y: Tensor) -> Tensor:
        """(H^T H + cutoff^2 I)^-1 H^T y: without the eigenvectors no singular value can be cut off, but it can be damped."""
        return self.solve(self.adjoint(y), self.cutoff**2)

    def completed(self, y: Tensor) -> tuple[SpectralOperator, Tensor]:
        """The circular blur of all of x, and y with a margin that it could have measured.

        The margin is K x of the smoothest x that explains y, argmin |H x - y|^2 + mu |grad x|^2 on a torus: it fits y at the
        frame's edge and leads across the borders of x from one side of the frame to the other, as an edge taper does.
        """
        whole = self.beyond.around(y)
        rough = SMOOTH * torch.from_numpy(kernels.roughness(*whole.shape[-2:])).to(whole) + LEAST
        x = self._solved(self.adjoint(y), rough, ITERATIONS)
        frame = self.beyond.around(torch.ones_like(y[:1, :1]))
        return replace(self, border="wrap", margin=""), whole + (1 - frame) * _filtered(_transfer_like(self, whole), x)  # type: ignore[return-value]


@final
@dataclass(frozen=True, kw_only=True)
class CircularBlur(SpectralOperator, Blur):
    """A blur of a picture that repeats beyond its borders."""

    cutoff = Blur.cutoff

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return _filtered(f(_transfer_like(self, x).abs().square()), x)


@final
@dataclass(frozen=True, kw_only=True)
class SeparableBlur(SpectralOperator, Blur):
    """A valid blur whose kernel is an outer product."""

    cutoff = Blur.cutoff

    def __call__(self, x: Tensor) -> Tensor:
        return separable.applied(*self._axes(x.shape[-2:], x), x)

    def adjoint(self, y: Tensor) -> Tensor:
        m = self.beyond
        return separable.adjoint(*self._axes((y.shape[-2] + m.rows, y.shape[-1] + m.columns), y), y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return separable.spectral(*self._axes(x.shape[-2:], x), f, x)

    def _axes(self, size: tuple[int, ...], like: Tensor) -> tuple[Axis, Axis]:
        h, w = size
        self.check_size(h, w)
        found = factors(self)
        assert found is not None
        m = self.beyond
        spans = ((h, m.top, m.bottom), (w, m.left, m.right))
        rows, columns = (_axis(tuple(u), *span, like.dtype, like.device) for u, span in zip(found, spans, strict=True))
        return rows, columns


SMOOTH, LEAST = 1e-4, 1e-6  # mu of `Blur.completed`; of a regularisation, which float32 resolves
ITERATIONS = 60


@lru_cache(maxsize=64)
def factors(H: Blur) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """u and v, which sum to 1, of a kernel u v^T; None where it is no outer product."""
    k = H.kernel()
    u, v = k.sum(1), k.sum(0)
    return (tuple(u), tuple(v)) if np.abs(np.outer(u, v) - k).max() < 1e-7 * np.abs(k).max() else None


@lru_cache(maxsize=32)
def _axis(u: tuple[float, ...], n: int, before: int, after: int, dtype: torch.dtype, device: torch.device) -> Axis:
    """The valid convolution with u of n pixels, of which `before` and `after` lie beyond the frame."""
    reach = len(u) // 2
    A = np.zeros((n - before - after, n))
    for i in range(len(A)):
        A[i, before + i - reach : before + i + reach + 1] = u[::-1]
    return Axis.of(A, dtype, device)


def _filtered(gain: Tensor, x: Tensor) -> Tensor:
    return torch.fft.irfft2(gain * torch.fft.rfft2(x), s=x.shape[-2:])


def _transfer_like(H: Blur, x: Tensor) -> Tensor:
    return _transfer(H, *x.shape[-2:], x.dtype, x.device)


@lru_cache(maxsize=32)
def _transfer(H: Blur, h: int, w: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """K (h, w // 2 + 1), for real transforms, of the kernel with its middle at the first pixel."""
    H.check_size(h, w)
    padded, k = np.zeros((h, w)), H.kernel()
    reach = len(k) // 2
    padded[: len(k), : len(k)] = k
    K = np.fft.rfft2(np.roll(padded, (-reach, -reach), (0, 1)))
    return torch.from_numpy(K).to(dtype.to_complex()).to(device)
