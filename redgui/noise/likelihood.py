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

from redgui.noise.models import Noise, Outliers
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
        return self.noise.residual(self.H(x), y, self.sigma_y)

    def start(self, y: Tensor) -> Tensor:
        """H's own, of y without what stands out where there are outliers: a pseudo-inverse would spread them."""
        return self.H.start(without_outliers(y, self.H) if isinstance(self.noise, Outliers) else y)

    def noise_floor(self, y: Tensor, sigma_y: float) -> Tensor:
        """As of every operator; the noise is simulated. Outliers alone leave none: they are no noise to be fitted within."""
        if sigma_y == 0:
            return torch.zeros(len(y)).to(y)
        z = self.H(self.start(y).clamp(-1, 1))
        noise = self.noise.drawn(z, self.sigma_y, Generators([0] * len(y)))
        r = self.noise.residual(z, z + self.on_support(noise), self.sigma_y)
        return r.flatten(1).norm(dim=1) / self.entries(y) ** 0.5


def without_outliers(y: Tensor, H: Operator) -> Tensor:
    """y (b, c, h, w) with values that are far from the median of those measured around them replaced by it.

    Far is four times the usual distance, 1.4826 times the median of all; the nearest 5 x 5 are asked, holes left out.
    """
    measured = H.on_support(torch.ones_like(y)) > 0
    known = F.pad(torch.where(measured, y, torch.nan), (2, 2, 2, 2), value=torch.nan)
    windows = known.unfold(2, 5, 1).unfold(3, 5, 1)
    # A picture and a channel at a time: the windows have 25 times its size.
    median = torch.stack([torch.stack([c.flatten(2).nanmedian(2).values for c in picture]) for picture in windows])
    off = (y - median).abs()
    usual = torch.where(measured, off, torch.nan).flatten(1).nanmedian(1).values.view(-1, 1, 1, 1)
    return torch.where(measured & (off > 4 * 1.4826 * usual + 0.05), median, y)
