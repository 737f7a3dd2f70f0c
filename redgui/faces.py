"""Faces in a picture, and the fit `face`: the largest one turned, moved and resized to where the face prior has its faces.

    face = faces.find(image)                        None where there is none
    fitting = faces.aligned(image, like)            what `redgui.fitting` calls a Fitting (`for_picture`)

A similarity takes the five points of the face (`redgui.mtcnn`) to those of the prior's pictures, by least squares. What lies
beyond the photo is filled with its edge. The way back undoes the rotation: the restored square is laid over the photo with a
soft seam, or of an inpainting only what was to be filled in, and all else stays as it is, bit for bit.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from redgui import images, mtcnn
from redgui.fitting import Fitting
from redgui.images import ImageError
from redgui.operators import masks

# Where the face prior's pictures have left eye, right eye, nose and the corners of the mouth: x + iy in a square of 64, from
# its corner. The mean over pictures that it was trained for.
PLACES = np.array([23.8 + 30.2j, 40.4 + 30.2j, 31.9 + 40.5j, 24.5 + 47.7j, 39.6 + 47.6j])
SQUARE = 64
LOOKED = 512  # longest side at which faces are looked for
SURE = 0.9  # of a face that is believed
PORTRAIT = 0.25  # its aligned square over the picture's shorter side: from here on a picture is one of a face
FINE = 4  # pixels of the photo across one of the square, at least, once it is made smaller
SEAM = 1 / 8  # of the square's side, over which it passes into the photo


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        points: left eye, right eye, nose and the corners of the mouth, as x + iy in pixels from the picture's corner.
        score: from 0 to 1.
    """

    points: tuple[complex, ...]
    score: float

    def similarity(self, side: int = SQUARE) -> tuple[complex, complex]:
        """a, b of the map a z + b, by least squares, from the aligned square of `side` pixels to the picture."""
        z, at = PLACES * (side / SQUARE), np.array(self.points)
        centred = z - z.mean()
        a = complex((centred.conj() * (at - at.mean())).sum() / (abs(centred) ** 2).sum())
        return a, complex(at.mean() - a * z.mean())

    @property
    def side(self) -> float:
        """The side of its aligned square, in pixels of the picture."""
        return SQUARE * abs(self.similarity()[0])


def find(image: Image.Image) -> Face | None:
    """The largest face in an upright RGB picture; None where there is none."""
    k = min(1.0, LOOKED / max(image.size))
    size = max(1, round(image.width * k)), max(1, round(image.height * k))
    small = image if k == 1 else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    sx, sy = image.width / small.width, image.height / small.height
    found = [Face(tuple(complex(x * sx, y * sy) for x, y in at), score) for at, score in _seen(small.tobytes(), small.size)]
    return max(found, key=lambda face: face.side, default=None)


@lru_cache(maxsize=16)  # a page asks at every stroke
def _seen(pixels: bytes, size: tuple[int, int]) -> list[tuple[list[list[float]], float]]:
    """The points and the scores of all faces in an RGB picture."""
    _, points, scores = mtcnn.detect(images.to_tensor(Image.frombytes("RGB", size, pixels)))
    return [(at, score) for at, score in zip(points.tolist(), scores.tolist(), strict=True) if score >= SURE]


def portrait(image: Image.Image) -> Face | None:
    """The face of a picture that shows little else, or None."""
    face = find(image)
    return face if face is not None and face.side >= PORTRAIT * min(image.size) else None


def aligned(image: Image.Image, like: Fitting) -> Fitting:
    """The fit `face` of a picture, of the sizes of another fit. A picture that has that size already is taken as it is.

    Raises:
        ImageError: there is no face, or the fitted picture is not square.
    """
    (h, w), original = like.size, (image.height, image.width)
    if original == (h, w):
        return replace(like, how="face", original=original, box=(0.0, 0.0, float(w), float(h)))
    if h != w:
        raise ImageError(f"the fit face is for priors of square pictures; this one's are {w}x{h}. Choose another fit.")
    face = find(image)
    if face is None:
        raise ImageError("the fit face finds no face in this picture. Choose crop, pad, stretch or native.")
    a, b = face.similarity(w)
    corners = [a * z + b for z in (0, w, w + 1j * h, 1j * h)]
    xs, ys = [z.real for z in corners], [z.imag for z in corners]
    box = (max(min(xs), 0.0), max(min(ys), 0.0), min(max(xs), float(original[1])), min(max(ys), float(original[0])))
    return FaceFitting("face", original, (h, w), box, (0, 0, w, h), like.solved, like.times, a, b)


