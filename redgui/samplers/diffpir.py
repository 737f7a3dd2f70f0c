"""DiffPIR: Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool, "Denoising Diffusion Models for Plug-and-Play Image Restoration",
CVPR Workshops (NTIRE) 2023, arXiv 2305.08995.

Half-quadratic splitting: the network denoises, a proximal step fits the measurement, and noise is added again,

    x_T ~ start + noise
    for t = T, ..., 1:
        x0_t  = (x_t - sqrt(1 - abar_t) eps_theta(x_t, t)) / sqrt(abar_t)
        x0_t' = argmin_x |y - H x|^2 + rho_t |x - x0_t|^2,    rho_t = lambda sigma_n^2 / bar_sigma_t^2
        eps'  = (x_t - sqrt(abar_t) x0_t') / sqrt(1 - abar_t)
        x_t-1 = sqrt(abar_t-1) x0_t' + sqrt(1 - abar_t-1) (sqrt(1 - zeta) eps' + sqrt(zeta) z)

    paper                    here
    x_t / sqrt(abar_t)       x
    bar_sigma_t              sigma
    x0_t, x0_t'              denoised, x0_hat = denoised + (H^T H + rho I)^-1 H^T (y - H denoised)
    sigma_n, lambda, zeta    max(sigma_y, sigma_y_min), lam, zeta

With lam = 1 the proximal step is the exact posterior mean of N(denoised, sigma^2 I) under the likelihood of y.

Differs from the authors' code (yuanzhi-zhu/DiffPIR, main_ddpir_*.py):
 - sigma_y and sigma are in the same unit; the code has sigma_n in [0, 1] and sigma in [-1, 1] units: its lambda = 1
   is lam = 0.25;
 - the proximal step is exact for every linear operator (no back-projection for bicubic SR), without separate modes;
 - the result is x0_t' of the last level, where the code leaves its last network call unused and returns the noisy iterate;
   a mask's known pixels are not pasted over it when the measurement is noisy;
 - neither the learned variance nor the code's extra knob eta (0 by default).

Cost per step: one forward of the network, no backward; one regularised solve with H.
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
from redgui.samplers.base import Sampler, Step, Steps, misfit


@final
@dataclass(frozen=True, kw_only=True)
class DiffPIR(Sampler):
    """Denoise, fit the measurement exactly, add noise again."""

    name = "diffpir"
    label = "DiffPIR"
    paper = "arXiv 2305.08995"
    about = "denoises, fits the measurement by a proximal step, adds noise again"
    needs = LinearOperator
    grid = "steps", "spacing"
    seeks_mode = False
    gradient = False

    steps: int = knob(100, 1, 1000, help="iterations: one network call each", log=True)
    lam: float = knob(1.0, 0.01, 100.0, label="λ", log=True, help="weight of the denoised picture against the measurement")
    zeta: float = knob(0.3, 0.0, 1.0, label="ζ", help="share of fresh noise; 0 goes on with the noise that is there")
    spacing: Literal["quad", "uniform", "karras"] = knob(
        "quad", advanced=True, help="noise levels: few high ones (the paper's), even over the grid, or dense at low noise"
    )
    sigma_max: float = knob(160.0, 1.0, 200.0, label="first σ", log=True, advanced=True, live=False, help="noise of the start")
    sigma_y_min: float = knob(0.002, 0.0, 0.5, label="least σ_y", advanced=True, help="noise assumed in y when there is less")
    clip: bool = knob(True, advanced=True, help="keep the denoised picture within the range of pictures")

    @torch.no_grad()
    def __call__(self, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas, self.sigma_max, ahead=True)
        x = H.start(y)
        x = x + path.first * generator.randn_like(x)
        for i, sigma in path:
            denoised = prior.denoise(x, sigma)
            if self.clip:
                denoised = denoised.clamp(-1, 1)
            x0_hat = self.proximal(H, denoised, y, sigma, sigma_y)
            eps_hat = (x - x0_hat) / sigma
            x = x0_hat + path.s * (1 - self.zeta) ** 0.5 * eps_hat
            x = x + path.s * self.zeta**0.5 * generator.randn_like(x)

            scalars = {**misfit(H, x0_hat, y), "rho": self.rho(sigma, sigma_y)}
            self = path.follow((yield Step(i, path.n, sigma, x0_hat.clone(), scalars)) or self)

    def rho(self, sigma: float, sigma_y: float) -> float:
        """lam sigma_y^2 / sigma^2."""
        return self.lam * (max(sigma_y, self.sigma_y_min) / sigma) ** 2

    def proximal(self, H: LinearOperator, denoised: Tensor, y: Tensor, sigma: float, sigma_y: float) -> Tensor:
        """argmin_v |y - H v|^2 + rho |v - denoised|^2."""
        return denoised - lift(H, H.residual(denoised, y), self.rho(sigma, sigma_y))

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of n levels of an ascending grid, down from the highest that is not above `start`."""
        part = sigmas[: max(1, int((sigmas <= start * (1 + 1e-9)).sum()))]
        if self.spacing == "karras":
            levels = schedule.karras(n, float(part[0]), float(part[-1]))
        elif self.spacing == "quad":
            ramp = torch.linspace(0, 1, n, dtype=torch.float64).sqrt()
            levels = part[((1 - ramp) * (len(part) - 1)).round().long()]
        else:
            levels = schedule.uniform(part, n)
        return schedule.pairs(levels.tolist())
