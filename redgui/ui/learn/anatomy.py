"""One iteration of RED-diff taken apart (arXiv 2305.04391; the sampler itself is `redgui.samplers.reddiff`).

In the paper's notation, with alpha_t^2 + sigma_t^2 = 1 and here sigma = sigma_t / alpha_t:

    eps ~ N(0, I);  x_t = alpha_t mu + sigma_t eps
    gradient = d/dmu |y - f(mu)|^2 / 2  +  lambda_t (eps_theta(x_t; t) - eps)
    mu <- OptimizerStep(gradient)

`dissect` makes that one iteration, alone with a fresh optimiser, and keeps every piece; `Loop` makes one after another. They
take their numbers in the order in which the sampler does, so that `after` is what the sampler has there, compat or not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from redgui.operators.base import Operator
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers import flair
from redgui.samplers.reddiff import RedDiff


@dataclass(frozen=True)
class Anatomy:
    """The pieces of one iteration, images (b, c, h, w).

    Attributes:
        sigma: its noise level, sigma_t / alpha_t.
        mu: the picture before it.
        eps: the noise drawn.
        x: mu + sigma eps (with sigma0 > 0: around a draw of the approximate posterior, not mu), x_t / alpha_t in the paper.
        x0_hat: D(x, sigma), what the network takes for the picture in x.
        error: eps_hat - eps, the noise residual; sigma times it is mu - x0_hat.
        residual: H(mu) - y of the measurement, shaped like y.
        data, prior: the two terms of the gradient, with their weights and scaled by the pixels as the sampler has it.
        gradient: their sum, what the optimiser is given; with `data_steps` the prior's alone, and the data's steps follow.
        step: after - mu.
        after: mu after the optimiser's step.
        weight: w = lam g(sigma), of the noise residual.
        data_weight: of the data term, (b,): below 1 where `noise_aware` holds it back.
    """

    sigma: float
    mu: Tensor
    eps: Tensor
    x: Tensor
    x0_hat: Tensor
    error: Tensor
    residual: Tensor
    data: Tensor
    prior: Tensor
    gradient: Tensor
    step: Tensor
    after: Tensor
    weight: float
    data_weight: Tensor


@torch.no_grad()
def dissect(
    prior: Prior,
    H: Operator,
    y: Tensor,
    sigma_y: float,
    sampler: RedDiff,
    mu: Tensor,
    sigma: float,
    *,
    generator: Generators,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer] | None = None,
    before: Anatomy | None = None,
) -> Anatomy:
    """One iteration of `sampler` at mu (b, c, h, w) and the level sigma; one call of the network.

    Args:
        H, y, sigma_y: the measurement, as a sampler is given it.
        sigma: a level > 0, best one of the prior's (`nearest_level`).
        generator: one per image.
        optimizers: of mu (`RedDiff.optimizers`), with what they remember of the iterations before, and mu itself is moved;
            None: fresh ones of a copy.
        before: the iteration before, whose noise may be `carried` on.
    """
    moved, mu = mu if optimizers is not None else mu.clone(), mu.clone()
    x0 = mu + sampler.sigma0 * generator.randn_like(mu) if sampler.sigma0 > 0 else mu
    eps = generator.randn_like(mu)
    if sampler.noise == "carried" and before is not None:
        eps = flair.carried(before.error + before.eps, eps, sigma)
    x = x0 + sigma * eps
    x0_hat = prior.denoise(x, sigma)
    error = (x - x0_hat) / sigma - eps

    r, g = H.gradient(x0, y)
    m, n = sampler.counts(H, mu, y)
    scale = 1 / len(mu) if sampler.compat else n
    misfit = r.flatten(1).norm(dim=1) / m**0.5
    floor = H.noise_floor(y, sigma_y)
    held = torch.as_tensor(sampler.data_weight(misfit, floor, mu)).to(mu)
    noise = float(floor.mean()) * (n / m) ** 0.5
    weight = float(sampler.weight(torch.as_tensor(sigma, dtype=torch.float32), noise, prior.errors))
    data = held * g / m * scale
    pull = weight * error / n * scale

    apart = 0 if sampler.compat else sampler.data_steps
    moved.grad = gradient = pull if apart else data + pull
    own, fit = optimizers or sampler.optimizers(moved)
    own.step()
    if apart:
        flair.fitted(moved, H, y, floor, fit, apart)
    after = moved.detach().clone()
    return Anatomy(
        float(sigma), mu, eps, x, x0_hat, error, r, data, pull, gradient, after - mu, after, weight,
        held.flatten().expand(len(mu)),
    )  # fmt: skip


class Loop:
    """RED-diff's own loop, an iteration at a time, each taken apart (`step`), on one picture.

    Attributes:
        i, n: how many iterations were made, of how many.
    """

    def __init__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, sampler: RedDiff, *, generator: Generators):
        self.given, self.generator, self.sampler = (prior, H, y, sigma_y), generator, sampler
        begun = sampler.begun(H, y, sigma_y)
        self.levels = [float(sigma) for sigma in begun.levels(prior.sigmas, sampler.steps, generator)]
        self.mu = sampler.first(prior, H, y, sigma_y, generator).detach()
        self.optimizers = sampler.optimizers(self.mu)
        self.last: Anatomy | None = None
        self.i, self.n = 0, len(self.levels)

    def step(self) -> Anatomy:
        """The next iteration; one call of the network. Raises IndexError after the last."""
        sigma = self.levels[self.i]
        self.last = dissect(
            *self.given, self.sampler, self.mu, sigma, generator=self.generator, optimizers=self.optimizers, before=self.last
        )
        self.i += 1
        return self.last


def nearest_level(sigmas: Tensor, sigma: float) -> float:
    """The level of an ascending grid that is nearest to sigma > 0 in its logarithm."""
    return float(sigmas[int((sigmas.log() - torch.as_tensor(sigma, dtype=sigmas.dtype).log()).abs().argmin())])


def levels(prior: Prior, sampler: RedDiff) -> list[float]:
    """The noise level of every iteration that `sampler`, `begun`, makes, in their order (of seed 0 where it is random)."""
    plan = sampler.levels(prior.sigmas, sampler.steps, Generators.of_run(0, 1))
    return [float(level[0]) if isinstance(level, Tensor) else level for level in plan]


def drowned(x0: Tensor, sigma: float, eps: Tensor) -> Tensor:
    """x_t = alpha_t x0 + sigma_t eps, the paper's noisy picture of bounded variance: (x0 + sigma eps) / sqrt(1 + sigma^2)."""
    return (x0 + sigma * eps) / (1 + sigma**2) ** 0.5


def rms(v: Tensor) -> float:
    """The root of the mean square of all entries: a norm that does not grow with the picture."""
    return float(v.square().mean().sqrt())


def signed(v: Tensor, least: float = 1e-5) -> tuple[Tensor, float]:
    """v around mid grey, in [-1, 1], and the value that is white (its negative is black).

    That is the 99th percentile of |v|, so that single pixels do not grey the rest; below `least` it is round-off: all grey.
    """
    scale = float(v.detach().abs().flatten().float().quantile(0.99))
    return ((v / scale).clamp(-1, 1), scale) if scale > least else (torch.zeros_like(v), 0.0)
