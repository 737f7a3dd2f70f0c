"""Jobs that share one thread: who goes next, and how many go through the network together."""

import threading
import time

import pytest
import torch
from jobs import SIDE, Player

from redgui.operators import build
from redgui.priors import Counted, GaussianPrior
from redgui.runs import batches, watch
from redgui.runs.batches import Batches, Question, paying
from redgui.runs.problem import Problem
from redgui.runs.rounds import Job, Rounds, played, seconds
from redgui.runs.shared import Shared
from redgui.samplers import RedDiff


@pytest.fixture
def prior():
    return Counted(GaussianPrior(size=SIDE))


@pytest.fixture
def problem():
    return Problem.simulate(GaussianPrior(size=SIDE).sample(1, torch.Generator().manual_seed(3)), build("inpaint"), 0.1, seed=4)


# ---- who goes next


class Priced:
    """A clock that network calls alone move: a second a picture."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def prior(self):
        clock = self

        class Slow(Counted):
            def denoise(self, x, sigma):
                clock.now += len(x)
                return super().denoise(x, sigma)

        return Slow(GaussianPrior(size=SIDE))


def test_sixteen_particles_do_not_starve_a_single_run(problem):
    clock = Priced()
    prior = clock.prior()
    many, one = Player(problem, RedDiff(steps=500), prior, 16), Player(problem, RedDiff(steps=500), prior)
    for _, job in zip(range(200), played([many.job, one.job], 16, clock), strict=False):
        assert job.error is None
    assert abs(many.job.seconds - one.job.seconds) <= 16
    assert len(one.steps) > 10 * len(many.steps)


def test_who_joins_late_neither_waits_nor_takes_all(problem):
    clock = Priced()
    prior = clock.prior()
    first, late = Player(problem, RedDiff(steps=500), prior), Player(problem, RedDiff(steps=500), prior)
    rounds = Rounds(1, clock)
    rounds.add(first.job)
    for _ in range(200):
        rounds.round()
    made = len(first.steps)
    rounds.add(late.job)
    for _ in range(80):
        rounds.round()
    assert len(first.steps) - made == pytest.approx(len(late.steps), abs=2)
    assert late.steps


def test_the_cells_of_a_sweep_have_one_persons_share(problem):
    clock = Priced()
    prior = clock.prior()
    person = Player(problem, RedDiff(steps=900), prior)
    cells = [Player(problem, RedDiff(steps=900), prior, weight=1 / 4) for _ in range(4)]
    for _, _ in zip(range(400), played([person.job, *(c.job for c in cells)], 1, clock), strict=False):
        pass
    assert person.job.seconds == pytest.approx(sum(c.job.seconds for c in cells), rel=0.1)


def test_a_job_reads_the_seconds_it_was_charged(problem):
    clock, read = Priced(), []
    prior = Shared(clock.prior())

    def turns():
        for _ in range(3):
            prior.denoise(torch.zeros(1, 3, SIDE, SIDE), 1.0)
            read.append(seconds())
            yield

    other = Player(problem, RedDiff(steps=50), clock.prior())
    for _ in played([Job(turns()), other.job], 1, clock):
        pass
    assert read == [1.0, 2.0, 3.0]


# ---- how many go together


def test_one_measurement_serves_shapes_of_about_one_size(prior):
    small, wide, large = (Question(prior, torch.zeros(1, 3, h, w)) for h, w in ((64, 64), (48, 80), (64, 80)))
    assert small.kind == wide.kind != large.kind
    assert small.key != wide.key
    huge = Question(prior, torch.zeros(1, 3, 3000, 4000))
    before = prior.forwards
    assert Batches(None).places(huge) == 1
    assert prior.forwards == before, "a trial would take minutes"


def test_as_many_go_together_as_pay(monkeypatch):
    class Launching(GaussianPrior):
        """A call costs the launch and the pictures, and one of them more in some sizes."""

        def denoise(self, x, sigma):
            tried.append(len(x))
            now[0] += 1.0 + 0.1 * len(x) * dear.get(len(x), 1)
            return super().denoise(x, sigma)

    now, tried, dear = [0.0], [], {}
    for dears, pays, last in (({}, 16, 16), ({8: 20}, 4, 8), ({8: 2.2}, 16, 16), ({8: 2.2, 16: 4.0}, 4, 16)):
        dear = dears
        assert paying(Launching(size=SIDE), (3, SIDE, SIDE), lambda: now[0] / 100) == pays
        assert tried[-1] == last  # one size that pays nothing ends no trial, one that is far worse does
    dear = {}
    monkeypatch.setattr(batches, "PIXELS", 2 * SIDE * SIDE)
    assert paying(Launching(size=SIDE), (3, SIDE, SIDE), lambda: now[0] / 10) == 2


def test_a_call_that_fails_is_made_in_halves_and_what_fails_alone_is_its_own(prior):
    class Small(GaussianPrior):
        def denoise(self, x, sigma):
            sizes.append(len(x))
            if len(x) > 2 or x.isnan().any():
                raise RuntimeError("out of memory")
            return super().denoise(x, sigma)

    sizes = []
    small = Small(size=SIDE)
    asked = [Question(small, torch.full((1, 3, SIDE, SIDE), float(k)), 1.0) for k in range(4)]
    asked[3].x.fill_(float("nan"))
    answering = Batches(None)
    answering.answer(asked)
    assert sizes == [4, 2, 2, 1, 1]
    assert [q.error is None for q in asked] == [True, True, True, False]
    for k, q in enumerate(asked[:3]):
        torch.testing.assert_close(q.answer, prior.denoise(torch.full((1, 3, SIDE, SIDE), float(k)), 1.0))


def test_where_many_look_on_each_is_told_less_often(monkeypatch):
    def watched(people):
        told, threads = [0] * people, []

        def look(k):
            def turns():
                until = time.perf_counter() + 0.6
                while time.perf_counter() < until:
                    time.sleep(0.001)
                    yield

            for _ in watch._told([Job(turns())], 1000.0, lambda: None):
                told[k] += watch._looking == people  # before, there are fewer to share with

        for k in range(people):
            threads.append(threading.Thread(target=look, args=(k,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return told

    monkeypatch.setattr(watch, "NEWS", 20.0)
    assert watched(1)[0] > 20
    assert max(watched(5)) <= 4  # a quarter of a second apart
    assert watch._looking == 0
