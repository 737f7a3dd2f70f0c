"""What a network answers, and how D(x, sigma) is made of it: one line for each parametrisation.

Outside of the priors x = x0 + sigma eps. A network F was trained on a scaled x at a time t of its own, and

    D(x, sigma) = x / skip - out F(x / into, t)

                    into      skip                        out                t
    epsilon         r         1                           s                  of the schedule's betas
    v_prediction    r         r^2                         s / r              "                             arXiv 2202.00512
    sample          r         infinity                    -1                 "
    flow            1 + s     1 + s                       s / (1 + s)        T s / (1 + s)                 arXiv 2210.02747
    edm             q         q^2 / d^2                   -s d / q           ln(s) / 4                     arXiv 2206.00364
    consistency     q         ((s - s0)^2 + d^2) / d^2    -(s - s0) d / q    250 ln(s)                     arXiv 2303.01469
    score           2         1                           -s^2 / 2           s / 2                         arXiv 2011.13456

with s = sigma, r = sqrt(1 + s^2), q = sqrt(s^2 + d^2), d the standard deviation of the data and s0 the smallest level. The
variance-preserving three see x_vp = x / r; flow sees (1 - t) x0 + t eps with t = s / (1 + s), where epsilon and sample have
the same skip and out. A consistency model's D is no mean but a picture, the end of the probability-flow ODE
that goes through x. A score network sees pictures in [0, 1], so (x + 1) / 2, and answers with the gradient of log p there.
"""

import abc
import math
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from redgui import schedule
from redgui.priors.base import PriorError, Sigma
from redgui.schedule import sigma_of


class Scaling(NamedTuple):
    """The factors of D = x / skip - out F((x + offset) / into, t): numbers, or tensors that broadcast against x."""

    into: Sigma
    skip: Sigma
    out: Sigma
    offset: float = 0.0


class Parametrisation(abc.ABC):
    """How a network was trained.

    Attributes:
        name: of what it predicts: epsilon, v_prediction, sample, flow, edm, consistency, lcm or score.
        sigmas: its ascending grid of noise levels, (T,) float64 on the CPU.
    """

    name: str
    sigmas: Tensor

    @abc.abstractmethod
    def scaling(self, s: Sigma) -> Scaling:
        """The factors at noise level s."""

    @abc.abstractmethod
    def time(self, log_sigma: Any) -> Any:
        """The network's t for ln sigma, numbers or arrays of float64."""

    @final
    def scaled(self, x: Tensor, s: Sigma) -> Tensor:
        """What the network is shown for x (b, c, h, w), same shape."""
        into, _, _, offset = self.scaling(s)
        return (x + offset if offset else x) / into

    @final
    def denoised(self, x: Tensor, s: Sigma, out: Tensor) -> Tensor:
        """D of x (b, c, h, w) by the network's output for `scaled`, same shape."""
        _, skip, factor, _ = self.scaling(s)
        return x / skip - factor * out

    @final
    def target(self, x0: Tensor, noise: Tensor, s: Sigma) -> Tensor:
        """What the network is to answer where D is x0: (x / skip - x0) / out for x = x0 + s noise."""
        _, skip, out, _ = self.scaling(s)
        return (x0 * (1 / skip - 1) + s / skip * noise) / out

    @property
    def times(self) -> Tensor:
        """The network's t on its grid, (T,) float64."""
        return torch.from_numpy(np.asarray(self.time(self.sigmas.log().numpy()), dtype=np.float64))


