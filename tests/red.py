"""What the tests of RED-diff share: a prior of white pixels, runs, and a plain setting."""

import torch
from torch import Tensor

from redgui.operators import Operator, build
from redgui.priors import Prior, per_image
from redgui.randomness import Generators
from redgui.samplers import RedDiff


class White(Prior):
    """x0 ~ N(0, p I) with a grid of our own: D = p / (p + sigma^2) x."""

    def __init__(self, p: float, sigmas: list[float]):
        self.name, self.p, self.shape = "white", p, (3, 4, 4)
        self.sigmas = torch.tensor(sigmas, dtype=torch.float64)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.p / (self.p + per_image(sigma, x) ** 2) * x


def run(sampler: RedDiff, prior: Prior, H: Operator, y: Tensor, sigma_y: float = 0.0, seeds: list[int] | None = None) -> list:
    """All Steps."""
    return list(sampler(prior, H, y, sigma_y, generator=Generators(seeds or list(range(len(y))))))


def last(*args, **kwargs) -> Tensor:
    return run(*args, **kwargs)[-1].x0_hat


BOX = build("inpaint")
PLAIN = RedDiff(steps=10, lr=0.1, lam=0.25, spacing="uniform")
