"""What a person is given back of a run: the restoration, with all that the picture had and the sampler need not guess.

    kept pixels     an inpainting without noise has measured them: they are the measurement's, whatever the sampler made of them
    grey            a grey picture comes back grey, unless its colours were what was looked for
    transparency    as the picture had it; what was filled in is opaque
    profile         the result says sRGB where the picture had a profile

The sampler's own estimate stays beside it (`restored-raw.png`): records, and the figures of a run, are of that one.
"""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import images
from redgui.fitting import Fitting
from redgui.operators import Inpaint, Operator
from redgui.reading import Origin, on_white
from redgui.reading.pictures import KEY
from redgui.runs.problem import Problem

LUMA = (0.299, 0.587, 0.114)  # as Pillow's "L" weighs them


def finished(raw: Tensor, picture: Tensor, problem: Problem) -> Tensor:
    """What a sampler made (n, c, h, w), its estimate or particles, as it is given back, in the same units.

    Args:
        picture: what was fitted, (1, c, h', w'): the original, or the measurement itself.
    """
    restored = raw
    if raw.shape[1] == 3 and is_grey(picture) and not _looks_for_colour(problem):
        weights = torch.tensor(LUMA, dtype=raw.dtype, device=raw.device)[:, None, None]
        restored = (weights * raw).sum(1, keepdim=True).expand_as(raw)
    if isinstance(problem.H, Inpaint) and problem.noiseless:
        keep = problem.H.keep(*raw.shape[-2:]).to(raw.device)
        restored = torch.where(keep, problem.y.to(raw), restored)
    return restored


def is_grey(picture: Tensor) -> bool:
    """Whether all channels of a picture (b, c, h, w) are equal."""
    return bool((picture == picture[:, :1]).all())


def fitted(restored: Tensor, source: Image.Image | None, fitting: Fitting | None, H: Operator) -> Image.Image:
    """`finished` as a picture to be saved, (h, w) of the tensor; without a source only its pixels and whether it is grey."""
    image = images.to_pil(restored)
    if source is None or fitting is None:
        return image.convert("L") if is_grey(restored) else image
    origin = images.origin(source)
    if origin.rgba is not None:
        origin = replace(origin, rgba=_fitted(origin.rgba, fitting, image.size))
    hole = H.hole(*restored.shape[-2:]) if isinstance(H, Inpaint) else None
    return dressed(image, origin, hole, is_grey(restored))


def whole(restored: Tensor, source: Image.Image, fitting: Fitting, H: Operator, drawn: np.ndarray | None = None) -> Image.Image:
    """`finished` at the picture's own size (`full_size`) as a picture to be saved.

    Args:
        drawn: (h0, w0), the hole where it was drawn on the picture itself.
    """
    full = full_size(fitting, source, restored, H, drawn)
    hole = None
    if isinstance(H, Inpaint):
        hole = fitting.hole_of_picture(H.hole(*fitting.size))
        hole = hole if drawn is None else drawn & fitting.hole_of_picture(np.ones(fitting.size, bool))  # none beside a crop
    return dressed(full, images.origin(source), hole, images.origin(source).grey and is_grey(restored))


def full_size(
    fitting: Fitting, original: Image.Image, restored: Tensor, H: Operator, hole: np.ndarray | None = None
) -> Image.Image:
    """The restoration at the picture's own shape and size.

    Args:
        original: the picture that was fitted, RGB.
        restored: (1, c, h, w).
        hole: (h0, w0) where an inpainting's mask was drawn on the picture itself; None: that of H, enlarged.
    """
    channels = restored.shape[1]
    original = original.convert("L").convert("RGB") if channels == 1 else original  # grey all over, as what is restored
    if not isinstance(H, Inpaint):
        return fitting.undo(restored, original)
    h, w = fitting.size
    low = H.hole(h, w)
    # Beside the hole the measured pixels lead into it, not the sampler's estimate of them: the edge shows less.
    measured = images.to_tensor(fitting.apply(original), channels).to(restored)
    blended = torch.where(torch.from_numpy(low.copy()).to(restored.device), restored, measured)
    return fitting.undo(blended, original, low if hole is None else hole)


def dressed(image: Image.Image, origin: Origin, hole: np.ndarray | None, grey: bool) -> Image.Image:
    """An RGB picture with transparency and profile of its origin (of its size, or enlarged), and as one of grey if it is."""
    result = image.convert("L") if grey else image.convert("RGB")
    if origin.rgba is not None:
        rgba = origin.rgba if origin.rgba.size == image.size else origin.rgba.resize(image.size, Image.Resampling.BICUBIC)
        alpha = np.array(rgba.getchannel("A"))
        if hole is not None and hole.shape == alpha.shape:
            alpha[hole] = 255
        pixels, own = np.asarray(image.convert("RGB")), np.asarray(rgba)
        colours = _without_white(pixels, alpha)
        untouched = (pixels == np.asarray(on_white(rgba))).all(-1) & (alpha == own[..., 3])
        colours[untouched] = own[..., :3][untouched]
        result = Image.fromarray(colours).convert(result.mode)
        result.putalpha(Image.fromarray(alpha))
    result.info = {}
    result.info[KEY] = replace(origin, rgba=None)
    if origin.profile and not grey:
        result.info["icc_profile"] = origin.profile
    return result


def _without_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colours (h, w, 3) that lie on white with this transparency as these pixels; white itself where all is clear."""
    share = alpha[..., None] / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 255 - (255 - pixels.astype(np.float64)) / share
    return np.where(share > 0, found.clip(0, 255), 255).round().astype(np.uint8)


def _fitted(rgba: Image.Image, fitting: Fitting, size: tuple[int, int]) -> Image.Image:
    """A picture with its transparency, fitted as its colours on white were, and as large as what was restored of it."""
    alpha = fitting.apply(rgba.getchannel("A").convert("RGB"))
    colours, alpha = (np.asarray(_as_restored(part, fitting, size)) for part in (fitting.apply(on_white(rgba)), alpha))
    return Image.fromarray(np.dstack([_without_white(colours, alpha[..., 0]), alpha[..., 0]]))


def _as_restored(picture: Image.Image, fitting: Fitting, size: tuple[int, int]) -> Image.Image:
    """A fitted picture at the size of what was restored: as many times larger, with its edges beyond its frame."""
    k, (left, top, *_), (x, y, *_) = fitting.times, fitting.shown, fitting.inner
    if k != 1:
        picture = picture.resize((picture.width * k, picture.height * k), Image.Resampling.BICUBIC)
    if size != fitting.solved[::-1]:  # only what is shown of it
        return picture.crop((k * x, k * y, k * x + size[0], k * y + size[1]))
    before, right, below = (top - k * y, left - k * x), size[0] - picture.width, size[1] - picture.height
    edges = (before[0], below - before[0]), (before[1], right - before[1]), (0, 0)
    return Image.fromarray(np.pad(np.asarray(picture), edges, mode="edge"))


def _looks_for_colour(problem: Problem) -> bool:
    """Whether one channel was measured of a picture of three."""
    return problem.y.ndim == 4 and problem.y.shape[1] == 1
