"""Files of pictures, decoded: the formats, both bytes of 16-bit colours, and the way up."""

import contextlib
import io
import os
import re
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from redgui.reading import arrays
from redgui.reading.base import ImageError, Opened, Origin, check_size

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif", ".heic", ".heif")
MAX_BYTES = 16 * 50_000_000  # of a file: more than any picture has that is small enough to be read
HEIC = re.compile(rb".{4}ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL)
ORIENTATION = 0x0112
# Of 16-bit colours Pillow keeps one of the two bytes: read in the other order it keeps the other one.
OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def bytes_of(source: Any) -> BinaryIO:
    """A file to read from its beginning, as often as is needed."""
    if isinstance(source, (str, os.PathLike)):
        try:
            if (size := Path(source).stat().st_size) > MAX_BYTES:
                raise ImageError(f"{Path(source).name} has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} are read.")
            return io.BytesIO(Path(source).read_bytes())
        except FileNotFoundError:
            raise ImageError(f"there is no file {source}; give the path of a picture, or example:NAME.") from None
    content = source if isinstance(source, (bytes, bytearray, memoryview)) else source.read()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise ImageError('an open file of a picture gives bytes; this one gives text. Open it with "rb".')
    return io.BytesIO(content)


def decoded(file: BinaryIO, name: str, most: int) -> Opened:
    try:
        file.seek(0)
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(16)
        if HEIC.match(head) and "HEIF" not in _formats():
            raise ImageError(f"{name} is a HEIC picture, which needs a package: pip install pillow-heif.") from None
        if head[:4] not in (b"II*\0", b"MM\0*"):
            raise
        if (values := arrays.tiff(file, most)) is None:
            raise ImageError(
                f"{name} is not a picture that can be read: a TIFF of an unknown kind. Save it as a PNG of 8 or 16 bits."
            ) from None
        found = arrays.opened(values, name, most)
        return replace(found, origin=replace(found.origin, format="TIFF"))
    check_size(image.width, image.height, name, most)
    low = None
    if other := other_byte(image):
        low = Image.open(file, formats=_formats())
        tiles: list[Any] = low.tile  # type: ignore[attr-defined]
        args = [other if isinstance(tile[3], str) else (other, *tile[3][1:]) for tile in tiles]
        low.tile = [(*tile[:3], arg) for tile, arg in zip(tiles, args, strict=True)]  # type: ignore[attr-defined]
        image.load()  # before the other one moves in their file
    return upright(image, low)


def of_lazy(image: Any) -> BinaryIO | None:
    """The file of a picture of 16-bit colours that Pillow has opened and not decoded yet, so that both bytes are read."""
    if not other_byte(image) or getattr(image, "is_animated", False) or not image.fp.seekable():
        return None
    image.fp.seek(0)
    return io.BytesIO(image.fp.read())


def other_byte(image: Any) -> str:
    """Of a picture of 16-bit colours that is not decoded yet: the raw mode that gives the byte which Pillow leaves out."""
    args = image.tile[0][3] if image.mode in ("RGB", "RGBA") and getattr(image, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    kind, _, order = first.partition(";") if isinstance(first, str) else ("", "", "")
    return f"{kind};{OTHER_BYTE[order]}" if kind == image.mode and order in OTHER_BYTE else ""


def _formats() -> tuple[str, ...]:
    """The formats that this machine's Pillow reads; HEIC where its package is installed."""
    _register()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@lru_cache(maxsize=1)
def _register() -> None:
    Image.init()
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]

        register_heif_opener()


def upright(image: Image.Image, low: Image.Image | None) -> Opened:
    """The pictures decoded, and turned as the EXIF says."""
    image.load()
    format = "JPEG" if image.format == "MPO" else image.format
    jpeg: dict[str, Any] = {}
    if format == "JPEG" and (tables := getattr(image, "quantization", None)):
        jpeg = {"qtables": tables, "subsampling": JpegImagePlugin.get_sampling(image)}
    exif = None
    with contextlib.suppress(Exception):  # where only the EXIF is damaged, the pixels are good
        tags = image.getexif()
        turned = ImageOps.exif_transpose(image) if tags.get(ORIENTATION, 1) != 1 else image
        low = None if low is None else ImageOps.exif_transpose(low)
        image = turned
        if tags:
            tags.pop(ORIENTATION, None)
            exif = tags.tobytes()
    if low is not None:
        low.load()
    return Opened(image, low, Origin(format=format, exif=exif, jpeg=jpeg))


