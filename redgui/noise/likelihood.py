"""An operator with the likelihood of its noise: the same H, and a residual that weighs every value as its noise asks.

Samplers that work with an operator's residual and its derivative (RED-diff, RSD, VML-MAP, DPS, DAPS, SITCOM) so minimise, or
draw from, level^2 times the negative log-likelihood where they would have |H(x) - y|^2 / 2. Its residual is not linear in x.
Methods that need a linear operator are given the variance-stabilised problem where there is one (`redgui.noise.stabilised`).
"""

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.noise.models import STEP, Noise, Outliers
from redgui.noise.stabilised import Stabilised
from redgui.operators.base import Operator
from redgui.operators.wrapped import WrappedOperator
from redgui.randomness import Generators


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood(WrappedOperator):
    """H, measured with a noise that is not Gaussian.

    Attributes:
        noise: the model of the noise.
        sigma_y: its Gaussian part, in [-1, 1] units. Samplers are told `noise.level(sigma_y)`.
    """

    name = "likelihood"
    label = "Likelihood"
    about = "A degradation with the likelihood of its noise."

    noise: Noise
    sigma_y: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "label", f"{self.H.label} with the noise {self.noise.name}")

    @property
    def stabilised(self) -> Stabilised | None:
        return Stabilised.of(self.H, self.noise, self.sigma_y)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        return self._residual(self.H(x), y)

    def bare(self, y: Tensor) -> tuple[Operator, Tensor]:
        """H, and y without what stands out where there are outliers: least squares would spread them."""
        return self.H.bare(without_outliers(y, self.H, self.noise.share) if isinstance(self.noise, Outliers) else y)

    def start(self, y: Tensor) -> Tensor:
        H, y = self.bare(y)
        return H.start(y)

    def noise_floor(self, y: Tensor, sigma_y: float) -> Tensor:
        """As of every operator; the noise is simulated. Outliers alone leave none: they are no noise to be fitted within."""
        if sigma_y == 0:
            return torch.zeros(len(y)).to(y)
        z = self.H(self.start(y).clamp(-1, 1))
        noise = self.noise.drawn(z, self.sigma_y, Generators([0] * len(y)))
        r = self._residual(z, z + self.on_support(noise))
        return r.flatten(1).norm(dim=1) / self.entries(y) ** 0.5

    def _residual(self, z: Tensor, y: Tensor) -> Tensor:
        """The noise's own; what is `stray` counts as not measured."""
        r = self.noise.residual(z, y, self.sigma_y)
        return torch.where(stray(y, self.H, self.noise.share), 0.0, r) if isinstance(self.noise, Outliers) else r


def stray(y: Tensor, H: Operator, share: float) -> Tensor:
    """Where y (b, c, h, w) is black or white and hardly any value around it is so: what is wrong, and no bright or dark part.

    Hardly any is less than a fifth, and `share` / 2 for other wrong ones, of those measured in the 5 x 5 around it.
    """

    def around(where: Tensor) -> Tensor:  # how many, without itself
        return 25 * F.avg_pool2d(F.pad(where, (2, 2, 2, 2)), 5, 1) - where

    many = (0.2 + share / 2) * around((H.on_support(torch.ones_like(y)) > 0).to(y))
    black, white = (((y - end).abs() < STEP / 4).to(y) for end in (-1.0, 1.0))
    return ((black > 0) & (around(black) < many - 1e-3)) | ((white > 0) & (around(white) < many - 1e-3))


def without_outliers(y: Tensor, H: Operator, share: float = 0.0) -> Tensor:
    """y (b, c, h, w) with what is `stray`, or far from the median of those measured around it, interpolated from the rest.

    Far is four times the usual distance, 1.4826 times the median: that of the picture, and where there is texture of the
    nearest 5 x 5, holes left out.
    """
    measured = H.on_support(torch.ones_like(y)) > 0
    known = F.pad(torch.where(measured, y, torch.nan), (2, 2, 2, 2), value=torch.nan)
    windows = known.unfold(2, 5, 1).unfold(3, 5, 1)
    wrong = stray(y, H, share)
    # A picture and a channel at a time: the windows have 25 times its size.
    for picture, found, out in zip(y, wrong, windows, strict=True):
        for value, bad, window in zip(picture, found, out, strict=True):
            near = window.flatten(2)
            median = near.nanmedian(2).values
            off = (value - median).abs()
            local = (near - median[..., None]).abs().nanmedian(2).values
            usual = torch.fmax(local, off.nanmedian())
            bad |= off > 4 * 1.4826 * usual + 0.05
    wrong &= measured
    return torch.where(wrong, interpolated(y, (measured & ~wrong).to(y)), y)


def interpolated(y: Tensor, good: Tensor) -> Tensor:
    """Every value of y (b, c, h, w) from those around it that are `good` (1 or 0, like y).

    By cubics along rows and columns where all that they need is good, otherwise by the mean of the nearest that are.
    """
    cubic = y.new_tensor([[0, 0, -1, 0, 0], [0, 0, 4, 0, 0], [-1, 4, 0, 4, -1], [0, 0, 4, 0, 0], [0, 0, -1, 0, 0]]) / 12

    def summed(u: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(u.flatten(0, 1)[:, None], kernel[None, None], padding=kernel.shape[-1] // 2).view_as(u)

    found = y
    for side in (9, 5, 3):  # the nearest last
        ones = y.new_ones(side, side)
        count = summed(good, ones)
        found = torch.where(count > 0, summed(y * good, ones) / count.clamp(min=1), found)
    whole = summed(good, cubic.abs()) > cubic.abs().sum() - 1e-3
    return torch.where(whole, summed(y * good, cubic), found)
