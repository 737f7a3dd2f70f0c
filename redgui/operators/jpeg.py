"""JPEG: y is the picture after compression at a quality and back (ITU-T T.81 / ISO 10918-1, JFIF).

    C(x) = DCT of 8 x 8 blocks of the planes Y, Cb, Cr of x (4:2:0: chroma averaged 2 x 2; 4:2:2: 2 x 1), in whole grey levels
    y    = clip(C^-1(q round(C(x) / q)))

with the tables q of Annex K scaled by the quality as libjpeg does, or those of a file (`told`), and chroma enlarged by its
triangle filter, so that y is what Pillow decodes, but for its last rounding to 8 bits. The entropy coding loses nothing and is
left out.

Rounding has derivative 0 almost everywhere; H has the straight-through derivative, that of C^-1 C (with chroma's averaging and
clipping). y says that each coefficient lies in a cell of width q. The residual is the distance to the cell (in units of x) and
not to its middle: r = c - clip(c, q k - q/2, q k + q/2), where k are the whole numbers of the file, read back from y by undoing
the decoder; where the decoder clipped they may be off by one. c is that of planes not in whole levels, for which the cells are
widened by 1.5 levels, five standard deviations of such a rounding. f+(y) = y.

The blocks of a file begin at its upper left corner. Where its sides are no whole blocks, those at the right and lower edge were
filled up by the encoder in a way that no decoder tells: their cells are twice as wide.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import reading
from redgui.knobs import knob
from redgui.operators import packed
from redgui.operators.base import OperatorError, through
from redgui.operators.frame import Framed, Margin

# Annex K.1 and K.2, in rows of frequency.
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99), (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)  # fmt: skip

SLACK = 1.5  # grey levels
SAMPLINGS: dict[Any, Literal["420", "422", "444"]] = {0: "444", 1: "422", 2: "420"}  # by Pillow's number

# Y, Cb, Cr from R, G, B (JFIF), without the offset of 128 that chroma has in a file.
YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.299 / 1.772, -0.587 / 1.772, 0.5),
    (0.5, -0.587 / 1.402, -0.114 / 1.402),
)


@final
@dataclass(frozen=True, kw_only=True)
class JPEG(Framed):
    """y = clip(C^-1(q round(C(x) / q))), the same size as x."""

    name = "jpeg"
    label = "JPEG"
    about = "The picture was saved as a small JPEG file; its blocks and lost detail are to be mended."

    own_scale = True

    quality: int = knob(10, 1, 100, help="as in Pillow and libjpeg; the lower, the smaller the file")
    subsampling: Literal["420", "422", "444"] = knob(
        "420", help="colour at half the size in both directions (4:2:0), in one (4:2:2), or at full size"
    )
    tables: str = knob("", hi=400, shown=False, help="the tables of a file that has its own, as text, 8x16:...")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tables:
            _own_tables(self.tables)

    @property
    def unit(self) -> tuple[int, int]:
        """Rows and columns of a block of all planes."""
        return 16 if self.subsampling == "420" else 8, 8 if self.subsampling == "444" else 16

    @property
    def grid(self) -> int:
        return max(self.unit)

    def check_size(self, h: int, w: int) -> None:
        rows, columns = self.unit
        if h % rows or w % columns:
            large = h >= rows and w >= columns
            whole = f"{h - h % rows}x{w - w % columns}" if large else f"at least {rows}x{columns}"
            by = f"{rows}" if rows == columns else f"{rows} and {columns}"
            raise OperatorError(
                f"jpeg: both sides must be divisible by {by} (subsampling {self.subsampling}), so that all blocks are whole; "
                f"got a picture of {h}x{w}. Use pictures of {whole}{', or subsampling 444' if self.grid == 16 else ''}."
            )

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "JPEG":
        self.check_size(h, w)
        return self.unplaced if box is None else self.with_margin(Margin(box[0], box[1], w - box[2], h - box[3]))

    def measured_size(self, h: int, w: int) -> tuple[int, int]:
        return h, w  # y is decoded around the frame, too, as the mirrored picture is

    def size_of_x(self, y: Tensor) -> tuple[int, int] | None:
        return None

    def __call__(self, x: Tensor) -> Tensor:
        planes = []
        for plane, q in self.planes(x, "averaged", whole=True):
            k = _transformed(plane) / q
            nearest = k.sign() * (k.abs() + 0.5).floor()  # halves away from 0, as encoders have it
            planes.append(self._enlarged(_undone(q * through(nearest, k)), x.shape[-2:]))
        levels = torch.cat(planes, 1)
        if x.shape[1] == 3:
            levels = torch.einsum("ij,bjhw->bihw", _matrix("rgb", x.dtype, x.device), levels)
        return ((levels + 128) / 127.5 - 1).clamp(-1, 1)

    def start(self, y: Tensor) -> Tensor:
        return y.clone()

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        parts = []
        for (of_x, q), (of_y, _) in zip(self.planes(x, "averaged"), self.planes(y, "undone"), strict=True):
            c, middle = _transformed(of_x), q * (_transformed(of_y) / q).round()
            reach = q / 2 * self._widened(c, x.shape[-2:]) + SLACK
            parts.append((c - c.clamp(middle - reach, middle + reach)).flatten(1) / 127.5)
        return torch.cat(parts, 1)

    def planes(self, x: Tensor, chroma: Literal["averaged", "undone"], whole: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Y, and for colours Cb with Cr, (b, 1 or 2, h', w') in grey levels with 0 in the middle, each with its table q.

        Chroma at half the size is averaged as an encoder does, or what a decoder has enlarged is undone. With `whole` all
        values are whole grey levels, as in an encoder: those of pixels, and the averages (halves down and up in turn).
        """
        if x.shape[1] not in (1, 3):
            raise OperatorError(f"jpeg needs pictures of 1 or 3 channels; got {x.shape[1]}. Leave it out.")
        self.check_size(*x.shape[-2:])
        levels = (x + 1) * 127.5 - 128
        tables = [_table(name, self.quality, self.tables, x.dtype, x.device) for name in ("luma", "chroma")]
        if x.shape[1] == 1:  # a grey file is luma alone
            return [(through(levels.round(), levels) if whole else levels, tables[0])]
        planes = torch.einsum("ij,bjhw->bihw", _matrix("ycbcr", x.dtype, x.device), levels)
        planes = through(planes.round(), planes) if whole else planes
        luma, colour = planes[:, :1], planes[:, 1:]
        if self.subsampling != "444":
            colour = colour @ _resampling(x.shape[-1] // 2, chroma, x.dtype, x.device).mT
            bias = 0.5 * (torch.arange(colour.shape[-1], device=x.device) % 2)
            if self.subsampling == "420":
                colour, bias = _resampling(x.shape[-2] // 2, chroma, x.dtype, x.device) @ colour, 0.25 + bias / 2
            colour = through((colour + bias).floor(), colour) if whole else colour
        return [(luma, tables[0]), (colour, tables[1])]

    def _widened(self, blocks: Tensor, size: torch.Size) -> Tensor:
        """2 for the blocks of a plane that are in part beyond the frame, else 1: (rows, columns, 1, 1)."""
        m, spans = self.beyond, []
        for n, count, before, after in zip(size, blocks.shape[2:4], (m.top, m.left), (m.bottom, m.right), strict=True):
            k = torch.arange(count, device=blocks.device) * (n // count)
            spans.append((k >= before) & (k + n // count <= n - after))
        return 2 - (spans[0][:, None] & spans[1])[..., None, None].to(blocks)

    def _enlarged(self, plane: Tensor, size: torch.Size) -> Tensor:
        if plane.shape[-2] < size[0]:
            plane = _resampling(size[0] // 2, "enlarged", plane.dtype, plane.device) @ plane
        if plane.shape[-1] < size[1]:
            plane = plane @ _resampling(size[1] // 2, "enlarged", plane.dtype, plane.device).mT
        return plane


def table(base: tuple[tuple[int, ...], ...], quality: int) -> np.ndarray:
    """A table of Annex K, (8, 8), at a quality of 1 to 100 as libjpeg scales it."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((np.array(base) * percent + 50) // 100).clip(1, 255)


def _transformed(planes: Tensor) -> Tensor:
    """DCT of the blocks of (b, c, h, w)."""
    b, c, h, w = planes.shape
    T = _matrix("dct", planes.dtype, planes.device)
    return T @ planes.reshape(b, c, h // 8, 8, w // 8, 8).transpose(-3, -2) @ T.mT


def _undone(blocks: Tensor) -> Tensor:
    """The planes of coefficients."""
    b, c, rows, cols = blocks.shape[:4]
    T = _matrix("dct", blocks.dtype, blocks.device)
    return (T.mT @ blocks @ T).transpose(-3, -2).reshape(b, c, 8 * rows, 8 * cols)


@lru_cache(maxsize=32)
def _matrix(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    match name:
        case "dct":
            j = np.arange(8)
            array = np.cos((2 * j + 1) * j[:, None] * np.pi / 16) / 2
            array[0] /= np.sqrt(2)
        case "ycbcr":
            array = np.array(YCBCR)
        case _:
            array = np.linalg.inv(np.array(YCBCR))
    return torch.from_numpy(array).to(device, dtype)


@lru_cache(maxsize=32)
def _table(name: str, quality: int, own: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    luma = name == "luma"
    found = _own_tables(own)[0 if luma else 1] if own else table(LUMA if luma else CHROMA, quality)
    return torch.from_numpy(found).to(device, dtype)


@lru_cache(maxsize=32)
def _own_tables(text: str) -> np.ndarray:
    """(2, 8, 8): luma and chroma."""
    w, h, data = packed.read(text, "pair of tables", 16, lambda w, h: w * h)
    found = np.frombuffer(data, np.uint8).astype(np.int64)
    if (w, h) != (8, 16) or found.min() < 1:
        raise OperatorError("jpeg: tables are two of 8x8 numbers from 1 to 255. Leave them out, or give the JPEG file itself.")
    return found.reshape(2, 8, 8)


def told(image: Image.Image) -> dict[str, Any]:
    """The knobs that the file of a picture tells, if it is a JPEG: subsampling, and quality or its own tables; otherwise none.

    Of a file that its EXIF turned, the tables are turned with it.

    Args:
        image: as it was read (`redgui.reading`), or as Pillow opened it; resized, cropped or converted it tells nothing.
    """
    image = reading.read(image)
    origin = reading.origin(image)
    tables, subsampling = origin.jpeg.get("qtables"), SAMPLINGS.get(origin.jpeg.get("subsampling"))
    if not tables or image.size != origin.size:
        return {}
    if subsampling is None and origin.grey and len(tables) == 1:
        subsampling = "444"
    lies = origin.turned >= 5
    if subsampling is None or (lies and subsampling == "422"):
        return {}
    rows, columns = JPEG(subsampling=subsampling).unit
    if origin.turned != 1 and (image.height % rows or image.width % columns):  # its blocks begin at another corner
        return {}
    found = np.array([tables[0], tables.get(1, tables[0])]).reshape(2, 8, 8)
    found = found.transpose(0, 2, 1) if lies else found
    for quality in range(1, 101):
        usual = np.stack([table(LUMA, quality), table(CHROMA, quality)])
        if np.array_equal(found[: len(tables)], usual[: len(tables)]):  # of grey there is no chroma, which is 0 by any table
            return {"subsampling": subsampling, "quality": quality}
    if found.max() > 255:
        return {}
    return {"subsampling": subsampling, "tables": packed.text(8, 16, found.astype(np.uint8).tobytes())}


@lru_cache(maxsize=32)
def _resampling(n: int, way: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One axis of chroma: `averaged` in pairs (n, 2n), `enlarged` (2n, n), and `undone`, a left inverse of it (n, 2n).

    Enlarging is libjpeg's triangle filter: 3/4 of the nearer and 1/4 of the farther value.
    """
    averaged = np.kron(np.eye(n), [[0.5, 0.5]])
    before, after = np.eye(n)[[0, *range(n - 1)]], np.eye(n)[[*range(1, n), n - 1]]
    enlarged = np.stack([0.75 * np.eye(n) + 0.25 * before, 0.75 * np.eye(n) + 0.25 * after], 1).reshape(2 * n, n)
    undone = np.linalg.solve(averaged @ enlarged, averaged)
    return torch.from_numpy({"averaged": averaged, "enlarged": enlarged, "undone": undone}[way]).to(device, dtype)
