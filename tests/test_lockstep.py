"""Runs in lockstep: one call of the network for all, and the results of each alone."""

import pytest
import torch

from redgui.operators import build
from redgui.priors import Counted, GaussianPrior, load
from redgui.runs.lockstep import lockstep
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.samplers import DDRM, DPS, SAMPLERS, RedDiff, SamplerError

SIDE = 16


@pytest.fixture
def prior():
    return Counted(GaussianPrior(size=SIDE))


@pytest.fixture
def problem():
    return Problem.simulate(GaussianPrior(size=SIDE).sample(1, torch.Generator().manual_seed(3)), build("inpaint"), 0.1, seed=4)


def start(problem, sampler, particles=1):
    def of(prior):
        counted = Counted(prior)
        return measured(solve(problem, counted, sampler, particles), problem, counted)

    return of


def alone(problem, sampler, particles=1):
    prior = Counted(GaussianPrior(size=SIDE))
    return list(measured(solve(problem, prior, sampler, particles), problem, prior))


def test_a_grid_costs_one_call_a_step_and_has_the_results_of_runs_alone(prior, problem):
    grid = [RedDiff(steps=6, lr=lr, lam=lam) for lr in (0.03, 0.1, 0.3) for lam in (0.1, 0.25)]
    seen = [[] for _ in grid]
    for news in lockstep(prior, [start(problem, sampler) for sampler in grid]):
        for k, step in news:
            seen[k].append(step)
    assert prior.forwards == 6
    for sampler, steps in zip(grid, seen, strict=True):
        want = alone(problem, sampler)
        assert [step.i for step in steps] == [step.i for step in want]
        assert steps[-1].nfe == 6
        torch.testing.assert_close(steps[-1].x0_hat, want[-1].x0_hat, atol=2e-5, rtol=1e-4)


def test_all_samplers_together_whatever_their_steps_and_particles(prior, problem):
    samplers = [(cls(steps=3 + k % 3), 1 + k % 2) for k, cls in enumerate(SAMPLERS)]
    last = {}
    for news in lockstep(prior, [start(problem, sampler, n) for sampler, n in samplers]):
        last.update(news)
    solo = [alone(problem, sampler, n)[-1] for sampler, n in samplers]
    assert prior.forwards < sum(step.nfe for step in solo), "calls were shared"
    for k, want in enumerate(solo):
        assert (last[k].nfe, last[k].backward) == (want.nfe, want.backward)
        torch.testing.assert_close(last[k].x0_hat, want.x0_hat, atol=1e-3, rtol=1e-3)


def test_gradients_go_through_each_runs_own_call(prior, problem):
    last = {}
    for news in lockstep(prior, [start(problem, DPS(steps=4)), start(problem, DPS(steps=4, zeta=1.0))]):
        last.update(news)
    assert prior.forwards == prior.backwards == 8
    assert not torch.equal(last[0].x0_hat, last[1].x0_hat)


def test_a_network_takes_many_levels_in_one_call():
    prior = load("faces-64", precision="fp32")
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    levels = (0.05, 1.0, 40.0)
    with torch.no_grad():
        together = prior.denoise(x, torch.tensor(levels, dtype=torch.float64))
        each = torch.cat([prior.denoise(x[k : k + 1], s) for k, s in enumerate(levels)])
    torch.testing.assert_close(together, each, atol=1e-4, rtol=1e-4)


def test_an_error_ends_its_run_and_no_other(prior, problem):
    def broken(asking):
        steps = start(problem, RedDiff(steps=9))(asking)
        for step in steps:
            if step.i == 2:
                raise SamplerError("diverged")
            yield step

    items = [[], []]
    for news in lockstep(prior, [broken, start(problem, DDRM(steps=5))]):
        for k, item in news:
            items[k].append(item)
    assert isinstance(items[0][-1], SamplerError)
    assert len(items[0]) == 3
    assert [step.i for step in items[1]] == list(range(5))


def test_a_prior_that_fails_is_told_to_every_run(problem):
    prior = GaussianPrior(size=SIDE)
    calls = []

    def denoise(x, sigma):
        calls.append(len(x))
        if len(calls) == 3:
            raise SamplerError("out of memory")
        return GaussianPrior.denoise(prior, x, sigma)

    object.__setattr__(prior, "denoise", denoise)
    last = {}
    for news in lockstep(prior, [start(problem, RedDiff(steps=9))] * 2):
        last.update(news)
    assert [str(error) for error in last.values()] == ["out of memory"] * 2


def test_leaving_closes_every_run(prior, problem):
    closed = []

    def watched(asking):
        try:
            yield from start(problem, RedDiff(steps=100))(asking)
        finally:
            closed.append(torch.is_grad_enabled())

    runs = lockstep(prior, [watched] * 4)
    for _ in range(3):
        next(runs)
    runs.close()
    assert closed == [True] * 4
    assert torch.is_grad_enabled()
    assert prior.forwards <= 4
