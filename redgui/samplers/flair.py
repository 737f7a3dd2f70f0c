"""What FLAIR adds to RED-diff: Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler, "Solving Inverse Problems with FLAIR",
arXiv 2506.02680; written for flows, x_t = (1 - t) mu + t eps with t = sigma / (1 + sigma), and here for any prior.

    paper                                            here
    t, x_t / (1 - t), v - u_t                        sigma / (1 + sigma), x, (1 + sigma) (eps_hat - eps)
    calibrated weight (CRW): lambda_R(t)             (1 + sigma) c(sigma): one over the measured error of the velocity
    trajectory adjustment (DTA): t (a x1 + ...)      `carried`: eps = a eps_hat + sqrt(1 - a^2) fresh, a = 1 - t
    hard data consistency (HDC)                      `fitted`: steps on the data term alone until the residual is met
"""

import numpy as np
import torch
from torch import Tensor

from redgui.operators.base import Operator
from redgui.priors.base import Sigma, per_image
from redgui.priors.calibration import Errors

MET = 0.01  # residual per entry at which a measurement without noise is met


def calibrated(sigma: Tensor, errors: Errors) -> Tensor:
    """g(sigma) of the weighting `calibrated`, elementwise: (1 + sigma) c(sigma).

    c is one over the mean squared error of the velocity, ((1 + sigma) / sigma)^2 that of D, of mean 1 over t, less its value at
    the lowest level, and no less than 0: what the network says of fine grain, where its errors are large, has no weight.
    """
    levels, rmse = errors.sigmas.numpy(), errors.rmse.numpy()
    at = np.linspace(levels[0] / (1 + levels[0]), levels[-1] / (1 + levels[-1]), 200)

    def inverse(s: np.ndarray) -> np.ndarray:
        error = np.exp(np.interp(np.log(s), np.log(levels), np.log(rmse)))
        return (s / (1 + s) / error) ** 2

    s = sigma.double().cpu().numpy().clip(levels[0], levels[-1])
    c = (inverse(s) - inverse(levels[:1])) / inverse(at / (1 - at)).mean()
    return (1 + sigma) * torch.from_numpy(np.asarray(c).reshape(sigma.shape)).to(sigma).clamp(min=0)


def carried(eps_hat: Tensor, fresh: Tensor, sigma: Sigma) -> Tensor:
    """The noise of a step at sigma from what the network took for noise in the step before, and new noise."""
    a = 1 / (1 + torch.as_tensor(per_image(sigma, fresh)).to(fresh))
    return a * eps_hat + (1 - a * a).sqrt() * fresh


def fitted(mu: Tensor, H: Operator, y: Tensor, floor: Tensor, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    """Steps of mu, in place, on the data term alone, of each picture until its residual is at `floor` or MET.

    Returns:
        The residual |r| / sqrt(m), (b,), before the last step, or where all pictures fit.
    """
    m, n = H.entries(y), mu[0].numel()
    residual = floor
    for _ in range(steps):
        r, g = H.gradient(mu, y)
        residual = r.flatten(1).norm(dim=1) / m**0.5
        apart = residual > floor.clamp(min=MET)
        if not bool(apart.any()):
            break
        before = mu.clone()
        mu.grad = n / m * g
        optimizer.step()
        mu.copy_(torch.where(apart.view(-1, 1, 1, 1), mu, before))  # the others stay while these go on
    return residual