class Discrete(Parametrisation):
    """Variance-preserving: t = 0 .. T-1 of a schedule of betas; between them t is linear in ln sigma, and exact on them.

    Args:
        alphas_cumprod: (T,), falling. Levels without noise or without a picture (zero terminal SNR) are left out.
        prediction: epsilon, v_prediction or sample.
        first: the smallest t of the grid.

    Raises:
        PriorError: another prediction.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction: str, first: int = 0):
        if prediction not in ("epsilon", "v_prediction", "sample"):
            raise PriorError(
                f"the scheduler's prediction_type is {prediction!r}; with a schedule of betas redgui reads epsilon, "
                "v_prediction and sample."
            )
        self.name = prediction
        sigmas = sigma_of(alphas_cumprod.cpu().double())
        kept = torch.isfinite(sigmas) & (sigmas > 0) & (torch.arange(len(sigmas)) >= first)
        if not bool(kept.any()):
            raise PriorError("the scheduler's betas have no noise level that a network can be asked at.")
        self.sigmas = sigmas[kept]
        self._log_sigmas, self._times = self.sigmas.log().numpy(), kept.nonzero().flatten().double().numpy()

    def scaling(self, s: Sigma) -> Scaling:
        r = (1 + s * s) ** 0.5
        if self.name == "v_prediction":
            return Scaling(r, r**2, s / r)
        return Scaling(r, 1.0, s) if self.name == "epsilon" else Scaling(r, math.inf, -1.0)

    def time(self, log_sigma: Any) -> Any:
        t = np.interp(log_sigma, self._log_sigmas, self._times)
        return np.where(np.abs(t - np.round(t)) < 1e-6, np.round(t), t)


class LatentConsistency(Discrete):
    """A latent consistency model (arXiv 2310.04378): Discrete's D, tied to x_vp where t is 0, on the levels of its training.

    With q = sqrt(tau^2 + d^2) and tau = stretch t, its D is (tau / q) D + (d / q)^2 x_vp.

    Args:
        levels: how many of the T it was distilled on: t = k T / levels - 1.
        stretch: `timestep_scaling` of the scheduler.
    """

    DATA = 0.5  # d, which LCMScheduler has no setting for

    def __init__(self, alphas_cumprod: Tensor, prediction: str, levels: int, stretch: float):
        super().__init__(alphas_cumprod, prediction)
        self.inner, self.name, self.stretch = Discrete(alphas_cumprod, prediction), "lcm", stretch
        t = torch.arange(1, levels + 1) * (len(alphas_cumprod) // levels) - 1
        at = torch.isin(torch.from_numpy(self._times).long(), t)
        self.sigmas = self.sigmas[at] if bool(at.any()) else self.sigmas

    def scaling(self, s: Sigma) -> Scaling:
        into, skip, out, _ = self.inner.scaling(s)
        log_sigma = s.cpu().double().log().numpy() if isinstance(s, Tensor) else math.log(s)
        tau = self.stretch * np.asarray(self.time(log_sigma), dtype=np.float64)
        c_skip, c_out = self.DATA**2 / (tau**2 + self.DATA**2), tau / (tau**2 + self.DATA**2) ** 0.5
        if isinstance(s, Tensor):
            c_skip, c_out = (torch.from_numpy(c).to(s) for c in (c_skip, c_out))
        else:
            c_skip, c_out = float(c_skip), float(c_out)
        return Scaling(into, 1 / (c_out / skip + c_skip / into), c_out * out)


class Flow(Parametrisation):
    """Rectified flow: x_t = (1 - t) x0 + t eps on t = k / T, k = 1 .. T-1, shifted to shift t / (1 + (shift - 1) t).

    Args:
        levels: T, also the network's time at t = 1.
        shift: more than 1 for a grid with more of the high levels. The network's time is that of the shifted t.
        prediction: flow (eps - x0), epsilon or sample.
    """

    def __init__(self, levels: int = 1000, shift: float = 1.0, prediction: str = "flow"):
        if prediction not in ("flow", "epsilon", "sample"):
            raise PriorError(
                f"the scheduler's prediction_type is {prediction!r}; with flow sigmas redgui reads flow_prediction, epsilon "
                "and sample."
            )
        self.name, self.prediction, self.levels = "flow", prediction, levels
        t = torch.arange(1, levels, dtype=torch.float64) / levels  # at t = 1 there is no picture left
        self.sigmas = shift * t / (1 - t)  # t / (1 - t) of the shifted t

    def scaling(self, s: Sigma) -> Scaling:
        if self.prediction == "flow":
            return Scaling(1 + s, 1 + s, s / (1 + s))
        return Scaling(1 + s, 1.0, s) if self.prediction == "epsilon" else Scaling(1 + s, math.inf, -1.0)

    def time(self, log_sigma: Any) -> Any:
        return self.levels / (1 + np.exp(-np.asarray(log_sigma)))


class Edm(Parametrisation):
    """EDM: the preconditioned network of arXiv 2206.00364, Table 1.

    Args:
        levels, lowest, highest, rho: of its grid, evenly spaced in sigma^(1/rho), or in ln sigma where rho is infinite.
        data: standard deviation of the data.
        sign: -1 where the network predicts v.
    """

    name = "edm"

    def __init__(self, levels: int = 1000, lowest: float = 0.002, highest: float = 80.0, data: float = 0.5, rho: float = 7.0,
                 sign: int = 1):  # fmt: skip
        if math.isinf(rho):
            self.sigmas = torch.linspace(math.log(lowest), math.log(highest), levels, dtype=torch.float64).exp()
        else:
            self.sigmas = schedule.karras(levels, lowest, highest, rho).flip(0)
        self.data, self.sign = data, sign

    def scaling(self, s: Sigma) -> Scaling:
        q2, d = s * s + self.data**2, self.data
        return Scaling(q2**0.5, q2 / d**2, -self.sign * s * d / q2**0.5)

    def time(self, log_sigma: Any) -> Any:
        return np.asarray(log_sigma) / 4


class Consistency(Edm):
    """A consistency model (arXiv 2303.01469, appendix C), whose D(x, lowest) is x. Arguments as of Edm."""

    name = "consistency"

    def scaling(self, s: Sigma) -> Scaling:
        d, above = self.data, s - float(self.sigmas[0])
        q = (s * s + d**2) ** 0.5
        return Scaling(q, (above * above + d**2) / d**2, -above * d / q)

    def time(self, log_sigma: Any) -> Any:
        return 250 * np.asarray(log_sigma)


class Score(Edm):
    """A variance-exploding score network (arXiv 2011.13456) of pictures in [0, 1], where sigma is half of ours.

    Args:
        levels, lowest, highest: of its grid, evenly spaced in ln sigma, in the network's units.
    """

    name = "score"

    def __init__(self, levels: int = 2000, lowest: float = 0.01, highest: float = 1348.0):
        super().__init__(levels, 2 * lowest, 2 * highest, rho=math.inf)

    def scaling(self, s: Sigma) -> Scaling:
        return Scaling(2.0, 1.0, s * s / -2, 1.0)

    def time(self, log_sigma: Any) -> Any:
        return np.exp(np.asarray(log_sigma)) / 2
