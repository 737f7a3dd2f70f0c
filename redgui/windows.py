"""Windows around the holes of a mask: where alone an inpainting has anything to find.

A hole is grown by a context as wide as the hole itself (16 to 96 pixels), so that a thin scratch needs little around it and a
wide one is shown more. Rectangles then cover the grown holes: a rectangle is cut in two, each part as small as its holes allow,
and the cut stays where both together have fewer pixels. So near holes share a window, a slanting scratch becomes a row of small
ones that overlap, and a solid hole stays whole. Windows begin and end at multiples of the network's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.fitting import Fitting
from redgui.operators.base import Operator
from redgui.operators.inpaint import Inpaint, of_mask

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels, the last two behind the end
NARROWEST, WIDEST = 16, 96  # pixels of context
LEAST = 64  # side of a window: networks of any size are trained at no less
WORTH = 0.6  # of the picture: beyond it the whole is solved
EACH = 1024  # pixels that one window more costs beside its own
SHOWN = 2_000_000  # pixels of a picture that is worked on whole, though in windows


def around(hole: np.ndarray, multiple: int) -> tuple[Box, ...]:
    """The windows for a mask (h, w), True = to be filled in; none where nothing is, or where the whole picture is as cheap.

    Args:
        multiple: of which sides of a picture must be, at least 8 pixels are taken; that of a picture's border may be any.
    """
    grid = Grid(hole, max(8, multiple))
    if not grid.cells.any() or grid.least() > WORTH * hole.size:
        return ()
    cost, boxes = grid.covered(grid.trimmed((0, 0, *grid.cells.shape)))
    return tuple(sorted(boxes)) if cost <= WORTH * hole.size else ()


@dataclass(frozen=True)
class Grid:
    """The cells of `unit` x `unit` pixels of a mask, and the rectangles of cells that cover its holes."""

    hole: np.ndarray
    unit: int

    @cached_property
    def cells(self) -> np.ndarray:
        """Which cells hold any of a hole."""
        h, w = (-(-n // self.unit) * self.unit for n in self.hole.shape)
        padded = np.pad(self.hole, ((0, h - self.hole.shape[0]), (0, w - self.hole.shape[1])))
        return padded.reshape(h // self.unit, self.unit, w // self.unit, self.unit).any((1, 3))

    @cached_property
    def depth(self) -> np.ndarray:
        """For every cell how often its hole can be eroded before it is gone: half the hole's width, rounded up."""
        left, depth = torch.from_numpy(self.cells)[None, None].float(), torch.zeros(1, 1, *self.cells.shape)
        for _ in range(-(-WIDEST // self.unit)):
            depth += left
            left = -F.max_pool2d(-left, 3, 1, 1)
        return depth[0, 0].numpy().astype(int)

    def least(self) -> float:
        """Pixels that every cover has at least: those of the holes and the least context."""
        reach = -(-NARROWEST // self.unit)
        grown = F.max_pool2d(torch.from_numpy(self.cells)[None, None].float(), 2 * reach + 1, 1, reach)
        return float(grown.sum()) * self.unit**2

    def trimmed(self, part: Box) -> Box:
        """The smallest rectangle of cells that holds all of a part's holes."""
        top, left, bottom, right = part
        inside = self.cells[top:bottom, left:right]
        rows, cols = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
        return top + int(rows[0]), left + int(cols[0]), top + int(rows[-1]) + 1, left + int(cols[-1]) + 1

    def context(self, part: Box) -> int:
        """Pixels around a part: as wide as its widest hole."""
        top, left, bottom, right = part
        width = (2 * int(self.depth[top:bottom, left:right].max()) - 1) * self.unit
        return min(max(-(-width // self.unit) * self.unit, NARROWEST), WIDEST)

    def grown(self, part: Box) -> Box:
        """The window of a part, in pixels."""
        context, (h, w) = self.context(part), self.hole.shape
        (top, bottom), (left, right) = (
            self._side(self.unit * lo - context, self.unit * hi + context, n)
            for lo, hi, n in ((part[0], part[2], h), (part[1], part[3], w))
        )
        return top, left, bottom, right

    def covered(self, part: Box) -> tuple[int, list[Box]]:
        """The cost in pixels, and the windows, of a trimmed part: the cheaper of one window and two parts' own."""
        window = self.grown(part)
        cost, boxes = (window[2] - window[0]) * (window[3] - window[1]) + EACH, [window]
        top, left, bottom, right = part
        if self.cells[top:bottom, left:right].all():
            return cost, boxes
        parts = [self.covered(self.trimmed(half)) for half in self._halves(part)]
        apart = sum(each for each, _ in parts)
        return (apart, [box for _, found in parts for box in found]) if apart < cost else (cost, boxes)

    def _side(self, lo: int, hi: int, n: int) -> tuple[int, int]:
        """A window's begin and end along a side of n pixels: within it, and long enough."""
        lo, hi = max(lo, 0), min(hi, n)
        length = min(max(-(-(hi - lo) // (2 * self.unit)) * 2 * self.unit, LEAST), n)
        begin = lo - (length - (hi - lo)) // 2 // self.unit * self.unit
        begin = min(max(begin, 0), n - length)
        return begin, begin + length

    def _halves(self, part: Box) -> tuple[Box, Box]:
        """A part cut in two where both halves, trimmed and with the part's context, have the fewest pixels."""
        top, left, bottom, right = part
        inside, around = self.cells[top:bottom, left:right], 2 * self.context(part) // self.unit
        (across, row), (along, col) = _cut(inside, around), _cut(inside.T, around)
        if across <= along:
            return (top, left, top + row, right), (top + row, left, bottom, right)
        return (top, left, bottom, left + col), (top, left + col, bottom, right)


def _cut(cells: np.ndarray, around: int) -> tuple[float, int]:
    """The cells of two grown rectangles that cover the rows before and after a cut, at the best cut, and that cut."""
    n = len(cells)
    if n < 2:
        return float("inf"), 0

    def grown(rows: np.ndarray) -> np.ndarray:
        """For each number of first rows the cells of the rectangle around their holes."""
        some = rows.any(1)
        first = np.where(some, rows.argmax(1), rows.shape[1])
        last = np.where(some, rows.shape[1] - rows[:, ::-1].argmax(1), 0)
        high = np.maximum.accumulate(np.where(some, np.arange(n) + 1, 0)) - int(some.argmax())
        wide = np.maximum.accumulate(last) - np.minimum.accumulate(first)
        return (high + around) * (wide + around)

    both = grown(cells)[:-1] + grown(cells[::-1])[:-1][::-1]  # the outer rows of a trimmed part are never empty
    cut = int(both.argmin())
    return float(both[cut]), cut + 1


def closer(fitted: Fitting, H: Operator, sigma_y: float, multiple: int) -> tuple[Fitting, Operator]:
    """For a large picture with few holes that a person has painted: the part of it that has all windows, and its inpainting.

    Elsewhere both as they are: a picture of up to 2 megapixels is shown whole while it is worked on.
    """
    h, w = fitted.size
    if not (isinstance(H, Inpaint) and H.kind == "mask" and fitted.how == "native" and solved_in_windows(H, sigma_y, multiple)):
        return fitted, H
    hole = H.hole(h, w)
    if h * w <= SHOWN or not (boxes := around(hole, multiple)):
        return fitted, H
    (top, left), (bottom, right) = ([pick(box[k] for box in boxes) for k in ks] for pick, ks in ((min, (0, 1)), (max, (2, 3))))
    if (bottom - top) * (right - left) > WORTH * h * w:
        return fitted, H
    # The part's rectangle in the picture's own pixels; what is mirrored beyond its edges stays so.
    within = np.array(fitted.inner)
    shown = np.clip((left, top, right, bottom), np.tile(within[:2], 2), np.tile(within[2:], 2))
    scale = np.divide((fitted.box[2] - fitted.box[0], fitted.box[3] - fitted.box[1]), within[2:] - within[:2])
    box = np.tile(fitted.box[:2], 2) + (shown - np.tile(within[:2], 2)) * np.tile(scale, 2)
    inner = shown - (left, top, left, top)
    size = (bottom - top, right - left)
    part_of = replace(fitted, size=size, solved=size, box=tuple(map(float, box)), inner=tuple(map(int, inner)))
    return part_of, of_mask(hole[top:bottom, left:right])


def solved_in_windows(H: Operator, sigma_y: float, multiple: int) -> bool:
    """Whether windows are asked for, and there is neither noise nor a prior that takes but one size."""
    return isinstance(H, Inpaint) and H.area == "holes" and sigma_y == 0 and multiple > 1


@dataclass(frozen=True)
class Packing:
    """Windows of a picture side by side on a canvas, in shelves.

    Attributes:
        boxes: in the picture.
        shape: (h, w) of the picture.
    """

    boxes: tuple[Box, ...]
    shape: tuple[int, int]

    @cached_property
    def places(self) -> tuple[Box, ...]:
        """Where the windows lie on the canvas, in their order."""
        sides = [(bottom - top, right - left) for top, left, bottom, right in self.boxes]
        width = max(max(w for _, w in sides), int(sum(h * w for h, w in sides) ** 0.5))
        found: dict[int, Box] = {}
        top = left = high = 0
        for k in sorted(range(len(sides)), key=lambda k: (-sides[k][0], -sides[k][1], k)):
            h, w = sides[k]
            if left + w > width:
                top, left, high = top + high, 0, 0
            found[k] = (top, left, top + h, left + w)
            left, high = left + w, max(high, h)
        return tuple(found[k] for k in range(len(sides)))

    @property
    def canvas(self) -> tuple[int, int]:
        """(h, w) of the canvas."""
        return max(box[2] for box in self.places), max(box[3] for box in self.places)

    def pack(self, x: Tensor) -> Tensor:
        """The windows of a picture (..., h, w) on a canvas, 0 beside them."""
        canvas = x.new_zeros(*x.shape[:-2], *self.canvas)
        for box, place in zip(self.boxes, self.places, strict=True):
            part(canvas, place).copy_(part(x, box))
        return canvas

    def unpack(self, canvas: Tensor, x: Tensor) -> Tensor:
        """A picture x (b, c, h, w) with the windows of a canvas in their places; where windows overlap they fade over."""
        x = x.clone()
        for box in self.boxes:
            part(x, box).zero_()
        for box, place, share in zip(self.boxes, self.places, self._shares, strict=True):
            part(x, box).add_(part(canvas, place) * share.to(x))
        return x

    @cached_property
    def _shares(self) -> Sequence[Tensor]:
        """The weight of each window's pixels, (h, w): more of the window in whose middle they lie; all windows' together 1."""
        total, ramps = torch.zeros(self.shape), []
        for box in self.boxes:
            rows, cols = (_ramp(hi - lo) for lo, hi in ((box[0], box[2]), (box[1], box[3])))
            ramps.append(rows[:, None] * cols)
            part(total, box).add_(ramps[-1])
        return [ramp / part(total, box) for ramp, box in zip(ramps, self.boxes, strict=True)]


def part(x: Tensor, box: Box) -> Tensor:
    """The pixels of x (..., h, w) in a box."""
    return x[..., box[0] : box[2], box[1] : box[3]]


def _ramp(n: int) -> Tensor:
    """1 to n/2 and back."""
    k = torch.arange(n)
    return torch.minimum(k + 1, n - k).float()
