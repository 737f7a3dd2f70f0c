"""The kernel of a blurred picture from the picture alone: coarse to fine, a picture of sharp edges and the kernel in turns.

    for found in search(y, size=21):
        ...                                     # found.kernel and found.sharp as they form

At every scale, from a kernel of 3 pixels up by factors of sqrt(2), and at each of them several times:

    S    argmin |k * S - y|^2 + lam |grad S|_0, by half-quadratic splitting: for growing beta, g is grad S where
         |grad S|^2 > lam / beta and 0 elsewhere, and S has a closed form in the Fourier domain,
         F S = (conj(K) F y + beta conj(D) . F g) / (|K|^2 + beta |D|^2)
         (L. Xu, S. Zheng, J. Jia, Unnatural L0 sparse representation for natural image deblurring, CVPR 2013, with the
         gradient term alone of J. Pan, Z. Hu, Z. Su, M.-H. Yang, Deblurring text images via L0-regularized intensity and
         gradient prior, CVPR 2014). It is no restoration: it keeps the strong edges, which tell the kernel, and nothing else.
    k    argmin |k * grad S - grad y|^2 + gamma |k|^2 over the simplex (k >= 0, sum 1), with grad S of the strongest gradients
         alone (S. Cho, S. Lee, Fast motion deblurring, SIGGRAPH Asia 2009). Two correlations say all of the data, both from
         the Fourier domain: of grad S with itself, and with grad y. Their least squares over kernels of the size that is asked
         for are solved by accelerated projected gradients (A. Beck, M. Teboulle, A fast iterative shrinkage-thresholding
         algorithm, 2009), where the closed form of a torus would first have to be cut out. Small and stray weights are cut,
         and the centre of mass is brought to the middle.

A picture and its kernel may be shifted against each other by any vector: the centred kernel is one choice of it.
All is in float64 and of NumPy's own transforms, so that the same picture gives the same kernel, to the bit, on any device.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

FIRST, LAST = 4e-3, 1e-4  # lam at the beginning, and the least
EASE = 1.06  # by which it falls from turn to turn
STEEPEST = 1e5  # the last beta
TURNS = 8  # at each scale
GAMMA = 1e-3  # of the energy of the gradients
DESCENTS = 100  # steps of a least-squares fit
CUT, STRAY = 0.05, 0.1  # of the largest weight; of the sum, for what is apart from the rest


class Found(NamedTuple):
    """Where a search is.

    Attributes:
        kernel: (size, size), sums to 1; of a coarse scale enlarged.
        sharp: (h, w), the picture of sharp edges, enlarged too; as large as y and over the same pixels.
        done: the turns made, of `total`.
    """

    kernel: np.ndarray
    sharp: np.ndarray
    done: int
    total: int


def scales(size: int) -> list[int]:
    """Pixels across the kernel at each scale, from 3 to `size`, odd."""
    found = [size]
    while found[-1] > 3:
        found.append(min(found[-1] - 2, 2 * round((found[-1] / 2**0.5 - 1) / 2) + 1))
    return found[::-1]


def turns(size: int) -> int:
    """How many times a search for a kernel of this size changes it."""
    return TURNS * len(scales(size))


def search(y: np.ndarray, size: int, periodic: bool = False) -> Iterator[Found]:
    """The kernel that blurred a grey picture, turn by turn; the last one is the answer.

    Args:
        y: (h, w), values spanning 0 to 1.
        size: pixels across the kernel at most, odd.
        periodic: y repeats beyond its border; otherwise its scene goes on there.
    """
    total, done, lam = turns(size), 0, FIRST
    kernel = np.zeros((3, 3))
    kernel[1] = kernel[:, 1] = 1 / 5
    for across in scales(size):
        small = y if across == size else resized(y, *(max(8, round(n * across / size)) for n in y.shape))
        kernel = simplex(resized(kernel, across, across))
        scale = _Scale(small, across, periodic)
        for _ in range(TURNS):
            sharp = scale.sharp(kernel, lam)
            kernel = simplex(scale.kernel(sharp))
            lam, done = max(lam / EASE, LAST), done + 1
            yield Found(simplex(resized(kernel, size, size)), resized(sharp, *y.shape), done, total)


def simplex(kernel: np.ndarray) -> np.ndarray:
    """A kernel without what is small, negative or apart from the rest, that sums to 1 and is centred; a point where none is."""
    k = np.where(kernel >= CUT * kernel.max(), kernel, 0.0).clip(min=0)
    if k.sum() <= 0:
        k[k.shape[0] // 2, k.shape[1] // 2] = 1.0
    return centred(_connected(k / k.sum()))


def centred(kernel: np.ndarray) -> np.ndarray:
    """The kernel shifted by whole pixels until its centre of mass is nearest to the middle; no weight leaves it."""
    for axis in (0, 1):
        n, weight = kernel.shape[axis], kernel.sum(1 - axis)
        used = np.flatnonzero(weight)
        shift = round(n // 2 - float(weight @ np.arange(n)) / weight.sum())
        kernel = np.roll(kernel, min(max(shift, -used[0]), n - 1 - used[-1]), axis)
    return kernel


def resized(v: np.ndarray, h: int, w: int) -> np.ndarray:
    """v at h x w, smoothed before it is made smaller."""
    if v.shape == (h, w):
        return v
    return np.asarray(Image.fromarray(v.astype(np.float32)).resize((w, h), Image.Resampling.BICUBIC)).astype(np.float64)


def _connected(k: np.ndarray) -> np.ndarray:
    from scipy.ndimage import label

    found: Any = label(k > 0, np.ones((3, 3)))
    parts, n = found
    weights = np.bincount(parts.ravel(), k.ravel(), n + 1)
    kept = weights >= min(STRAY, weights[1:].max())
    kept[0] = False
    k = k * kept[parts]
    return k / k.sum()


def least_squares(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """k on the simplex that minimises |k * g - grad y|^2 + GAMMA |k|^2, by accelerated projected gradients.

    Args:
        A: the autocorrelation of g, (2 size - 1, 2 size - 1), its middle at shift 0.
        b: its correlation with grad y, (size, size).

    Returns zeros where there is no gradient.
    """
    size = len(b)
    if A[size - 1, size - 1] <= 0:
        return np.zeros((size, size))
    n = 3 * size - 2  # room for the convolution of k with A
    FA = np.fft.rfft2(A, s=(n, n))

    middle, reg = slice(size - 1, 2 * size - 1), GAMMA * A[size - 1, size - 1]

    def normal(k: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(FA * np.fft.rfft2(k, s=(n, n)), s=(n, n))[middle, middle] + reg * k

    step = 1 / (np.abs(FA).max() + reg)
    k = v = np.full((size, size), 1 / size**2)
    t = 1.0
    for _ in range(DESCENTS):
        before, k = k, onto_simplex(v - step * (normal(v) - b))
        t, last = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        v = k + (last - 1) / t * (k - before)
    return k


def onto_simplex(v: np.ndarray) -> np.ndarray:
    """The nearest non-negative weights that sum to 1."""
    falling = np.sort(v, axis=None)[::-1]
    excess = (falling.cumsum() - 1) / np.arange(1, v.size + 1)
    return np.maximum(v - excess[np.flatnonzero(falling > excess)[-1]], 0)


def _around(v: np.ndarray, reach: int) -> np.ndarray:
    """The values of v within `reach` of its first, on a torus, with that one in the middle."""
    return np.roll(v, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]


class _Scale:
    """A picture at one scale on a torus, with what the closed forms need of it."""

    def __init__(self, y: np.ndarray, size: int, periodic: bool):
        self.shape, self.size = y.shape, size
        self.y = y if periodic else joined(y, 2 * size)
        h, w = self.y.shape
        self.Dx = np.exp(2j * np.pi * np.fft.rfftfreq(w))[None, :] - 1
        self.Dy = np.exp(2j * np.pi * np.fft.fftfreq(h))[:, None] - 1
        self.rough = np.abs(self.Dx) ** 2 + np.abs(self.Dy) ** 2
        self.Fy = np.fft.rfft2(self.y)
        self.window = np.ones(y.shape) if periodic else np.outer(*(_taper(n, size // 2) for n in y.shape))
        self.Gy = [self._seen(g) for g in self._gradient(self.y)]

    def sharp(self, kernel: np.ndarray, lam: float) -> np.ndarray:
        """S, (h, w)."""
        K = self._spectrum(kernel)
        fit, power = K.conj() * self.Fy, np.abs(K) ** 2
        S, beta = self.y, 2 * lam
        while beta < STEEPEST:
            gx, gy = self._gradient(S)
            weak = gx * gx + gy * gy < lam / beta
            gx[weak] = gy[weak] = 0
            # D^T g by differences: the adjoint of a forward difference is minus the backward one.
            back = np.roll(gx, 1, 1) - gx + np.roll(gy, 1, 0) - gy
            S = np.fft.irfft2((fit + beta * np.fft.rfft2(back)) / (power + beta * self.rough), s=self.y.shape)
            beta *= 2
        return S[: self.shape[0], : self.shape[1]]

    def kernel(self, S: np.ndarray) -> np.ndarray:
        """k, (size, size)."""
        whole = np.pad(S, [(0, n - m) for n, m in zip(self.y.shape, S.shape, strict=True)])
        gx, gy = self._gradient(whole)
        weak = self._weak(gx, gy)
        gx[weak] = gy[weak] = 0
        X = [self._seen(g) for g in (gx, gy)]
        seen, match = sum(np.abs(x) ** 2 for x in X), sum(x.conj() * b for x, b in zip(X, self.Gy, strict=True))
        reach = self.size // 2
        b = _around(np.fft.irfft2(match, s=self.y.shape), reach)
        return least_squares(_around(np.fft.irfft2(seen, s=self.y.shape), 2 * reach), b)

    def _weak(self, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
        """Where gradients are too small to say anything of the kernel: all but the strongest of each of four directions."""
        h, w = self.shape
        size = np.hypot(gx, gy)
        inside = np.zeros(size.shape, bool)
        inside[: h - 1, : w - 1] = True
        most = max(round(self.size * (h * w) ** 0.5), 1)
        angle = (np.arctan2(gy, gx) % np.pi * 4 / np.pi).astype(int) % 4
        strong = np.zeros(size.shape, bool)
        for k in range(4):
            of = (angle == k) & inside & (size > 0)
            values = size[of]
            if len(values):
                least = np.partition(values, -min(most, len(values)))[-min(most, len(values))]
                strong |= of & (size >= least)
        return ~strong

    def _gradient(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.roll(v, -1, 1) - v, np.roll(v, -1, 0) - v

    def _seen(self, g: np.ndarray) -> np.ndarray:
        h, w = self.shape
        return np.fft.rfft2(g[:h, :w] * self.window, s=self.y.shape)

    def _spectrum(self, kernel: np.ndarray) -> np.ndarray:
        padded, reach = np.zeros(self.y.shape), len(kernel) // 2
        padded[: len(kernel), : len(kernel)] = kernel
        return np.fft.rfft2(np.roll(padded, (-reach, -reach), (0, 1)))


def joined(y: np.ndarray, margin: int) -> np.ndarray:
    """y with rows below and columns at its right that lead from its end back to its beginning, for a torus."""
    t = np.arange(1, margin + 1) / (margin + 1)
    t = (1 - np.cos(np.pi * t)) / 2
    y = np.concatenate([y, y[:, -1:] * (1 - t) + y[:, :1] * t], 1)
    return np.concatenate([y, y[-1:] * (1 - t)[:, None] + y[:1] * t[:, None]], 0)


def _taper(n: int, margin: int) -> np.ndarray:
    """1 within, falling to 0 at both ends."""
    at = np.minimum(np.arange(n) + 0.5, n - 0.5 - np.arange(n)) / max(2 * margin, 1)
    return (1 - np.cos(np.pi * at.clip(max=1))) / 2
