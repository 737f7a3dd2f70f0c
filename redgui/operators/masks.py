"""Masks for inpainting: which pixels are to be filled in.

A mask is a boolean array (h, w), **True (white, for people) = to be filled in**. Each generator is a pure function of
its arguments; those that draw take a seed, and the same seed gives the same mask. Sizes follow the picture, so that
one setting looks alike at 64 and at 512 pixels. At least one pixel is always kept.

As text, in knobs and records, a mask is `WxH:` and the base64 of its deflated bits (`encode`, `decode`).
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from redgui.operators import packed
from redgui.operators.base import OperatorError

Kind = Literal["box", "half", "outpaint", "random", "stripes", "freeform", "text"]
Side = Literal["left", "right", "top", "bottom"]
MAX_SIDE = 8192


def hole(
    kind: Kind, h: int, w: int, *, fraction: float = 0.375, seed: int = 0, side: Side = "left", words: str = "redgui"
) -> np.ndarray:
    """The hole of a kind for pictures of h x w.

    Args:
        kind: which of the generators below.
        fraction: of the box, its side over the picture's side; else the removed share of the pixels.
        seed: of random and freeform; of the box, where it lies (0 is the centre).
        side: which side `half` takes away.
        words: what `text` writes.
    """
    match kind:
        case "box":
            return box(h, w, fraction, seed)
        case "half":
            return half(h, w, fraction, side)
        case "outpaint":
            return outpaint(h, w, fraction)
        case "random":
            return scattered(h, w, fraction, seed)
        case "stripes":
            return stripes(h, w, fraction)
        case "freeform":
            return freeform(h, w, fraction, seed)
        case "text":
            return lettering(h, w, words)
    raise OperatorError(f"there is no kind of mask {kind!r}. Choose one of: {', '.join(get_args(Kind))}.")


def box(h: int, w: int, fraction: float = 0.375, seed: int = 0) -> np.ndarray:
    """A box of `fraction` of each side, centred, or somewhere away from the border if `seed` is not 0."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((h, w), bool)
    spans = []
    for n in (h, w):
        side = _share(fraction, n)
        free = n - side
        margin = min(n // 16, free // 2)  # 16 of 256 pixels, as DPS and DAPS have it
        start = int(rng.integers(margin, free - margin + 1)) if seed else free // 2
        spans.append(slice(start, start + side))
    mask[tuple(spans)] = True
    return mask


def half(h: int, w: int, fraction: float = 0.5, side: Side = "left") -> np.ndarray:
    """One side of the picture, a `fraction` of it."""
    mask = np.zeros((h, w), bool)
    n = _share(fraction, w if side in ("left", "right") else h)
    match side:
        case "left":
            mask[:, :n] = True
        case "right":
            mask[:, w - n :] = True
        case "top":
            mask[:n] = True
        case "bottom":
            mask[h - n :] = True
    return mask


def outpaint(h: int, w: int, fraction: float = 0.75) -> np.ndarray:
    """All but a box in the middle; `fraction` of the area is to be filled in."""
    mask = np.ones((h, w), bool)
    kept = [max(1, round(n * math.sqrt(1 - fraction))) for n in (h, w)]
    top, left = (h - kept[0]) // 2, (w - kept[1]) // 2
    mask[top : top + kept[0], left : left + kept[1]] = False
    return mask


def scattered(h: int, w: int, fraction: float = 0.7, seed: int = 0) -> np.ndarray:
    """Single pixels anywhere, exactly round(fraction h w) of them."""
    mask = np.zeros(h * w, bool)
    mask[np.random.default_rng(seed).permutation(h * w)[: _share(fraction, h * w)]] = True
    return mask.reshape(h, w)


def stripes(h: int, w: int, fraction: float = 0.5) -> np.ndarray:
    """Eight horizontal stripes (fewer in pictures of under 16 rows), exactly round(fraction h) rows in all."""
    period = h / max(1, min(8, h // 2))
    # Rows in the order in which a stripe widens downwards, so that all stripes widen together.
    phase = ((np.arange(h) + 0.5) / period - (1 - fraction) / 2) % 1
    mask = np.zeros((h, w), bool)
    mask[np.argsort(phase.round(9) % 1, kind="stable")[: _share(fraction, h)]] = True
    return mask


def freeform(h: int, w: int, fraction: float = 0.25, seed: int = 0) -> np.ndarray:
    """Brush strokes, as many as bring the removed share closest to `fraction`.

    The masks of DeepFill v2 (Yu et al., arXiv 1806.03589) in spirit: thick, smoothly turning strokes of several widths.
    """
    target = _share(fraction, h * w)
    mask = np.zeros((h, w), bool)
    covered = 0
    for row, col, radius in _dabs(np.random.default_rng(seed), h, w):
        top, left = max(0, math.floor(row - radius)), max(0, math.floor(col - radius))
        window = mask[top : math.ceil(row + radius), left : math.ceil(col + radius)]  # a view: painting it paints the mask
        r, c = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
        dab = (r + 0.5 - row) ** 2 + (c + 0.5 - col) ** 2 <= radius**2
        added = int((dab & ~window).sum())
        if covered + added - target > target - covered:
            break  # closer without this one
        window |= dab
        covered += added
        if covered >= target:
            break
    return mask


def _dabs(rng: np.random.Generator, h: int, w: int) -> Iterator[tuple[float, float, float]]:
    """The touches of a brush, (row, col, radius) without end: one stroke after another, each a smooth random walk."""
    while True:
        radius = max(0.75, math.sqrt(h * w) * rng.uniform(0.025, 0.055))  # 0.75 px: always covers some pixel's centre
        row, col, heading = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(0, 2 * math.pi)
        turn = 0.0
        for _ in range(int(rng.integers(20, 70))):
            yield row, col, radius
            turn = 0.8 * turn + rng.normal(0, 0.12)
            heading += turn
            row, col = row + radius / 2 * math.sin(heading), col + radius / 2 * math.cos(heading)
            if not (0 <= row < h and 0 <= col < w):
                break


def lettering(h: int, w: int, words: str = "redgui") -> np.ndarray:
    """`words` written all over the picture, in letters as large as a caption's."""
    words = " ".join(words.split())
    if not words:
        raise OperatorError("the text mask has nothing to write; give it some text.")
    size = max(11, round(min(h, w) / 7))
    font = ImageFont.load_default(size=size)
    page = Image.new("1", (w, h))  # a two-valued page is drawn on without anti-aliasing
    draw = ImageDraw.Draw(page)
    line = words + "  "
    width = font.getlength(line)
    # Every other line starts in the middle of the words, as bricks are laid.
    for k, top in enumerate(range(0, h, round(1.35 * size))):
        repeats = math.ceil(w / width) + 1
        draw.text((-width / 2 * (k % 2), top), line * repeats, fill=1, font=font, stroke_width=size // 20)
    return np.array(page, dtype=bool)


def _share(fraction: float, n: int) -> int:
    """round(fraction n), but never all of them."""
    return min(round(fraction * n), n - 1)


def resized(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """The mask at h x w, by the nearest pixel."""
    rows, cols = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((h, w), mask.shape, strict=True))
    return mask[np.ix_(rows, cols)]


def covered(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """The mask at h x w: every pixel that holds any of it, so that a thin line survives being made smaller."""
    for axis, n in ((0, h), (1, w)):
        m = mask.shape[axis]
        edges = np.arange(n + 1) * m / n
        begin, end = np.floor(edges[:-1] + 1e-6).astype(int), np.ceil(edges[1:] - 1e-6).astype(int)
        count = np.insert(mask.cumsum(axis, dtype=np.int32), 0, 0, axis)  # sums over stretches are differences of these
        mask = count.take(np.maximum(end, begin + 1), axis) > count.take(begin, axis)
    return mask


def alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is the other one times a factor, the sides rounded to the nearest pixel, up or down."""
    return any(
        max((n + cut - 0.5) / m for n, m in zip(size, other, strict=True))
        <= min((n + cut + 0.5) / m for n, m in zip(size, other, strict=True))
        for cut in (0, 0.5, -0.5)
    )


def grown(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask with all that lies within `radius` pixels of it."""
    if radius <= 0 or not mask.any():
        return mask
    from skimage.morphology import isotropic_dilation

    return isotropic_dilation(mask, radius)


def filled(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels (h, w, c) with each that is in the mask (h, w) as the nearest one that is not; unchanged where all are."""
    if not mask.any() or mask.all():
        return pixels
    from scipy.ndimage import distance_transform_edt  # a requirement of scikit-image

    nearest: Any = distance_transform_edt(mask, return_distances=False, return_indices=True)
    return pixels[tuple(nearest)]


def encode(mask: np.ndarray) -> str:
    """A mask as text, `WxH:...`; `decode` reads it back."""
    h, w = mask.shape
    return packed.text(w, h, np.packbits(mask.astype(bool)).tobytes())


def decode(text: str) -> np.ndarray:
    """The mask that `encode` wrote; anything else is refused, whatever its size unpacked.

    Raises:
        OperatorError: with what is wrong.
    """
    w, h, data = packed.read(text, "mask", MAX_SIDE, lambda w, h: -(-w * h // 8))
    return np.unpackbits(np.frombuffer(data, np.uint8), count=h * w).reshape(h, w).astype(bool)
