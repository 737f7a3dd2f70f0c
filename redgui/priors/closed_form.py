"""Priors whose denoiser is known in closed form: no weights, exact, the tests' oracles.

For x = x0 + sigma eps,
    Gaussian  x0 ~ N(m, C):            D = m + C (C + sigma^2 I)^-1 (x - m)
    mixture   x0 ~ sum_k w_k N(m_k, s^2 I):
        D = sum_k r_k (m_k + s^2/(s^2 + sigma^2) (x - m_k)),  r = softmax(log w_k - |x - m_k|^2 / 2(s^2 + sigma^2))
    empirical                          the mixture with s = 0 over the pictures of a data set
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui import knobs, schedule
from redgui.knobs import knob
from redgui.priors.base import Prior, Sigma, per_image


@final
@dataclass(frozen=True, kw_only=True)
class GaussianPrior(Prior):
    """A stationary Gaussian field with a power spectrum that falls as |frequency|^-exponent.

    The covariance is circulant, so it works at any size and its posterior is known for circulant operators.
    `exponent=0` is white noise of standard deviation `std`. Natural pictures have about 2.
    """

    name = "gaussian"
    multiple = 1
    size: int = knob(64, 2, 512, help="side of the pictures")
    channels: int = knob(3, 1, 4, help="colour channels")
    std: float = knob(0.5, 1e-3, 10.0, help="standard deviation of a pixel")
    mean: float = knob(0.0, -1.0, 1.0, help="mean of a pixel")
    exponent: float = knob(2.0, 0.0, 4.0, help="fall of the power spectrum with frequency")

    def __post_init__(self) -> None:
        knobs.check(self)
        # As a record calls it, knobs and all, where the class is just "gaussian".
        object.__setattr__(self, "name", knobs.spec(self))
        object.__setattr__(self, "shape", (self.channels, self.size, self.size))
        object.__setattr__(self, "sigmas", schedule.linear_beta())

    def spectrum(self, h: int, w: int) -> Tensor:
        """Eigenvalues of the covariance over the 2-D FFT's frequencies, (h, w) float64, mean std^2."""
        fy, fx = torch.meshgrid(
            torch.fft.fftfreq(h, dtype=torch.float64), torch.fft.fftfreq(w, dtype=torch.float64), indexing="ij"
        )
        radius = (fy.square() + fx.square()).sqrt().clamp(min=1 / max(h, w))
        power = radius**-self.exponent
        return self.std**2 * power / power.mean()

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        s = self.spectrum(*x.shape[-2:]).to(x)
        gain = s / (s + per_image(sigma, x) ** 2)
        return self.mean + torch.fft.ifft2(gain * torch.fft.fft2(x - self.mean)).real

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws, shape (n, c, size, size), float32."""
        z = torch.randn(n, *self.shape, generator=generator)
        root = self.spectrum(self.size, self.size).sqrt().to(z)
        return self.mean + torch.fft.ifft2(root * torch.fft.fft2(z)).real


@final
class MixturePrior(Prior):
    """A mixture of isotropic Gaussians.

    Args:
        means: (k, c, h, w).
        std: standard deviation s of every component; 0 is an empirical prior.
        weights: (k,), equal if None.
    """

    def __init__(self, means: Tensor, std: float = 0.0, weights: Tensor | None = None, name: str = "mixture"):
        self.name, self.means, self.std = name, means, float(std)
        self.weights = torch.full((len(means),), 1 / len(means)) if weights is None else weights / weights.sum()
        self.shape = (means.shape[1], means.shape[2], means.shape[3])
        self.sigmas = schedule.linear_beta()
        self.device = means.device

    def responsibilities(self, x: Tensor, sigma: Sigma) -> Tensor:
        """p(component k | x), shape (b, k), in the dtype of x."""
        means = self.means.to(x).flatten(1)
        variance = self.std**2 + torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1).square()
        # |x - m|^2 up to a term without k, in double precision: at small sigma the differences decide.
        xd, md = x.flatten(1).double(), means.double()
        distance = md.square().sum(1) - 2 * xd @ md.T
        logits = self.weights.to(xd).log() - distance / (2 * variance.double())
        return logits.softmax(1).to(x)

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        r = self.responsibilities(x, sigma)
        m = torch.einsum("bk,kchw->bchw", r, self.means.to(x))
        if self.std == 0:
            return m
        s2 = self.std**2
        return m + s2 / (s2 + per_image(sigma, x) ** 2) * (x - m)


def empirical_prior(images: Tensor, name: str = "empirical") -> MixturePrior:
    """The exact denoiser of a finite data set, images (k, c, h, w) in [-1, 1]: a softmax-weighted mean of them."""
    return MixturePrior(images, 0.0, name=name)
