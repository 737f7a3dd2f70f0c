"""RED-diff: its identities, the public code's update, its fixed point, and what is tuned in mid-run."""

import dataclasses
import itertools
import math

import pytest
import torch
from red import BOX, PLAIN, White, last, run
from torch import Tensor

from redgui import schedule
from redgui.operators import Operator, build
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.samplers import RedDiff
from redgui.samplers.reddiff import WEIGHTINGS

# ---- identities ----


@pytest.mark.parametrize("sigma", [0.02, 0.5, 20.0])
def test_the_prior_term_is_the_residual_of_the_denoiser(gaussian, drawn, sigma):
    mu, eps = drawn(3), Generators([1, 2, 3]).randn(3, 16, 16)
    x = mu + sigma * eps
    error = gaussian.eps(x, sigma) - eps
    torch.testing.assert_close(sigma * error, mu - gaussian.denoise(x, sigma), rtol=0, atol=1e-5 * (1 + sigma))


def test_the_mean_prior_term_of_a_gaussian_is_known_in_closed_form():
    p, sigma, mu = 0.5, 0.8, torch.full((4000, 3, 4, 4), 0.6)
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))
    pull = (mu - White(p, [sigma]).denoise(mu + sigma * eps, sigma)).mean()
    assert float(pull) == pytest.approx(0.6 * sigma**2 / (p + sigma**2), abs=5e-3)


@pytest.mark.parametrize("weighting", ["linear", "sqrt", "const"])
@pytest.mark.parametrize("spec", ["denoise", "inpaint", "superres:factor=2", "blur:size=5", "colorize"])
def test_one_step_descends_the_gradient_of_the_surrogate_loss(gaussian, drawn, spec, weighting):
    H, lr = build(spec), 0.01
    y = H(drawn(2)) + 0.3
    sampler = RedDiff(steps=1, lr=lr, lam=0.4, weighting=weighting, optimizer="sgd", init="zero", spacing="uniform")
    step = run(sampler, gaussian, H, y, seeds=[8, 9])[0]

    sigma = float(gaussian.sigmas[-1])
    eps = Generators([8, 9]).randn(3, 16, 16)
    mu = torch.zeros(2, 3, 16, 16, requires_grad=True)
    n = mu[0].numel()
    m = n - 3 * 36 if spec == "inpaint" else y[0].numel()  # a hole of 6x6 is not measured
    stopped = (gaussian.eps(mu + sigma * eps, sigma) - eps).detach()
    weight = 0.4 * {"linear": sigma, "sqrt": sigma**0.5, "const": 1.0}[weighting]
    loss = (H(mu) - y).square().sum() / (2 * m) + weight / n * (stopped * mu).sum()
    loss.backward()
    torch.testing.assert_close(step.x0_hat, -lr * n * mu.grad, rtol=1e-4, atol=1e-5)


WANTED = {
    "linear": lambda s: s,
    "sqrt": math.sqrt,
    "square": lambda s: s * s,
    "log": lambda s: math.log(1 + s),
    "trunc_linear": lambda s: min(s, 1.0),
    "power2over3": lambda s: s ** (2 / 3),
    "const": lambda s: 1.0,
}


@pytest.mark.parametrize("weighting", WANTED)
def test_every_weighting_is_its_formula(gaussian, x_true, weighting):
    sampler = RedDiff(steps=6, lam=0.3, weighting=weighting)
    for step in run(sampler, gaussian, BOX, BOX(x_true)):
        assert step.scalars["weight"].item() == pytest.approx(0.3 * WANTED[weighting](step.sigma), rel=1e-5)


def test_no_weighting_is_left_untested():
    assert set(WANTED) == set(WEIGHTINGS)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 2.0])
def test_the_power_weighting_has_its_exponent(exponent):
    sampler = RedDiff(lam=2.0, weighting="power", exponent=exponent)
    torch.testing.assert_close(sampler.weight(torch.tensor([0.5, 4.0])), 2.0 * torch.tensor([0.5, 4.0]) ** exponent)


def test_the_posterior_weighting_is_the_noise_over_the_level(gaussian, x_true):
    """lam sigma_y^2 n / (sigma m), and where there is no noise that of a little."""
    sampler = RedDiff(steps=4, lam=0.5, weighting="posterior")
    for spec, share in (("denoise", 1.0), ("superres:factor=4", 16.0)):
        H = build(spec)
        for sigma_y in (0.2, 0.0):
            for step in run(sampler, gaussian, H, H(x_true), sigma_y):
                variance = sigma_y**2 * share if sigma_y else 0.02**2
                assert step.scalars["weight"].mean().item() == pytest.approx(0.5 * variance / step.sigma, rel=1e-4)


# ---- the public code ----


