"""The doors of a picture: whatever a person has, read as one upright RGB picture in sRGB."""

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from redgui.errors import RedguiError, in_short
from redgui.reading import arrays, files, levels, profiles
from redgui.reading.base import MAX_PIXELS, ImageError, Opened, Origin, check_size

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray | Tensor
KEY = "redgui"  # of the Origin in a Pillow picture's `info`, which copies and crops take along
DOORS = "a path, bytes, an open file, a PIL picture, an array (h, w) or (h, w, 3), or a tensor"


def read(source: Any, most: int = MAX_PIXELS) -> Image.Image:
    """A picture (`Source`) as RGB: upright by its EXIF, in sRGB, transparency on white, first frame of an animation.

    Args:
        source: a path; bytes or an open file of a picture, or of one array in NumPy's own format; a PIL picture; an
            array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); a tensor (h, w), (c, h, w) or (1, c, h, w). Numbers are read by
            `levels.eight`: uint8, 16 bits, or floats in [0, 1], or in [-1, 1] where some are below 0.
        most: pixels at most; the size is checked before they are decoded.

    Raises:
        ImageError: not a picture, too large, or damaged.
    """
    if isinstance(source, Image.Image) and source.mode == "RGB" and isinstance(source.info.get(KEY), Origin):
        return source  # read already
    with _told(named(source), most):
        return _rgb(opened(source, most))


def origin(image: Image.Image) -> Origin:
    """What `read` noted about a picture; of any other picture what its file says."""
    found = image.info.get(KEY)
    if not isinstance(found, Origin):
        return Origin(format=image.format)
    if found.rgba is not None and found.rgba.size != image.size:  # a part of it, or another size
        return replace(found, rgba=None)
    return found


def opened(source: Any, most: int = MAX_PIXELS, what: str = "picture") -> Opened:
    """`read` without the conversion to RGB: for masks, whose values and transparency mean something else. Raises ImageError."""
    name, held = named(source, what), array(source, most, what)
    with _told(name, most):
        if isinstance(held, np.ndarray):
            return arrays.opened(held, name, most)
        if isinstance(held, Image.Image):
            check_size(held.width, held.height, name, most)
            whole = files.of_lazy(held)
            return files.upright(held, None) if whole is None else files.decoded(whole, name, most)
        return files.decoded(held, name, most)


def array(source: Any, most: int = MAX_PIXELS, what: str = "picture") -> np.ndarray | Image.Image | BinaryIO:
    """The numbers that a source is, or that its `.npy` or `.npz` file holds; of anything else the file, or Pillow's picture.

    Raises:
        ImageError: nothing of these.
    """
    name = named(source, what)
    with _told(name, most):
        if isinstance(source, Image.Image):
            return source
        if isinstance(source, (np.ndarray, Tensor)):
            return arrays.array_of(source)
        if not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) and not hasattr(source, "read"):
            raise ImageError(f"a {what} is {DOORS}; got {type(source).__name__}.")
        file = files.bytes_of(source, what)
        stored = arrays.stored(file, most)
        return file if stored is None else stored


def named(source: Any, what: str = "picture") -> str:
    """What messages call a picture or a mask."""
    return files.shown(os.path.basename(source) or source) if isinstance(source, (str, os.PathLike)) else f"the {what}"


@contextlib.contextmanager
def _told(name: str, most: int) -> Iterator[None]:
    """Whatever goes wrong within is one ImageError that names the picture; warnings are our own checks' business."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except levels.LevelError as error:
        raise ImageError(f"{name} {error}") from None
    except RedguiError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read; use one of {', '.join(files.FORMATS)}.") from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, looked at before ours
        count = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(count[1]) / 1e6:.3g} million" if count else "too many"
        raise ImageError(f"{name} has {size} pixels; at most {most / 1e6:.3g} million are read. Make it smaller.") from None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}" if error.strerror else f"is damaged or cut off: {in_short(error)}"
        raise ImageError(f"{name} {reason}") from None
    except Exception as error:  # a crafted file can make the decoders raise nearly anything
        raise ImageError(f"{name} is damaged: {in_short(error)}") from None


# ---- to RGB


def _rgb(found: Opened) -> Image.Image:
    image, notes, info = found.image, found.origin.notes, found.image.info
    data = info.get("icc_profile")
    if found.low is not None or image.mode.startswith(("I", "F")):
        sixteen = found.low is not None or image.mode.startswith("I;16") or (image.mode, found.origin.format) == ("I", "PNG")
        values = found.values
        scaled, more = levels.eight(values, sixteen)
        if (key := info.get("transparency")) is not None and image.mode in ("I;16", "RGB"):  # one colour is clear
            clear = (values == key) if values.ndim == 2 else (values == key).all(-1)
            scaled = np.dstack([scaled, np.where(clear, 0, 255).astype(np.uint8)])
        image, notes = Image.fromarray(scaled), notes + more
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        alpha = None if alpha.getextrema() == (255, 255) else alpha
        image = image.convert("RGB")
    image, more = profiles.to_srgb(image, data, None if "srgb" in info else info.get("gamma"))
    image = image.convert("RGB")
    rgba = None
    if alpha is not None:
        rgba = image.copy()
        rgba.putalpha(alpha)
        image = on_white(rgba)
    colours = np.asarray(image)
    grey = bool((colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all())
    profile = profiles.SRGB if data else None
    image.info = {KEY: replace(found.origin, grey=grey, rgba=rgba, profile=profile, size=image.size, notes=notes + more)}
    return image


def on_white(rgba: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, its transparency on white."""
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
