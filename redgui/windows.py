"""Windows around the holes of a mask: where alone an inpainting has anything to find.

A hole is grown by a context as wide as the hole itself (8 to 96 pixels), so that a thin scratch needs little around it and a
wide one is shown more. Every block of the mask that holds any of a hole begins with a window of its own; then those two become
one that save the most pixels by it, until none do. So near holes share a window, a slanting scratch becomes a row of small ones
that overlap, and a solid hole stays whole. Windows begin and end at multiples of the network's own.
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
NARROWEST, WIDEST = 8, 96  # pixels of context: with 8 around a scratch the hole is filled in as well as with 32
LEAST, STEP = 64, 32  # sides of a window: networks are trained at no less; few shapes, for those of one go together
WORTH = 0.6  # of the picture: beyond it the whole is solved
EACH = 1024  # pixels that one window more costs beside its own
BLOCK, BLOCKS = 48, 500  # side of a block in pixels, doubled until there are no more of them than that
SHOWN = 2_000_000  # pixels of a picture that is worked on whole, though in windows


def around(hole: np.ndarray, multiple: int) -> tuple[Box, ...]:
    """The windows for a mask (h, w), True = to be filled in; none where nothing is, or where the whole picture is as cheap.

    Args:
        multiple: of which the sides of pictures must be, and those of the mask are.
    """
    grid = Grid(hole, max(8, multiple))
    if not grid.cells.any() or grid.least() > WORTH * hole.size:
        return ()
    boxes = grid.merged()
    cost = int(_areas(boxes).sum()) + EACH * len(boxes)
    return tuple(sorted(map(tuple, boxes.tolist()))) if cost <= WORTH * hole.size else ()


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
        return padded.reshape(h // self.unit, self.unit, w // self.unit, self.unit).max((1, 3))

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

    def blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """The blocks that hold any of a hole, in cells and no larger than that needs, (n, 4); and their `depth`, (n,)."""
        side = -(-BLOCK // self.unit)
        while True:
            tops, lefts = (range(0, n, side) for n in self.cells.shape)
            found = [(top, left) for top in tops for left in lefts if self.cells[top : top + side, left : left + side].any()]
            if len(found) <= BLOCKS:
                break
            side *= 2
        parts = []
        for top, left in found:
            inside = self.cells[top : top + side, left : left + side]
            rows, cols = inside.nonzero()
            parts.append((top + rows.min(), left + cols.min(), top + rows.max() + 1, left + cols.max() + 1))
        return np.array(parts), np.array([self.depth[t:b, le:r].max() for t, le, b, r in parts])

    def merged(self) -> np.ndarray:
        """The windows, (n, 4) in pixels."""
        parts, depth = self.blocks()
        cost = _areas(self.grown(parts, depth)) + EACH
        left = np.ones(len(parts), bool)

        def savings(k: int) -> np.ndarray:
            """What each would save as one with the k-th."""
            both = np.hstack([np.minimum(parts[:, :2], parts[k, :2]), np.maximum(parts[:, 2:], parts[k, 2:])])
            saved = cost + cost[k] - _areas(self.grown(both, np.maximum(depth, depth[k]))) - EACH
            saved[~left], saved[k] = -1, -1
            return saved

        saved = np.stack([savings(k) for k in range(len(parts))])
        while saved.max() > 0:
            k, other = np.unravel_index(saved.argmax(), saved.shape)
            parts[k] = [*np.minimum(parts[k, :2], parts[other, :2]), *np.maximum(parts[k, 2:], parts[other, 2:])]
            depth[k] = max(depth[k], depth[other])
            cost[k], left[other] = cost[k] + cost[other] - saved[k, other], False
            saved[other], saved[:, other] = -1, -1
            saved[k] = savings(int(k))
            saved[:, k] = saved[k]
        return self.grown(parts, depth)[left]

    def grown(self, parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """The windows of rectangles of cells with holes of a depth, (n, 4) in pixels: with context, and within the picture."""
        context = ((2 * depth - 1) * self.unit).clip(NARROWEST, WIDEST)
        context = (-(-context // self.unit) * self.unit)[:, None]
        n = np.array(self.hole.shape)
        least, step = (-(-sides // self.unit) * self.unit for sides in (LEAST, STEP))
        lo, hi = (self.unit * parts[:, :2] - context).clip(0), np.minimum(self.unit * parts[:, 2:] + context, n)
        length = np.minimum(np.maximum(-(-(hi - lo) // step) * step, least), n)
        begin = (lo - (length - (hi - lo)) // 2 // self.unit * self.unit).clip(0, n - length)
        return np.hstack([begin, begin + length])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def closer(fitted: Fitting, H: Operator, multiple: int) -> tuple[Fitting, Operator]:
    """For a large picture with few holes that a person has painted: the part of it that has all windows, and its inpainting.

    It is for measurements without noise. Elsewhere both as they are: a picture of up to 2 megapixels is shown whole while it is
    worked on.
    """
    h, w = fitted.size
    if not (isinstance(H, Inpaint) and H.kind == "mask" and fitted.how == "native" and solved_in_windows(H, 0.0, multiple)):
        return fitted, H
    hole = H.hole(h, w)
    if h * w <= SHOWN or not (boxes := around(hole, multiple)):
        return fitted, H
    top, left, bottom, right = (pick(box[k] for box in boxes) for k, pick in enumerate((min, min, max, max)))
    if (bottom - top) * (right - left) > WORTH * h * w:
        return fitted, H
    return _part_of(fitted, (top, left, bottom, right)), of_mask(hole[top:bottom, left:right])


def _part_of(fitted: Fitting, window: Box) -> Fitting:
    """The fitting to a window of what a picture is fitted to; what is mirrored beyond the picture's edges stays so."""
    (top, left, bottom, right), (x0, y0, x1, y1) = window, fitted.inner
    shown = max(left, x0), max(top, y0), min(right, x1), min(bottom, y1)
    across, down = (fitted.box[2] - fitted.box[0]) / (x1 - x0), (fitted.box[3] - fitted.box[1]) / (y1 - y0)
    box = (
        fitted.box[0] + (shown[0] - x0) * across, fitted.box[1] + (shown[1] - y0) * down,
        fitted.box[0] + (shown[2] - x0) * across, fitted.box[1] + (shown[3] - y0) * down,
    )  # fmt: skip
    inner = shown[0] - left, shown[1] - top, shown[2] - left, shown[3] - top
    size = bottom - top, right - left
    return replace(fitted, size=size, solved=size, box=box, inner=inner)


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
        widest = max(w for _, w in sides)
        across = max(widest, 2 * int(sum(h * w for h, w in sides) ** 0.5))
        tries = [_shelves(sides, width) for width in range(widest, across + STEP, STEP)]
        return min(tries, key=lambda places: max(box[2] for box in places) * max(box[3] for box in places))

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


def _shelves(sides: Sequence[tuple[int, int]], width: int) -> tuple[Box, ...]:
    """Places for rectangles (h, w) from left to right and shelf below shelf, the highest first."""
    found: dict[int, Box] = {}
    top = left = high = 0
    for k in sorted(range(len(sides)), key=lambda k: (-sides[k][0], -sides[k][1], k)):
        h, w = sides[k]
        if left + w > width:
            top, left, high = top + high, 0, 0
        found[k] = (top, left, top + h, left + w)
        left, high = left + w, max(high, h)
    return tuple(found[k] for k in range(len(sides)))


def part(x: Tensor, box: Box) -> Tensor:
    """The pixels of x (..., h, w) in a box."""
    return x[..., box[0] : box[2], box[1] : box[3]]


def _ramp(n: int) -> Tensor:
    """1 to n/2 and back."""
    k = torch.arange(n)
    return torch.minimum(k + 1, n - k).float()
