"""ΠGDM: Song, Vahdat, Mardani, Kautz, "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR 2023
(openreview 9_gsMA8MRKQ; compared with RED-diff in arXiv 2305.04391).

Given the noisy picture, x0 is taken to be N(x0_hat, r_t^2 I), which makes y Gaussian and its score known:

    for t = T, ..., 1:
        g = (dx0_hat/dx_t)^T H^T (r_t^2 H H^T + sigma_y^2 I)^-1 (y - H x0_hat)
        x_{t-1} = DDIM(x_t, x0_hat) guided by g,   r_t^2 = sigma_t^2 / (1 + sigma_t^2)

    paper            here
    x_t              x = x0 + sigma eps
    x0_hat           D(x, sigma)
    r_t^2            r2 = p sigma^2 / (p + sigma^2): exact for pictures N(0, p I); p is `spread`, the paper's is 1
    sigma_y          max(sigma_y, sigma_y_min)
    g                J^T u / r2, u = (H^T H + sigma_y^2 / r2)^-1 H^T r, r = y - H x0_hat; H^+ r without noise; J = dx0_hat/dx

`variant` says how g enters (s is the next level):
    A  x0_hat + sigma^2 g is E[x0 | x, y] (Tweedie with the score of p(x | y)); DDIM goes through it. Its samples converge
       to the posterior where the model is Gaussian.
    B  x <- DDIM(x, x0_hat) + sqrt(1 + s^2) r2 g: sqrt(abar_t) r_t^2 g after the step, as algorithm 1 is commonly given.
    C  x <- DDIM(x, x0_hat) + J^T H^+ (y - H x0_hat), whatever the noise: that of RED-diff's repository (algos/pgdm.py).
The pulls of B and C do not shrink with the step: more steps pull harder, and the samples collapse to one that fits y.

Differs from that repository: the solve (there noiseless, with f+), no pixel of a mask is overwritten, no operator is special.
`spread`, `clip` and `sigma_y_min` are ours.

Cost per step: one forward of the network and one backward; one solve of H.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import LinearOperator
from redgui.operators.tangent import lift
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, ddim, misfit


@final
@dataclass(frozen=True, kw_only=True)
class PiGDM(Sampler):
    """Sampling through the network, guided by the exact likelihood of a Gaussian model of the picture."""

    name = "pigdm"
    label = "ΠGDM"
    paper = "ICLR 2023, openreview 9_gsMA8MRKQ; see arXiv 2305.04391"
    about = "samples the model's pictures, guided by the pseudo-inverse of H through the network"
    needs = LinearOperator
    seeks_mode = False
    gradient = True

    steps: int = knob(100, 1, 1000, help="noise levels: one network call and one backward pass each", log=True)
    eta: float = knob(1.0, 0.0, 1.0, label="η", help="fresh noise of each step: 1 is DDPM, 0 DDIM, which draws none")
    weight: float = knob(1.0, 0.0, 4.0, label="w", help="factor of the pull towards y; 1 is what the model says")
    spread: float = knob(
        1.0,
        1e-3,
        4.0,
        label="p",
        log=True,
        advanced=True,
        help="assumed variance of a pixel: 1 in the paper; pictures have about 0.25",
    )
    variant: Literal["A", "B", "C"] = knob(
        "A",
        advanced=True,
        help="how the pull enters: A corrects the denoised picture, B as in the paper, C as in RED-diff's code",
    )
    sigma_y_min: float = knob(
        0.002, 0.0, 0.5, label="least σ_y", advanced=True, help="noise assumed in y when there is less; 0: the pseudo-inverse"
    )
    clip: bool = knob(True, advanced=True, help="keep the denoised and guided picture within [-1, 1]")

    @torch.no_grad()
    def __call__(self, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas)
        x = path.first * generator.randn_like(H.start(y))
        for i, sigma in path:
            denoised, pull = self.pull(prior, H, y, sigma_y, x, sigma)
            x0_hat = denoised + pull
            x0_hat = x0_hat.clamp(-1, 1) if self.clip else x0_hat
            tuned = path.follow((yield Step(i, path.n, sigma, x0_hat.clone(), misfit(H, x0_hat, y))) or self)
            if self.variant == "A":
                x = ddim(x, x0_hat, sigma, path.s, tuned.eta, generator)
            else:
                factor = (1 + path.s**2) ** 0.5 if self.variant == "B" else 1.0
                x = ddim(x, denoised, sigma, path.s, tuned.eta, generator) + factor * pull
            self = tuned

    def pull(
        self, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float, x: Tensor, sigma: float
    ) -> tuple[Tensor, Tensor]:
        """D(x, sigma), and w times sigma^2 g (variant A), r2 g (B) or J^T H^+ (y - H D) (C)."""
        r2 = self.spread * sigma**2 / (self.spread + sigma**2)
        noise = 0.0 if self.variant == "C" else max(sigma_y, self.sigma_y_min)
        x0_hat, back = prior.linearized(x, sigma)
        u = lift(H, y - H(x0_hat), noise**2 / r2)
        return x0_hat, self.weight * (sigma**2 / r2 if self.variant == "A" else 1) * back(u)  # back(u) = r2 g
