"""The classics: restoration without a network, as a first answer, as a start for a sampler, and to be measured against.

    restored(Inpaint(kind="text"), y, 0.0)                    (b, c, h, w), by what suits the operator
    restored(Denoise(), y, 0.2, "tv")
    methods(Blur(), 0.0)                                      ("wiener", "richardson-lucy"), the most suitable first

They are scikit-image's where it has them. What goes back through a degradation (Wiener's filter, Richardson-Lucy) does so by
the operator itself, so that its kernel, its border and its masks are those of the measurement.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.classics import filling
from redgui.operators import JPEG, Blur, Denoise, Inpaint, Quantize, SuperRes
from redgui.operators.base import LinearOperator, Operator
from redgui.operators.jpeg import LUMA, table

Method = Literal["auto", "biharmonic", "harmonic", "patches", "mixed", "nlm", "tv", "wiener", "richardson-lucy", "bicubic"]

WIDE = 14.0  # pixels: in a wider hole a surface that bends least overshoots, and texture is missed
FILLS = {"harmonic": filling.harmonic, "patches": filling.patches, "mixed": filling.mixed}
UNNOISED = 1e-4  # of Wiener's filter where there is no noise: the variance of the rounding of pixels, and some more


def methods(H: Operator, sigma_y: float) -> tuple[str, ...]:
    """The methods that can work with an operator, the one that `auto` takes first (of a wide hole, see `chosen`); or none."""
    smoothing, filled = ("nlm", "tv"), ("biharmonic", *FILLS)
    match H:
        case Inpaint():
            return (*smoothing, *filled) if sigma_y > 0 else (*filled, *smoothing)
        case Denoise():
            return (*smoothing, "wiener")
        case JPEG() | Quantize():
            return smoothing
        case SuperRes():
            return ("bicubic", "wiener")
        case Blur():
            return ("wiener", "richardson-lucy")
    return ("wiener",) if isinstance(H, LinearOperator) else ()


def chosen(H: Operator, y: Tensor, sigma_y: float, method: str = "auto") -> str:
    """The method itself, and for `auto` the one that suits the operator, its noise and the width of its hole."""
    if method != "auto":
        return method
    wide = hole_width(H, *y.shape[-2:]) if sigma_y == 0 and isinstance(H, Inpaint) else None
    return methods(H, sigma_y)[0] if wide is None or wide <= WIDE else "mixed"


def hole_width(H: Operator, h: int, w: int) -> float | None:
    """How wide an inpainting's hole is at its widest, in pixels of h x w (`filling.width`); None for another operator."""
    return filling.width(H.hole(h, w)) if isinstance(H, Inpaint) else None


@torch.no_grad()
def restored(H: Operator, y: Tensor, sigma_y: float, method: str = "auto") -> Tensor:
    """The picture (b, c, h, w) that a classic makes of a measurement y; equal measurements of a batch are restored once.

    Args:
        H: one that `methods` has a method for.
        sigma_y: standard deviation of the noise, [-1, 1] units.
        method: one of `methods(H, sigma_y)`, or auto.
    """
    how = chosen(H, y, sigma_y, method)
    if len(y) > 1 and bool((y == y[:1]).all()):
        return restored(H, y[:1], sigma_y, how).repeat(len(y), 1, 1, 1)
    match how:
        case "wiener" if isinstance(H, LinearOperator):
            return wiener(H, y, sigma_y)
        case "richardson-lucy" if isinstance(H, Blur):
            return richardson_lucy(H, y, 30 if sigma_y == 0 else 8)
        case "bicubic" if isinstance(H, SuperRes):
            larger = F.interpolate(y, scale_factor=float(H.factor), mode="bicubic", antialias=True)
            return H.beyond.extended(larger.clamp(-1, 1))
    if isinstance(H, Inpaint):
        y = by_picture(partial(_filled, H, FILLS.get(how, filling.biharmonic)), y)
    elif isinstance(H, Quantize):
        y = H.start(y)
    sigma = noise_in(H, sigma_y)
    smooth = {"nlm": _nlm, "tv": _tv}.get(how)
    return y if smooth is None or sigma == 0 else by_picture(partial(smooth, sigma), y)


def by_picture(make: Callable[[np.ndarray], np.ndarray], y: Tensor) -> Tensor:
    """`make` of each picture of a batch, as an array (h, w, c) of doubles."""
    arrays = [make(picture.permute(1, 2, 0).cpu().double().numpy()) for picture in y]
    return torch.stack([torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1) for array in arrays]).to(y).contiguous()


def _filled(H: Inpaint, fill: Callable[[np.ndarray, np.ndarray], np.ndarray], picture: np.ndarray) -> np.ndarray:
    hole = H.hole(*picture.shape[:2])
    return np.where(hole[..., None], fill(picture, hole).clip(-1, 1), picture)


# ---- noise


def noise_in(H: Operator, sigma_y: float) -> float:
    """The standard deviation of the error in y as a picture: noise, and the rounding of tones or of a JPEG's coefficients."""
    if isinstance(H, Quantize):
        rounding = H.width
    elif isinstance(H, JPEG):  # of the low frequencies: the high ones of a picture lie below half a step
        rounding = float(table(LUMA, H.quality)[:3, :3].mean()) / 127.5
    else:
        rounding = 0.0
    return (sigma_y**2 + rounding**2 / 12) ** 0.5


def _nlm(sigma: float, picture: np.ndarray) -> np.ndarray:
    """Non-local means (Buades, Coll, Morel, CVPR 2005) for a noise of standard deviation sigma."""
    from skimage.restoration import denoise_nl_means

    how: dict[str, Any] = dict(patch_size=5, patch_distance=6, fast_mode=True)
    return denoise_nl_means(picture, h=0.6 * sigma, sigma=sigma, channel_axis=-1, **how)


def _tv(sigma: float, picture: np.ndarray) -> np.ndarray:
    """Total variation (Rudin, Osher, Fatemi 1992; Chambolle's algorithm) for a noise of standard deviation sigma."""
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(picture, weight=0.8 * sigma, channel_axis=-1)


# ---- back through the operator


def wiener(H: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
    """(H^T H + r I)^-1 H^T y with r = 4 sigma_y^2: the linear estimate under white pixels of variance 1/4, as pictures have.

    Where the scene goes on beyond a frame their mean is y with its border repeated: x = that + the estimate of what it leaves.
    Grey would be drawn out there, and what that falsifies at the border, the inverse carries far into the picture.
    """
    r = max(4 * sigma_y**2, UNNOISED)
    if isinstance(H, Blur) and H.valid:
        mean = H.beyond.extended(y)
        return mean + H.solve(H.adjoint(y - H(mean)), r)
    return H.solve(H.adjoint(y), r)


def richardson_lucy(H: Blur, y: Tensor, iterations: int) -> Tensor:
    """x <- x H^T(y / H x) / H^T 1, the likeliest picture under Poisson noise, stopped early (Richardson 1972, Lucy 1974).

    Light is in [0, 1] here: (y + 1) / 2, for an H that keeps a constant picture.
    """
    light = ((y + 1) / 2).clamp(min=1e-4)
    x, ones = H.beyond.extended(light).clone(), H.adjoint(torch.ones_like(y)).clamp(min=1e-4)
    for _ in range(iterations):
        x = x * H.adjoint(light / H(x).clamp(min=1e-4)) / ones
    return (2 * x - 1).clamp(-1, 1)
