"""A picture of any shape brought to what a prior takes, and the restoration taken back to the picture's own shape and size.

    crop     the largest centred part of the prior's aspect, resized
    pad      the whole picture, resized until it fits, mirrored at its edges to fill the rest
    stretch  the whole picture, resized to the prior's size whatever its aspect
    native   the whole picture at its own size, made smaller only beyond 12 megapixels or where a longest side is given,
             mirrored to sides that the network takes; for priors of any size
    face     the largest face, turned and moved to where the face prior has its faces (`redgui.faces`)

The first four are one map: a box of the picture is resized to a rectangle within h x w, and what is left is mirrored. Undoing
it resizes that rectangle back into the box. What an operator measured that is `framed` is not mirrored. Around an inpainted
hole the picture's own pixels stay, bit for bit: no blend across its edge lets what is damaged shine through.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import images, knobs
from redgui.fitted_masks import read_mask as read_mask
from redgui.images import ImageError
from redgui.operators import Inpaint, Operator, OperatorError, masks
from redgui.priors.base import LARGEST, MOST, SMALLEST, Prior

Planned = Literal["crop", "pad", "stretch", "native"]  # by the sizes alone
Way = Literal[Planned, "face"]
WAYS: tuple[Planned, ...] = get_args(Planned)
Size = tuple[int, int]


@dataclass(frozen=True)
class Fitting:
    """How a picture becomes one of h x w, and back.

    Attributes:
        how: crop, pad, stretch, native or face.
        original: (h0, w0) of the picture.
        size: (h, w) that it is fitted to.
        box: left, top, right, bottom in the picture, in pixels (a crop may begin within a pixel).
        inner: left, top, right, bottom of the rectangle within h x w that the box is resized to.
        solved: (h, w) of the pictures that the sampler works on: `size`, unless the picture is a measurement of another size.
        times: how many times larger `solved` is than `size`, but for what that does not divide.
    """

    how: Way
    original: Size
    size: Size
    box: tuple[float, float, float, float]
    inner: tuple[int, int, int, int]
    solved: Size
    times: int = 1

    @property
    def shown(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom of the part of `solved` that shows the picture: it is not mirrored, nor left over."""
        k = self.times
        top, left = ((n - k * m) // 2 // k * k for n, m in zip(self.solved, self.size, strict=True))
        return left + k * self.inner[0], top + k * self.inner[1], left + k * self.inner[2], top + k * self.inner[3]

    def pixels_kept(self, grid: int = 1) -> bool:
        """Whether the pixels are those of the picture itself, of a part that begins at multiples of `grid`."""
        (left, top, right, bottom), inner = self.box, self.inner
        sides = (right - left, bottom - top) == (inner[2] - inner[0], inner[3] - inner[1])
        return sides and left % grid == top % grid == 0

    @property
    def same(self) -> bool:
        """Whether the picture is already as the prior takes it."""
        return self.original == self.size

    @property
    def working(self) -> str:
        """The size of what is worked on, for people: `256x192`, and what became of the picture where that is not its own."""
        (left, top, right, bottom), (h0, w0) = self.inner, self.original
        own = f"{right - left}x{bottom - top}"
        part = f"{round(self.box[2] - self.box[0])}x{round(self.box[3] - self.box[1])}"
        of = f"{w0}x{h0}" if part == f"{w0}x{h0}" else f"{part} of {w0}x{h0}"
        return own if own == of else f"{own}, a part of {w0}x{h0}" if own == part else f"{own}, resized from {of}"

    @property
    def scale(self) -> float:
        """How many pixels of the picture one of the fitted picture holds, along the side where it is more."""
        (left, top, right, bottom), (x0, y0, x1, y1) = self.box, self.inner
        return max((right - left) / (x1 - x0), (bottom - top) / (y1 - y0))

    def apply(self, image: Image.Image) -> Image.Image:
        """The RGB picture at h x w."""
        if self.same:
            return image
        if self.how == "crop":
            return images.fit(image, *self.size)
        left, top, right, bottom = self.inner
        resized = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=self.box)
        return Image.fromarray(np.pad(np.asarray(resized), (*self._around, (0, 0)), mode="symmetric"))

    def hole(self, mask: np.ndarray) -> np.ndarray:
        """A mask (h0, w0) of the picture as one of h x w, mirrored with it. True = to be filled in.

        Every pixel that holds any of the hole belongs to it, so that nothing of what is damaged counts as measured. Where that
        would leave nothing (holes in every cell of a picture made much smaller) the nearest pixels are taken.
        """
        rows, cols = (self._cells(axis) for axis in (0, 1))
        # Sums over rectangles by a summed-area table: [end] - [begin] along both axes.
        table = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        count = np.diff(table[np.stack(rows)], axis=0)[0]
        covered = np.diff(count[:, np.stack(cols)], axis=1)[:, 0] > 0
        if covered.all():
            nearest = [((a + b) // 2) for a, b in (rows, cols)]
            covered = mask[np.ix_(*nearest)]
        return np.pad(covered, self._around, mode="symmetric")

    def undo(self, restored: Tensor, original: Image.Image, hole: np.ndarray | None = None) -> Image.Image:
        """The restoration (1, c, h', w') at the picture's own size; outside a crop, and outside a hole, the picture itself.

        Args:
            restored: of the size `solved`, or what of it is `shown`; the result is `times` larger than the picture.
            original: the picture that was fitted, RGB.
            hole: (h0, w0) or (h, w), what was to be filled in; None where all of the picture was degraded.
        """
        h0, w0 = (n * self.times for n in self.original)
        whole = original if original.size == (w0, h0) else original.resize((w0, h0), Image.Resampling.BICUBIC)
        box = [v * self.times for v in self.box]
        # Of a box that begins within a pixel only whole pixels are replaced.
        left, top, right, bottom = (round(v) if abs(v - round(v)) < 1e-6 else int(v) + (k < 2) for k, v in enumerate(box))
        if right <= left or bottom <= top:  # of a picture one pixel high a crop may hold no whole pixel
            return whole
        part = images.to_pil(restored).crop(self.shown if restored.shape[-2:] == self.solved else None)
        if part.size != (right - left, bottom - top):
            sx, sy = part.width / (box[2] - box[0]), part.height / (box[3] - box[1])
            source = ((left - box[0]) * sx, (top - box[1]) * sy, (right - box[0]) * sx, (bottom - box[1]) * sy)
            x0, y0, x1, y1 = (min(max(v, 0), part.size[k % 2]) for k, v in enumerate(source))
            part = part.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))
        if hole is None:
            whole = whole.copy()
            whole.paste(part, (left, top))
            return whole
        hole = hole if hole.shape == self.original else self.hole_of_picture(hole)
        pixels, filled = np.array(whole), np.zeros((h0, w0, 3), np.uint8)
        filled[top:bottom, left:right] = np.asarray(part)
        replaced = masks.resized(hole, h0, w0)
        replaced[:top], replaced[bottom:], replaced[:, :left], replaced[:, right:] = False, False, False, False
        pixels[replaced] = filled[replaced]
        return Image.fromarray(pixels)

    def hole_of_picture(self, hole: np.ndarray) -> np.ndarray:
        """A mask (h, w) on the fitted picture as one of the picture itself, (h0, w0), by the nearest pixel."""
        found, inside = [], []
        for axis in (0, 1):
            lo, hi = self.box[1 - axis], self.box[3 - axis]
            first, last = self.inner[1 - axis], self.inner[3 - axis]
            centres = np.arange(self.original[axis]) + 0.5
            at = np.floor(first + (centres - lo) * (last - first) / (hi - lo)).astype(int)
            found.append(at.clip(first, last - 1))
            inside.append((centres >= lo) & (centres <= hi))
        return hole[np.ix_(*found)] & inside[0][:, None] & inside[1][None, :]

    @property
    def _around(self) -> tuple[tuple[int, int], tuple[int, int]]:
        (h, w), (left, top, right, bottom) = self.size, self.inner
        return (top, h - bottom), (left, w - right)

    def _cells(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """For every row (or column) of the inner rectangle the first row of the picture in it, and the one after the last."""
        lo, hi = self.box[1 - axis], self.box[3 - axis]
        n = self.inner[3 - axis] - self.inner[1 - axis]
        edges = lo + np.arange(n + 1) * (hi - lo) / n
        begin = np.floor(edges[:-1] + 1e-6).astype(int)
        end = np.ceil(edges[1:] - 1e-6).astype(int)
        return begin, np.minimum(np.maximum(end, begin + 1), self.original[axis])


def plan(original: Size, prior: Size, how: str = "crop", *, multiple: int = 0, longest: int | None = None,
         H: Operator | None = None, given: bool = False, room: bool = True) -> Fitting:  # fmt: skip
    """The fitting of a picture of `original` (h0, w0) for a prior, in a way that needs no look at it: any but face.

    Args:
        prior: (h, w) of the prior's pictures.
        multiple: of which the sides of its pictures must be; 0 where it takes no size but its own (`Prior.multiple`).
        how: one of them, or `auto` (`way`).
        longest: longest side of `native`; None: the picture's own.
        H: the operator. `native` finds sides that it takes; with `given` the picture is its measurement, and there is room
            around it for what the measurement depends on beyond its frame.
        room: whether pictures may be larger than the prior's for that.

    Raises:
        ImageError: the way is none of them, or the prior does not take it.
    """
    how = way(how, multiple, longest)
    if how == "face":
        raise ImageError("the fit face is found in a picture; give the picture itself (`fitting.for_picture`).")
    if how == "native":
        return _native(original, multiple, prior, longest, H, given)
    scale, beyond, framed = (H.scale, H.overlap, H.framed) if H is not None and given else (1, 0, False)
    around, step = 2 * beyond, math.lcm(max(1, multiple), scale)
    h, w = ((n if room else n - around) // scale for n in prior)
    solved = (-(-(h * scale + around) // step) * step, -(-(w * scale + around) // step) * step) if around and room else prior
    h0, w0 = original
    if how == "crop":
        wide = w0 * h >= h0 * w
        cw, ch = (w / h * h0, float(h0)) if wide else (float(w0), h / w * w0)
        box = ((w0 - cw) / 2, (h0 - ch) / 2, (w0 + cw) / 2, (h0 + ch) / 2)
        return Fitting("crop", original, (h, w), box, (0, 0, w, h), solved, scale)
    if how == "stretch":
        return Fitting("stretch", original, (h, w), (0.0, 0.0, float(w0), float(h0)), (0, 0, w, h), solved, scale)
    k = min(h / h0, w / w0)
    inner = (max(1, round(h0 * k)), max(1, round(w0 * k)))
    return _centred("pad", original, inner if framed else (h, w), solved, inner, scale)


def _native(original: Size, multiple: int, prior: Size, longest: int | None, H: Operator | None, given: bool) -> Fitting:
    if not multiple:
        raise ImageError(
            f"the fit native is for priors that take any size; this one takes {prior[1]}x{prior[0]} alone. "
            "Choose crop, pad or stretch, or another prior."
        )
    if longest is not None and not SMALLEST <= longest <= LARGEST:
        raise ImageError(f"the longest side of the fit native lies in {SMALLEST} to {LARGEST}; got {longest}.")
    # A measurement is smaller than the picture that is restored, by its scale and by what lies beyond its frame.
    scale, beyond, grid, framed = (H.scale, H.overlap, H.grid, H.framed) if H is not None and given else (1, 0, 1, False)
    h0, w0 = (n * scale for n in original)
    if given and longest is None and h0 * w0 > MOST and not isinstance(H, Inpaint):  # smaller, it would be measured otherwise
        raise ImageError(
            f"the picture would be worked on at {w0}x{h0} pixels, at most {MOST / 1e6:.3g} million are. Cut out a part of it; "
            "or give a size, its longest side: made smaller, it no longer fits exactly what it was measured with."
        )
    k = min(1.0, (longest or LARGEST) / max(h0, w0), (MOST / (h0 * w0)) ** 0.5)
    inner = (max(1, round(original[0] * k)), max(1, round(original[1] * k)))

    def sides(step: int) -> Size:
        least = SMALLEST if multiple > 1 else 1
        h, w = (-(-max(n * scale + 2 * beyond, least) // step) * step for n in inner)
        return h, w

    found = sides(multiple)
    # Sides that the operator takes, too: a factor of super-resolution, whole blocks of a JPEG.
    for step in range(multiple, 65, multiple):
        size = sides(step)
        if max(size) <= LARGEST and all(n % scale == 0 for n in size) and _takes(H, *size):
            found = size
            break
    h, w = (n // scale for n in found)
    return _centred("native", original, inner if framed else (h, w), found, inner, scale, grid // scale)


def _takes(H: Operator | None, h: int, w: int) -> bool:
    try:
        if H is not None:
            H.check_size(h, w)
    except OperatorError:
        return False
    return True


def _centred(how: Way, original: Size, size: Size, solved: Size, inner: Size, times: int = 1, grid: int = 1) -> Fitting:
    (h, w), (ih, iw) = size, inner
    top, left = ((n - m) // 2 // grid * grid for n, m in ((h, ih), (w, iw)))
    box = (0.0, 0.0, float(original[1]), float(original[0]))
    return Fitting(how, original, size, box, (left, top, left + iw, top + ih), solved, times)


def usual(multiple: int) -> Way:
    """The way to fit where none was chosen: a picture's own size where a network takes any (`Prior.multiple`)."""
    return "native" if multiple > 1 else "crop"


def way(how: str, multiple: int, longest: int | None = None) -> Way:
    """A way to fit itself; for `auto` the `usual` one, or native where there is a longest side. Raises ImageError."""
    ways: tuple[Way, ...] = get_args(Way)
    found: dict[str, Way] = {"auto": usual(multiple) if longest is None else "native", **{one: one for one in ways}}
    if not isinstance(how, str) or how not in found:
        raise ImageError(f"a picture is fitted by {', '.join(ways)}; got {knobs.shown(how)}.")
    if longest is not None and found[how] != "native":
        raise ImageError(f"a size goes with the fit native; got {how}, where pictures have the prior's. Leave the size out.")
    return found[how]


def for_picture(image: Image.Image, prior: Size, how: str = "auto", *, multiple: int = 0, longest: int | None = None,
                H: Operator | None = None, given: bool = False, room: bool = True) -> Fitting:  # fmt: skip
    """`plan` for a picture, by the ways that look at it, too."""
    if way(how, multiple, longest) == "face":
        from redgui import faces  # with its networks, for who asks for it

        return faces.aligned(image, plan(prior, prior, "crop", multiple=multiple, H=H, given=given, room=room))
    size = image.height, image.width
    return plan(size, prior, how, multiple=multiple, longest=longest, H=H, given=given, room=room)


def for_prior(image: Image.Image, prior: Prior, how: str = "auto", longest: int | None = None, H: Operator | None = None,
              given: bool = False) -> Fitting:  # fmt: skip
    """`for_picture` for a prior that is loaded."""
    h, w = prior.picture_shape[-2:]
    room = prior.shape == prior.picture_shape  # a latent prior decodes pictures of one size
    return for_picture(image, (h, w), how, multiple=prior.multiple, longest=longest, H=H, given=given, room=room)
