"""Colour profiles (ICC): a picture's own colours as sRGB, which is what networks were trained on and pages show."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
GAMMA = 1 / 2.2  # of a PNG that is as sRGB
MODES = {"RGB": ("RGB", "RGBX", "P", "YCbCr", "HSV", "L", "1"), "GRAY": ("L", "1"), "CMYK": ("CMYK",), "Lab": ("LAB",)}
LEVELS = 2  # by which one sRGB profile differs from another


def to_srgb(image: Image.Image, data: bytes | None, gamma: float | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture without transparency in sRGB (unchanged where it is that already), and what is to be told.

    Args:
        data: its profile; of one in Lab that of Lab where it has none.
        gamma: what a PNG without a profile says of its numbers: light to this power. None: they are those of sRGB.
    """
    if not data and image.mode != "LAB":
        if gamma is None or abs(gamma / GAMMA - 1) < 0.05:
            return image, ()
        curve = (255 * (np.arange(256) / 255) ** (GAMMA / gamma)).round().astype(int).tolist()
        image = image.convert("L" if image.mode in ("L", "1") else "RGB")
        return image.point(curve * len(image.getbands())), (f"its file says gamma {gamma:.3g}: it is converted to sRGB",)
    try:
        data = data or LAB
        core: Any = ImageCms.ImageCmsProfile(io.BytesIO(data)).profile
        space = core.xcolor_space.strip()
        if image.mode not in MODES[space]:
            raise ImageCms.PyCMSError(f"it is one of {space}")
        mode = {"GRAY": "L", "Lab": "LAB"}.get(space, space)
        through = _through(data, mode)
        return (image if through is None else through(image.convert(mode))), ()
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):
        return image, ("its colour profile cannot be used, and its colours are taken as sRGB",)


@lru_cache(maxsize=8)
def _through(data: bytes, mode: str) -> Callable[[Image.Image], Any] | None:
    """The conversion of a profile, made once for the pictures of one camera; None where it changes nothing.

    By what it does and not by its name: "sRGB linear" is another.
    """
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    made = ImageCms.buildTransform(io.BytesIO(data), io.BytesIO(SRGB), mode, "RGB", intent, flags)
    if mode in ("RGB", "L"):
        tones = np.arange(0, 256, 15, dtype=np.uint8)
        colours = np.stack(np.meshgrid(*[tones] * 3), -1).reshape(1, -1, 3) if mode == "RGB" else tones[None]
        found = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), made)).astype(int)
        if abs(found - (colours if mode == "RGB" else colours[..., None])).max() <= LEVELS:
            return None
    return lambda image: ImageCms.applyTransform(image, made)
