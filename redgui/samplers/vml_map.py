"""VML-MAP: Gutha, Vinuesa, Azizpour, "Mode-Seeking for Inverse Problems with Diffusion Models", arXiv 2512.10524; as a limit
MAP-GA: by the same, "Inverse Problems with Diffusion Models: A MAP Estimation Perspective", WACV 2025, arXiv 2407.20784.

The loss is VML(x) = KL(p(x0 | x_t = x) || p(x0 | y)). Without its two trace terms, with D = D(x, sigma) and J = dD/dx,

    VML_S(x) = -log p(x) - |D - x|^2 / 2 sigma^2 + |y - H D|^2 / 2 sigma_y^2,
    grad VML_S = -J^T [(D - x) / sigma^2 + H^T (y - H D) / sigma_y^2].

This is OUR READING of the paper: the loss is the paper's, but its step, number of steps, preconditioner and transition are not
known to us, and we found no public code. Ours:

    x ~ N(0, sigma_max^2 I)
    for each sigma, followed by s:
        repeat K times: u = (H^T H + rho I)^-1 [rho (D - x) + H^T (y - H D)],  rho = sigma_y^2 / sigma^2;   x <- x + J^T u
        x <- D + (s / sigma) (x - D),  or D + s z

    K, u                  inner, direction(...)       the Gauss-Newton step of D; where H is blind the mean shift D - x
    without J^T           use_jacobian=false          the same fixed points, and no backward pass
    gradient descent      preconditioner=plain        u = sigma_y^2 [...] / (|H|^2 + rho / 4), one over the largest curvature
    MAP-GA                objective=map-ga            u = (1 + sigma_y^2 / v^2) (lift(y - H D) + D(D, v) - D), v = sigma_min
    MAP-GA (NP)           objective=map-ga-np         without D(D, v) - D; both with J^T, and then x <- D + sqrt(s^2 - v^2) z

Damping. A step through J can overshoot: J = Cov[x0 | x] / sigma^2 exceeds 1 between modes, and a network's J is not even
symmetric. `backtrack` takes a step back, per picture, when D is then not nearer to its target D + u in the norm that u
minimises, and halves the next; a good step doubles it again, and a level begins with at least 1/16. The test needs no more
network calls than the next step. On mixtures of Gaussians (sigma_y 0.3 to 0.01, sigma 0.2 to 3) at most 1 step in 1000 raised
VML_S; without it, or with half steps instead, 25 to 320 did. Two faces, 20 levels from sigma 10, K = 10 and J: centre box
29.3 dB instead of 17.9, SR x4 24.7 instead of 24.6. From sigma 80 the box stays at 21.8: that high up a network's J is useless.
Without J the same two have 31.0 and 25.2 dB from 50 levels and K = 1, which is why that is the default.

It seeks a mode: results are smooth, and there is no guarantee that the mode is the highest.
An operator that is not linear is linearised at D, and the direction found by conjugate gradients. MAP-GA is meant for
measurements without noise; its authors end noisy runs with PiGDM, which is not done here.

Cost per step: inner + 1 forwards of the network, `inner` backwards with J (MAP-GA with prior: another `inner` forwards);
`inner` regularised solves with H.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import knob
from redgui.operators.base import Operator
from redgui.operators.tangent import Tangent
from redgui.priors.base import Prior, per_image
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps, misfit


@final
@dataclass(frozen=True, kw_only=True)
class VmlMap(Sampler):
    """Descends the divergence between p(x0 | x) and p(x0 | y) at every noise level."""

    name = "vml-map"
    label = "VML-MAP"
    paper = "arXiv 2512.10524"
    grid = "steps", "sigma_min"
    about = "seeks a mode of the posterior: descends the divergence between p(x0|x) and p(x0|y)"
    seeks_mode = True

    steps: int = knob(100, 1, 2000, help="noise levels", log=True)
    inner: int = knob(1, 1, 200, label="K", log=True, help="descent steps at every noise level")
    objective: Literal["vml", "map-ga", "map-ga-np"] = knob(
        "vml", help="what is descended: the simplified VML, or MAP-GA's gradient with or without its prior term (np)"
    )
    preconditioner: Literal["gauss-newton", "plain"] = knob(
        "gauss-newton", help="Gauss-Newton, or the gradient over its largest curvature", only_with=("objective", ("vml",))
    )
    use_jacobian: bool = knob(
        False, label="network Jacobian", help="pull the step back through the network: a backward pass each"
    )
    transition: Literal["ode", "renoise"] = knob("ode", help="to the next noise level without fresh noise, or with")
    step: float = knob(1.0, 0.01, 2.0, label="step size", log=True, help="share of the full step")
    clip: float = knob(1.0, 0.01, 100.0, log=True, advanced=True, help="longest step with the Jacobian, in σ per pixel")
    backtrack: bool = knob(
        True,
        advanced=True,
        help="with the Jacobian: halve a step that does not bring the denoised picture nearer to its target",
    )
    sigma_max: float = knob(10.0, 1.0, 200.0, label="first σ", log=True, advanced=True, live=False, help="highest noise level")
    sigma_min: float = knob(0.01, 0.002, 1.0, label="last σ", log=True, advanced=True, help="lowest noise level")
    sigma_y_min: float = knob(
        0.001, 1e-9, 0.5, label="least σ_y", log=True, advanced=True, help="noise assumed in y when there is less"
    )

    @property
    def needs_gradient(self) -> bool:
        return self.use_jacobian or self.objective != "vml"

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        path = schedule.Path(self, prior.sigmas, self.sigma_max, ahead=True)
        x = self.sigma_max * generator.randn_like(H.start(y))
        share = torch.ones(len(x)).to(x)
        for i, sigma in path:
            x, x0_hat, share = self.descend(prior, H, y, max(sigma_y, self.sigma_y_min), x, sigma, share)
            if self.objective != "vml":
                # MAP-GA: noise of variance s^2 - v^2 over a picture that counts as one of the lowest level v.
                x = x0_hat + max(path.s**2 - self.sigma_min**2, 0.0) ** 0.5 * generator.randn_like(x)
            elif self.transition == "renoise":
                x = x0_hat + path.s * generator.randn_like(x)
            else:
                x = x0_hat + path.s / sigma * (x - x0_hat)

            scalars = {**misfit(H, x0_hat, y), "share": share}
            self = path.follow((yield Step(i, path.n, sigma, x0_hat.clone(), scalars)) or self)

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs of n levels from `start` down, wherever the grid has its own."""
        return schedule.pairs(schedule.karras(n, min(self.sigma_min, start), start).tolist())

    def descend(
        self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, sigma: float, share: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x after `inner` steps, D(x, sigma), and the share of the full step, (b,), that was last found good."""
        if not self.needs_gradient:
            for _ in range(self.inner):
                D = prior.denoise(x, sigma)
                x = x + self.step * self.direction(prior, H, y, sigma_y, x, D, sigma)
            return x, prior.denoise(x, sigma), share

        longest = self.clip * sigma * x[0].numel() ** 0.5
        share = share.clamp(min=1 / 16)  # another level, another chance
        before: tuple[Tensor, ...] = ()
        for k in range(self.inner + 1):
            D, back = prior.linearized(x, sigma) if k < self.inner else (prior.denoise(x, sigma), None)
            if before and self.backtrack:
                # Go back, and half as far, where the last step did not bring D nearer to its target D + u.
                good = self.nearer(H, y, before[1], D, before[2], (sigma_y / sigma) ** 2)
                share = torch.where(good, 2 * share, share / 2).clamp(max=1)
            else:
                good = torch.ones(len(x), dtype=torch.bool, device=x.device)
            if back is None:
                x, D = self.chosen(good, (x, D), before)
                return x, D, share
            u = self.direction(prior, H, y, sigma_y, x, D, sigma)
            p = back(u)
            p = p * per_image((longest / p.flatten(1).norm(dim=1).clamp(min=1e-12)).clamp(max=1), x)
            before = self.chosen(good, (x, D, u, p), before)
            x = before[0] + per_image(self.step * share, x) * before[3]
        raise AssertionError  # the loop returns

    def chosen(self, good: Tensor, new: tuple[Tensor, ...], old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Per image what is new where it is good, otherwise what was before."""
        pairs = zip(new, old or new, strict=False)
        return tuple(torch.where(good.view(-1, 1, 1, 1), a, b) for a, b in pairs)

    def nearer(self, H: Operator, y: Tensor, D: Tensor, moved: Tensor, u: Tensor, rho: float) -> Tensor:
        """Whether `moved` is nearer to D + u than D is, (b,), in the norm |Av|^2 + rho |v|^2 whose minimiser u was."""
        A = Tangent(H, D, y)

        def size(v: Tensor) -> Tensor:
            return A(v).square().flatten(1).sum(1) + rho * v.square().flatten(1).sum(1)

        return size(D + u - moved) <= size(u)

    def direction(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, D: Tensor, sigma: float) -> Tensor:
        """u: where the denoised picture D should go."""
        A = Tangent(H, D, y)
        rho = (sigma_y / sigma) ** 2
        if self.objective != "vml":
            v = self.sigma_min
            u = (1 + (sigma_y / v) ** 2) * A.lift(-A.r, (sigma_y / v) ** 2)
            return u if self.objective == "map-ga-np" else u + (1 + (sigma_y / v) ** 2) * (prior.denoise(D, v) - D)
        if self.preconditioner == "plain":
            return (rho * (D - x) - A.adjoint(A.r)) / (A.norm2() + rho / 4)
        return D - x - A.lift(A.r + A(D - x), rho)
