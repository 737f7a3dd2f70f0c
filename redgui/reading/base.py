"""What is known of a picture while it is read, and what stays known of it afterwards."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from redgui.errors import RedguiError

MAX_PIXELS = 50_000_000  # a 50-megapixel photo decodes in seconds and 150 MB; beyond that it is refused unread


class ImageError(RedguiError):
    """A picture that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Origin:
    """What a picture was before it was read as RGB.

    Attributes:
        format: Pillow's name of the file's format, such as JPEG; None of what came in no file.
        grey: its three channels are equal.
        rgba: the picture with its own colours and transparency, where any of it is transparent.
        profile: the profile of the picture as it is now: that of sRGB, where the file had one.
        exif: the file's EXIF, with the picture upright.
        jpeg: what saves a JPEG with the file's own quality, `picture.save(path, "JPEG", **jpeg)`.
        turned: the EXIF's orientation, by which it was turned upright.
        size: (w, h) as it was read.
        notes: a line for each thing that a person should know about how it was read.
    """

    format: str | None = None
    grey: bool = False
    rgba: Image.Image | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    jpeg: dict[str, Any] = field(default_factory=dict)
    turned: int = 1
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A picture in a mode of its own, upright. `low`: the low bytes of 16-bit colours, of which `image` has the high ones."""

    image: Image.Image
    low: Image.Image | None = None
    origin: Origin = Origin()

    @property
    def values(self) -> np.ndarray:
        """The numbers of the file, (h, w) or (h, w, c)."""
        high = np.asarray(self.image)
        return high if self.low is None else (high.astype(np.uint16) << 8) | np.asarray(self.low)


def check_size(w: int, h: int, name: str, most: int) -> None:
    """Raises ImageError for a picture of no pixels, or of more than `most`."""
    if w * h > most:
        raise ImageError(f"{name} has {w}x{h} pixels; at most {most / 1e6:.3g} million are read. Make it smaller.")
    if w * h == 0:
        raise ImageError(f"{name} has no pixels.")