@dataclass(frozen=True)
class FaceFitting(Fitting):
    """A Fitting that turns. The point z of the aligned picture is a z + b in the photo, in pixels from the corners, x + iy."""

    a: complex = 1
    b: complex = 0

    @property
    def same(self) -> bool:
        return False

    @property
    def scale(self) -> float:
        return abs(self.a)

    def apply(self, image: Image.Image) -> Image.Image:
        h, w = self.size
        r = max(1, int(abs(self.a) / FINE))  # a large photo is made smaller first, by whole pixels
        k = max(1, math.ceil(abs(self.a) / r))  # so many samples across a pixel, then resized as the prior's own pictures were
        left, top, right, bottom = self._around_box()
        part = images.to_tensor(image.reduce(r, (left, top, right, bottom)))
        z = (_centres(h * k, w * k) / k * self.a + self.b - complex(left, top)) / r
        return images.to_pil(_sampled(part, z)).resize((w, h), Image.Resampling.LANCZOS)

    def hole(self, mask: np.ndarray) -> np.ndarray:
        (h, w), k = self.size, max(1, math.ceil(2 * abs(self.a)))  # half a pixel apart: none of the mask's falls between
        found = np.zeros((h, w), bool)
        for row in range(h):
            z = (_centres(k, w * k) / k + 1j * row) * self.a + self.b
            found[row] = self._of_photo(mask, z).reshape(k, w, k).any((0, 2))
        return self._of_photo(mask, _centres(h, w) * self.a + self.b) if found.all() else found

    def undo(self, restored: Tensor, original: Image.Image, hole: np.ndarray | None = None) -> Image.Image:
        times, shown = self.times, images.to_pil(restored).crop(self.shown if restored.shape[-2:] == self.solved else None)
        h0, w0 = (n * times for n in self.original)
        whole = original if original.size == (w0, h0) else original.resize((w0, h0), Image.Resampling.BICUBIC)
        left, top, right, bottom = (v * times for v in self._around_box())
        replaced = None
        if hole is not None:
            replaced = masks.resized(hole if hole.shape == self.original else self.hole_of_picture(hole), h0, w0)
            rows, columns = (np.flatnonzero(replaced[top:bottom, left:right].any(axis)) for axis in (1, 0))
            if not len(rows):
                return whole
            top, bottom, left, right = top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
        photo = np.asarray(whole.crop((left, top, right, bottom)))
        z = (_centres(bottom - top, right - left) + complex(left, top) - self.b * times) / self.a
        n = shown.width
        depth = np.minimum.reduce([np.real(z), n - np.real(z), np.imag(z), n - np.imag(z)])  # below 0 outside of the square
        square = images.to_uint8(_sampled(images.to_tensor(shown), z))
        if replaced is None:
            share = (depth / (SEAM * n)).clip(0, 1)[..., None]
            share = share * share * (3 - 2 * share)
            pasted = np.where(share > 0, (photo + share * (square.astype(np.float64) - photo)).round(), photo).astype(np.uint8)
        else:
            pasted = np.where((replaced[top:bottom, left:right] & (depth >= 0))[..., None], square, photo)
        result = whole.copy()
        result.paste(Image.fromarray(pasted), (int(left), int(top)))
        return result

    def hole_of_picture(self, hole: np.ndarray) -> np.ndarray:
        (h, w), found = self.size, np.zeros(self.original, bool)
        left, top, right, bottom = self._around_box()
        z = (_centres(bottom - top, right - left) + complex(left, top) - self.b) / self.a
        x, y = np.floor(np.real(z)).astype(int), np.floor(np.imag(z)).astype(int)
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        found[top:bottom, left:right] = inside & hole[y.clip(0, h - 1), x.clip(0, w - 1)]
        return found

    def _around_box(self) -> tuple[int, int, int, int]:
        """The whole pixels of the photo around the turned square, with two more for who interpolates; one at least."""
        (h0, w0), (left, top, right, bottom) = self.original, self.box
        left, top = min(max(0, int(left) - 2), w0 - 1), min(max(0, int(top) - 2), h0 - 1)
        return left, top, max(left + 1, min(w0, math.ceil(right) + 2)), max(top + 1, min(h0, math.ceil(bottom) + 2))

    def _of_photo(self, mask: np.ndarray, z: np.ndarray) -> np.ndarray:
        """A mask of the photo at places in it; beyond its edge as at its edge, as its colours are."""
        x, y = np.floor(np.real(z)).astype(int), np.floor(np.imag(z)).astype(int)
        return mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)]


@lru_cache(maxsize=4)
def _centres(h: int, w: int) -> np.ndarray:
    """The middles of h x w pixels, x + iy."""
    return (np.arange(w) + 0.5)[None] + 1j * (np.arange(h) + 0.5)[:, None]


def _sampled(x: Tensor, z: np.ndarray) -> Tensor:
    """x (1, c, h, w) at places z (h', w') in it, bicubic; beyond its edge as at its edge."""
    h, w = x.shape[-2:]
    grid = torch.from_numpy(np.stack([2 * np.real(z) / w - 1, 2 * np.imag(z) / h - 1], -1)[None]).float()
    return F.grid_sample(x.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
