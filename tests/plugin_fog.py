"""A plugin as a stranger writes one: a physics, a sampler and a prior of their own."""

from dataclasses import dataclass

import torch

from redgui import knobs, schedule
from redgui.knobs import knob
from redgui.operators.base import Operator
from redgui.priors.base import Prior, per_image
from redgui.priors.catalogue import PriorCard
from redgui.samplers.base import Sampler, Step


@dataclass(frozen=True, kw_only=True)
class Fog(Operator):
    """y = t x + (1 - t) a with t = exp(-density (1 - row / h)): far rows, at the top, fade to the fog's own tone."""

    name, label, about = "fog", "Fog", "What is far away fades into the fog."
    density: float = knob(1.0, 0.0, 5.0, help="extinction over the height of the picture")
    airlight: float = knob(0.8, -1.0, 1.0, help="tone of the fog")

    def transmission(self, x):
        return torch.exp(-self.density * torch.linspace(1, 0, x.shape[-2]).to(x))[:, None]

    def __call__(self, x):
        t = self.transmission(x)
        return t * x + (1 - t) * self.airlight

    def start(self, y):
        t = self.transmission(y)
        return (y - (1 - t) * self.airlight) / t


@dataclass(frozen=True, kw_only=True)
class Descent(Sampler):
    """Gradient descent on |H(x) - y|^2 / 2 with the denoiser after each step."""

    name, label, paper, about = "descent", "Descent", "none", "A gradient step and a denoising, in turn."
    steps: int = knob(10, 1, 1000, help="iterations")
    lr: float = knob(0.5, 0.0, 2.0, help="of the gradient step")

    @torch.no_grad()
    def __call__(self, prior, H, y, sigma_y, *, generator):
        x = H.start(y)
        for i in range(self.steps):
            x = prior.denoise(x - self.lr * H.gradient(x, y)[1], 0.1)
            self = (yield Step(i, self.steps, 0.1, x.clone())) or self


@dataclass(frozen=True, kw_only=True)
class White(Prior):
    """x0 ~ N(0, std^2 I)."""

    name = "white"
    card = PriorCard("white", "any", "white noise", "no weights", 0, "nothing but tests.")
    multiple = 1
    std: float = knob(0.5, 0.01, 1.0, help="standard deviation of a pixel")

    def __post_init__(self):
        knobs.check(self)
        object.__setattr__(self, "name", knobs.spec(self))
        object.__setattr__(self, "shape", (3, 32, 32))
        object.__setattr__(self, "sigmas", schedule.linear_beta())

    def denoise(self, x, sigma):
        return x * self.std**2 / (self.std**2 + per_image(sigma, x) ** 2)
