"""Samplers against the exact posterior of a Gaussian prior and a linear H: what converges, collapses, or stays biased."""

import dataclasses
import functools
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from redgui.operators import LinearOperator, build
from redgui.priors import GaussianPrior, MixturePrior
from redgui.randomness import Generators
from redgui.samplers import DDNM, DDRM, DPS, MCG, PiGDM, RedDiff, RePaint, Sampler

# x0 ~ N(0, 1) per pixel, y = x0 + 0.5 n = 0.8: the posterior is N(0.64, 0.2), and a picture is 3072 draws of it.
WHITE = GaussianPrior(size=32, exponent=0.0, std=1.0)
EXACT_MEAN, EXACT_VARIANCE = 0.64, 0.2


@functools.cache
def moments(steps: int, eta: float, variant: str = "A") -> tuple[float, float]:
    """Mean and variance of the draws of PiGDM, as they would be if the numbers that it starts from had exactly 0 and 1."""
    H, y = build("denoise"), torch.full((1, 3, 32, 32), 0.8)
    sampler = PiGDM(steps=steps, eta=eta, variant=variant, clip=False)
    *_, step = sampler(WHITE, H, y, 0.5, generator=Generators([0]))
    # Without fresh noise a draw is linear in its start, so that the ratio has no Monte-Carlo error.
    start = Generators([0]).randn(3, 32, 32)
    scale = step.x0_hat.std() / start.std()
    return float(step.x0_hat.mean() - scale * start.mean()), float(scale**2)


def test_pigdm_converges_to_the_exact_posterior_variance_with_order_1():
    errors = [EXACT_VARIANCE - moments(steps, 0.0)[1] for steps in (25, 50, 100, 200)]
    assert errors == pytest.approx([0.0455, 0.0237, 0.0122, 0.0062], abs=3e-4)
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2, abs=0.1)


def test_pigdm_finds_the_exact_posterior_mean():
    # Off by mean x std / sigma_max: the start is N(0, sigma_max^2), not the law of the noisiest picture.
    assert moments(200, 0.0)[0] == pytest.approx(EXACT_MEAN - 0.64 * 0.2**0.5 / 157, abs=2e-3)


