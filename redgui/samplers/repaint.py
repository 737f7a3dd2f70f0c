"""RePaint: Lugmayr, Danelljan, Romero, Yu, Timofte, Van Gool, "RePaint: Inpainting using Denoising Diffusion Probabilistic
Models", CVPR 2022, arXiv 2201.09865, algorithm 1.

What was measured is put in place at every noise level; going back and forth lets the rest of the picture agree with it:

    x_T ~ N(0, I)
    for t = T, ..., 1:
        x_t <- m (sqrt(abar_t) y + sqrt(1 - abar_t) eps) + (1 - m) x_t
        x_{t-1} ~ p(x_{t-1} | x_t)                                         (the ancestral step of DDPM)
        every j levels, r - 1 times: back to x_{t-1+j} ~ q(x_{t-1+j} | x_{t-1}) and down again     (resampling)

    paper                here
    x_t / sqrt(abar_t)   x = x0 + sigma eps
    m                    H, a mask: 1 where the picture is measured
    j, r                 jump, repeats
    back by j levels     x + sqrt(sigma_up^2 - s^2) z: the j small steps of the paper are one

Noise in y (ours): y + sqrt(sigma^2 - sigma_y^2) z has the noise of level sigma; below sigma_y the picture is left free, so that
the model denoises y from there.

Differs from the authors' code (andreas128/RePaint): the fixed, not the learned variance; `paste` puts y into the result.

Cost per step: one forward of the network, no backward. The paper's T = 250, j = 10, r = 10: 2410 steps; 100, 10, 3: 280.
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
from redgui.samplers.base import Sampler, Step, Steps, ddim, misfit


@final
@dataclass(frozen=True, kw_only=True)
class RePaint(Sampler):
    """Plain sampling with the measured pixels put in place at every level, and resampling to make the rest fit them."""

    name = "repaint"
    label = "RePaint"
    paper = "arXiv 2201.09865"
    about = "samples the hole and goes back and forth until it fits its surroundings; masks only"
    needs = Inpaint
    grid = "steps", "jump", "repeats"
    seeks_mode = False
    gradient = False

    steps: int = knob(
        50, 1, 1000, help="noise levels: one network call each, more with resampling; the paper has 250", log=True
    )
    jump: int = knob(5, 1, 100, label="jump length j", help="how many levels a resampling goes back; the paper has 10")
    repeats: int = knob(3, 1, 20, label="resamplings r", help="how often every stretch is sampled; the paper has 10, 1 is none")
    clip: bool = knob(True, advanced=True, help="keep the denoised picture within [-1, 1], as the authors' code does")
    paste: bool = knob(True, advanced=True, help="put the measured pixels into the result, if they have no noise")

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of levels, going back in time, of n levels from `start` down."""
        return schedule.descent(sigmas, n, start=start, length=self.jump, repeats=self.repeats)

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Inpaint, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas)
        x = path.first * generator.randn_like(y)
        for i, sigma in path:
            if i > 0 and sigma > sigma_y:
                x = x + H(y + (sigma**2 - sigma_y**2) ** 0.5 * generator.randn_like(y) - x)
            denoised = prior.denoise(x, sigma)
            denoised = denoised.clamp(-1, 1) if self.clip else denoised
            x0_hat = denoised + y - H(denoised) if self.paste and sigma_y == 0 else denoised.clone()
            self = path.follow((yield Step(i, path.n, sigma, x0_hat, misfit(H, x0_hat, y))) or self)
            x = ddim(x, denoised, sigma, path.s, 1.0, generator)
            if path.up > path.s:
                x = x + (path.up**2 - path.s**2) ** 0.5 * generator.randn_like(x)
