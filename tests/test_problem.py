"""Problems and the stream of Steps: noise where there is a measurement, metrics, thinning out, stopping and going on."""

import math
from collections.abc import Generator, Iterator

import pytest
import torch
from torch import Tensor

from redgui import metrics
from redgui.operators import OPERATORS, OperatorError, build
from redgui.priors import Counted, GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.stream import Measured, Stop, controlled, measured, solve, summary
from redgui.samplers import RedDiff, SamplerError, Step

GREY = torch.zeros(1, 3, 128, 128)


def fake(n: int, heard: list | None = None, closed: list | None = None) -> Generator[Measured, object, None]:
    """A stream of n Steps that notes what it is sent and that it was closed."""
    try:
        for i in range(n):
            told = yield Measured(i, n, 1.0, torch.zeros(1, 3, 2, 2))
            if heard is not None:
                heard.append((i, told))
    finally:
        if closed is not None:
            closed.append(True)


def heed(step: Measured) -> None:
    """A control that changes nothing."""


# ---- the measurement ----


@pytest.mark.parametrize("sigma_y", [0.05, 0.5])
def test_noise_has_the_standard_deviation_that_was_asked_for(sigma_y):
    problem = Problem.simulate(GREY, build("denoise"), sigma_y)
    assert float(problem.y.std()) == pytest.approx(sigma_y, rel=0.02)
    assert abs(float(problem.y.mean())) < 0.01


def test_nothing_is_measured_in_the_holes_not_even_noise():
    H = build("inpaint:kind=random,fraction=0.5")
    problem = Problem.simulate(GREY, H, 0.3)
    hole = torch.from_numpy(H.hole(128, 128).copy())
    assert not problem.y[..., hole].any()
    assert float(problem.y[..., ~hole].std()) == pytest.approx(0.3, rel=0.02)
    assert float(metrics.residual(GREY, problem.y, H)) == pytest.approx(0.3, rel=0.02)


def test_the_measurement_follows_from_the_seed_and_from_nothing_else():
    H = build("superres")
    torch.manual_seed(0)
    first = Problem.simulate(GREY, H, 0.1, seed=7).y
    torch.manual_seed(1)
    assert torch.equal(first, Problem.simulate(GREY, H, 0.1, seed=7).y)
    assert not torch.equal(first, Problem.simulate(GREY, H, 0.1, seed=8).y)


def test_the_noise_in_the_measurement_is_not_the_noise_of_the_sampler(gaussian):
    problem = Problem.simulate(torch.zeros(1, 3, 16, 16), build("denoise"), 1.0, seed=0)
    (step,) = solve(problem, gaussian, RedDiff(steps=1, init="noise", lr=1e-4, lam=0.0))
    correlation = (problem.y * step.x0_hat).mean()
    assert abs(float(correlation)) < 0.15


@pytest.mark.parametrize("sigma_y", [-0.1, 2.5, math.nan, math.inf])
def test_impossible_noise_is_refused(sigma_y):
    with pytest.raises(OperatorError, match="sigma_y lies in 0 to 2"):
        Problem.simulate(GREY, build("denoise"), sigma_y)


def test_a_picture_that_does_not_fit_the_operator_is_refused():
    with pytest.raises(OperatorError, match="at most 9"):
        Problem.simulate(torch.zeros(1, 3, 10, 10), build("blur:size=15"))


def test_a_given_measurement_has_no_truth_and_no_figures_of_it(gaussian):
    picture = torch.rand(1, 3, 16, 16)
    problem = Problem.given(picture, build("inpaint"))
    assert problem.x_true is None
    assert torch.equal(problem.y, build("inpaint")(picture))
    *_, last = measured(solve(problem, gaussian, RedDiff(steps=3)), problem)
    figures = summary(last, problem)
    assert last.psnr is None
    assert all(figures[name] is None for name in ("psnr", "ssim", "psnr_measurement", "ssim_measurement"))
    assert figures["residual"] >= 0


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
def test_a_given_picture_of_the_measured_size_becomes_a_measurement_of_the_right_shape(cls, gaussian):
    # Small pictures were once enlarged before they were taken for the measurement, and colour ones were no grey.
    H = cls()
    picture = torch.rand(1, 3, *H.measured_size(16, 16)) * 2 - 1
    problem = Problem.given(picture, H)
    assert problem.y.shape == H(torch.zeros(1, 3, 16, 16)).shape
    *_, step = solve(problem, gaussian, RedDiff(steps=2))
    assert step.x0_hat.shape == (1, 3, 16, 16)


# ---- measured ----


def test_measured_adds_what_an_observer_knows(gaussian, drawn):
    problem = Problem.simulate(drawn(1), build("inpaint"), 0.1)
    counted = Counted(gaussian)
    steps = list(measured(solve(problem, counted, RedDiff(steps=5), 3), problem, counted))
    assert [step.i for step in steps] == list(range(5))
    assert [step.nfe for step in steps] == [1, 2, 3, 4, 5]  # per picture: a batch of particles is one call
    assert {step.backward for step in steps} == {0}
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
    for step in steps:
        mean = step.x0_hat.mean(0, keepdim=True)
        assert step.psnr == pytest.approx(float(metrics.psnr(mean, problem.x_true)))
        assert step.scalar("residual") == pytest.approx(step.residual)
        assert math.isnan(step.scalar("nothing"))


