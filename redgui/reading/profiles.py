"""Colour profiles (ICC): a picture's own colours as sRGB, which is what networks were trained on and pages show."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NAMES = ("srgb", "c2")  # of profiles that are sRGB already; c2 is a tiny one that is much used


def to_srgb(image: Image.Image, data: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture without transparency in sRGB (unchanged where `data`, its profile, is None or sRGB), and what is to be told."""
    if not data:
        return image, ()
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile).strip()
        core: Any = profile.profile
        space = core.xcolor_space.strip()
        if name.lower().startswith(NAMES):
            return image, ()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space]
        if (mode == "CMYK") != (image.mode == "CMYK"):
            raise ImageCms.PyCMSError(f"it is one of {space}")
        return _through(data, mode)(image.convert(mode)), ()
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):
        return image, ("its colour profile cannot be used, and its colours are taken as sRGB",)


@lru_cache(maxsize=8)
def _through(data: bytes, mode: str) -> Callable[[Image.Image], Any]:
    """The conversion of a profile, made once for the pictures of one camera."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    made = ImageCms.buildTransform(io.BytesIO(data), io.BytesIO(SRGB), mode, "RGB", intent, flags)
    return lambda image: ImageCms.applyTransform(image, made)
