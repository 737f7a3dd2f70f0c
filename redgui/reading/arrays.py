"""Pictures and masks that are arrays: from Python, from NumPy's files, and from those TIFFs that only hold numbers."""

import io
import zipfile
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui.reading import levels
from redgui.reading.base import ImageError, Opened, Origin, check_size
from redgui.reading.levels import LevelError


def array_of(source: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(source, np.ma.MaskedArray):
        raise ImageError("an array with a mask of its own says two things; give its data, and what is to be filled in apart.")
    if isinstance(source, np.ndarray):
        return source
    if source.is_meta or source.layout != torch.strided:
        kind = "meta" if source.is_meta else "sparse"
        raise ImageError(f"a tensor of a picture holds all its numbers; got one that is {kind}.")
    x = source.detach().cpu()
    x = x.float() if x.is_floating_point() else x
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if x.ndim == 3 and len(x) in (1, 3, 4):
        return x.permute(1, 2, 0).numpy()
    if x.ndim == 2:
        return x.numpy()
    raise ImageError(f"a tensor of a picture is (h, w), (c, h, w) or (1, c, h, w) with c 1, 3 or 4; got {tuple(source.shape)}.")


def opened(values: np.ndarray, name: str, most: int) -> Opened:
    """An array as a picture of the mode that keeps its numbers."""
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (2, 3, 4)) or values.dtype.kind not in "biuf":
        kind = f"{str(values.dtype)[:40]} of shape {values.shape}"
        raise ImageError(
            f"an array of a picture is (h, w) or (h, w, 3), with transparency (h, w, 2) or (h, w, 4), of numbers; got {kind}."
        )
    check_size(values.shape[1], values.shape[0], name, most)
    if values.dtype == bool and values.ndim == 2:
        return Opened(Image.fromarray(values))
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype == np.uint8 or (values.dtype == np.uint16 and values.ndim == 2):
        return Opened(Image.fromarray(np.ascontiguousarray(values)))
    if values.dtype == np.uint16:
        high, low = (Image.fromarray(np.ascontiguousarray(part.astype(np.uint8))) for part in (values >> 8, values & 255))
        return Opened(high, low)
    if values.ndim == 2:
        kind = np.float32 if values.dtype.kind == "f" or values.max() >= 2**31 else np.int32
        return Opened(Image.fromarray(values.astype(kind)))
    found, notes = levels.eight(values)
    return Opened(Image.fromarray(np.ascontiguousarray(found)), origin=Origin(notes=notes))


def stored(file: BinaryIO, most: int) -> np.ndarray | None:
    """The array of a `.npy` file, or the one of a `.npz` (or the one called `mask`); None for any other file.

    Raises:
        LevelError: several arrays, objects, or too many numbers.
    """
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    if head == b"\x93NUMPY":
        return _npy(file, most)
    if head[:4] != b"PK\x03\x04":
        return None
    with zipfile.ZipFile(file) as pack:
        names = [name for name in pack.namelist() if name.endswith(".npy")]
        if not names:
            return None
        chosen = names if len(names) == 1 else [name for name in names if name == "mask.npy"]
        if not chosen:
            held = ", ".join(name.removesuffix(".npy") for name in names[:8])
            raise LevelError(f"holds several arrays ({held}); name one of them mask, or store it alone.")
        with pack.open(chosen[0]) as member:
            return _npy(io.BufferedReader(member), most)  # type: ignore[arg-type]


def _npy(file: BinaryIO, most: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    count = int(np.prod(shape, dtype=np.float64))
    if dtype.hasobject or dtype.kind not in "biuf":
        raise LevelError(f"holds an array of {dtype}; a picture or a mask is of numbers or truth values.")
    if count > 4 * most:  # of pixels there may be fewer; what the picture has is checked with its shape
        raise LevelError(f"holds an array of {'x'.join(map(str, shape))}; at most {most / 1e6:.3g} million pixels are read.")
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise LevelError("is cut off: it ends before its array does.")
    return np.frombuffer(content, dtype, count).reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="))


def tiff(file: BinaryIO, most: int) -> np.ndarray | None:
    """The first page of a TIFF that Pillow does not read right, such as colours in floats; None where it cannot be read.

    Uncompressed only: what others decompress is not bounded here.
    """
    from tifffile import TiffFile

    file.seek(0)
    try:
        with TiffFile(file) as pages:
            page: Any = pages.pages[0]
            if page.compression != 1 or page.dtype is None or page.dtype.kind not in "biuf" or page.size > 4 * most:
                return None
            values, white_is_0 = page.asarray(), page.photometric == 0
            planar = page.planarconfig == 2 and page.samplesperpixel > 1
    except Exception:  # damaged, or compressed by what is not installed
        return None
    values = np.moveaxis(values, 0, -1) if planar else values
    return (levels.scale(values)[1] - values).astype(values.dtype) if white_is_0 else values