def test_seconds_do_not_count_what_the_consumer_does(gaussian, drawn, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("redgui.runs.rounds.time.perf_counter", lambda: now[0])

    def slow() -> Iterator[Step]:
        for i in range(3):
            now[0] += 1.0
            yield Step(i, 3, 1.0, torch.zeros(1, 3, 16, 16))

    problem, seconds = Problem.simulate(drawn(1), build("denoise")), []
    for step in measured(slow(), problem):
        seconds.append(step.seconds)
        now[0] += 100.0
    assert seconds == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("residual", [None, 0.1])
def test_a_run_that_leaves_the_finite_numbers_ends_with_an_error_at_that_step(bad, residual):
    # A residual that was measured before the step that went wrong once let a broken last picture through.
    def diverging() -> Iterator[Step]:
        scalars = {} if residual is None else {"residual": residual}
        yield Step(0, 2, 1.0, torch.zeros(1, 3, 4, 4), scalars)
        yield Step(1, 2, 1.0, torch.full((1, 3, 4, 4), bad), scalars)

    problem = Problem.simulate(torch.zeros(1, 3, 4, 4), build("denoise"))
    seen = []
    with pytest.raises(SamplerError, match="step 2 of 2"):
        seen.extend(measured(diverging(), problem))
    assert len(seen) <= 1


def test_a_learning_rate_far_too_high_for_plain_descent_is_reported(gaussian, drawn):
    problem = Problem.simulate(drawn(1), build("denoise"))
    sampler = RedDiff(steps=60, lr=2.0, lam=10.0, optimizer="momentum", weighting="square", spacing="uniform")
    with pytest.raises(SamplerError, match="lower the learning rate"):
        list(measured(solve(problem, gaussian, sampler), problem))


def test_closing_the_outer_stream_closes_the_sampler():
    closed = []
    sampler = fake(5, closed=closed)  # kept here, so that it is not closed for want of a reference
    watched = measured(sampler, Problem.simulate(torch.zeros(1, 3, 2, 2), build("denoise")))
    outer = controlled(watched, heed)
    next(outer)
    outer.close()
    assert closed == [True]


# ---- controlled ----


def test_control_hears_of_every_step_and_what_it_says_is_heard_at_once():
    heard, seen = [], []

    def control(step: Measured) -> str | None:
        seen.append(step.i)
        return "faster" if step.i == 3 else None

    assert [step.i for step in controlled(fake(6, heard), control)] == list(range(6))
    assert seen == list(range(6))
    assert heard == [(i, "faster" if i == 3 else None) for i in range(6)]


def test_stop_ends_the_run_with_that_very_step_and_closes_the_stream():
    heard, closed = [], []

    def control(step: Measured) -> None:
        if step.i == 4:
            raise Stop

    assert [step.i for step in controlled(fake(100, heard, closed), control)] == [0, 1, 2, 3, 4]
    assert closed == [True]
    assert len(heard) == 4  # no further iteration was begun


def test_a_suspended_stream_goes_on_where_it_was_left_with_other_knobs():
    heard, closed = [], []
    stream = fake(10, heard, closed)

    def stop_after(i: int):
        def control(step: Measured) -> None:
            if step.i == i:
                raise Stop

        return control

    assert [s.i for s in controlled(stream, stop_after(3), close=False)] == [0, 1, 2, 3]
    assert closed == []
    assert [s.i for s in controlled(stream, stop_after(6), first="other", close=False)] == [4, 5, 6]
    assert heard[3] == (3, "other")
    assert [s.i for s in controlled(stream, heed)] == [7, 8, 9]
    assert closed == [True]
    assert list(controlled(stream, heed)) == []


def test_a_suspended_run_gives_the_same_pictures_as_one_in_one_go(gaussian, drawn):
    problem, sampler = Problem.simulate(drawn(1), build("inpaint"), 0.1), RedDiff(steps=8)

    def stop(step: Measured) -> None:
        if step.i == 3:
            raise Stop

    def run() -> Generator[Measured, object, None]:
        return measured(solve(problem, gaussian, sampler), problem)

    whole, stream = [step.x0_hat for step in run()], run()
    parts = [s.x0_hat for s in controlled(stream, stop, close=False)] + [s.x0_hat for s in controlled(stream, heed)]
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


# ---- summary ----


def test_summary_is_of_the_mean_over_particles(drawn):
    truth = drawn(1)
    problem = Problem.simulate(truth, build("superres"), 0.1)
    particles: Tensor = truth + 0.3 * torch.tensor([1.0, -1.0])[:, None, None, None]
    figures = summary(Measured(4, 9, 0.1, particles, seconds=1.23456, nfe=5, backward=2), problem)
    assert figures["psnr"] > 90  # the errors of the two cancel
    assert figures["ssim"] == pytest.approx(1)
    assert figures["psnr_measurement"] == pytest.approx(float(metrics.psnr(problem.H.pinv(problem.y), truth)))
    assert [figures[name] for name in ("nfe", "backward", "seconds", "steps")] == [5, 2, 1.2346, 5]


def test_the_prior_sees_no_truth(drawn):
    """The same measurement with another truth gives the same run."""
    prior, H = GaussianPrior(size=16), build("denoise")
    y = drawn(1)
    problems = [Problem(y, H, 0.1, 0, truth) for truth in (y, torch.zeros_like(y), None)]
    pictures = [list(solve(problem, prior, RedDiff(steps=4)))[-1].x0_hat for problem in problems]
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])
