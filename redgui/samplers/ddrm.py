"""DDRM: Kawar, Elad, Ermon, Song, "Denoising Diffusion Restoration Models", NeurIPS 2022, arXiv 2201.11793, eqs. 4-8.

With H = U S V^T, ybar = S^+ U^T y and xbar = V^T x, each coefficient takes what is less noisy, the model or y:

    xbar_T ~ N(ybar, sigma_T^2 - sigma_y^2 / s_i^2)   or N(0, sigma_T^2) where y is noisier
    for t = T-1, ..., 0, with xbar_0 = V^T x0_hat:
        s_i = 0:                     N(xbar_0 + sqrt(1 - eta^2) sigma_t (xbar_{t+1} - xbar_0) / sigma_{t+1}, eta^2 sigma_t^2)
        sigma_t < sigma_y / s_i:     N(xbar_0 + sqrt(1 - eta^2) sigma_t (ybar - xbar_0) / (sigma_y / s_i), eta^2 sigma_t^2)
        sigma_t >= sigma_y / s_i:    N((1 - eta_b) xbar_0 + eta_b ybar, sigma_t^2 - eta_b^2 sigma_y^2 / s_i^2)

Here wholly in image space, with functions of H^T H: x <- f0 D + f2 H^+ y + f3 (x - D) / sigma + f4 z.

    paper                here
    sigma_t, sigma_{t+1} s, sigma: the next level and this one
    s_i^2                lam, an eigenvalue of H^T H
    x0_hat               D(x, sigma)
    eta, eta_b           eta, eta_b;  eta multiplies s itself, unlike DDIM's
    sigma_y              max(sigma_y, sigma_y_min)

Without noise every coefficient above the cutoff of H is y's and every other the model's. Where the singular values fall off
gently, as a blur's do, that gives away much of y: assuming a little noise instead (`sigma_y_min`, ours) lets each coefficient
count for what it is worth, down to s_i = sigma_y, where the noise is as large as a picture.

`temperature` and `sigma_max` are ours too. The former is a factor of every z. At 1 the result is a draw; below it the network
sees less noise than sigma says and smooths, and the result goes towards the mean of the draws: more PSNR, less detail. The
latter leaves out the levels above it, in which the network says little that y does not.

Differs from the authors' code (bahjat-kawar/ddrm, functions/denoising.py): nothing is lost where s_i sigma_t = sigma_y
(both of its inequalities are strict), sigma_y needs no doubling, and noise is drawn in image space. Where H has a spectrum only
near it, beyond the frame of a photograph, y is completed anew around every D (`base.with_spectrum`).

Cost per step: one forward of the network, no backward; six functions of H^T H; near a spectrum one solve.
"""

