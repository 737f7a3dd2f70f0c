"""A problem to solve: a measurement, its operator and noise, and the ground truth where it is known.

problem = Problem.simulate(x_true, H, sigma_y=0.0, seed=0)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from redgui.operators.base import Operator, OperatorError
from redgui.randomness import MEASUREMENT, Generators

NOISIEST = 2.0  # sigma_y: half of what a picture spans, which leaves little of it


@dataclass(frozen=True)
class Problem:
    """A measurement y = H(x_true) + sigma_y n, with the ground truth where it is known.

    Attributes:
        y: the measurement of one picture, the batch of 1 first.
        H: the operator.
        sigma_y: standard deviation of the noise, in [-1, 1] units.
        seed: of the noise in y and of the sampler; every particle has a stream of its own.
        x_true: (1, c, h, w) in [-1, 1], or None for a person's own damaged picture.
    """

    y: Tensor
    H: Operator
    sigma_y: float
    seed: int
    x_true: Tensor | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_y <= NOISIEST:  # nan is not, either
            raise OperatorError(f"sigma_y lies in 0 to {NOISIEST:g} (images span -1 to 1); got {self.sigma_y:g}.")
        for what, held in (("original", self.x_true), ("measurement", self.y)):
            if held is not None and not bool(held.isfinite().all()):
                bad = f"{int((~held.isfinite()).sum())} of {held.numel()} numbers that are not finite"
                raise OperatorError(f"the {what} holds {bad}; nothing can be fitted to those.")

    @classmethod
    def simulate(cls, x_true: Tensor, H: Operator, sigma_y: float = 0.0, seed: int = 0) -> "Problem":
        """Degrades x_true (1, c, h, w): y = H(x_true) + sigma_y n, n from the seed, zero where nothing is measured."""
        H = H.placed(*x_true.shape[-2:])
        y = H(x_true)
        if sigma_y > 0:
            y = y + sigma_y * H.on_support(Generators.of_run(seed, len(y), MEASUREMENT).randn_like(y))
        return cls(y, H, sigma_y, seed, x_true)

    @classmethod
    def given(cls, picture: Tensor, H: Operator, sigma_y: float = 0.0, seed: int = 0) -> "Problem":
        """A picture (1, c, h', w') that is itself the measurement; there is no ground truth."""
        return cls(H.measurement_of(picture), H, sigma_y, seed, None)

    def to(self, device: torch.device) -> "Problem":
        """The same problem with its tensors on a device."""
        x_true = None if self.x_true is None else self.x_true.to(device)
        return Problem(self.y.to(device), self.H, self.sigma_y, self.seed, x_true)

    def start(self) -> Tensor:
        """The pseudo-inverse of the measurement (or its stand-in), what the sampler is to improve on."""
        return self.visible(self.H.start(self.y))

    def visible(self, x: Tensor) -> Tensor:
        """x as it is shown beside a measurement that was made elsewhere: without what lies beyond its frame."""
        return self.H.visible(x) if self.x_true is None else x

    def aligned(self, x: Tensor) -> Tensor:
        """x as it is compared with the truth: of what H cannot tell from x the nearest, where the operator is ambiguous."""
        return x if self.x_true is None else self.H.aligned(x, self.x_true.to(x.device))
