"""DDNM and DDNM+: Wang, Yu, Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023,
arXiv 2212.00490, algorithms 1 and 2.

The range of A is taken from y, the null space from the model:

    x_T ~ N(0, I)
    for t = T, ..., 1:
        x_{0|t} = (x_t - sqrt(1 - abar_t) eps_theta(x_t, t)) / sqrt(abar_t)
        xhat_{0|t} = x_{0|t} - Sigma_t A^+ (A x_{0|t} - y)                       Sigma_t = I in DDNM
        x_{t-1} ~ p(x_{t-1} | x_t, xhat_{0|t}), with variance Phi_t in DDNM+
        every l levels, r - 1 times: back to x_{t-1+l} ~ q(x_{t-1+l} | x_{0|t}) and down again     (time travel)

    paper                    here (s is the next level, lam an eigenvalue of A^T A)
    x_t / sqrt(abar_t)       x = x0 + sigma eps
    x_{0|t}, A               D(x, sigma), H
    Sigma_t                  1 where sqrt(lam) s >= sigma_y, else sqrt(1 - eta^2) s sqrt(lam) / sigma_y
    noise of the step, DDNM  s (eta z + sqrt(1 - eta^2) eps_hat), eps_hat = (x - D) / sigma
    noise of the step, DDNM+ that where lam = 0;  else sqrt(s^2 - sigma_y^2 / lam) z if Sigma_t = 1, eta s z if not
    l, r                     travel, repeats

A step of DDNM+ is one of DDRM with eta_b = 1; DDNM+ starts from noise alone and can travel in time.

Differs from the authors' code (wyhuai/DDNM, guided_diffusion/diffusion.py, functions/svd_operators.py): its simplified path
mistakes abar for its root and adds no noise to y; its SVD path turns eps_hat into another basis for some operators.

Cost per step: one forward of the network, no backward; one pseudo-inverse. T = 100, l = 10, r = 3: 280 steps.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import LinearOperator, SpectralOperator
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, misfit, with_spectrum


@final
@dataclass(frozen=True, kw_only=True)
class DDNM(Sampler):
    """Sampling in which every denoised picture has its measured part replaced by y, as far as y can be trusted."""

    name = "ddnm"
    label = "DDNM"
    paper = "arXiv 2212.00490"
    about = "puts what was measured into every denoised picture and leaves the rest to the model; no gradients"
    needs = LinearOperator
    grid = "steps", "travel", "repeats"
    seeks_mode = False
    gradient = False

    steps: int = knob(100, 1, 1000, help="noise levels: one network call each, more with time travel", log=True)
    eta: float = knob(0.85, 0.0, 1.0, label="η", help="fresh noise of each step; the rest is kept from the step before")
    noise_aware: bool = knob(
        True, help="DDNM+: trust y no further than its noise allows; needs a spectral operator, else plain DDNM"
    )
    travel: int = knob(10, 1, 100, label="travel length", advanced=True, help="how many levels a time travel goes back")
    repeats: int = knob(1, 1, 20, advanced=True, help="how often every stretch is sampled; 1: no time travel")

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of levels, going back in time, of n levels from `start` down."""
        return schedule.descent(sigmas, n, start=start, length=self.travel, repeats=self.repeats)

    @torch.no_grad()
    def __call__(self, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas)
        x = path.first * generator.randn_like(H.start(y))
        for i, sigma in path:
            denoised = prior.denoise(x, sigma)
            eps_hat = (x - denoised) / sigma
            spectral, rest = self.against_noise(H, y - H(denoised), sigma_y)
            correction = (spectral or H).pinv(rest)
            x0_hat = denoised + correction if spectral is None else denoised.clone()
            self = path.follow((yield Step(i, path.n, sigma, x0_hat, misfit(H, x0_hat, y))) or self)
            z = generator.randn_like(x)
            old = (1 - self.eta**2) ** 0.5
            s = path.s
            if path.up > s:
                x = denoised + path.up * z
            elif spectral is not None:
                x = self.plus(spectral, denoised, correction, eps_hat, z, s, sigma_y)
            else:
                x = denoised + correction + s * (self.eta * z + old * eps_hat)

    def against_noise(self, H: LinearOperator, r: Tensor, sigma_y: float) -> tuple[SpectralOperator | None, Tensor]:
        """The spectrum of DDNM+, H's own or one near it, and the residual r as that sees it; None where plain DDNM is to do."""
        wanted = self.noise_aware and sigma_y > 0 and (isinstance(H, SpectralOperator) or H.completes)
        return with_spectrum(H, r) if wanted else (None, r)

    def plus(
        self, H: SpectralOperator, denoised: Tensor, correction: Tensor, eps_hat: Tensor, z: Tensor, s: float, sigma_y: float
    ) -> Tensor:
        """The next iterate of DDNM+, at level s."""
        old = (1 - self.eta**2) ** 0.5

        def root(lam: Tensor) -> Tensor:
            return torch.where(H.kept(lam), lam, 1.0).sqrt()

        def trust(lam: Tensor) -> Tensor:
            return torch.where(root(lam) * s >= sigma_y, 1.0, old * s * root(lam) / sigma_y)

        def fresh(lam: Tensor) -> Tensor:
            rest = (s * s - (sigma_y / root(lam)) ** 2).clamp(min=0).sqrt()
            return torch.where(H.kept(lam) & (root(lam) * s >= sigma_y), rest, self.eta * s)

        def kept(lam: Tensor) -> Tensor:
            return torch.where(H.kept(lam), 0.0, old * s).to(lam)

        return denoised + H.spectral(trust, correction) + H.spectral(fresh, z) + H.spectral(kept, eps_hat)
