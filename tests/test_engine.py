"""One thread computes for all: jobs share calls, each has the result of a run alone, and what ends one leaves the others."""

import contextvars
import os
import threading
import time

import pytest
import torch
from jobs import SIDE, Player

from redgui.operators import build
from redgui.priors import Counted, GaussianPrior, Prior, load
from redgui.priors.base import Wrapped
from redgui.runs import batches, cores, engine
from redgui.runs.engine import Engine
from redgui.runs.problem import Problem
from redgui.runs.rounds import Job, Rounds, played
from redgui.samplers import DDRM, DPS, SAMPLERS, RedDiff, SamplerError

ALL = [(cls(steps=3 + k % 3), 1 + k % 2) for k, cls in enumerate(cls for cls in SAMPLERS if cls.learned)]


@pytest.fixture
def prior():
    return Counted(GaussianPrior(size=SIDE))


@pytest.fixture
def problem():
    return Problem.simulate(GaussianPrior(size=SIDE).sample(1, torch.Generator().manual_seed(3)), build("inpaint"), 0.1, seed=4)


def all_together(problem, prior, together=64):
    players = [Player(problem, sampler, prior, n) for sampler, n in ALL]
    for _ in played([p.job for p in players], together):
        pass
    assert [p.job.error for p in players] == [None] * len(players)
    return players


def test_a_grid_costs_one_call_a_step_and_has_the_results_of_runs_alone(prior, problem):
    grid = [Player(problem, RedDiff(steps=6, lr=lr, lam=lam), prior) for lr in (0.03, 0.1, 0.3) for lam in (0.1, 0.25)]
    for _ in played([p.job for p in grid], 64):
        pass
    assert prior.forwards == 6
    for p in grid:
        want = p.alone(GaussianPrior(size=SIDE))
        assert [step.i for step in p.steps] == [step.i for step in want]
        assert p.steps[-1].nfe == 6
        torch.testing.assert_close(p.steps[-1].x0_hat, want[-1].x0_hat, atol=2e-5, rtol=1e-4)


def test_all_samplers_together_are_each_as_alone_to_rounding(prior, problem):
    """Gradients too: two that were given each other's pull-back would differ by much more than rounding."""
    players = all_together(problem, prior)
    solo = [p.alone(GaussianPrior(size=SIDE))[-1] for p in players]
    assert prior.forwards < sum(step.nfe for step in solo), "calls were shared"
    assert prior.backwards < sum(step.backward for step in solo), "pull-backs were shared"
    for p, want in zip(players, solo, strict=True):
        assert (p.steps[-1].nfe, p.steps[-1].backward) == (want.nfe, want.backward)
        torch.testing.assert_close(p.steps[-1].x0_hat, want.x0_hat, atol=1e-5, rtol=1e-4, msg=p.sampler.name)


def test_one_at_a_time_each_is_a_plain_loop_to_the_bit(prior, problem):
    for p in all_together(problem, prior, together=1):
        assert torch.equal(p.steps[-1].x0_hat, p.alone(GaussianPrior(size=SIDE))[-1].x0_hat)
        assert p.shared.together() is None


@pytest.fixture(scope="module")
def network() -> Prior:
    return load("faces-64", precision="fp32")


@pytest.mark.parametrize("cls", [cls for cls in SAMPLERS if cls.learned], ids=lambda cls: cls.name)
def test_the_sizes_of_its_calls_bring_every_samplers_bits_back(cls, network):
    """Beside a RED-diff, a DPS and two particles that join and leave at other times."""
    problem = Problem.simulate(torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64), build("inpaint"), 0.1, seed=4)
    of = Player(problem, cls(**{"steps": 3} | ({"inner": 2} if cls.name == "sitcom" else {})), network)
    beside = [Player(problem, RedDiff(steps=2), network), Player(problem, DPS(steps=4), network),
              Player(problem, DDRM(steps=3), network, 2)]  # fmt: skip
    for _ in played([of.job, *(p.job for p in beside)], 16):
        pass
    assert max(size for size, *_ in of.shared.sizes) > of.particles
    assert torch.equal(of.alone(network, of.shared.sizes)[-1].x0_hat, of.steps[-1].x0_hat)


class RoundsByThreads(Wrapped):
    """A prior whose last bits depend on the CPU threads of a call, as those of many a network do."""

    def denoise(self, x, sigma):
        return self.inner.denoise(x, sigma) * (1 + 1e-3 * cores.number())


@pytest.mark.parametrize("cls", [RedDiff, DPS], ids=lambda cls: cls.name)
def test_a_call_that_jobs_share_takes_the_cores_that_are_left_to_others_and_the_record_knows(cls, prior, problem, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "_at_start", 2)
    prior = RoundsByThreads(prior)
    with cores.limited(1):
        of, *beside = [Player(problem, cls(steps=3), prior) for _ in range(batches.WIDE)]
        for _ in played([of.job, *(p.job for p in beside)], 16):
            pass
        assert of.shared.together() == ((batches.WIDE, 3, 2),)
        assert cores.number() == 1
        found = of.steps[-1].x0_hat
        assert torch.equal(of.alone(prior, of.shared.sizes)[-1].x0_hat, found)
        assert not torch.equal(of.alone(prior, [[batches.WIDE, 3]])[-1].x0_hat, found)


