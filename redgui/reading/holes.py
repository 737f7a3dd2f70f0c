"""Masks as people make them: which pixels are to be filled in.

    two values             the larger one, whatever the depth and the encoding: 0 and 1, 0 and 255, a palette, 16 bits, booleans
    a clear layer          what is painted on it, in any colour; where both black and white are painted, the white
    black                  what is painted on it, in any colour
    soft edges             all that is painted at all: a pixel that is damaged in part is not measured

What might as well mean the opposite (coloured strokes on white), and what is no mask but a photograph, is refused.
"""

from typing import Any

import numpy as np
from PIL import Image

from redgui.reading.base import MAX_PIXELS, ImageError, Opened
from redgui.reading.pictures import named, opened, origin

SOFT = 8 / 255  # a pixel painted by more than this is of the hole
SOFT_LOSSY = 24 / 255  # of a JPEG and its like: their noise beside an edge reaches this
LOSSY = ("JPEG", "WEBP", "AVIF", "HEIF")
COLOURED, GREYISH = 64, 32  # difference of the largest and the smallest channel, of 255
SMALLEST_PHOTO = 1024  # pixels: below that no statistics


def read_hole(source: Any, keep: bool = False, most: int = MAX_PIXELS) -> np.ndarray:
    """A mask as a boolean array (h, w) of its own size, True = to be filled in.

    Args:
        source: what `redgui.reading.read` takes; `.npy` and `.npz` files and arrays, boolean ones as they are.
        keep: the mask says what is kept, as data sets have it in which 1 = keep: its opposite is the hole.

    Raises:
        ImageError: no mask, or one that can be understood in two ways.
    """
    hole = _painted(opened(source, most, "mask"), named(source, "mask"))
    return ~hole if keep else hole


def share(hole: np.ndarray) -> str:
    """What a person is told of a mask that was read."""
    percent = 100 * float(hole.mean())
    digits = 0 if percent in (0, 100) else 2 if percent < 0.1 or percent > 99.9 else 1
    text = f"the mask fills in {percent:.{digits}f} % of the picture"
    if not hole.any():
        return text + ": it is empty, and nothing will change. White is what is to be filled in"
    return text + (": nothing is left to go by" if hole.all() else "")


def transparent(image: Image.Image) -> np.ndarray | None:
    """(h, w), where a picture that was read is transparent, also in part: nothing was measured there. None: nowhere."""
    rgba = origin(image).rgba
    return None if rgba is None else 255 - np.asarray(rgba.getchannel("A")) > SOFT * 255


def _painted(found: Opened, name: str) -> np.ndarray:
    image, soft = found.image, SOFT_LOSSY if found.origin.format in LOSSY else SOFT
    if image.mode == "1" and not image.has_transparency_data:
        return np.asarray(image)
    if image.has_transparency_data:
        layer = np.asarray(image.convert("RGBA"))
        if found.low is not None and image.mode == "LA":  # both bytes of 16 bits
            layer = np.dstack([found.values[..., :1].repeat(3, -1), found.values[..., 1]])
        lo, hi = int(layer[..., 3].min()), int(layer[..., 3].max())
        if hi == 0:
            return np.zeros(layer.shape[:2], bool)
        if lo < hi:
            return _on_clear(layer, hi, soft, name)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        if not np.isfinite(values).all():
            raise ImageError(f"{name} holds numbers that are not finite; give truth values, True = to be filled in.")
        return _above(values, soft)
    if image.mode in ("L", "LA"):
        return _above(found.values if image.mode == "L" else found.values[..., 0], soft)
    colours = np.asarray(image.convert("RGB"))
    value = colours.max(-1)
    if (chroma := value - colours.min(-1)).max() > GREYISH:
        _check_strokes(colours, value, chroma, name)
    if found.low is not None and image.mode in ("RGB", "RGBA"):
        return _above(found.values[..., :3].max(-1), soft)
    return _above(value, soft)


def _above(value: np.ndarray, soft: float) -> np.ndarray:
    """Where numbers (h, w) stand out from the least of them; where they are all alike, whether they are not 0."""
    lo, hi = float(value.min()), float(value.max())
    noise = soft * 255 if soft == SOFT_LOSSY else 0.0  # of a file that is not exact, however near black and white are
    if hi - lo <= noise:
        return np.full(value.shape, hi > noise)
    return value > lo + (noise or soft * (hi - lo))


def _on_clear(layer: np.ndarray, densest: int, soft: float, name: str) -> np.ndarray:
    """Strokes on a layer (h, w, 4) that is clear elsewhere."""
    alpha = layer[..., 3]
    colours = layer[alpha > densest // 2][:, :3]
    value = colours.max(-1)
    chroma = value - colours.min(-1)
    if chroma.max() <= GREYISH and value.min() <= 8 and value.max() >= 247:
        return alpha.astype(np.float64) * layer[..., :3].max(-1) > soft * densest * 255
    if len(colours) > alpha.size / 2:  # rather a picture of which a part was erased
        _check_photo(colours, chroma, name)
    return alpha > soft * densest


def _check_strokes(colours: np.ndarray, value: np.ndarray, chroma: np.ndarray, name: str) -> None:
    """Raises ImageError for colours that cannot be told from what is around them: on white, or alike in brightness."""
    light = (value - chroma >= 200) & (chroma <= GREYISH)
    coloured = chroma > COLOURED
    if (light.mean() > 0.5 and coloured.any()) or value.min() == value.max():
        raise ImageError(
            f"{name} has coloured strokes on a ground that is as light, which can be understood in two ways; "
            "paint white on black, or any colour on black or on a clear layer."
        )
    _check_photo(colours.reshape(-1, 3), chroma.reshape(-1), name)


def _check_photo(colours: np.ndarray, chroma: np.ndarray, name: str) -> None:
    """Raises ImageError where colours (n, 3) are those of a photograph: many of them, and none that is the ground."""
    if len(colours) < SMALLEST_PHOTO or (chroma > GREYISH).mean() < 0.1:
        return
    coarse = (colours >> 5).astype(np.int64) @ (64, 8, 1)
    if np.bincount(coarse, minlength=512).max() < 0.2 * len(coarse):
        raise ImageError(
            f"{name} looks like a photograph, not like a mask; give one that is white where the picture is to be filled in, "
            "and black elsewhere."
        )