def public(prior: Prior, H: Operator, y: Tensor, steps: int, lr: float, lam: float, sigma0: float, seeds: list[int]) -> list:
    """The update as the authors' code makes it, by autograd of its loss: what it would return at each iteration."""
    draw = Generators(seeds)
    alpha_bar = schedule.alpha_bar(prior.sigmas)
    mu = H.start(y).clone().requires_grad_()
    optimizer = torch.optim.Adam([mu], lr=lr, betas=(0.9, 0.99), eps=1e-8, weight_decay=0)
    returned = []
    for t in reversed(range(0, 1000, 1000 // steps)):
        alpha_t, sigma_t = float(alpha_bar[t].sqrt()), float((1 - alpha_bar[t]).sqrt())
        x0 = mu + sigma0 * draw.randn(*mu.shape[1:]) if sigma0 else mu
        eps = draw.randn(*mu.shape[1:])
        sigma = sigma_t / alpha_t
        eps_hat = prior.eps(x0 + sigma * eps, sigma).detach()  # of x_t = alpha_t x0 + sigma_t eps, divided by alpha_t
        loss = (y - H(x0)).square().mean() / 2 + lam * sigma_t / alpha_t * ((eps_hat - eps).detach() * x0).mean()
        optimizer.zero_grad()
        loss.backward()
        returned.append(x0.detach().clone())
        optimizer.step()
    return returned


@pytest.mark.parametrize(("steps", "made"), [(20, 20), (300, 334)])
@pytest.mark.parametrize("sigma0", [0.0, 0.05])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2"])
def test_compat_is_the_public_update(gaussian, drawn, spec, batch, sigma0, steps, made):
    # With sigma0 > 0 the public code returns the disturbed picture, not its mean; `compat` once returned the mean.
    H, seeds = build(spec), [3, 1, 4][:batch]
    y = H(drawn(batch))
    sampler = RedDiff(steps=steps, lr=0.25, lam=0.25, sigma0=sigma0, compat=True)
    ours, theirs = run(sampler, gaussian, H, y, seeds=seeds), public(gaussian, H, y, steps, 0.25, 0.25, sigma0, seeds)
    assert len(ours) == len(theirs) == made
    assert ours[-1].i + 1 == ours[-1].n == made
    for step, picture in zip(ours, theirs, strict=True):
        torch.testing.assert_close(step.x0_hat, picture, rtol=0, atol=1e-5 * max(1, steps / 50))  # rounding adds up


def test_compat_slows_down_in_a_batch_and_the_default_does_not(gaussian, drawn):
    """Adam's eps against means over the batch: the public code's step for a picture depends on its company."""
    y, H = drawn(1) * 1e-3, build("denoise")  # gradients comparable with eps
    for compat, same in ((True, False), (False, True)):
        sampler = RedDiff(steps=5, lr=0.1, lam=1e-4, compat=compat)
        alone = last(sampler, gaussian, H, y, seeds=[0])
        crowd = last(sampler, gaussian, H, y.expand(20, -1, -1, -1), seeds=list(range(20)))[:1]
        assert bool(torch.allclose(alone, crowd, atol=1e-6)) is same


# ---- the fixed point ----


def test_the_stationary_point_at_one_level_is_the_known_one():
    """(H^T H / m + (lam / n) sigma^2 / (p + sigma^2) I) mu = H^T y / m."""
    p, sigma, lam, H = 0.25, 1.0, 0.25, build("superres:factor=2")
    y = torch.linspace(-1, 1, 12).reshape(1, 3, 2, 2)
    sampler = RedDiff(steps=600, lr=0.25, lam=lam, optimizer="sgd", init="zero")
    crowd = run(sampler, White(p, [sigma]), H, y.expand(32, -1, -1, -1))
    mu = torch.stack([step.x0_hat.mean(0) for step in crowd[300:]]).mean(0)

    n, m = 48, 12
    A = H(torch.eye(n).reshape(n, 3, 4, 4)).reshape(n, m).T
    wanted = torch.linalg.solve(A.T @ A / m + lam / n * sigma**2 / (p + sigma**2) * torch.eye(n), A.T @ y.flatten() / m)
    torch.testing.assert_close(mu.flatten(), wanted, rtol=0, atol=0.02)
    assert float((mu.flatten() - A.T @ y.flatten() * 4).abs().max()) > 0.05  # and not merely the pseudo-inverse


# ---- live tuning ----


def test_a_new_learning_rate_acts_on_the_very_next_iteration(gaussian, x_true):
    H, eps = build("denoise"), Generators([0])
    y = H(x_true)
    rates = [0.1] * 4 + [0.02] * 6
    sampler = dataclasses.replace(PLAIN, lam=0.001, optimizer="sgd", init="zero")
    stream = sampler(gaussian, H, y, 0.0, generator=Generators([0]))
    mu, tuned = torch.zeros_like(y), None
    for i, sigma in enumerate(schedule.uniform(gaussian.sigmas, 10).tolist()):
        step = stream.send(tuned)
        x = mu + sigma * eps.randn(3, 16, 16)
        mu = mu - rates[i] * (mu - y + 0.001 * (mu - gaussian.denoise(x, sigma)))
        torch.testing.assert_close(step.x0_hat, mu, rtol=0, atol=1e-4)
        tuned = dataclasses.replace(sampler, lr=0.02) if i == 3 else None


@pytest.mark.parametrize(("knob", "value"), [("lr", 0.01), ("lam", 2.0), ("weighting", "const"), ("optimizer", "sgd"),
                                             ("sigma0", 0.3), ("noise_aware", False)])  # fmt: skip
def test_every_live_knob_changes_the_next_iteration_and_none_before(gaussian, x_true, knob, value):
    y = BOX(x_true) + 0.1
    plain = run(PLAIN, gaussian, BOX, y, 0.1)
    stream = PLAIN(gaussian, BOX, y, 0.1, generator=Generators([0]))
    steps = [next(stream)] + [stream.send(None) for _ in range(3)]
    steps.append(stream.send(dataclasses.replace(PLAIN, **{knob: value})))
    same = [torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(steps, plain, strict=False)]
    assert same == [True] * 4 + [False]


def test_more_steps_asked_for_at_the_last_step_go_on_from_there(gaussian, x_true):
    y = BOX(x_true)
    plain = run(PLAIN, gaussian, BOX, y)
    stream = PLAIN(gaussian, BOX, y, 0.0, generator=Generators([0]))
    steps = list(itertools.islice(stream, 10))
    assert all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(steps, plain, strict=True))
    steps.append(stream.send(dataclasses.replace(PLAIN, steps=15)))
    steps += stream
    assert [step.i for step in steps] == list(range(15))
    assert [step.n for step in steps] == [10] * 10 + [15] * 5
    assert steps[10].sigma == pytest.approx(float(gaussian.sigmas[-1]))  # a new pass over all levels
    assert float((steps[14].x0_hat - steps[9].x0_hat).abs().max()) > 0


@pytest.mark.parametrize("compat", [False, True])
def test_fewer_steps_asked_for_at_the_last_step_end_the_run(gaussian, x_true, compat):
    sampler = dataclasses.replace(PLAIN, compat=compat)
    stream = sampler(gaussian, BOX, BOX(x_true), 0.0, generator=Generators([0]))
    assert [step.i for step in itertools.islice(stream, 10)] == list(range(10))
    with pytest.raises(StopIteration):
        stream.send(dataclasses.replace(sampler, steps=5))


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_more_steps_in_mid_run_are_spread_over_the_levels_not_yet_visited(gaussian, x_true, order):
    sampler = dataclasses.replace(PLAIN, order=order)
    stream = sampler(gaussian, BOX, BOX(x_true), 0.0, generator=Generators([0]))
    steps = list(itertools.islice(stream, 4))
    steps.append(stream.send(dataclasses.replace(sampler, steps=30)))
    steps += stream
    sigmas = [step.sigma for step in steps]
    assert [step.i for step in steps] == list(range(30))
    assert {step.n for step in steps[4:]} == {30}
    assert sigmas == sorted(sigmas, reverse=order == "descending")
    assert sigmas[-1] == pytest.approx(float(gaussian.sigmas[0 if order == "descending" else -1]))


def test_a_run_made_shorter_than_it_is_ends_with_a_step_that_says_so(gaussian, x_true):
    # The stream once just stopped: no Step was the last, a viewer missed it and `final` did not act.
    stream = PLAIN(gaussian, BOX, BOX(x_true), 0.0, generator=Generators([0]))
    steps = list(itertools.islice(stream, 6))
    steps.append(stream.send(dataclasses.replace(PLAIN, steps=3)))
    steps += stream
    assert [(step.i, step.n) for step in steps[5:]] == [(5, 10), (6, 7)]


def test_a_change_of_order_in_mid_run_keeps_the_number_of_steps(gaussian, x_true):
    for order in ("ascending", "random"):
        stream = PLAIN(gaussian, BOX, BOX(x_true), 0.0, generator=Generators([0]))
        steps = list(itertools.islice(stream, 4))
        steps.append(stream.send(dataclasses.replace(PLAIN, order=order)))
        steps += stream
        assert [step.i for step in steps] == list(range(10))
        if order == "ascending":
            assert [step.sigma for step in steps[4:]] == sorted(step.sigma for step in steps[4:])
