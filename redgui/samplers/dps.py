"""DPS: Chung, Kim, McCann, Klasky, Ye, "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023,
arXiv 2209.14687, algorithm 1.

The likelihood of y given the noisy picture is approximated by that given its denoised version, with a step that is
normalised by the residual. In the paper's notation,

    x_N ~ N(0, I)
    for i = N-1, ..., 0:
        x0 = (x_i - sqrt(1 - abar_i) eps_theta(x_i, i)) / sqrt(abar_i)
        x'_{i-1} ~ p(x_{i-1} | x_i, x0)                                  (the ancestral step of DDPM)
        x_{i-1} = x'_{i-1} - zeta grad_{x_i} |y - A(x0)|

    paper                  here
    x_i / sqrt(abar_i)     x = x0 + sigma eps
    x0(x_i), A             x0_hat = D(x, sigma), H
    zeta                   zeta sqrt((1 + sigma^2)(1 + s^2)): one root for the gradient in x_i, one for x_{i-1} (s its level)
    zeta at N = 1000       zeta 1000 / steps

zeta is no step size: the pulls of all steps add up, so that its effect grows with their number; hence the last line.

Differs from the authors' code (DPS2022/diffusion-posterior-sampling, condition_methods.py, gaussian_diffusion.py): one norm
per picture, not over the batch; the fixed, not the learned variance; any number of steps, `eta` < 1 for DDIM's transition.
RED-diff's version of it descends |r|^2 / |r|, so that its weight is zeta / 2.

Cost per step: one forward of the network and one backward; one evaluation of H and its vector-Jacobian product.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import Operator
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import WHOLE, Sampler, Step, Steps, ddim, misfit, noised_start, pull


@final
@dataclass(frozen=True, kw_only=True)
class DPS(Sampler):
    """Ancestral sampling, pulled at every step towards pictures whose denoised version explains y."""

    name = "dps"
    label = "DPS"
    paper = "arXiv 2209.14687"
    about = "samples the model's pictures, pulled towards y by a gradient through the network; any differentiable operator"
    seeks_mode = False
    gradient = True

    steps: int = knob(
        100, 1, 1000, help="noise levels: one network call and one backward pass each; the paper has 1000", log=True
    )
    zeta: float = knob(0.5, 0.0, 20.0, label="ζ", log=True, help="strength of the pull; does not depend on the number of steps")
    eta: float = knob(1.0, 0.0, 1.0, label="η", advanced=True, help="fresh noise of each step: 1 is DDPM (the paper's), 0 DDIM")
    sigma_max: float = knob(
        WHOLE, 0.05, WHOLE, label="first σ", log=True, advanced=True, live=False,
        help="highest noise level; below the prior's own the run begins at a classic restoration, not at noise alone",
    )  # fmt: skip
    clip: bool = knob(True, advanced=True, help="keep the denoised picture within [-1, 1], as the authors' code does")

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas, self.sigma_max)
        x = noised_start(H, y, sigma_y, path, generator)
        for i, sigma in path:
            x0_hat, g = pull(prior, H, y, x, sigma, self.clip)
            self = path.follow((yield Step(i, path.n, sigma, x0_hat.clone(), misfit(H, x0_hat, y))) or self)
            zeta = self.zeta * 1000 / self.steps
            x = ddim(x, x0_hat, sigma, path.s, self.eta, generator) - zeta * ((1 + sigma**2) * (1 + path.s**2)) ** 0.5 * g
