"""MCG: Chung, Sim, Ryu, Ye, "Improving Diffusion Models for Inverse Problems using Manifold Constraints", NeurIPS 2022,
arXiv 2206.00941, for inpainting.

A gradient step through the network, then what was measured is put in place at the noise level of the iterate:

    x_N ~ N(0, I)
    for i = N-1, ..., 0:
        x'_{i-1} ~ p(x_{i-1} | x_i, x0(x_i))
        x''_{i-1} = x'_{i-1} - alpha grad_{x_i} |y - P x0(x_i)|
        x_{i-1} = (I - P) x''_{i-1} + P y_{i-1},   y_{i-1} ~ N(sqrt(abar_{i-1}) y, (1 - abar_{i-1}) I)

    paper                  here
    x_i / sqrt(abar_i)     x = x0 + sigma eps;  y_{i-1}: y + s z at the next level s
    P                      H, a mask: 1 where the picture is measured
    alpha                  zeta (1000 / steps) sqrt((1 + sigma^2)(1 + s^2)), as that of DPS

Kept as the forerunner of DPS that it is: the projection takes y as it is, so that noise in y stays in the result.

Differs from the authors' and DPS's code: y at the level of the iterate (there one level higher), one norm per picture, the
fixed variance. Masks only: the paper's projections for other operators are as inexact as their pseudo-inverse is.

Cost per step: one forward of the network and one backward.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.inpaint import Inpaint
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, ddim, misfit, pull


@final
@dataclass(frozen=True, kw_only=True)
class MCG(Sampler):
    """DPS with the measured pixels put in place after every step."""

    name = "mcg"
    label = "MCG"
    paper = "arXiv 2206.00941"
    about = "the forerunner of DPS: a gradient through the network, then the measured pixels put in place; masks only"
    needs = Inpaint
    seeks_mode = False
    gradient = True

    steps: int = knob(
        100, 1, 1000, help="noise levels: one network call and one backward pass each; the paper has 1000", log=True
    )
    zeta: float = knob(0.5, 0.0, 20.0, label="ζ", log=True, help="strength of the pull; does not depend on the number of steps")
    eta: float = knob(1.0, 0.0, 1.0, label="η", advanced=True, help="fresh noise of each step: 1 is DDPM (the paper's), 0 DDIM")
    clip: bool = knob(True, advanced=True, help="keep the denoised picture within [-1, 1], as the authors' code does")

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Inpaint, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas)
        x = path.first * generator.randn_like(y)
        for i, sigma in path:
            denoised, g = pull(prior, H, y, x, sigma, self.clip)
            x0_hat = denoised + y - H(denoised)
            self = path.follow((yield Step(i, path.n, sigma, x0_hat, misfit(H, denoised, y))) or self)
            zeta = self.zeta * 1000 / self.steps
            x = ddim(x, denoised, sigma, path.s, self.eta, generator) - zeta * ((1 + sigma**2) * (1 + path.s**2)) ** 0.5 * g
            x = x + H(y + path.s * generator.randn_like(y) - x)
