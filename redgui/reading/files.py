"""Files of pictures, decoded: the formats, both bytes of 16-bit colours, and the way up."""

import contextlib
import io
import os
import re
import struct
import sys
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from redgui.reading import arrays
from redgui.reading.base import ImageError, Opened, Origin, check_size

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
            ".pnm", ".avif", ".heic", ".heif")  # fmt: skip
MAX_BYTES = 16 * 50_000_000  # of a file: more than any picture has that is small enough to be read
HEIC = re.compile(rb".{4}ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL)
ORIENTATION = 0x0112
BITS, PHOTOMETRIC, PLANES, SIGNED = 258, 262, 284, 339  # tags of a TIFF
PLAIN = {"La": "LA", "RGBa": "RGBA"}  # of modes whose colours are multiplied by their transparency
# Of 16-bit colours Pillow keeps one of the two bytes: read in the other order it keeps the other one.
OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def bytes_of(source: Any, what: str = "picture") -> BinaryIO:
    """A file to read from its beginning, as often as is needed.

    Args:
        source: a path, where `~` is a person's home; bytes; or an open file, which is read from where it stands, or where
            nothing is left (somebody has just written it) from its beginning.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        with _at(source, what) as file:
            content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ImageError(f"{shown(source)} has more than {MAX_BYTES / 1e6:.0f} MB; no more are read.")
            return io.BytesIO(content)
    if getattr(source, "closed", False):
        raise ImageError(f"the file of a {what} is closed; give it while it is open, or its path.")
    with contextlib.suppress(UnicodeDecodeError):
        content = source.read()
        if content == b"" and source.seekable():
            source.seek(0)
            content = source.read()
        if isinstance(content, (bytes, bytearray, memoryview)):
            return io.BytesIO(content)
    raise ImageError(f'an open file of a {what} gives bytes; this one gives text. Open it with "rb".')


def _at(path: str | os.PathLike[str], what: str) -> BinaryIO:
    text = os.fspath(path)
    try:
        if not text or "\0" in text:
            raise FileNotFoundError
        return at_home(text).open("rb")
    except FileNotFoundError:
        or_else = ", or example:NAME" if what == "picture" else ""
        raise ImageError(f"there is no file {shown(path)}; give the path of a {what}{or_else}.") from None


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path as a shell takes it: `~` is a person's home."""
    return Path(os.path.expanduser(path))


def is_picture(name: str | os.PathLike[str]) -> bool:
    """Whether a path within a folder is that of a picture, by its ending; hidden ones and what a Mac adds are none."""
    path = PurePath(name)
    return path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def shown(path: str | os.PathLike[str], most: int = 120) -> str:
    """A path for a message of one line."""
    text = "".join(c if c.isprintable() else "?" for c in str(path)) or "''"
    return text if len(text) <= most else text[: most - 1] + "…"


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
        return _of_tiff(file, name, most)
    check_size(image.width, image.height, name, most)
    if scrambled(image):
        return _of_tiff(file, name, most)
    if grey_alpha(image):
        return _of_grey_alpha(file)
    low = None
    if other := other_byte(image):
        low = Image.open(file, formats=_formats())
        tiles: list[Any] = low.tile  # type: ignore[attr-defined]
        args = [other if isinstance(tile[3], str) else (other, *tile[3][1:]) for tile in tiles]
        low.tile = [(*tile[:3], arg) for tile, arg in zip(tiles, args, strict=True)]  # type: ignore[attr-defined]
        image.load()  # before the other one moves in their file
    return upright(image, low)


def of_lazy(image: Any) -> BinaryIO | None:
    """The file of a picture that Pillow has opened and not decoded yet, where it would not decode it as we do."""
    own = other_byte(image) or grey_alpha(image) or scrambled(image)
    if not own or getattr(image, "is_animated", False) or not image.fp.seekable():
        return None
    image.fp.seek(0)
    return io.BytesIO(image.fp.read())


def scrambled(image: Any) -> bool:
    """Whether Pillow would misread a TIFF: planes of 16 bits, 16 bits or floats whose white is 0, signed bytes."""
    if image.format != "TIFF" or not getattr(image, "tile", None):
        return False
    tags = image.tag_v2
    wide = max(np.ravel(tags.get(BITS, 1))) > 8
    signed = 2 in np.ravel(tags.get(SIGNED, 1)) and not wide
    return signed or (wide and (tags.get(PHOTOMETRIC) == 0 or (image.mode in ("RGB", "RGBA") and tags.get(PLANES) == 2)))


def _of_tiff(file: BinaryIO, name: str, most: int) -> Opened:
    if (values := arrays.tiff(file, most)) is None:
        kind = "a TIFF of an unknown kind. Save it as a PNG of 8 or 16 bits"
        raise ImageError(f"{name} is not a picture that can be read: {kind}.")
    found = arrays.opened(values, name, most)
    return replace(found, origin=replace(found.origin, format="TIFF"))


def grey_alpha(image: Any) -> bool:
    """Whether a PNG is of grey and transparency, both of 16 bits, of which Pillow keeps the high bytes alone."""
    tiles = getattr(image, "tile", None)
    return image.format == "PNG" and bool(tiles) and tiles[0].args == "LA;16B"


def _of_grey_alpha(file: BinaryIO) -> Opened:
    """Its four bytes a pixel are read as those of colours and transparency of 8 bits, which lie in the file alike."""
    file.seek(0)
    content = file.read()
    head = content[12:24] + b"\x08\x06" + content[26:29]
    content = content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    found = upright(Image.open(io.BytesIO(content), formats=("PNG",)), None)
    high, low, alpha, beneath = found.image.split()
    image = Image.merge("LA", (high, alpha))
    image.info = found.image.info
    return replace(found, image=image, low=Image.merge("LA", (low, beneath)))


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
    format = "JPEG" if image.format == "MPO" else image.format
    jpeg: dict[str, Any] = {}
    notes = ()
    with contextlib.suppress(Exception):
        if format != "JPEG" and getattr(image, "is_animated", False) and image.tell() == 0:
            notes = ("its file holds several, frames or pages: the first is read",)
    image.load()
    if format == "JPEG" and (tables := getattr(image, "quantization", None)):
        jpeg = {"qtables": tables, "subsampling": JpegImagePlugin.get_sampling(image)}
    exif, turned = None, 1
    with contextlib.suppress(Exception):  # where only the EXIF is damaged, the pixels are good
        tags = image.getexif()
        upright = ImageOps.exif_transpose(image) if tags.get(ORIENTATION, 1) != 1 else image
        low = None if low is None else ImageOps.exif_transpose(low)
        image, turned = upright, tags.get(ORIENTATION, 1)
        if tags:
            tags.pop(ORIENTATION, None)
            exif = tags.tobytes()
    if low is not None:
        low.load()
    if image.mode in PLAIN:
        image = image.convert(PLAIN[image.mode])
    return Opened(image, low, Origin(format=format, exif=exif, jpeg=jpeg, turned=turned, notes=notes))
