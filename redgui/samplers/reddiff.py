"""RED-diff: Mardani, Song, Kautz, Vahdat, "A Variational Perspective on Solving Inverse Problems with Diffusion
Models", ICLR 2024, arXiv 2305.04391.

The posterior is approximated by N(mu, s^2 I) with s -> 0; minimising its KL divergence gives, in the paper's notation,

    mu <- f+(y)
    for t = T, ..., 1:
        eps ~ N(0, I);  x_t = alpha_t mu + sigma_t eps
        loss = |y - f(mu)|^2 + lambda_t (sg[eps_theta(x_t; t) - eps])^T mu,   lambda_t = lambda sigma_t / alpha_t
        mu <- OptimizerStep(loss)

    paper               here
    mu, eps, f          mu, eps, H
    x_t / alpha_t       x = mu + sigma eps
    sigma_t / alpha_t   sigma                 (one over the square root of the SNR)
    eps_theta - eps     eps_hat - eps         (sg: no gradient passes through the network)
    lambda_t            lam * g(sigma)        g is the weighting; `linear`, g = sigma, is the paper's

Since sigma (eps_hat - eps) = mu - D(mu + sigma eps, sigma), linear weighting pulls mu towards its own denoised version.

Differs from the authors' code (NVlabs/RED-diff, algos/reddiff.py) unless `compat` is set:
 - losses are means per picture, not over the batch, and scaled by the number of pixels, so that the result does not
   depend on the batch and Adam's eps is negligible; m counts what was measured (not the holes of a mask);
 - any number of steps, evenly spaced over the training grid; the result is mu after the last step, not before it;
 - `noise_aware` stops fitting y once the residual is at the noise level;
 - `data_steps`, the noise `carried` and the weighting `calibrated` are FLAIR's (flair.py);
 - weighting `posterior`, g = sigma_y^2 / sigma, weighs both terms as the posterior of the picture smoothed by sigma does:
   |y - H(mu)|^2 / 2 sigma_y^2 - log p_sigma(mu), whose score is -eps_hat / sigma. It wants noise_aware off.
`compat` reproduces the public update: means over batch and entries, levels 0, skip, 2 skip, ... and mu before the last step.

Cost per step: one forward of the network, no backward; one evaluation of H and its vector-Jacobian product, with
`data_steps` as many as are made.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, final

import torch
from torch import Tensor

from redgui import classics, schedule
from redgui.knobs import knob
from redgui.operators.base import LinearOperator, Operator
from redgui.optimizers import OPTIMIZERS
from redgui.priors.base import Prior, Sigma, per_image
from redgui.priors.calibration import Errors
from redgui.randomness import Generators
from redgui.samplers import flair
from redgui.samplers.base import Sampler, SamplerError, Step, Steps, classic_start, lengthened

Weighting = Literal["linear", "sqrt", "square", "log", "trunc_linear", "power2over3", "const", "power", "posterior",
                    "calibrated"]  # fmt: skip

# g(sigma) of the public code; "power" is sigma^exponent, "posterior" depends on the measurement's noise, "calibrated" on the
# prior's errors.
WEIGHTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda s: s,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "log": torch.log1p,
    "trunc_linear": lambda s: s.clamp(max=1),
    "power2over3": lambda s: s ** (2 / 3),
    "const": torch.ones_like,
}

# `sigma_start` by the width of the hole in pixels, and its bounds, and the least by the noise: docs/presets.md has the sweep.
PER_PIXEL, LEAST_START, MOST_START, LEAST_NOISE = 0.02, 0.4, 40.0, 0.01
LEAST_FLOOR = 0.02  # of "posterior": without noise the prior would have no weight


@final
@dataclass(frozen=True, kw_only=True)
class RedDiff(Sampler):
    """Stochastic optimisation of the picture itself, with the diffusion model as a regulariser."""

    name = "reddiff"
    label = "RED-diff"
    paper = "arXiv 2305.04391"
    about = "optimises the picture, with the diffusion model as a regulariser"
    endless = True
    grid = "steps", "order", "spacing", "sigma_start", "sigma_end"
    seeks_mode = True
    gradient = False

    steps: int = knob(100, 1, 5000, help="iterations: one network call each", log=True)
    lr: float = knob(0.1, 1e-4, 2.0, label="learning rate", log=True, help="step size of the optimiser")
    lam: float = knob(0.25, 0.0, 10.0, label="λ", log=True, help="weight of the prior against the measurement")
    weighting: Weighting = knob(
        "linear",
        label="SNR weighting",
        help="how the prior's weight depends on the noise level σ = 1/√SNR; posterior: σ_y²/σ; calibrated: by its errors",
    )
    exponent: float = knob(1.0, -1.0, 3.0, help="the weight is σ to this power", only_with=("weighting", ("power",)))
    optimizer: Literal["adam", "nadam", "radam", "adamax", "rmsprop", "adagrad", "momentum", "sgd"] = knob(
        "adam", advanced=True, help="any optimiser of the shelf will do; the paper uses Adam"
    )
    order: Literal["descending", "ascending", "random"] = knob(
        "descending", advanced=True, help="order in which noise levels are visited; the paper found descending best"
    )
    spacing: Literal["uniform", "karras"] = knob(
        "uniform",
        advanced=True,
        help="noise levels even over the training grid (the paper's), or dense at low noise (arXiv 2206.00364)",
    )
    sigma_start: float = knob(
        160.0,
        0.0,
        200.0,
        label="first σ",
        log=True,
        advanced=True,
        help="highest noise level that is visited; 0: by the width of the hole, where there is none by the noise",
    )
    sigma_end: float = knob(
        0.005, 0.0, 10.0, label="last σ", log=True, advanced=True, help="lowest noise level; 0: a quarter of the first"
    )
    sigma0: float = knob(0.0, 0.0, 1.0, label="σ₀", advanced=True, help="spread of the approximate posterior around its mean")
    init: Literal["pinv", "wiener", "classic", "denoised", "noise", "zero"] = knob(
        "pinv",
        advanced=True,
        live=False,
        help="first picture: the pseudo-inverse of y, regularised (Wiener), denoised; what a classic makes of y; noise; grey",
    )
    final: Literal["mu", "denoised"] = knob("mu", advanced=True, help="the result: the mean itself, or one denoising of it")
    noise_aware: bool = knob(
        True, advanced=True, help="weigh the data term down as the residual nears the noise level, so that noise is not fitted"
    )
    noise: Literal["fresh", "carried"] = knob(
        "fresh", advanced=True, help="the noise of a step: new, or at low σ mostly what the network took for noise in the last"
    )
    data_steps: int = knob(
        0, 0, 100, label="data steps", advanced=True,
        help="steps on the measurement alone after each on the prior alone, until it is met; 0: one step on both",
    )  # fmt: skip
    compat: bool = knob(False, advanced=True, live=False, help="reproduce the update of the authors' public code exactly")

    def weight(self, sigma: Tensor, noise: Sigma = 0.0, errors: Callable[[], Errors] | None = None) -> Tensor:
        """lam * g(sigma), elementwise.

        Args:
            noise: sigma_y sqrt(n / m); `posterior` takes it as at least LEAST_FLOOR.
            errors: of the prior, for `calibrated`.
        """
        if self.weighting == "calibrated":
            if errors is None:
                raise SamplerError("the weighting calibrated goes by the errors of a prior; give them.")
            return self.lam * flair.calibrated(sigma, errors())
        if self.weighting == "posterior":
            return self.lam * torch.as_tensor(noise).to(sigma).clamp(min=LEAST_FLOOR) ** 2 / sigma
        g = sigma**self.exponent if self.weighting == "power" else WEIGHTINGS[self.weighting](sigma)
        return self.lam * g

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:

        def plan(tuned: RedDiff, n: int, start: Sigma) -> list[tuple[Sigma, Sigma]]:
            return schedule.pairs(tuned.begun(H, y, sigma_y).levels(prior.sigmas, n, generator, start))

        path = schedule.Path(self, prior.sigmas, plan=plan)
        mu = self.first(prior, H, y, sigma_y, generator)
        m, n = self.counts(H, mu, y)
        floor = H.noise_floor(y, sigma_y)
        noise = floor.cpu() * (n / m) ** 0.5
        optimizer, fit = self.optimizers(mu)
        eps_hat = None
        for i, sigma in path:
            # x = mu + sigma eps, and what the network takes for the noise in it
            x0 = mu + self.sigma0 * generator.randn_like(mu) if self.sigma0 > 0 else mu
            eps = generator.randn_like(mu)
            if self.noise == "carried" and eps_hat is not None:
                eps = flair.carried(eps_hat, eps, sigma)
            before = x0.clone() if self.compat else None  # what the public code returns after its last step
            eps_hat = prior.eps(x0 + per_image(sigma, mu) * eps, sigma)
            error = eps_hat - eps

            # gradient of |y - H(mu)|^2 / 2m + w (eps_hat - eps)^T mu / n, with stop-gradient on the network
            w = self.weight(torch.as_tensor(sigma, dtype=torch.float32), noise, prior.errors)
            w = w.to(mu) if w.ndim else w  # one number of the CPU goes along with an operation: no copy
            pull = (per_image(w, mu) if w.ndim else w) * error / n
            if self.data_steps and not self.compat:
                mu.grad = n * pull
                optimizer.step()
                residual = flair.fitted(mu, H, y, floor, fit, self.data_steps)
            else:
                r, g_data = H.gradient(x0, y)
                residual = r.flatten(1).norm(dim=1) / m**0.5
                mu.grad = self.data_weight(residual, floor, mu) * (g_data / m) + pull
                mu.grad *= 1 / len(mu) if self.compat else n
                optimizer.step()

            if i + 1 == path.n and self.final == "denoised":
                x0_hat = prior.denoise(mu, float(prior.sigmas[0]))
            else:
                x0_hat = mu.clone() if before is None else before
            scalars = {
                "data": residual.square() / 2,
                "prior": w * error.square().flatten(1).mean(1) / 2,
                "residual": residual,
                "weight": w,
            }
            shown = float(sigma[0]) if isinstance(sigma, Tensor) else sigma
            tuned = path.follow((yield Step(i, path.n, shown, x0_hat, scalars)) or self)
            if tuned.optimizer != self.optimizer:
                optimizer, fit = tuned.optimizers(mu)
            for group in optimizer.param_groups + fit.param_groups:
                group["lr"] = tuned.lr
            self = tuned

    def shortened(self, steps: int) -> Self:
        if self.optimizer in ("sgd", "momentum"):
            return super().shortened(steps)
        return replace(super().shortened(steps), lr=lengthened(self.lr, self.steps / steps))

    def optimizers(self, mu: Tensor) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Of mu: that of the loss, and that of the data term alone, for `data_steps`."""
        made = OPTIMIZERS[self.optimizer]
        return made([mu], self.lr), made([mu], self.lr)

    def first(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, generator: Generators) -> Tensor:
        """mu before the first step."""
        H, y = H.bare(y)
        if self.init == "wiener" and isinstance(H, LinearOperator):
            return classics.wiener(H, y, sigma_y)
        if self.init == "classic":
            return classic_start(H, y, sigma_y)
        mu = H.start(y).clone()
        if self.init == "zero":
            return torch.zeros_like(mu)
        if self.init == "noise":
            return generator.randn_like(mu)
        if self.init == "denoised":
            # At sigma = 1 the noise hides the artefacts of f+(y) and leaves the layout of the picture.
            sigma = float(prior.sigmas[(prior.sigmas - 1).abs().argmin()])
            return prior.denoise(mu + sigma * generator.randn_like(mu), sigma)
        return mu

    def begun(self, H: Operator, y: Tensor, sigma_y: float) -> "RedDiff":
        """The sampler with a `sigma_start` and a `sigma_end` that are noise levels, where 0 lets the problem say them.

        What is filled in without a network is wrong by the more the farther it is from what is kept, and what is noisy by the
        noise: levels of that size cover it, and higher ones only cost what is right.
        """
        first, last = self.sigma_start, self.sigma_end
        if not first:
            wide = classics.hole_width(H.bare(y)[0], *y.shape[-2:])
            least = sigma_y or (LEAST_NOISE if wide is None else LEAST_START)
            first = max(least, min(PER_PIXEL * (wide or 0), MOST_START))
        return replace(self, sigma_start=first, sigma_end=last or min(first / 4, 10.0))

    def counts(self, H: Operator, mu: Tensor, y: Tensor) -> tuple[int, int]:
        """m and n, the numbers of entries of y and of mu per picture."""
        return (y[0].numel() if self.compat else H.entries(y)), mu[0].numel()

    def data_weight(self, residual: Tensor, floor: Tensor, mu: Tensor) -> Sigma:
        """1, or with `noise_aware` max(0, 1 - floor / residual): the gradient of (|r| - sqrt(m) floor)_+^2 / 2.

        That is the discrepancy principle as a loss: zero once the residual is what the noise alone would leave.
        """
        if not self.noise_aware or self.compat:
            return 1.0
        return per_image((1 - floor / residual.clamp(min=1e-12)).clamp(min=0), mu)

    def levels(self, sigmas: Tensor, n: int, generator: Generators, after: Sigma = math.inf) -> list[Sigma]:
        """n levels of an ascending grid in the order of visit: of what is not yet visited at `after`, or a new pass."""
        if self.order != "random" and not isinstance(after, Tensor):
            rest = sigmas[sigmas > after] if self.order == "ascending" else sigmas[sigmas < after]
            sigmas = rest if len(rest) else sigmas
        part = sigmas[(sigmas <= self.sigma_start) & (sigmas >= self.sigma_end)]
        if len(part) == 0:  # between two levels of the grid, or the knobs crossed: the one that is nearest
            part = sigmas[(sigmas - self.sigma_start).abs().argmin()].reshape(1)
        if self.compat:
            levels = schedule.leading(sigmas, n)
        elif self.spacing == "karras":
            levels = schedule.karras(n, float(part[0]), float(part[-1]))
        else:
            levels = schedule.uniform(part, n)
        if self.order == "random":
            return list(levels[generator.randperm(len(levels))].T)
        return (levels.flip(0) if self.order == "ascending" else levels).tolist()