def test_pigdm_with_fresh_noise_converges_as_well():
    errors = [abs(EXACT_VARIANCE - moments(steps, 1.0)[1]) for steps in (25, 50, 100, 200)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(0.075, abs=0.01)
    assert errors[-1] < 0.02
    assert moments(200, 1.0)[0] == pytest.approx(EXACT_MEAN, abs=0.02)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_variants_b_and_c_of_pigdm_collapse_to_the_measurement_the_more_steps_they_have(eta):
    variance = [moments(steps, eta, "B")[1] for steps in (25, 100, 400)]
    assert variance == sorted(variance, reverse=True)
    assert variance[-1] < 0.02
    assert moments(400, eta, "B")[0] == pytest.approx(0.8, abs=0.02)  # y itself, where the posterior has 0.64
    assert moments(25, eta, "C") == pytest.approx((0.8, 0.0), abs=1e-4)  # from the start: it takes y for noiseless


@pytest.mark.parametrize("p", [0.04, 0.25])
def test_pigdm_is_exact_for_pictures_of_another_variance_if_its_spread_says_so(p):
    """Prior N(0.3, p), y = 0.8, noise variance q: a posterior of variance p q / (p + q) around 0.3 + p / (p + q) 0.5."""
    q, prior = 0.04, MixturePrior(torch.full((1, 3, 16, 16), 0.3), p**0.5)
    H, y, start = build("denoise"), torch.full((1, 3, 16, 16), 0.8), Generators([0]).randn(3, 16, 16)
    found = {}
    for spread in (p, 1.0):
        sampler = PiGDM(steps=400, eta=0.0, spread=spread, clip=False)
        *_, step = sampler(prior, H, y, q**0.5, generator=Generators([0]))
        scale = step.x0_hat.std() / start.std()
        found[spread] = float(step.x0_hat.mean() - scale * start.mean()), float(scale**2)
    assert found[p] == (pytest.approx(0.3 + p / (p + q) * 0.5, abs=2e-3), pytest.approx(p * q / (p + q), rel=0.06))
    assert found[1.0][0] < found[p][0] - 0.05  # a spread too large holds y for less reliable than it is
    assert found[1.0][1] > 1.1 * found[p][1]


# ---- approximate samplers: golden numbers ----

FIELD = GaussianPrior(size=8, channels=1)
SIGMA_Y, DRAWS = 0.1, 128


def posterior(H: LinearOperator, y: Tensor) -> tuple[Tensor, Tensor]:
    """Exact mean and standard deviation per pixel, (64,), of FIELD given y."""
    n = 64
    basis = torch.eye(n, dtype=torch.float64).reshape(n, 1, 8, 8)
    A = H(basis).reshape(n, -1).T
    C = torch.fft.ifft2(FIELD.spectrum(8, 8) * torch.fft.fft2(basis)).real.reshape(n, n).T
    K = C @ A.T @ torch.linalg.inv(A @ C @ A.T + SIGMA_Y**2 * torch.eye(len(A)))
    return K @ y.double().flatten(), (C - K @ A @ C).diagonal().clamp(min=0).sqrt()


def biases(sampler: Sampler, H: LinearOperator, steps: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """Root mean square bias of the mean of the draws, and their spread over the exact one, for each number of steps."""
    y = H(FIELD.sample(1, torch.Generator().manual_seed(3)))
    y = y + SIGMA_Y * H.on_support(Generators([9]).randn_like(y))
    mean, std = posterior(H, y)
    bias, spread = [], []
    for n in steps:
        batch = y.expand(DRAWS, -1, -1, -1)
        *_, step = dataclasses.replace(sampler, steps=n)(FIELD, H, batch, SIGMA_Y, generator=Generators(range(DRAWS)))
        draws = step.x0_hat.flatten(1).double()
        bias.append(float((draws.mean(0) - mean).square().mean().sqrt()))
        spread.append(float((draws.var(0).mean() / std.square().mean()).sqrt()))
    return bias, spread


RANDOM, SMALL, SOFT = "inpaint:kind=random,fraction=0.5", "superres:factor=2", "blur:size=3,width=1"


@pytest.mark.parametrize("spec", ["denoise", SMALL, RANDOM])
def test_reddiff_that_weighs_as_the_posterior_does_finds_its_mean(spec):
    """At lambda 1 alone, whatever the share of measured entries, and as no weighting does that knows nothing of the noise."""
    plain = RedDiff(lr=0.1, optimizer="sgd", spacing="karras", sigma_start=1.0, sigma_end=0.05, noise_aware=False)
    H = build(spec).placed(8, 8)

    def bias(**knobs: Any) -> float:
        return biases(dataclasses.replace(plain, **knobs), H, (800,))[0][0]

    exact = bias(weighting="posterior", lam=1.0)
    assert exact < 0.03
    assert bias(weighting="posterior", lam=4.0) > 1.5 * exact
    assert bias(weighting="linear", lam=0.1) > 1.5 * exact

GOLDEN = [
    (DPS(zeta=0.1, clip=False), RANDOM, [0.159, 0.065, 0.055], [2.35, 1.03, 0.87]),
    (DPS(zeta=0.1, clip=False), SMALL, [0.144, 0.049, 0.049], [1.11, 0.82, 0.87]),
    (DPS(zeta=0.1, clip=False), SOFT, [0.289, 0.034, 0.034], [1.99, 1.01, 0.84]),
    (MCG(zeta=0.1, clip=False), RANDOM, [0.108, 0.079, 0.074], [0.62, 0.73, 0.85]),
    (PiGDM(spread=0.25, clip=False), RANDOM, [0.058, 0.039, 0.034], [0.63, 0.84, 0.91]),
    (DDRM(), RANDOM, [0.162, 0.090, 0.064], [0.87, 0.86, 0.86]),
    (DDRM(), SMALL, [0.076, 0.035, 0.025], [0.70, 0.76, 0.82]),
    (RePaint(repeats=1, clip=False), RANDOM, [0.174, 0.106, 0.101], [0.88, 0.90, 1.04]),
    (RePaint(repeats=3, clip=False), RANDOM, [0.169, 0.063, 0.057], [0.87, 0.88, 0.94]),
]


@pytest.mark.parametrize(("sampler", "spec", "bias", "spread"), GOLDEN, ids=lambda value: getattr(value, "name", None))
def test_the_bias_falls_with_the_steps_to_what_it_was(sampler, spec, bias, spread):
    # Of 128 draws the mean itself is off by about 0.026.
    found, share = biases(sampler, build(spec), (10, 30, 90))
    assert found == pytest.approx(bias, abs=0.005)
    assert share == pytest.approx(spread, abs=0.03)
    assert found[2] <= found[1] + 0.001 < found[0]


def test_colder_draws_of_ddrm_spread_less_around_the_same_mean():
    bias, spread = zip(*(biases(DDRM(temperature=t), build(RANDOM), (30,)) for t in (1.0, 0.7, 0.0)), strict=True)
    assert [share for (share,) in spread] == sorted((share for (share,) in spread), reverse=True)
    assert spread[1][0] < 0.75 * spread[0][0]
    assert spread[2][0] < 1e-3
    assert [b for (b,) in bias] == pytest.approx([0.090] * 3, abs=0.006)


@pytest.mark.parametrize("sampler", [DDRM(), DDNM()], ids=lambda sampler: sampler.name)
def test_more_steps_of_ddrm_are_worse_where_y_is_noisier_than_the_iterate(sampler):
    """There f3 = 0: the iterate keeps nothing of itself, and what every step gets wrong adds up over the steps."""
    found, _ = biases(sampler, build(SOFT), (10, 30, 90))
    assert found == pytest.approx([0.064, 0.099, 0.162], abs=0.005)
