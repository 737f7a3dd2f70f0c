"""A problem to solve: a measurement, its operator and noise, and the ground truth where it is known.

problem = Problem.simulate(x_true, H, sigma_y=0.0, seed=0)
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from redgui import knobs
from redgui.noise import Gaussian, Noise, of_noise
from redgui.operators.base import Operator, OperatorError
from redgui.randomness import MEASUREMENT, Generators

NOISIEST = 2.0  # sigma_y: half of what a picture spans, which leaves little of it


@dataclass(frozen=True)
class Problem:
    """A measurement y of H(x_true) with noise, with the ground truth where it is known.

    Attributes:
        y: the measurement of one picture, the batch of 1 first.
        H: the operator.
        sigma_y: standard deviation of the noise, or of the Gaussian part of it, in [-1, 1] units.
        seed: of the noise in y and of the sampler; every particle has a stream of its own.
        x_true: (1, c, h, w) in [-1, 1], or None for a person's own damaged picture.
        noise: the model of the noise; Gaussian: y = H(x_true) + sigma_y n.
    """

    y: Tensor
    H: Operator
    sigma_y: float
    seed: int
    x_true: Tensor | None = None
    noise: Noise = Gaussian()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_y <= NOISIEST:  # nan is not, either
            raise OperatorError(f"sigma_y lies in 0 to {NOISIEST:g} (images span -1 to 1); got {self.sigma_y:g}.")
        self.noise.check_fit(self.H)
        for what, held in (("original", self.x_true), ("measurement", self.y)):
            if held is not None and not bool(held.isfinite().all()):
                bad = f"{int((~held.isfinite()).sum())} of {held.numel()} numbers that are not finite"
                raise OperatorError(f"the {what} holds {bad}; nothing can be fitted to those.")

    @classmethod
    def simulate(
        cls, x_true: Tensor, H: Operator, sigma_y: float = 0.0, seed: int = 0, noise: Noise = Gaussian()  # noqa: B008  frozen
    ) -> "Problem":  # fmt: skip
        """Degrades x_true (1, c, h, w): y = H(x_true) and noise from the seed, none where nothing is measured."""
        h, w = x_true.shape[-2:]
        H = H.placed(h, w)
        y = H(x_true)
        if not noise.absent(sigma_y):
            y = y + H.on_support(noise.drawn(y, sigma_y, Generators.of_run(seed, len(y), MEASUREMENT)))
        return cls(y, H, sigma_y, seed, x_true, noise)

    @classmethod
    def given(
        cls, picture: Tensor, H: Operator, sigma_y: float = 0.0, seed: int = 0, noise: Noise = Gaussian()  # noqa: B008  frozen
    ) -> "Problem":  # fmt: skip
        """A picture (1, c, h', w') that is itself the measurement; there is no ground truth."""
        return cls(H.measurement_of(picture), H, sigma_y, seed, None, noise)

    @cached_property
    def likelihood(self) -> Operator:
        """What samplers are given: H itself where the noise is Gaussian, otherwise H with the noise's own residual."""
        return of_noise(self.H, self.noise, self.sigma_y)

    @property
    def level(self) -> float:
        """The noise that samplers are told, and residuals are compared with: sigma_y where it is Gaussian."""
        return self.noise.level(self.sigma_y)

    @property
    def noiseless(self) -> bool:
        """Whether y is exactly H of the picture."""
        return self.noise.absent(self.sigma_y)

    @property
    def noise_text(self) -> str:
        """The noise as captions have it: `σ_y 0.1`, or with its model."""
        return f"σ_y {self.sigma_y:g}" + ("" if isinstance(self.noise, Gaussian) else f", {knobs.spec(self.noise)}")

    def to(self, device: torch.device) -> "Problem":
        """The same problem with its tensors on a device."""
        x_true = None if self.x_true is None else self.x_true.to(device)
        return replace(self, y=self.y.to(device), x_true=x_true)

    def start(self) -> Tensor:
        """The pseudo-inverse of the measurement (or its stand-in), what the sampler is to improve on."""
        return self.visible(self.H.start(self.y))

    def visible(self, x: Tensor) -> Tensor:
        """x as it is shown beside a measurement that was made elsewhere: without what lies beyond its frame."""
        return self.H.visible(x) if self.x_true is None else x

    def aligned(self, x: Tensor) -> Tensor:
        """x as it is compared with the truth: of what H cannot tell from x the nearest, where the operator is ambiguous."""
        return x if self.x_true is None else self.H.aligned(x, self.x_true.to(x.device))
