"""VML-MAP: "Variational Mode-seeking Loss", arXiv 2512.10524, and its predecessor MAP-GA, arXiv 2407.20784, as a limit.

PLACEHOLDER
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from redgui import metrics, schedule
from redgui.knobs import knob
from redgui.operators.base import Operator
from redgui.operators.tangent import Tangent
from redgui.priors.base import Prior, per_image
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, Step, Steps


@final
@dataclass(frozen=True, kw_only=True)
class VmlMap(Sampler):
    """Descends the divergence between p(x0 | x) and p(x0 | y) at every noise level."""

    name = "vml-map"
    label = "VML-MAP"
    paper = "arXiv 2512.10524"
    about = "seeks a mode of the posterior: descends the divergence between p(x0|x) and p(x0|y)"

    steps: int = knob(100, 1, 2000, help="noise levels", log=True)
    inner: int = knob(1, 1, 200, label="K", log=True, help="descent steps at every noise level")
    objective: Literal["vml", "map-ga", "map-ga-np"] = knob(
        "vml", help="what is descended: the simplified VML, or MAP-GA's gradient with or without its prior term (np)"
    )
    preconditioner: Literal["gauss-newton", "plain"] = knob(
        "gauss-newton", help="direction: Gauss-Newton, or the plain gradient over its largest curvature", only_with=("objective", ("vml",))
    )
    use_jacobian: bool = knob(
        False, label="network Jacobian", help="pull the step back through the network: a descent direction, but a backward pass each"
    )
    transition: Literal["ode", "renoise"] = knob("ode", help="how the next noise level is reached: without fresh noise, or with")
    step: float = knob(1.0, 0.01, 2.0, label="step size", log=True, help="share of the full step")
    clip: float = knob(1.0, 0.01, 100.0, log=True, advanced=True, help="longest step with the Jacobian, in noise levels per pixel")
    backtrack: bool = knob(
        True, advanced=True, help="with the Jacobian: halve a step that does not bring the denoised picture nearer to its target"
    )
    sigma_max: float = knob(10.0, 1.0, 200.0, label="first σ", log=True, advanced=True, live=False, help="highest noise level")
    sigma_min: float = knob(0.01, 0.002, 1.0, label="last σ", log=True, advanced=True, help="lowest noise level")
    sigma_y_min: float = knob(0.001, 1e-9, 0.5, label="least σ_y", log=True, advanced=True, help="noise assumed in the measurement when it has less")  # fmt: skip

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        levels = schedule.karras(self.steps, min(self.sigma_min, self.sigma_max), self.sigma_max).tolist()
        x = self.sigma_max * generator.randn_like(H.start(y))
        i = 0
        while levels:
            sigma = levels.pop(0)
            sigma_next = levels[0] if levels else 0.0

            x, rejected = self.descend(prior, H, y, max(sigma_y, self.sigma_y_min), x, sigma)
            x0_hat = prior.denoise(x, sigma)
            if self.objective != "vml":
                # MAP-GA: noise of variance s^2 - v^2 over a picture that counts as one of the lowest level v.
                x = x0_hat + max(sigma_next**2 - self.sigma_min**2, 0.0) ** 0.5 * generator.randn_like(x)
            elif self.transition == "renoise":
                x = x0_hat + sigma_next * generator.randn_like(x)
            else:
                x = x0_hat + sigma_next / sigma * (x - x0_hat)

            residual = metrics.residual(x0_hat, y, H)
            scalars = {"data": residual.square() / 2, "residual": residual, "rejected": rejected}
            tuned = yield Step(i, i + 1 + len(levels), sigma, x0_hat.clone(), scalars)
            i += 1
            if tuned is not None:
                if levels and (tuned.steps, tuned.sigma_min) != (self.steps, self.sigma_min):
                    # x is at the level that comes next: the new ones start there.
                    more, first = max(tuned.steps - i, 1), levels[0]
                    levels = schedule.karras(more, min(tuned.sigma_min, first), first).tolist()
                self = tuned

    def descend(
        self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, sigma: float
    ) -> tuple[Tensor, Tensor]:
        """x after `inner` steps, and how many of them were taken back, (b,)."""
        with_J = self.use_jacobian or self.objective != "vml"
        guarded = with_J and self.backtrack
        share = torch.full((len(x),), self.step).to(x)
        rejected = torch.zeros_like(share)
        kept: tuple[Tensor, ...] | None = None
        for _ in range(self.inner):
            if not with_J:
                D = prior.denoise(x, sigma)
                x = x + self.step * self.direction(prior, H, y, sigma_y, x, D, sigma)
                continue
            with torch.enable_grad():
                x_in = x.detach().requires_grad_(True)
                D_out = prior.denoise(x_in, sigma)
            D = D_out.detach()
            u = self.direction(prior, H, y, sigma_y, x, D, sigma)
            (p,) = torch.autograd.grad(D_out, x_in, u)
            longest = self.clip * sigma * x[0].numel() ** 0.5
            p = p * per_image((longest / p.flatten(1).norm(dim=1).clamp(min=1e-12)).clamp(max=1), x)
            if guarded and kept is not None:
                # Accept the last step if D has come nearer to D + u, in the norm whose minimiser u was.
                good = self.nearer(H, y, D - kept[1], kept[2], (sigma_y / sigma) ** 2)
                rejected += ~good
                share = torch.where(good, (2 * share).clamp(max=self.step), share / 2)
                x, D, u, p = (torch.where(per_image(good, x) > 0, new, old) for new, old in zip((x, D, u, p), kept, strict=True))
            kept = (x, D, u, p)
            x = x + per_image(share, x) * p
        return x, rejected

    def nearer(self, H: Operator, y: Tensor, moved: Tensor, u: Tensor, rho: float) -> Tensor:
        """|moved - u| <= |u| per image in the norm |v|^2 + |Hv|^2 / rho, (b,)."""

        def size(v: Tensor) -> Tensor:
            return rho * v.square().flatten(1).sum(1) + H(v).square().flatten(1).sum(1)

        return size(moved - u) <= size(u)

    def direction(
        self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, D: Tensor, sigma: float
    ) -> Tensor:
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
