"""One iteration taken apart: its pieces are those of RED-diff's own step."""

from dataclasses import replace

import pytest
import torch

from redgui import knobs, operators, presets
from redgui.operators import Inpaint
from redgui.priors import Counted
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import seen_by
from redgui.samplers import RedDiff
from redgui.ui.learn import anatomy

SPECS = ("inpaint:kind=box", "superres:factor=4", "blur", "hdr", "jpeg", "phase", "compressed-sensing", "colorize")
SAMPLERS = (
    RedDiff(lr=0.05, lam=0.3),
    RedDiff(lr=0.5, lam=0.3, optimizer="sgd"),
    RedDiff(weighting="power", exponent=0.4, optimizer="rmsprop"),
    RedDiff(sigma0=0.1, noise_aware=False, optimizer="momentum"),
    RedDiff(weighting="square", lam=0.01),
)


def first_step(prior, problem, sampler, particles=1):
    """mu after the sampler's first iteration from the pseudo-inverse, at the highest of its levels."""
    y = problem.y.expand(particles, *problem.y.shape[1:])
    return next(sampler(prior, problem.H, y, problem.sigma_y, generator=Generators.of_run(problem.seed, particles))).x0_hat


def taken_apart(prior, problem, sampler, sigma, particles=1):
    y = problem.y.expand(particles, *problem.y.shape[1:])
    mu = problem.H.start(y).clone()
    given = Generators.of_run(problem.seed, particles)
    return anatomy.dissect(prior, problem.H, y, problem.sigma_y, sampler, mu, sigma, generator=given)


@pytest.fixture
def problem(drawn):
    return lambda spec, sigma_y=0.1: Problem.simulate(drawn(1), operators.build(spec), sigma_y, seed=3)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{s.optimizer}-{s.weighting}")
@pytest.mark.parametrize("wanted", [0.5, 4.0, 100.0])
def test_the_update_is_the_samplers_own(gaussian, problem, sampler, wanted):
    sigma = anatomy.nearest_level(gaussian.sigmas, wanted)
    for spec in ("inpaint:kind=box", "superres:factor=4"):
        found = taken_apart(gaussian, problem(spec), sampler, sigma, particles=2)
        own = first_step(gaussian, problem(spec), replace(sampler, steps=1, sigma_start=sigma), particles=2)
        assert torch.allclose(found.after, own, rtol=0, atol=1e-5)
        assert not torch.allclose(found.after, found.mu, rtol=0, atol=1e-5)


LOOPS = [
    RedDiff(steps=6),
    RedDiff(steps=6, init="denoised", order="random", optimizer="momentum"),
    RedDiff(steps=6, data_steps=3, noise="carried"),
]


@pytest.mark.parametrize("sampler", LOOPS, ids=knobs.spec)
def test_the_loop_is_the_samplers_own(gaussian, problem, sampler):
    asked = problem("superres:factor=4")
    given = gaussian, asked.H, asked.y, asked.sigma_y
    loop = anatomy.Loop(*given, sampler, generator=Generators.of_run(0, 1))
    for step in sampler(*given, generator=Generators.of_run(0, 1)):
        pieces = loop.step()
        assert pieces.sigma == step.sigma
        assert torch.allclose(pieces.after, step.x0_hat, rtol=0, atol=1e-5)
        assert torch.allclose(pieces.after - pieces.mu, pieces.step)
    assert (loop.i, loop.n) == (6, 6)


@pytest.mark.parametrize("spec", SPECS)
def test_the_update_is_the_samplers_own_on_every_kind_of_operator(gaussian, problem, spec):
    asked = problem(spec)
    sampler = replace(presets.sampler_for("reddiff", asked.H, 0.1), init="pinv", spacing="uniform")
    sigma = anatomy.nearest_level(gaussian.sigmas, sampler.sigma_start)
    sampler = replace(sampler, sigma_start=sigma)
    own = first_step(gaussian, asked, replace(sampler, steps=1))
    found = taken_apart(gaussian, asked, sampler, sigma)
    assert torch.allclose(found.after, own, rtol=0, atol=1e-5)


def test_the_update_of_the_public_code(gaussian, problem):
    # compat visits level 0 alone in its last step and gives mu before it: two steps show what the first one did.
    asked = problem("inpaint:kind=box", 0.0)
    sampler = RedDiff(compat=True, steps=2, lr=0.5)
    steps = sampler(gaussian, asked.H, asked.y, 0.0, generator=Generators.of_run(3, 1))
    first = next(steps)
    found = taken_apart(gaussian, asked, sampler, first.sigma)
    assert torch.equal(first.x0_hat, found.mu)
    assert torch.allclose(found.after, next(steps).x0_hat, rtol=0, atol=1e-5)


