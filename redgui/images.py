"""Pictures in and out: the only place where PIL, uint8, EXIF and [0, 1] meet tensors in [-1, 1].

A tensor here is float32, b c h w, in [-1, 1] unless said otherwise.
"""

import base64
import contextlib
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from redgui.errors import RedguiError

Fit = Literal["crop", "stretch"]
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
PREVIEW = 1600  # longest side of a picture that is shown while it changes
MAX_PIXELS = 50_000_000  # a 50-megapixel photo decodes in seconds and 150 MB; beyond that it is refused unread


class ImageError(RedguiError):
    """A picture that cannot be read; the message says what to do."""


def read(source: str | Path | bytes, most: int = MAX_PIXELS) -> Image.Image:
    """A picture as RGB, upright by its EXIF, transparency on white, first frame of an animation.

    Any mode (16-bit, palette, CMYK, grey) is converted; the size is checked before pixels are decoded: `most` of them at most.

    Raises:
        ImageError: not a picture, too large, or damaged.
    """
    return rgb(opened(source, most))


def opened(source: str | Path | bytes, most: int = MAX_PIXELS) -> Image.Image:
    """`read` without the conversion to RGB: the file's own mode, for masks, whose transparency means something else."""
    named = "the picture" if isinstance(source, bytes) else Path(source).name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about many pixels is our own check's business
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
            if image.width * image.height > most:
                raise ImageError(
                    f"{named} has {image.width}x{image.height} pixels; at most {most / 1e6:.3g} million are read. "
                    "Make it smaller."
                )
            image.load()
    except FileNotFoundError:
        raise ImageError(f"there is no file {source}; give the path of a picture, or example:NAME.") from None
    except UnidentifiedImageError:
        raise ImageError(f"{named} is not a picture that can be read; use one of {', '.join(FORMATS)}.") from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, looked at before ours
        count = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(count[1]) / 1e6:.3g} million" if count else "too many"
        raise ImageError(f"{named} has {size} pixels; at most {most / 1e6:.3g} million are read. Make it smaller.") from None
    except ImageError:
        raise
    except OSError as error:
        reason = f"cannot be read: {error.strerror}" if error.strerror else f"is damaged or cut off: {error}"
        raise ImageError(f"{named} {reason}") from None
    except Exception as error:  # a crafted file can make the decoders raise nearly anything
        raise ImageError(f"{named} is damaged: {error}") from None
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # where only the EXIF is damaged, the pixels are good
        warnings.simplefilter("ignore")
        image = ImageOps.exif_transpose(image)
    return image


def rgb(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB; transparency on white, 16-bit and float scaled to 8 bits."""
    if image.mode.startswith(("I", "F")):
        with np.errstate(invalid="ignore"):  # a file may hold NaNs of any kind
            grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
        brightest = grey.max(initial=0)
        # 32-bit and float files do not say what white is.
        top = 65535.0 if image.mode.startswith("I;16") or brightest > 255 else 255.0 if brightest > 1 else 1.0
        image = Image.fromarray((grey.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def fit(image: Image.Image, h: int, w: int, how: Fit = "crop") -> Image.Image:
    """The picture at h x w: the largest centred crop of that shape (`crop`) or distorted (`stretch`), Lanczos."""
    if image.size == (w, h):
        return image
    if how == "stretch":
        return image.resize((w, h), Image.Resampling.LANCZOS)
    return ImageOps.fit(image, (w, h), Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image) -> Tensor:
    """(1, 3, h, w) in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.uint8))
    return (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


def load(source: str | Path | bytes, h: int, w: int, how: Fit = "crop") -> Tensor:
    """`read`, `fit` and `to_tensor` in one."""
    return to_tensor(fit(read(source), h, w, how))


def folder(path: str | Path) -> list[Path]:
    """The picture files of a folder, by name."""
    try:
        return sorted(p for p in Path(path).iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise ImageError(f"the folder {path} cannot be read: {error.strerror}.") from None


def to_uint8(x: Tensor) -> np.ndarray:
    """The first image of x as (h, w, 3) uint8: clipped to [-1, 1], grey repeated over channels."""
    first = x.detach()[0].float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.repeat(first, 3, axis=2) if first.shape[2] == 1 else first[:, :, :3]


def to_pil(x: Tensor) -> Image.Image:
    """The first image of x."""
    return Image.fromarray(to_uint8(x))


def encode(image: Image.Image | Tensor, format: Literal["png", "jpeg"] = "png", quality: int = 90) -> bytes:
    """A picture as the bytes of a file. PNG is exact; JPEG (4:4:4) is for previews."""
    image = to_pil(image) if isinstance(image, Tensor) else image
    buffer = io.BytesIO()
    if format == "png":
        quick = image.width * image.height > 2_000_000  # 12 megapixels: 1.8 s for 3.3, a file a quarter larger
        image.save(buffer, "png", compress_level=1 if quick else 4)
    else:
        image.save(buffer, "jpeg", quality=quality, subsampling=0)
    return buffer.getvalue()


def preview(image: Image.Image | Tensor) -> Image.Image:
    """A picture (the first of a tensor) as it is shown while it changes: a large one is made 2, 3, ... times smaller."""
    h, w = image.shape[-2:] if isinstance(image, Tensor) else (image.height, image.width)
    times = -(-max(h, w) // PREVIEW)
    if isinstance(image, Tensor):
        return to_pil(image if times == 1 else F.avg_pool2d(image[:1].float(), times, ceil_mode=True))
    return image if times == 1 else image.reduce(times)


def data_url(image: Image.Image | Tensor, format: Literal["png", "jpeg"] = "png", quality: int = 90) -> str:
    """A picture as a `data:` URL for a page; as a JPEG its `preview`."""
    image = preview(image) if format == "jpeg" else image
    return file_url(encode(image, format, quality), f"image/{format}")


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
