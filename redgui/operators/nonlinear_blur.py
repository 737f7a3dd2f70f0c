"""Blur as a camera has it: light is blurred and clipped, and only then made into pixel values.

    L = EOTF((x + 1) / 2),     B = exposure (k * L),     y = 2 OETF(min(B, 1)) - 1

with the transfer functions of sRGB (IEC 61966-2-1), k one of the kernels of `blur`, and the convolution circular or valid as
there (`redgui.operators.blur`). Because the
light is blurred and not the pixel values, a lamp bleeds far into the dark and its streaks are clipped to white, as in a
photograph. sRGB's straight toe, of slope 12.92, goes on below 0 and keeps the derivative finite at black.

Where y is white the residual is one-sided; elsewhere it compares the values before clipping, so that what is clipped and
should not be is drawn back. f+(y) = y with the exposure undone; it is as blurred as y. Beyond a frame it repeats y's border.

The model has no parts that are learned or drawn: it takes the place of the network-based "nonlinear deblur" of DPS, RED-diff
and DAPS (whose public versions differ from each other), and results on the two must not be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, final

import torch
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import OperatorError, clipped_residual
from redgui.operators.blur import Blur
from redgui.operators.frame import Framed

T = TypeVar("T")


@final
@dataclass(frozen=True, kw_only=True)
class NonlinearBlur(Framed):
    """y = 2 OETF(min(exposure k * EOTF((x + 1) / 2), 1)) - 1, the same size as x."""

    name = "nonlinear-blur"
    label = "Non-linear blur"
    about = "Light itself is blurred and over-exposed, as in a camera: highlights bleed and are clipped to white."

    kind: Literal["motion", "disc", "gaussian"] = knob("motion", help="a moving camera, a lens out of focus, a soft Gaussian")
    size: int = knob(9, 3, 127, step=2, help="pixels across the kernel, an odd number")
    width: float = knob(
        2.0, 0.1, 50.0, step=0.1, help="standard deviation of the Gaussian in pixels", only_with=("kind", ("gaussian",))
    )
    angle: float = knob(
        30.0,
        -180.0,
        180.0,
        step=1,
        help="direction of the motion in degrees, counter-clockwise from the horizontal, when its seed is 0",
        only_with=("kind", ("motion",)),
    )
    seed: int = knob(
        0,
        0,
        2**31 - 1,
        help="0: straight motion; any other number: a shaking hand, each its own",
        only_with=("kind", ("motion",)),
    )
    exposure: float = knob(1.5, 0.25, 4.0, step=0.05, help="how much light there is; above 1 the brightest is clipped")

    border: Literal["auto", "wrap", "valid"] = knob(
        "auto",
        help="the picture repeats beyond its border (wrap), or the scene goes on there unseen (valid); "
        "auto: wrap, but valid for a picture that is already damaged",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._named(self.lens)

    def lens(self) -> Blur:
        """k as a linear blur of light."""
        return Blur(kind=self.kind, size=self.size, width=self.width, angle=self.angle, seed=self.seed, border=self.border,
                    margin=self.margin)  # fmt: skip

    @property
    def overlap(self) -> int:
        return 0 if self.border == "wrap" else self.size // 2

    @property
    def valid(self) -> bool:
        return self.border == "valid"

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "NonlinearBlur":
        lens = self._named(lambda: self.lens().placed(h, w, box))
        return replace(self, border=lens.border, margin=lens.margin)

    def check_size(self, h: int, w: int) -> None:
        self._named(lambda: self.lens().check_size(h, w))

    def _named(self, call: Callable[[], T]) -> T:
        """What is called, whose errors are those of this operator."""
        try:
            return call()
        except OperatorError as error:
            raise OperatorError(str(error).replace("blur:", f"{self.name}:", 1)) from None

    def __call__(self, x: Tensor) -> Tensor:
        return self.unclipped(x).clamp(max=1)

    def unclipped(self, x: Tensor) -> Tensor:
        """2 OETF(B) - 1, above 1 where y is clipped."""
        return 2 * encoded(self.exposure * self.lens()(light((x + 1) / 2))) - 1

    def start(self, y: Tensor) -> Tensor:
        return self.beyond.extended(2 * encoded(light((y + 1) / 2) / self.exposure) - 1)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        return clipped_residual(self.unclipped(x), y, lo=-torch.inf)


def light(u: Tensor) -> Tensor:
    """EOTF: linear light of sRGB values in [0, 1]; straight below 0."""
    power = ((u.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4  # clamped first: a power of what is negative has no gradient
    return torch.where(u > 0.04045, power, u / 12.92)


def encoded(L: Tensor) -> Tensor:
    """OETF: sRGB values of linear light, the inverse of `light`."""
    power = 1.055 * L.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(L > 0.0031308, power, 12.92 * L)