def test_two_that_need_gradients_share_every_forward_and_every_pull_back(prior, problem):
    one, other = Player(problem, DPS(steps=4), prior), Player(problem, DPS(steps=4, zeta=1.0), prior)
    for _ in played([one.job, other.job], 16):
        pass
    assert prior.forwards == prior.backwards == 4
    assert one.shared.sizes == other.shared.sizes == [[2, 4]]
    for p in (one, other):
        torch.testing.assert_close(p.steps[-1].x0_hat, p.alone(GaussianPrior(size=SIDE))[-1].x0_hat, atol=1e-5, rtol=1e-4)


def test_jobs_join_and_leave_at_every_round(prior, problem):
    rounds, players = Rounds(16), [Player(problem, RedDiff(steps=12), prior) for _ in range(6)]
    for k, p in enumerate(players):
        rounds.add(p.job)
        for _ in range(3):
            rounds.round()
        if k % 2:
            p.job.leaving = True
    while rounds.workers:
        rounds.round()
    assert all(p.job.over.is_set() for p in players)
    for k, p in enumerate(players):
        want = p.alone(GaussianPrior(size=SIDE))
        assert len(p.steps) == 12 if not k % 2 else 0 < len(p.steps) < 12
        torch.testing.assert_close(p.steps[-1].x0_hat, want[len(p.steps) - 1].x0_hat, atol=1e-5, rtol=1e-4)


def test_a_network_takes_many_levels_in_one_call(network):
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    levels = (0.05, 1.0, 40.0)
    with torch.no_grad():
        together = network.denoise(x, torch.tensor(levels, dtype=torch.float64))
        each = torch.cat([network.denoise(x[k : k + 1], s) for k, s in enumerate(levels)])
    torch.testing.assert_close(together, each, atol=1e-4, rtol=1e-4)


# ---- what ends one


def test_an_error_ends_its_job_and_no_other(prior, problem):
    def broken():
        for k, _ in enumerate(Player(problem, RedDiff(steps=9), prior).turns()):
            if k == 2:
                raise SamplerError("diverged")
            yield

    bad, good = Job(broken()), Player(problem, DDRM(steps=5), prior)
    for _ in played([bad, good.job], 16):
        pass
    assert isinstance(bad.error, SamplerError)
    assert good.job.error is None
    assert [step.i for step in good.steps] == list(range(5))


def test_leaving_closes_every_job_and_leaves_the_grad_mode(prior, problem):
    closed = []

    def watched():
        try:
            yield from Player(problem, RedDiff(steps=100), prior).turns()
        finally:
            closed.append(torch.is_grad_enabled())

    stream = played([Job(watched()) for _ in range(4)], 16)
    for _ in range(3):
        next(stream)
    stream.close()
    assert closed == [True] * 4
    assert torch.is_grad_enabled()


# ---- the thread


def test_the_thread_plays_what_comes_and_works_between_rounds(prior, problem):
    of = Engine(16)
    long, short = Player(problem, RedDiff(steps=4000), prior), Player(problem, DDRM(steps=5), prior)
    of.play(long.job)
    of.play(short.job)
    assert short.job.over.wait(30)
    assert of.call(threading.current_thread) is of._thread
    assert of.call(lambda: of.call(lambda: 7)) == 7  # from within, at once
    about = contextvars.ContextVar("about", default="nobody")
    about.set("somebody")
    assert of.call(about.get) == "somebody"
    with pytest.raises(ZeroDivisionError):
        of.call(lambda: 1 / 0)
    of.leave(long.job)
    assert long.job.over.wait(30)
    assert 0 < len(long.steps) < 4000


def test_a_loop_that_fails_tells_everybody_and_goes_on(prior, problem, monkeypatch):
    of = Engine(16)
    job = Player(problem, RedDiff(steps=4000), prior).job
    monkeypatch.setattr(Rounds, "_answer", lambda self: 1 / 0)
    of.play(job)
    assert job.over.wait(30)
    assert isinstance(job.error, ZeroDivisionError)
    monkeypatch.undo()
    after = Player(problem, DDRM(steps=3), prior)
    of.play(after.job)
    assert after.job.over.wait(30)
    assert after.job.error is None


def test_a_fork_has_an_engine_of_its_own():
    engine.engine().call(lambda: None)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        os.write(write, bytes([engine._engine is None]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\x01"


def test_a_stop_is_quick(prior, problem):
    of, p = Engine(1), Player(problem, RedDiff(steps=5000), prior)
    of.play(p.job)
    while not p.steps:
        time.sleep(0.01)
    of.leave(p.job)
    assert p.job.over.wait(10)
    assert p.job.error is None
