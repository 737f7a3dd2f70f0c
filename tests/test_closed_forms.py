"""Priors in closed form: exact against dense formulas, finite differences and their own spectrum."""

import numpy as np
import pytest
import torch
from tiny import noise
from torch import Tensor

from redgui import images, knobs, priors
from redgui.bundled import EXAMPLES
from redgui.priors import GaussianPrior, MixturePrior, empirical_prior


@pytest.mark.parametrize("sigma", [0.01, 0.4, 30.0])
@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 3)])
def test_the_gaussian_denoiser_is_the_dense_formula(sigma, h, w):
    prior = GaussianPrior(size=4, channels=1, mean=0.2, std=0.6)
    n = h * w
    F = np.kron(np.fft.fft(np.eye(h), norm="ortho"), np.fft.fft(np.eye(w), norm="ortho"))
    C = F.conj().T @ np.diag(prior.spectrum(h, w).flatten().numpy()) @ F
    np.testing.assert_allclose(C.imag, 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(C.real), 0.36)  # std^2 at every pixel
    x = noise(1, 1, h, w, dtype=torch.float64)  # sigma was once rounded to float32, whatever x
    wanted = 0.2 + C.real @ np.linalg.solve(C.real + sigma**2 * np.eye(n), x.flatten().numpy() - 0.2)
    np.testing.assert_allclose(prior.denoise(x, sigma).flatten().numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 2.0, 3.0])
def test_the_gaussian_priors_power_falls_with_frequency(exponent):
    power = GaussianPrior(exponent=exponent).spectrum(16, 16)
    assert float(power[0, 1] / power[0, 2]) == pytest.approx(2**exponent)
    assert float(power[3, 4] / power[5, 0]) == pytest.approx(1)


def test_draws_of_the_gaussian_prior_have_its_spectrum():
    prior = GaussianPrior(size=8, channels=1, std=0.5)
    power = torch.fft.fft2(prior.sample(4000, torch.Generator().manual_seed(0)), norm="ortho").abs().square().mean((0, 1))
    torch.testing.assert_close(power.double(), prior.spectrum(8, 8), rtol=0.15, atol=0)


def log_density(x: Tensor, means: Tensor, weights: Tensor, variance: float) -> Tensor:
    """log p(x) of a mixture of isotropic Gaussians up to a constant, by the book."""
    distance = torch.stack([(x - m).square().sum() for m in means])
    return (weights.log() - distance / (2 * variance)).logsumexp(0)


@pytest.mark.parametrize("std", [0.0, 0.3])
@pytest.mark.parametrize("sigma", [0.1, 0.8, 5.0])
def test_the_mixture_denoiser_is_tweedies_formula_by_finite_differences(std, sigma):
    means, weights = noise(3, 1, 2, 2, seed=1, dtype=torch.float64), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    prior = MixturePrior(means, std, weights)
    x = noise(1, 1, 2, 2, seed=2, dtype=torch.float64)
    score = torch.zeros_like(x)
    for k in range(4):
        h = torch.zeros(4, dtype=torch.float64).index_fill(0, torch.tensor(k), 1e-5).reshape(x.shape)
        ahead, behind = (log_density((x + s * h)[0], means, weights, std**2 + sigma**2) for s in (1, -1))
        score.view(-1)[k] = (ahead - behind) / 2e-5
    torch.testing.assert_close(prior.denoise(x, sigma), x + sigma**2 * score, rtol=0, atol=1e-7)


def test_the_gaussian_denoiser_is_tweedies_formula():
    prior = GaussianPrior(size=2, channels=1, exponent=0, std=0.7, mean=-0.1)  # white: log p is a sum over pixels
    x = noise(1, 1, 2, 2, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(-((x + 0.1) ** 2).sum() / (2 * (0.49 + 0.09)), x)
    torch.testing.assert_close(prior.denoise(x, 0.3).detach(), (x + 0.09 * score).detach())


def test_the_empirical_denoiser_is_the_weighted_mean_of_the_pictures():
    pictures, x = noise(5, 3, 4, 4, seed=1), noise(2, 3, 4, 4, seed=2)
    for sigma in (0.2, 2.0, 50.0):
        wanted = np.zeros(x.shape)
        for b in range(2):
            d = np.array([float(((x[b] - p).double() ** 2).sum()) for p in pictures])
            w = np.exp(-(d - d.min()) / (2 * sigma**2))
            wanted[b] = np.tensordot(w / w.sum(), pictures.double().numpy(), 1)
        np.testing.assert_allclose(empirical_prior(pictures).denoise(x, sigma).numpy(), wanted, atol=1e-5)


def test_the_empirical_prior_of_a_folder_recovers_its_own_pictures():
    prior = priors.load(f"empirical:folder={EXAMPLES},size=16", "cpu")
    picture = images.load(images.folder(EXAMPLES)[2], 16, 16)
    assert prior.shape == (3, 16, 16)
    torch.testing.assert_close(prior.denoise(picture + 0.3 * noise(1, 3, 16, 16), 0.3), picture)


def test_a_prior_is_called_what_loads_it_again():
    # Records once said "gaussian" whatever its knobs, and were replayed with others.
    prior = priors.load("gaussian:size=12,std=0.3", "cpu")
    assert priors.load(prior.name, "cpu") == prior
    assert knobs.spec(GaussianPrior()) == GaussianPrior().name == "gaussian"
