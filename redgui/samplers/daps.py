"""DAPS: Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
Annealing", CVPR 2025, arXiv 2407.01521.

Every level starts from scratch: an estimate of x0, a draw around it that fits y, and fresh noise,

    x_T ~ N(0, sigma_T^2 I)
    for t = T, ..., 1:
        x0_hat(x_t): a few steps of the probability-flow ODE from x_t down to 0
        x0_0|y ~ p(x0 | x_t, y), proportional to N(x0; x0_hat(x_t), r_t^2 I) p(y | x0), by N steps of Langevin dynamics:
            x0 <- x0 + h grad[log N(x0; x0_hat, r_t^2 I) + log p(y | x0)] + sqrt(2 h) n
        x_t-1 ~ N(x0_0|y, sigma_t-1^2 I)

    paper             here
    x_t, sigma_t      x, sigma
    x0_hat(x_t)       ode(x, sigma)
    r_t               spread(sigma)
    beta_y            max(sigma_y, sigma_y_min), the standard deviation of the likelihood
    eta_t = h         lr over the curvature 1/r^2 + |H|^2 / sigma_y^2, so that lr < 2 is stable for every operator and level

`inner` chooses the draw. `exact`, for linear operators, is perturb-and-solve: with a = x0_hat + r n1 and y' = y + sigma_y n2,
v = a + (H^T H + sigma_y^2/r^2 I)^-1 H^T (y' - H a) has the mean and the covariance (H^T H/sigma_y^2 + I/r^2)^-1 that
Langevin dynamics only approaches. Operators that are not linear are given Langevin dynamics whatever `inner` says.

Differs from the authors' code (zhangbingliang2019/DAPS):
 - the likelihood has the true sigma_y, where the code has a constant tau = 0.01 (in effect 0.007, a tempered posterior);
 - 1/r_t^2 = 1/sigma^2 + 1/(c^2 sigma) + 1/p^2 with c = `texture`, p = `prior_std`. Their defaults fit the error of the bundled
   prior on faces within 12 % from sigma = 0.02 to 50; c -> infinity is exact for white pictures of standard deviation p. The
   code's r_t = sigma_t, which c, p -> infinity gives, is an upper bound: an exact draw with it keeps, where nothing is
   measured, noise that the next level does not expect and the network does not remove. A spread alike in all
   directions is too narrow in the coarse ones: with few and noisy numbers (SR, sigma_y 0.1) a larger `texture` heeds y more;
 - the ODE's last step goes to 0, so that one step is D itself; in the last level `final` = mean leaves out the noise, which
   would stay in the picture.

Cost per step: `ode_steps` forwards of the network, no backward; one regularised solve with H, or `langevin_steps` evaluations
of H and its vector-Jacobian product.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import LinearOperator, Operator
from redgui.operators.tangent import Tangent, lift
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, misfit


@final
@dataclass(frozen=True, kw_only=True)
class DAPS(Sampler):
    """Decoupled annealing: every noise level draws a picture anew."""

    name = "daps"
    label = "DAPS"
    paper = "arXiv 2407.01521"
    grid = "steps", "sigma_min"
    about = "draws a fresh picture that fits the measurement at every noise level"
    seeks_mode = False
    gradient = False

    steps: int = knob(50, 1, 1000, help="noise levels; each costs `ode_steps` network calls", log=True)
    ode_steps: int = knob(2, 1, 50, label="ODE steps", help="network calls for the estimate at each noise level")
    inner: Literal["exact", "langevin"] = knob(
        "exact", help="draw given the measurement: exact (linear operators), or by Langevin dynamics as in the paper"
    )
    langevin_steps: int = knob(
        100,
        1,
        1000,
        label="Langevin steps",
        log=True,
        help="length of the chain at each noise level",
        only_with=("inner", ("langevin",)),
    )
    lr: float = knob(
        0.3,
        1e-3,
        1.9,
        label="Langevin step",
        log=True,
        help="step over one that the curvature allows",
        only_with=("inner", ("langevin",)),
    )
    texture: float = knob(
        0.15, 0.01, 1e4, log=True, advanced=True, help="bounds the spread of a draw by this times √σ; large: the paper's"
    )
    prior_std: float = knob(
        0.5, 0.05, 1e4, label="prior's std", log=True, advanced=True, help="bounds the spread of a draw; large: the paper's"
    )
    final: Literal["mean", "draw"] = knob(
        "mean", advanced=True, help="the result: the mean of the last draw's distribution, or the draw with its noise"
    )
    sigma_max: float = knob(100.0, 1.0, 200.0, label="first σ", log=True, advanced=True, live=False, help="highest noise level")
    sigma_min: float = knob(0.1, 0.01, 1.0, label="last σ", log=True, advanced=True, help="lowest noise level but zero")
    sigma_y_min: float = knob(
        0.01, 1e-4, 0.5, label="least σ_y", log=True, advanced=True, help="noise assumed in y when there is less"
    )

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas, self.sigma_max, ahead=True)
        x = self.sigma_max * generator.randn_like(H.start(y))
        for i, sigma in path:
            x0_hat = self.ode(prior, x, sigma)
            noise = 0.0 if path.s == 0 and self.final == "mean" else 1.0
            x0 = self.draw(H, x0_hat, y, self.spread(sigma), max(sigma_y, self.sigma_y_min), noise, generator)
            x = x0 + path.s * generator.randn_like(x0)

            scalars = {**misfit(H, x0, y), "spread": self.spread(sigma)}
            self = path.follow((yield Step(i, path.n, sigma, x0.clone(), scalars)) or self)

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of n levels from `start` down, wherever the grid has its own."""
        return schedule.pairs(schedule.karras(n, min(self.sigma_min, start), start).tolist())

    def spread(self, sigma: float) -> float:
        """r, the assumed standard deviation of x0 around its estimate."""
        return (sigma**-2 + self.texture**-2 / sigma + self.prior_std**-2) ** -0.5

    def ode(self, prior: Prior, x: Tensor, sigma: float) -> Tensor:
        """x0 by Euler steps of dx = (x - D) dsigma / sigma from sigma to 0; the levels between are Karras' down to 0.01."""
        levels = schedule.karras(self.ode_steps + 1, min(0.01, sigma), sigma).tolist()
        for here, there in zip([sigma, *levels[1:-1]], [*levels[1:-1], 0.0], strict=True):
            D = prior.denoise(x, here)
            x = D + there / here * (x - D)
        return x

    def draw(
        self, H: Operator, x0_hat: Tensor, y: Tensor, r: float, sigma_y: float, noise: float, generator: Generators
    ) -> Tensor:
        """A draw from N(x0_hat, r^2 I) N(y; H x0, sigma_y^2 I); with noise = 0 its mode."""
        if self.inner == "exact" and isinstance(H, LinearOperator):
            a = x0_hat + noise * r * generator.randn_like(x0_hat)
            wanted = y + noise * sigma_y * H.on_support(generator.randn_like(y))
            return a - lift(H, H.residual(a, wanted), (sigma_y / r) ** 2)
        # The curvature of the exponent at x0_hat is at most this, so lr < 2 keeps the chain stable there. Where H is curved it
        # can be larger further on: a pull moves a pixel by half the range of pictures at most, so the chain cannot run off.
        h = self.lr / (1 / r**2 + Tangent(H, x0_hat, y).norm2() / sigma_y**2)
        v = x0_hat
        for _ in range(self.langevin_steps):
            _, g = H.gradient(v, y)
            pull = (h * ((x0_hat - v) / r**2 - g / sigma_y**2)).clamp(-1, 1)
            v = v + pull + noise * (2 * h).sqrt() * generator.randn_like(v)
        return v