from dataclasses import dataclass
from functools import partial
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
class DDRM(Sampler):
    """Sampling in the singular basis of H, every coefficient from y as soon as y is less noisy than the iterate."""

    name = "ddrm"
    label = "DDRM"
    paper = "arXiv 2201.11793"
    about = "samples coefficient by coefficient in the singular basis of H; few steps, no gradients"
    needs = SpectralOperator
    seeks_mode = False
    gradient = False

    steps: int = knob(20, 1, 1000, help="noise levels: one network call each", log=True)
    eta: float = knob(0.85, 0.0, 1.0, label="η", help="fresh noise where y says little; the rest is kept from the step before")
    eta_b: float = knob(1.0, 0.0, 1.0, label="η_b", help="share of y, against the model, where y says more than the iterate")
    temperature: float = knob(
        1.0, 0.0, 1.0, advanced=True, help="factor of all noise that is drawn: 1 draws samples, less goes towards their mean"
    )
    sigma_max: float = knob(
        1000.0, 1.0, 1000.0, label="first σ", log=True, advanced=True, live=False, help="highest noise level"
    )
    sigma_y_min: float = knob(
        0.0,
        0.0,
        0.5,
        label="least σ_y",
        advanced=True,
        live=False,
        help="noise assumed in y when there is less; for blurs",
    )

    @torch.no_grad()
    def __call__(self, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas, self.sigma_max)
        sigma_y = max(sigma_y, self.sigma_y_min)
        K, whole = with_spectrum(H, y)
        known = self.known(K, whole, sigma_y)
        x = self.first(K, known, sigma_y, path.first, generator)
        for i, sigma in path:
            denoised = prior.denoise(x, sigma)
            eps_hat = (x - denoised) / sigma
            if K is not H:
                _, whole = with_spectrum(H, y, denoised)
                known = self.known(K, whole, sigma_y)
            # What the step would give without noise, s = 0: D alone, or y wherever y has none.
            x0_hat = self.move(K, denoised, known, eps_hat, 0.0, sigma_y)
            self = path.follow((yield Step(i, path.n, sigma, x0_hat, misfit(H, x0_hat, y))) or self)
            x = self.move(K, denoised, known, eps_hat, path.s, sigma_y, self.temperature * generator.randn_like(x))

    def kept(self, H: SpectralOperator, lam: Tensor, sigma_y: float) -> Tensor:
        """Which eigenvalues count as measured: H's own choice; where noise is only assumed, all in which it is less than 1."""
        return lam > max(sigma_y**2, 1e-10 * H.lam_max) if 0 < sigma_y <= self.sigma_y_min else H.kept(lam)

    def known(self, H: SpectralOperator, y: Tensor, sigma_y: float) -> Tensor:
        """V S^+ U^T y, (b, c, h, w), of the coefficients that are kept; in float64, for 1 / lam multiplies rounding errors."""

        def inverse(lam: Tensor) -> Tensor:
            kept = self.kept(H, lam, sigma_y)
            return torch.where(kept, 1 / torch.where(kept, lam, 1.0), 0.0)

        return H.spectral(inverse, H.adjoint(y.double())).to(y)

    def first(self, H: SpectralOperator, known: Tensor, sigma_y: float, sigma: float, generator: Generators) -> Tensor:
        """The iterate at the highest level: y and as much noise as makes sigma, noise alone where y has more than that."""

        def from_y(lam: Tensor) -> Tensor:
            return (self.kept(H, lam, sigma_y) & (lam.sqrt() * sigma > sigma_y)).to(lam)

        def noise(lam: Tensor) -> Tensor:
            given = from_y(lam) > 0
            return (sigma**2 - torch.where(given, sigma_y**2 / torch.where(given, lam, 1.0), 0.0)).clamp(min=0).sqrt()

        return H.spectral(from_y, known) + H.spectral(noise, self.temperature * generator.randn_like(known))

    def move(
        self,
        H: SpectralOperator,
        x0_hat: Tensor,
        known: Tensor,
        eps_hat: Tensor,
        s: float,
        sigma_y: float,
        z: Tensor | None = None,
    ) -> Tensor:
        """f0 x0_hat + f2 known + f3 eps_hat + f4 z: the next iterate, at level s."""
        parts = [x0_hat, known, eps_hat] + ([] if z is None else [z])
        return torch.stack([H.spectral(partial(self.coefficient, H, s, sigma_y, k), v) for k, v in enumerate(parts)]).sum(0)

    def coefficient(self, H: SpectralOperator, s: float, sigma_y: float, k: int, lam: Tensor) -> Tensor:
        """The k-th of (f0, f2, f3, f4) of the eigenvalues lam."""
        kept = self.kept(H, lam, sigma_y)
        root = torch.where(kept, lam, 1.0).sqrt()
        noisy = root * s < sigma_y
        old = (1 - self.eta**2) ** 0.5
        kappa = old * s * root / sigma_y if sigma_y > 0 else torch.zeros_like(lam)
        match k:
            case 0:
                return torch.where(kept, torch.where(noisy, 1 - kappa, 1 - self.eta_b), 1.0)
            case 1:
                return torch.where(kept, torch.where(noisy, kappa, self.eta_b), 0.0)
            case 2:
                return torch.where(kept, 0.0, old * s).to(lam)
            case _:
                rest = (s * s - (self.eta_b * sigma_y / root) ** 2).clamp(min=0).sqrt()
                return torch.where(kept & ~noisy, rest, self.eta * s)
