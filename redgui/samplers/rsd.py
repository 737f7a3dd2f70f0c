"""RSD: Zilberstein, Mardani, Segarra, "Repulsive Latent Score Distillation for Solving Inverse Problems", ICLR 2025,
arXiv 2406.16683; here in pixel space.

RED-diff's q is a single peak; n of them, whose particles repel each other, cover a posterior with several modes,

    mu_i <- f+(y),  i = 1 ... n
    for t = T, ..., 1:
        eps_i ~ N(0, I);  x_i = alpha_t mu_i + sigma_t eps_i
        r_i   = sum_j (2/h) k_ij (mu_i - mu_j) / sum_j k_ij,   k_ij = exp(-d_ij^2 / h),   h = median(d)^2 / log(n + 1)
        loss  = |y - f(mu_i)|^2 + lambda_t (sg[eps_theta(x_i; t) - eps_i - gamma sigma_t r_i])^T mu_i
        mu_i <- OptimizerStep(loss)

    paper               here
    mu_i, eps_i, f      mu, eps, H               (the batch is the particles)
    sigma_t / alpha_t   sigma                    sigma_t = sigma / sqrt(1 + sigma^2)
    lambda_t            lam * sigma              (RED-diff's linear weighting)
    gamma, r_i          gamma, repulsion(mu)
    d_ij                root mean square of mu_i - mu_j, per entry: a gamma that does not depend on the size of the picture

The particles of a batch see each other, so a particle's result depends on the others (`coupled`), and a batch must hold one
problem. With gamma = 0, or alone, a particle is exactly an independent RED-diff run of the same knobs and seed.

Differs from the paper and its code:
 - pixels instead of a latent space, and hence no splitting into pixel and latent variables;
 - with `where` = null the particles only repel each other in what a linear H does not see, mu - H^+ H mu; the paper
   measures distances between features of a network;
 - log(n + 1) in the bandwidth instead of log(n - 1), so that two particles suffice.

In pixels the particles part by colour and contrast rather than by content: on faces a box is filled plausibly up to gamma of
about 0.002; from 0.01 on with colours that no face has, which costs the mean over particles 1 dB and each of them 7.

Cost per step and particle: one forward of the network, no backward; one evaluation of H and its vector-Jacobian product, and
one projection to the null space.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self, final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import LinearOperator, Operator
from redgui.optimizers import OPTIMIZERS
from redgui.priors.base import Prior, per_image
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, lengthened


@final
@dataclass(frozen=True, kw_only=True)
class RSD(Sampler):
    """RED-diff particles that repel each other: several answers instead of one."""

    name = "rsd"
    label = "RSD"
    paper = "arXiv 2406.16683"
    about = "RED-diff with particles that repel each other, to show several answers"
    coupled = True
    endless = True
    grid = "steps", "spacing", "sigma_start"
    seeks_mode = True
    gradient = False

    steps: int = knob(100, 1, 5000, help="iterations: one network call each, per particle", log=True)
    lr: float = knob(0.1, 1e-4, 2.0, label="learning rate", log=True, help="step size of the optimiser")
    lam: float = knob(0.25, 0.0, 10.0, label="λ", log=True, help="weight of the prior against the measurement")
    gamma: float = knob(0.002, 0.0, 10.0, label="γ", log=True, help="repulsion of the particles; 0: RED-diff")
    where: Literal["null", "pixels"] = knob(
        "null", advanced=True, help="what is repelled: the part that the measurement does not see, or the whole picture"
    )
    spacing: Literal["uniform", "karras"] = knob(
        "uniform", advanced=True, help="noise levels even over the training grid (the paper's), or dense at low noise"
    )
    sigma_start: float = knob(160.0, 0.1, 200.0, label="first σ", log=True, advanced=True, help="highest noise level")
    noise_aware: bool = knob(
        True, advanced=True, help="weigh the data term down as the residual nears the noise level, so that noise is not fitted"
    )

    def shortened(self, steps: int) -> Self:
        return replace(super().shortened(steps), lr=lengthened(self.lr, self.steps / steps))

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas)
        mu = H.start(y).clone()
        optimizer = OPTIMIZERS["adam"]([mu], self.lr)
        m, n = H.entries(y), mu[0].numel()
        floor = H.noise_floor(y, sigma_y)
        for i, sigma in path:
            eps = generator.randn_like(mu)
            error = prior.eps(mu + sigma * eps, sigma) - eps
            repulsion = self.repulsion(H, mu)
            pull = error - self.gamma * sigma / (1 + sigma**2) ** 0.5 * repulsion if self.gamma > 0 else error

            # gradient of |y - H(mu)|^2 / 2m + w (eps_hat - eps - gamma sigma_t r)^T mu / n, with stop-gradient on the network
            w = self.lam * torch.as_tensor(sigma, dtype=torch.float32).to(mu)
            r, g_data = H.gradient(mu, y)
            residual = r.flatten(1).norm(dim=1) / m**0.5
            mu.grad = n * (self.data_weight(residual, floor, mu) * (g_data / m) + w * pull / n)
            optimizer.step()

            scalars = {
                "data": residual.square() / 2,
                "prior": w * error.square().flatten(1).mean(1) / 2,
                "residual": residual,
                "repulsion": repulsion.square().flatten(1).mean(1).sqrt(),
                "weight": w,
            }
            self = path.follow((yield Step(i, path.n, sigma, mu.clone(), scalars)) or self)
            optimizer.param_groups[0]["lr"] = self.lr

    def repulsion(self, H: Operator, mu: Tensor) -> Tensor:
        """r_i, (b, c, h, w): along it particle i moves away from the others. Zero for a single particle."""
        if len(mu) == 1 or self.gamma == 0:
            return torch.zeros_like(mu)
        z = mu
        if self.where == "null" and isinstance(H, LinearOperator):
            z = mu - H.pinv(H(mu))
        z = (z - z[:1]).flatten(1)  # only differences count, and equal particles then differ by exactly 0
        d2 = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square() / z.shape[1]
        others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        # Particles that have not yet parted have no scale: 0.01 per entry then stands for it.
        h = (d2[others].median() / torch.log(torch.tensor(len(z) + 1.0))).clamp(min=1e-4)
        k = (-d2 / h).exp()
        k = k / k.sum(1, keepdim=True)
        return (2 / h * (z - k @ z)).view_as(mu)

    def data_weight(self, residual: Tensor, floor: Tensor, mu: Tensor) -> float | Tensor:
        """1, or with `noise_aware` max(0, 1 - floor / residual): the gradient of (|r| - sqrt(m) floor)_+^2 / 2."""
        if not self.noise_aware:
            return 1.0
        return per_image((1 - floor / residual.clamp(min=1e-12)).clamp(min=0), mu)

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of n levels of an ascending grid below `start`; of all of it where nothing is left there."""
        rest = sigmas[sigmas < start]
        sigmas = rest if len(rest) else sigmas
        part = sigmas[: max(1, int((sigmas <= self.sigma_start).sum()))]
        if self.spacing == "karras":
            return schedule.pairs(schedule.karras(n, float(part[0]), float(part[-1])).tolist())
        return schedule.pairs(schedule.uniform(part, n).tolist())
