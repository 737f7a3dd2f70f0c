"""Blur kernels: arrays (size, size) of odd size that sum to 1, centred on the middle pixel.

The centre of mass is the middle pixel in every kernel, so that no blur moves the picture, and no tap is left out.
Angles are in degrees, counter-clockwise from the horizontal as a person sees it.
"""

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from redgui import reading
from redgui.operators import packed
from redgui.operators.base import OperatorError

LARGEST = 127  # pixels a side of a kernel that is read


def gaussian(size: int, width: float) -> np.ndarray:
    """A round Gaussian of standard deviation `width` pixels."""
    return anisotropic(size, width, width, 0.0)


def anisotropic(size: int, width: float, across: float, angle: float) -> np.ndarray:
    """A Gaussian of standard deviations `width` along the angle and `across` at right angles to it."""
    rows, cols = _offsets(size)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, beside = cols * cos - rows * sin, cols * sin + rows * cos
    return _normalised(np.exp(-((along / width) ** 2 + (beside / across) ** 2) / 2))


def uniform(size: int) -> np.ndarray:
    """A square of equal weights."""
    return _normalised(np.ones((size, size)))


def disc(size: int, parts: int = 16) -> np.ndarray:
    """A disc of diameter `size`, the blur of a lens out of focus; each pixel weighs by how much of it is covered."""
    fine = (np.arange(size * parts) + 0.5) / parts - size / 2
    inside = fine[:, None] ** 2 + fine**2 <= (size / 2) ** 2
    return _normalised(inside.reshape(size, parts, size, parts).mean((1, 3)))


def line(size: int, angle: float) -> np.ndarray:
    """Straight, even motion from the middle of the first pixel to the middle of the last."""
    points = 8 * (size - 1)
    along = (np.arange(points) + 0.5) / 8 - (size - 1) / 2
    return _splat(size, -along * math.sin(math.radians(angle)), along * math.cos(math.radians(angle)))


def shake(size: int, seed: int, steps: int = 400) -> np.ndarray:
    """The path of a hand-held camera during an exposure, as large as the kernel allows.

    A point with inertia that is pushed at random, drawn back to its line of sight and now and then jerked, after Boracchi and
    Foi (Modeling the performance of image restoration from motion blur, 2012). Where it lingers the kernel is bright.
    """
    rng = np.random.default_rng(seed)
    position, velocity = np.zeros(2), rng.normal(size=2)
    path = np.empty((steps, 2))
    for i in range(steps):
        push = 0.12 * rng.normal(size=2) - 1e-3 * position
        if rng.random() < 6 / steps:
            push += 1.5 * rng.normal(size=2)
        velocity = 0.985 * velocity + push
        position = position + velocity
        path[i] = position
    path -= path.mean(0)
    path *= (size - 1) / 2 / np.abs(path).max()
    return _splat(size, path[:, 0], path[:, 1])


def read(source: reading.Source) -> np.ndarray:
    """A kernel from a picture (brightness is weight, black none) or a .npy array, as `whole` makes it.

    Args:
        source: whatever a picture comes as (`redgui.reading.read`); arrays and tensors are the weights (h, w) themselves.

    Raises:
        OperatorError: it is no kernel. ImageError: the picture cannot be read.
    """
    held = reading.array(source, 10**6, "kernel")
    if isinstance(held, np.ndarray):
        return whole(held)
    found = reading.opened(held, 10**6, "kernel")
    if found.low is not None or found.image.mode.startswith(("I", "F")):  # of more than 8 bits
        return whole(found.values)
    layer = found.image.convert("RGBA")
    black = Image.new("RGBA", layer.size, "black")
    return whole(np.asarray(Image.alpha_composite(black, layer).convert("L")))


def whole(taps: np.ndarray) -> np.ndarray:
    """Any taps (h, w) as a square kernel of an odd size that sums to 1, zeros around them.

    The middle of a side of n pixels is pixel n // 2, as in scipy.ndimage: an even side has one pixel more before it.
    """
    if taps.ndim == 3 and taps.shape[-1] in (1, 3, 4):
        taps = taps[..., :3].mean(-1)
    if taps.ndim != 2 or not 1 <= min(taps.shape) <= max(taps.shape) <= LARGEST or taps.dtype.kind not in "buif":
        raise OperatorError(
            f"a kernel is an array (h, w) of 1 to {LARGEST} numbers a side; got {taps.dtype} of shape {taps.shape}."
        )
    taps = taps.astype(np.float64)
    if not np.isfinite(taps).all() or taps.sum() <= 1e-6 * np.abs(taps).sum():
        raise OperatorError("the kernel's weights are to be finite, with a sum above 0. Give a picture with white on black.")
    size = max(n + 1 - n % 2 for n in taps.shape)
    before = [size // 2 - n // 2 for n in taps.shape]
    after = [size - n - b for n, b in zip(taps.shape, before, strict=True)]
    return _normalised(np.pad(taps, list(zip(before, after, strict=True))))


def encode(kernel: np.ndarray) -> str:
    """A kernel as text, `WxH:...` with the base64 of its deflated float32 numbers; `decode` reads it back."""
    return packed.text(kernel.shape[1], kernel.shape[0], kernel.astype("<f4").tobytes())


@lru_cache(maxsize=32)
def decode(text: str) -> np.ndarray:
    """The kernel that `encode` wrote, summing to 1. Raises OperatorError with what is wrong."""
    w, h, data = packed.read(text, "kernel", LARGEST, lambda w, h: 4 * w * h)
    return whole(np.frombuffer(data, "<f4").reshape(h, w))


def extent(kernel: np.ndarray) -> int:
    """Pixels across the smallest square that has all of a kernel's weights."""
    return max(int(np.ptp(np.flatnonzero(kernel.any(axis)))) + 1 for axis in (0, 1))


def roughness(h: int, w: int) -> np.ndarray:
    """The spectrum of |grad|^2 on a torus of h x w, for real transforms: (h, w // 2 + 1)."""
    rows, columns = 4 * np.sin(np.pi * np.fft.fftfreq(h)) ** 2, 4 * np.sin(np.pi * np.fft.rfftfreq(w)) ** 2
    return rows[:, None] + columns


def _splat(size: int, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Equal points, each shared between its four nearest pixels so that the centre of mass is exact."""
    kernel = np.zeros((size + 1, size + 1))  # one more row and column, for shares of zero beyond the last pixel
    reach = (size - 1) / 2
    r, c = (np.clip(v + reach, 0, size - 1) for v in (rows, cols))
    i, j = r.astype(int), c.astype(int)
    for di, share_r in ((0, 1 - (r - i)), (1, r - i)):
        for dj, share_c in ((0, 1 - (c - j)), (1, c - j)):
            np.add.at(kernel, (i + di, j + dj), share_r * share_c)
    return _normalised(kernel[:size, :size])


def _offsets(size: int) -> tuple[np.ndarray, np.ndarray]:
    middle = size // 2
    rows, cols = np.mgrid[-middle : middle + 1, -middle : middle + 1].astype(float)
    return rows, cols


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum()
