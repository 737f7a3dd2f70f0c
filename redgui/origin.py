"""How a picture's file was made, so that what comes of it is written the same way: a JPEG with its quality and EXIF, a PNG.

    image = origin.remembered(images.read(path), path)
    origin.of(image).encode(restored)              the bytes of a file

It travels with the picture, in Pillow's `info`. A file of any other format, or none, is a PNG.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, JpegImagePlugin
from PIL.Image import Exif

from redgui import images

KEY = "redgui-origin"
ORIENTATION = 0x0112  # the EXIF tag
SIDES = 0xA002, 0xA003  # width and height, in the part of the EXIF about the picture
PART = 0x8769
LONGEST = 60_000  # bytes of an EXIF that fits into one segment of a file
THUMBNAIL = 1  # the directory of the small picture in an EXIF, which would show what is gone


@dataclass(frozen=True)
class Origin:
    """The format of a file, and what is to be kept of it.

    Attributes:
        format: PNG or JPEG.
        tables: of a JPEG, its quantisation tables: its quality, to the bit.
        subsampling: of its colours, as Pillow numbers it; -1: unknown.
        exif: the tags, upright.
    """

    format: str = "PNG"
    tables: dict[int, list[int]] = field(default_factory=dict)
    subsampling: int = -1
    exif: bytes = b""

    @property
    def suffix(self) -> str:
        """The ending of such a file's name."""
        return "jpg" if self.format == "JPEG" else "png"

    @property
    def mime(self) -> str:
        """The MIME type of such a file."""
        return f"image/{self.format.lower()}"

    def encode(self, image: Image.Image) -> bytes:
        """A picture as the bytes of such a file. A PNG is exact; a JPEG is as coarse as the file was."""
        if self.format != "JPEG":
            return images.encode(image)
        options: dict[str, Any] = {"qtables": self.tables} if self.tables else {"quality": 95}
        if self.subsampling >= 0:
            options["subsampling"] = self.subsampling
        if self.exif:
            options["exif"] = self._exif(image.size)
        if image.info.get("icc_profile"):
            options["icc_profile"] = image.info["icc_profile"]
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", optimize=True, **options)
        return buffer.getvalue()

    def _exif(self, size: tuple[int, int]) -> bytes:
        """The tags of a picture of a size."""
        exif = Exif()
        exif.load(self.exif)
        part = exif.get_ifd(PART)
        part.update({tag: n for tag, n in zip(SIDES, size, strict=True) if tag in part})
        return exif.tobytes()


def remembered(image: Image.Image, source: str | Path | bytes) -> Image.Image:
    """The picture that was read from a file, knowing what that was."""
    image.info[KEY] = _read(source)
    return image


def passed(before: Image.Image | None, image: Image.Image) -> Image.Image:
    """The picture that was made of another one, knowing what that was."""
    image.info[KEY] = of(before)
    return image


def of(image: Image.Image | None) -> Origin:
    """What a picture's file was; a PNG where that is not known."""
    return Origin() if image is None else image.info.get(KEY, Origin())


def _read(source: str | Path | bytes) -> Origin:
    """From a file that is known to be a picture; what is wrong with its EXIF is left out."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=images.FORMATS) as file:
        if not isinstance(file, JpegImagePlugin.JpegImageFile) or file.mode not in ("RGB", "L"):
            return Origin()
        tables = {k: list(table) for k, table in file.quantization.items()}
        if not all(0 < step < 256 for table in tables.values() for step in table):  # of 12 bits, which is not written
            tables = {}
        return Origin("JPEG", tables, JpegImagePlugin.get_sampling(file) if file.mode == "RGB" else -1, _upright(file))


def _upright(file: Image.Image) -> bytes:
    """The EXIF of a file as that of the picture turned upright, without the small picture in it."""
    if not file.info.get("exif"):
        return b""
    try:
        exif = file.getexif()
        exif.pop(ORIENTATION, None)
        exif._ifds.pop(THUMBNAIL, None)
        data = exif.tobytes()
        return data if len(data) <= LONGEST else b""
    except Exception:  # damaged, by whatever program
        return b""