def test_the_pieces_add_up(gaussian, problem):
    sigma = anatomy.nearest_level(gaussian.sigmas, 1.5)
    asked = problem("inpaint:kind=box")
    for sampler in (RedDiff(lam=0.7, lr=0.2, optimizer="sgd"), RedDiff(lam=0.7, lr=0.2)):
        a = taken_apart(gaussian, asked, sampler, sigma)
        assert torch.equal(a.gradient, a.data + a.prior)
        assert torch.allclose(a.x, a.mu + sigma * a.eps)
        assert torch.allclose(sigma * a.error, a.mu - a.x0_hat, atol=1e-4)  # why RED-diff is regularisation by denoising
        assert torch.allclose(a.prior, 0.7 * (a.mu - a.x0_hat), atol=1e-4)  # linear weighting
        assert torch.allclose(a.mu + a.step, a.after)
        direction = a.gradient if sampler.optimizer == "sgd" else a.gradient.sign()  # a fresh Adam knows the sign alone
        moved = a.gradient.abs() > 1e-4
        assert torch.allclose(a.step[moved], -0.2 * direction[moved], atol=1e-3)


def test_holes_have_no_data_term_and_noise_holds_it_back(gaussian, problem):
    asked = problem("inpaint:kind=box")
    hole = torch.from_numpy(Inpaint().hole(16, 16).copy())
    a = taken_apart(gaussian, asked, RedDiff(), anatomy.nearest_level(gaussian.sigmas, 1.0))
    assert (a.data[..., hole] == 0).all()
    assert (a.prior[..., hole] != 0).any()
    truth = anatomy.dissect(gaussian, asked.H, asked.y, 0.1, RedDiff(), asked.x_true, 1.0, generator=Generators.of_run(0, 1))
    assert float(truth.data_weight) < 0.1  # at the truth the residual is the noise
    blind = replace(RedDiff(), noise_aware=False)
    truth = anatomy.dissect(gaussian, asked.H, asked.y, 0.1, blind, asked.x_true, 1.0, generator=Generators.of_run(0, 1))
    assert float(truth.data_weight) == 1


def test_one_call_of_the_network_and_mu_is_left_alone(gaussian, problem):
    asked, counted = problem("blur"), Counted(gaussian)
    mu = asked.start()
    before = mu.clone()
    anatomy.dissect(counted, seen_by(counted, asked.H), asked.y, 0.1, RedDiff(), mu, 1.0, generator=Generators.of_run(0, 1))
    assert (counted.forwards, counted.backwards) == (1, 0)
    assert torch.equal(mu, before)


def test_levels_are_those_of_a_run(gaussian, problem):
    asked = problem("inpaint:kind=box")
    for sampler in (RedDiff(steps=7), RedDiff(steps=5, spacing="karras", sigma_start=5.0), RedDiff(steps=4, order="ascending")):
        steps = sampler(gaussian, asked.H, asked.y, 0.0, generator=Generators.of_run(0, 1))
        assert anatomy.levels(gaussian, sampler) == [step.sigma for step in steps]
    assert len(anatomy.levels(gaussian, RedDiff(steps=6, order="random"))) == 6


def test_nearest_level_is_of_the_grid(gaussian):
    sigmas = gaussian.sigmas
    assert anatomy.nearest_level(sigmas, 1e-9) == float(sigmas[0])
    assert anatomy.nearest_level(sigmas, 1e9) == float(sigmas[-1])
    assert anatomy.nearest_level(sigmas, float(sigmas[7]) * 1.0001) == float(sigmas[7])


def test_drowned_keeps_its_variance(drawn):
    x0, eps = drawn(1), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(anatomy.drowned(x0, 1e-6, eps), x0, atol=1e-4)
    assert torch.allclose(anatomy.drowned(x0, 1e6, eps), eps, atol=1e-4)
    assert torch.allclose(anatomy.drowned(x0, 1.0, eps), (x0 + eps) / 2**0.5)


def test_signed_is_around_grey():
    v = torch.tensor([-2.0, 0.0, 1.0, 2.0]).repeat(50).reshape(1, 1, 10, 20)
    shown, scale = anatomy.signed(v)
    assert scale == 2
    assert shown.flatten()[:4].tolist() == [-1, 0, 0.5, 1]
    assert anatomy.signed(torch.zeros(1, 3, 4, 4))[0].eq(0).all()
    assert anatomy.rms(v) == pytest.approx((9 / 4) ** 0.5)
