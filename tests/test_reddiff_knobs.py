"""RED-diff: every knob does what it says."""

import dataclasses
import inspect

import pytest
import torch
from red import BOX, PLAIN, White, last, run
from strict import Strict

from redgui import schedule
from redgui.operators import build
from redgui.optimizers import OPTIMIZERS, made
from redgui.priors import GaussianPrior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import RedDiff


def test_levels_are_visited_in_the_order_asked_for(gaussian, x_true):
    y = BOX(x_true)
    sigmas = {order: [s.sigma for s in run(dataclasses.replace(PLAIN, steps=12, order=order), gaussian, BOX, y)]
              for order in ("descending", "ascending", "random")}  # fmt: skip
    assert sigmas["descending"] == schedule.uniform(gaussian.sigmas, 12).tolist()
    assert sigmas["ascending"] == sigmas["descending"][::-1]
    assert sorted(sigmas["random"]) == sigmas["ascending"]
    assert sigmas["random"] not in (sigmas["ascending"], sigmas["descending"])


def test_levels_are_spaced_and_cut_off_as_asked_for(gaussian, x_true):
    y, low = BOX(x_true), float(gaussian.sigmas[0])
    for start in (0.5, 20.0):
        part = gaussian.sigmas[gaussian.sigmas <= start]
        for spacing, wanted in (("uniform", schedule.uniform(part, 9)), ("karras", schedule.karras(9, low, float(part[-1])))):
            sampler = RedDiff(steps=9, spacing=spacing, sigma_start=start)
            assert [step.sigma for step in run(sampler, gaussian, BOX, y)] == wanted.tolist()


def test_levels_are_cut_off_below_as_asked_for(gaussian, x_true):
    y, high = BOX(x_true), float(gaussian.sigmas[-1])
    for end in (0.05, 2.0):
        part = gaussian.sigmas[gaussian.sigmas >= end]
        for spacing, wanted in (("uniform", schedule.uniform(part, 9)), ("karras", schedule.karras(9, float(part[0]), high))):
            sampler = RedDiff(steps=9, spacing=spacing, sigma_end=end)
            assert [step.sigma for step in run(sampler, gaussian, BOX, y)] == wanted.tolist()


@pytest.mark.parametrize(("start", "end", "nearest"), [(0.11, 9.0, 1), (0.14, 0.14, 1), (0.16, 9.0, 2), (5.0, 2.0, 3)])
@pytest.mark.parametrize("order", ["descending", "random"])
def test_knobs_that_leave_no_level_visit_the_one_nearest_to_the_first(start, end, nearest, order):
    """Where they cross, or lie between two levels of the grid."""
    prior = White(0.25, [0.01, 0.1, 0.2, 1.0, 160.0])
    sampler = RedDiff(steps=3, sigma_start=start, sigma_end=end, order=order)
    steps = run(sampler, prior, build("denoise"), torch.zeros(1, 3, 4, 4))
    assert [step.sigma for step in steps] == [float(prior.sigmas[nearest])] * 3


def test_compat_has_the_public_codes_levels_whatever_the_spacing(gaussian, x_true):
    sampler = RedDiff(steps=10, compat=True, spacing="karras", sigma_start=1.0)
    assert [step.sigma for step in run(sampler, gaussian, BOX, BOX(x_true))] == gaussian.sigmas[::100].flip(0).tolist()


def test_every_picture_has_a_random_order_of_its_own(gaussian, drawn):
    y = BOX(drawn(3))
    sampler = RedDiff(steps=12, order="random")
    weights = torch.stack([step.scalars["weight"] for step in run(sampler, gaussian, BOX, y)])
    assert weights.shape == (12, 3)
    assert not torch.equal(weights[:, 0], weights[:, 1])
    torch.testing.assert_close(weights[:, 0].sort().values, weights[:, 1].sort().values)
    together, alone = last(sampler, gaussian, BOX, y), last(sampler, gaussian, BOX, y[1:2], seeds=[1])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_decreases_the_objective(gaussian, drawn, optimizer):
    y, spec = drawn(2), dict(lam=0.01, optimizer=optimizer, init="zero", spacing="uniform")
    lr = 0.5 if optimizer in ("adagrad", "sgd") else 0.05
    steps = run(RedDiff(steps=60, lr=lr, **spec), gaussian, build("denoise"), y)
    assert bool((steps[-1].scalars["data"] < 0.1 * steps[0].scalars["data"]).all())


