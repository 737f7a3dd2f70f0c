"""A result written as its picture's file was: a JPEG with the file's quality and EXIF. Any other is a PNG, which is exact."""

import io
from typing import Any

from PIL import Image

from redgui import images

SIDES = 0xA002, 0xA003  # width and height, tags in the part of an EXIF about the picture
PART = 0x8769
LONGEST = 60_000  # bytes of an EXIF that fits into one segment of a file


def as_it_came(image: Image.Image) -> bytes | None:
    """A JPEG of a picture that came as one, or was made of one that did (`images.origin`); None of any other."""
    origin = images.origin(image)
    if origin.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    options: dict[str, Any] = dict(origin.jpeg)
    tables = options.get("qtables") or {}
    if not tables or not all(0 < step < 256 for table in tables.values() for step in table):  # of 12 bits, which is not written
        options = {"quality": 95}
    if image.mode == "L":
        options.pop("subsampling", None)
    if origin.exif:
        options["exif"] = _resized(origin.exif, image.size)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", optimize=True, **options)
    return buffer.getvalue()


def _resized(data: bytes, size: tuple[int, int]) -> bytes:
    """The EXIF of a file as that of a picture of another size, without the small picture in it; none where it is too long."""
    exif = Image.Exif()
    try:
        exif.load(data)
        part = exif.get_ifd(PART)
        part.update({tag: n for tag, n in zip(SIDES, size, strict=True) if tag in part})
        found = exif.tobytes()
    except Exception:  # damaged, by whatever program
        return b""
    return found if len(found) <= LONGEST else b""
