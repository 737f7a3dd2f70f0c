"""Pictures as tensors: the only place where PIL, uint8 and [0, 1] meet tensors in [-1, 1]. `redgui.reading` reads the files.

A tensor here is float32, b c h w, in [-1, 1] unless said otherwise.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from redgui import bundled
from redgui.reading import FORMATS, MAX_PIXELS, SUFFIXES, ImageError, Source, at_home, is_picture, origin, read

__all__ = ["FORMATS", "MAX_PIXELS", "SUFFIXES", "Fit", "ImageError", "data_url", "encode", "file_url", "fit", "folder", "load",
           "origin", "read", "row", "thumbnail", "to_pil", "to_tensor", "to_uint8"]  # fmt: skip

Fit = Literal["crop", "stretch"]
Format = Literal["png", "jpeg", "webp"]
PREVIEW = 1600  # longest side of a picture that is shown while it changes


def fit(image: Image.Image, h: int, w: int, how: Fit = "crop") -> Image.Image:
    """The picture at h x w: the largest centred crop of that shape (`crop`) or distorted (`stretch`), Lanczos."""
    if image.size == (w, h):
        return image
    if how == "stretch":
        return image.resize((w, h), Image.Resampling.LANCZOS)
    return ImageOps.fit(image, (w, h), Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image, channels: int = 3) -> Tensor:
    """(1, channels, h, w) in [-1, 1]: RGB, or with one channel the luma of ITU-R BT.601."""
    pixels = torch.from_numpy(np.array(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8))
    pixels = pixels[..., None] if channels == 1 else pixels
    return (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


def load(source: Source, h: int, w: int, how: Fit = "crop", channels: int = 3) -> Tensor:
    """`read`, `fit` and `to_tensor` in one."""
    return to_tensor(fit(read(source), h, w, how), channels)


def folder(path: str | Path) -> list[Path]:
    """The picture files of a folder, by name; hidden ones are none."""
    try:
        return sorted(p for p in at_home(path).iterdir() if is_picture(p.name))
    except OSError as error:
        raise ImageError(f"the folder {path} cannot be read: {error.strerror}.") from None


def examples() -> list[Path]:
    """The bundled pictures by name: faces of the bundled prior's size, then photographs."""
    return [*folder(bundled.EXAMPLES), *folder(bundled.PHOTOGRAPHS)]


def to_uint8(x: Tensor) -> np.ndarray:
    """The first image of x as (h, w, 3) uint8: clipped to [-1, 1], grey repeated over channels."""
    first = x.detach()[0].float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.repeat(first, 3, axis=2) if first.shape[2] == 1 else first[:, :, :3]


def to_pil(x: Tensor) -> Image.Image:
    """The first image of x."""
    return Image.fromarray(to_uint8(x))


def encode(image: Image.Image | Tensor, format: Format = "png", quality: int = 90) -> bytes:
    """A picture as the bytes of a file. PNG is exact; JPEG (4:4:4) is for previews, WebP for the page's own."""
    image = to_pil(image) if isinstance(image, Tensor) else image
    buffer = io.BytesIO()
    if format == "png":
        quick = image.width * image.height > 2_000_000  # 12 megapixels: 1.8 s for 3.3, a file a quarter larger
        image.save(buffer, "png", compress_level=1 if quick else 4)
    elif format == "jpeg":
        image.save(buffer, "jpeg", quality=quality, subsampling=0)
    else:
        image.save(buffer, "webp", quality=quality, method=6)
    return buffer.getvalue()


def preview(image: Image.Image | Tensor) -> Image.Image:
    """A picture (the first of a tensor) as it is shown while it changes: a large one is made 2, 3, ... times smaller."""
    h, w = image.shape[-2:] if isinstance(image, Tensor) else (image.height, image.width)
    times = -(-max(h, w) // PREVIEW)
    if isinstance(image, Tensor):
        return to_pil(image if times == 1 else F.avg_pool2d(image[:1].float(), times, ceil_mode=True))
    return image if times == 1 else image.reduce(times)


def data_url(image: Image.Image | Tensor, format: Format = "png", quality: int = 90) -> str:
    """A picture as a `data:` URL for a page; as a JPEG its `preview`."""
    image = preview(image) if format == "jpeg" else image
    return file_url(encode(image, format, quality), f"image/{format}")


def thumbnail(image: Image.Image | Tensor, side: int) -> str:
    """A picture made small, its longest side at most `side` pixels, as the `data:` URL of a JPEG."""
    small = to_pil(image) if isinstance(image, Tensor) else image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_url(small, "jpeg", quality=90)


def file_url(data: bytes, kind: str = "image/png") -> str:
    """A file of a MIME type as a `data:` URL for a page."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def row(pictures: Sequence[Tensor], gap: int = 2, per_row: int | None = None) -> Image.Image:
    """First images of several tensors side by side (or in rows of `per_row`) on white; smaller ones are enlarged."""
    tiles = [to_pil(x) for x in pictures]
    h, w = max(t.height for t in tiles), max(t.width for t in tiles)
    tiles = [t if t.size == (w, h) else t.resize((w, h), Image.Resampling.NEAREST) for t in tiles]
    columns = per_row or len(tiles)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (w + gap) - gap, rows * (h + gap) - gap), "white")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, ((k % columns) * (w + gap), (k // columns) * (h + gap)))
    return sheet