@pytest.mark.parametrize("kind", ["Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "SGD"])
def test_an_optimiser_without_its_wrappers_makes_torchs_own_steps(kind):
    def moved(make) -> torch.Tensor:
        x, generator = torch.zeros(2, 3), torch.Generator().manual_seed(0)
        optimizer = make([x], 0.1)
        for k in range(6):
            x.grad = torch.randn(2, 3, generator=generator)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 0.1 / (k + 1)
        return x

    own = getattr(torch.optim, kind)
    assert torch.equal(moved(made(own)), moved(own))
    assert inspect.unwrap(own.step) is not own.step  # there is still something to be left out


@pytest.mark.parametrize("spec", ["denoise", "inpaint"])
def test_noise_aware_stops_at_the_noise_level_where_plain_red_diff_fits_the_noise(spec):
    prior, H, sigma_y = GaussianPrior(size=32), build(spec), 0.2
    problem = Problem.simulate(prior.sample(1, torch.Generator().manual_seed(0)), H, sigma_y)
    error = {}
    for aware in (True, False):
        *_, step = solve(problem, prior, RedDiff(steps=150, lr=0.05, lam=0.2, noise_aware=aware, spacing="uniform"))
        residual = H.residual(step.x0_hat, problem.y).norm() / H.entries(problem.y) ** 0.5
        error[aware] = float(H(step.x0_hat - problem.x_true).norm())
        if aware:
            assert float(residual) == pytest.approx(sigma_y, rel=0.1)
        else:
            assert float(residual) < 0.6 * sigma_y
    assert error[True] < error[False]


def test_noise_aware_does_nothing_without_noise(gaussian, x_true):
    y = BOX(x_true)
    aware, plain = (last(dataclasses.replace(PLAIN, noise_aware=on), gaussian, BOX, y) for on in (True, False))
    assert torch.equal(aware, plain)


def test_the_first_picture_is_the_one_asked_for(gaussian, x_true):
    y = BOX(x_true)
    first = {init: run(RedDiff(steps=1, lr=1e-4, init=init), gaussian, BOX, y)[0].x0_hat
             for init in ("pinv", "wiener", "denoised", "noise", "zero")}  # fmt: skip
    noise = Generators([0]).randn(3, 16, 16)
    sigma = float(gaussian.sigmas[(gaussian.sigmas - 1).abs().argmin()])
    assert sigma == pytest.approx(1, abs=0.01)
    wanted = {"pinv": y, "denoised": gaussian.denoise(y + sigma * noise, sigma), "noise": noise, "zero": torch.zeros_like(y)}
    wanted["wiener"] = y / (1 + 1e-4)  # without noise hardly regularised
    for init, picture in wanted.items():
        torch.testing.assert_close(first[init], picture, rtol=0, atol=2e-4)  # Adam's first step is lr


def test_the_wiener_start_is_the_linear_estimate_under_white_pixels(gaussian, x_true):
    H, sigma_y = build("blur:size=5"), 0.3
    y = H(x_true)
    (step,) = run(RedDiff(steps=1, lr=1e-4, init="wiener"), gaussian, H, y, sigma_y)
    torch.testing.assert_close(step.x0_hat, H.solve(H.adjoint(y), sigma_y**2 / 0.25), rtol=0, atol=2e-4)


def test_the_final_denoising_touches_only_the_last_step(gaussian, x_true):
    y = BOX(x_true)
    plain, denoised = (run(dataclasses.replace(PLAIN, final=final), gaussian, BOX, y) for final in ("mu", "denoised"))
    for a, b in zip(plain[:-1], denoised[:-1], strict=True):
        assert torch.equal(a.x0_hat, b.x0_hat)
    assert torch.equal(denoised[-1].x0_hat, gaussian.denoise(plain[-1].x0_hat, float(gaussian.sigmas[0])))


def test_sigma0_disturbs_the_picture_that_is_measured_but_not_the_result(gaussian, x_true):
    y = build("denoise")(x_true)
    spread = RedDiff(steps=1, lr=1e-4, lam=0.0, sigma0=0.3)
    (step,) = run(spread, gaussian, build("denoise"), y)
    assert float(step.scalars["residual"]) == pytest.approx(0.3, rel=0.1)
    torch.testing.assert_close(step.x0_hat, y, rtol=0, atol=2e-4)


@pytest.mark.parametrize("init", ["pinv", "denoised"])
def test_no_graph_passes_through_the_network(drawn, init):
    y = BOX(drawn(2))
    steps = run(RedDiff(steps=4, init=init, final="denoised", sigma0=0.1), Strict(size=16), BOX, y)
    assert len(steps) == 4


def test_one_forward_a_step_and_no_backward(gaussian, x_true):
    from redgui.priors import Counted

    counted = Counted(gaussian)
    run(PLAIN, counted, BOX, BOX(x_true))
    assert (counted.forwards, counted.backwards) == (10, 0)


def test_it_restores_a_picture_of_the_prior_far_better_than_the_measurement():
    prior = GaussianPrior(size=32)
    problem = Problem.simulate(prior.sample(1, torch.Generator().manual_seed(1)), build("inpaint:kind=random,fraction=0.5"))
    *_, step = solve(problem, prior, RedDiff(steps=200, lr=0.05))
    before, after = ((x - problem.x_true).square().mean() for x in (problem.start(), step.x0_hat))
    assert float(after) < 0.5 * float(before)
