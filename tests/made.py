"""Files of pictures as cameras, scanners and editors write them, made here: what Pillow itself cannot write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw


def saved(image: Image.Image | np.ndarray, format: str = "PNG", **options) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, format, **options)
    return buffer.getvalue()


def npy(**arrays: np.ndarray) -> bytes:
    """Arrays as a `.npz` file; one called `alone` as a `.npy` file."""
    buffer = io.BytesIO()
    if "alone" in arrays:
        np.save(buffer, arrays["alone"])
    else:
        np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def png16(values: np.ndarray, **chunks: bytes) -> bytes:
    """Numbers (h, w, 1 to 4) of 16 bits as a PNG: grey, colours, or either with transparency; chunks by their names."""
    h, w, c = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk("IHDR", struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0))
    more = b"".join(chunk(name, data) for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk("IDAT", zlib.compress(rows)) + chunk("IEND", b"")


def chunk(name: str, data: bytes) -> bytes:
    """A chunk of a PNG."""
    content = name.encode() + data
    return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))


def tiff(values: np.ndarray, **options) -> bytes:
    """Numbers as a TIFF, of any depth and layout."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "rgb" if values.ndim == 3 else "minisblack", **options})
    return buffer.getvalue()


def turned(image: Image.Image, orientation: int = 6, format: str = "PNG") -> bytes:
    """A file whose EXIF says that it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, format, exif=exif)


def wide_gamut(name: bytes = b"Test wide gamut", space: bytes = b"RGB ", gamma: float = 2.2) -> bytes:
    """A colour profile (ICC, version 2) with the primaries of Adobe RGB and a gamma of 2.2; or one of grey (`GRAY`)."""

    def fixed(x: float) -> bytes:
        return struct.pack(">i", round(x * 65536))

    def xyz(*v: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, v))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    tags = {
        b"desc": desc + bytes(-len(desc) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249),
        b"kTRC": curve, b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data
    content = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(content), b"none", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s4sI", 2026, 1, 1, 0, 0, 0, b"acsp", b"APPL", 0) + bytes(20)
    head += b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return head.ljust(128, b"\0") + content


def scratched(h: int, w: int, *lines: tuple[int, int, int, int], width: int = 4) -> np.ndarray:
    """A mask with lines from (x, y) to (x, y)."""
    page = Image.new("1", (w, h))
    for line in lines:
        ImageDraw.Draw(page).line(line, fill=1, width=width)
    return np.array(page)
