"""Inpainting: y = M x, with a mask M of 0 (hole) and 1 (kept) per pixel, the same in all channels.

M is its own adjoint and pseudo-inverse, its eigenvalues are its entries: f(H^T H) x = f(M) x, elementwise. y has the
picture's shape with zeros (mid grey) in the holes; nothing is measured there and no noise lives there, so m is the number
of kept values. People see and upload the opposite of M, white = to be filled in: `hole`, not `keep`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators import masks
from redgui.operators.base import OperatorError, SpectralOperator


@final
@dataclass(frozen=True, kw_only=True)
class Inpaint(SpectralOperator):
    """y = M x, (b, c, h, w) with zeros in the holes."""

    name = "inpaint"
    label = "Inpainting"
    about = "Part of the picture is missing and is to be filled in."

    kind: Literal["box", "half", "outpaint", "random", "stripes", "freeform", "text", "mask"] = knob(
        "box",
        help="what is missing; painting on the picture makes it mask",
    )
    fraction: float = knob(
        0.375,
        0.0,
        0.98,
        step=0.005,
        help="side of the box over the picture's; otherwise the share that is missing",
        only_with=("kind", ("box", "half", "outpaint", "random", "stripes", "freeform")),
    )
    side: Literal["left", "right", "top", "bottom"] = knob("left", help="which side is missing", only_with=("kind", ("half",)))
    text: str = knob("redgui", hi=60, help="what is written over the picture", only_with=("kind", ("text",)))
    seed: int = knob(
        0,
        0,
        2**31 - 1,
        help="draws other pixels or strokes, moves the box (0: centred)",
        only_with=("kind", ("box", "random", "freeform")),
    )
    grow: int = knob(
        0,
        0,
        64,
        help="pixels by which the hole is widened on all sides, so that soft edges of what is damaged lie in it",
        only_with=("kind", ("mask",)),
    )
    painted: str = knob("", hi=200_000, help="a painted mask as text, WxH:... (kind=mask)", shown=False)
    area: Literal["holes", "whole"] = knob(
        "holes", help="what is solved: windows around the holes (without noise, by a prior of any size), or the whole picture"
    )

    beside: ClassVar[frozenset[str]] = frozenset({"grow", "area"})  # knobs that do not say where a hole is

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "mask":
            if not self.painted:
                raise OperatorError(
                    "no mask is painted. Paint over what is to be filled in, or pass --mask with a black-and-white PNG."
                )
            masks.decode(self.painted)
        if self.kind == "text" and not self.text.strip():
            raise OperatorError("the text mask has nothing to write; give `text` some letters.")

    def hole(self, h: int, w: int) -> np.ndarray:
        """(h, w), True where a picture of h x w is to be filled in."""
        return _hole(self, h, w)

    def drawn(self, h: int, w: int) -> np.ndarray:
        """`hole` before it is widened by `grow`."""
        return _hole(dataclasses.replace(self, grow=0), h, w)

    def keep(self, h: int, w: int) -> Tensor:
        """M as a tensor (h, w), True where a picture of h x w is measured."""
        return torch.from_numpy(~_hole(self, h, w))

    def check_size(self, h: int, w: int) -> None:
        _hole(self, h, w)

    def __call__(self, x: Tensor) -> Tensor:
        return _keep_like(self, *x.shape[-2:], x.dtype, x.device) * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self(y)

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return f(_keep_like(self, *x.shape[-2:], x.dtype, x.device)) * x

    def entries(self, y: Tensor) -> int:
        c, h, w = y.shape[1:]
        return c * int((~_hole(self, h, w)).sum())

    def on_support(self, u: Tensor) -> Tensor:
        return self(u)


def of_mask(hole: np.ndarray) -> Inpaint:
    """The inpainting of a mask (h, w), True = to be filled in, and of pictures of its size."""
    return Inpaint(kind="mask", painted=masks.encode(hole))


@lru_cache(maxsize=32)
def _hole(H: Inpaint, h: int, w: int) -> np.ndarray:
    if H.kind == "mask":
        hole = masks.resized(masks.decode(H.painted), h, w)
    else:
        hole = masks.hole(H.kind, h, w, fraction=H.fraction, seed=H.seed, side=H.side, words=H.text)
    hole = masks.grown(hole, H.grow)
    if hole.all():
        raise OperatorError("the mask covers the whole picture, so nothing is measured. Leave some of the picture free.")
    hole.flags.writeable = False  # shared by all who ask
    return hole


@lru_cache(maxsize=32)
def _keep_like(H: Inpaint, h: int, w: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return H.keep(h, w).to(device, dtype)
