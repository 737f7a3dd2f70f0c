"""Several samplers on one measurement, a step of one and then of another: shares, budgets, stops, errors, records."""

import threading

import pytest
import torch
from racing import FIVE, PRIOR, contestant, problem, race

from redgui import knobs, presets
from redgui.operators import Inpaint
from redgui.priors import Counted, GaussianPrior
from redgui.runs.budget import spent, within
from redgui.runs.race import Race
from redgui.runs.record import Record
from redgui.runs.stream import solve
from redgui.runs.watch import watch
from redgui.samplers import SAMPLERS, SITCOM, SamplerError
from redgui.samplers import build as sampler


class Clock:
    """A clock that only a network call moves, by a price of each sampler's own."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def network(self, price: float) -> GaussianPrior:
        clock = self

        class Slow(Counted):
            def denoise(self, x, sigma):
                clock.now += price
                return super().denoise(x, sigma)

        return Slow(PRIOR)


# ---- turns


def test_everybody_has_used_the_same_time_at_every_moment():
    clock, prices = Clock(), {"reddiff": 1.0, "ddrm": 5.0, "diffpir": 0.25}
    of = [contestant(f"{name}:steps=400", clock.network(price)) for name, price in prices.items()]
    running = Race(of, clock=clock)
    for _, turn in zip(range(240), running.play(), strict=False):
        seconds = [c.seconds for c in of]
        # Nobody is ahead of another by more than his own last step.
        assert max(seconds) - min(seconds) <= max(prices.values()) + 1e-9
        assert running[turn.key].run.last is not None
    shares = [c.seconds / clock.now for c in of]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    steps = [c.run.last.i + 1 for c in of]
    assert steps[0] == pytest.approx(5 * steps[1], abs=6)
    assert steps[2] == pytest.approx(4 * steps[0], abs=5)


def test_each_picture_is_that_of_a_solo_run_to_the_bit():
    together = race(*FIVE)
    turns = [turn.key for turn in together.play()]
    assert len(set(turns[:8])) == 5  # nobody waits for the others to get on: a step of VML-MAP takes two questions
    for spec, c in zip(FIVE, together.contestants, strict=True):
        solo = contestant(spec)
        *_, last = solo.run.play()
        assert torch.equal(c.run.last.x0_hat, last.x0_hat)
        assert (c.status, c.run.last.i, c.used) == ("done", last.i, last.nfe + 2 * last.backward)
        assert turns.count(c.key) == last.n
        assert [point[1] for point in c.curve] == sorted(point[1] for point in c.curve)


@pytest.mark.parametrize("spec", FIVE)
def test_every_record_replays(spec):
    together = race(spec, "ddnm:steps=3")
    list(together.play())
    for c in together.contestants:
        record = Record.from_json(c.run.record().to_json())
        *_, last = record.replay(PRIOR)
        assert record.reproduces(last)
        assert torch.equal(last.x0_hat, c.run.last.x0_hat)


def test_one_that_is_stopped_makes_no_more_steps_and_leaves_the_others():
    together = race(*FIVE)
    for k, _ in enumerate(together.play()):
        if k == 7:
            together.stop("reddiff")
            at = together["reddiff"].run.last.i
    first, *others = together.contestants
    assert first.status == "stopped"
    assert first.run.last.i == at
    assert [c.status for c in others] == ["done"] * 4
    assert all(c.run.finished for c in others)
    record = first.run.record()
    *_, last = record.replay(PRIOR)
    assert record.reproduces(last)


def test_stop_from_another_thread_ends_all_within_one_step():
    together = race("reddiff:steps=5000", "ddrm:steps=1000")
    made = []
    for turn in together.play():
        made.append(turn.key)
        if len(made) == 6:
            thread = threading.Thread(target=together.stop)
            thread.start()
            thread.join()
    assert [c.status for c in together.contestants] == ["stopped"] * 2
    assert sum(c.run.last.i + 1 for c in together.contestants) == 6
    assert not together.playing


def test_who_stops_looking_ends_it():
    together = race("reddiff:steps=5000", "ddrm:steps=1000")
    turns = watch(together, 100.0)
    next(turns)
    assert together.playing
    turns.close()
    assert not together.playing
    assert {c.status for c in together.contestants} == {"stopped"}


def test_the_time_allowed_is_for_all_together():
    clock = Clock()
    of = [contestant(f"{name}:steps=900", clock.network(1.0)) for name in ("reddiff", "ddrm")]
    list(Race(of, 20.0, clock).play())
    assert sum(c.seconds for c in of) == pytest.approx(21, abs=1)
    assert all(c.status == "stopped" and "20 seconds" in c.message for c in of)


@pytest.mark.parametrize("wrong", [SamplerError("the run left the finite numbers"), ValueError("no such thing")])
def test_an_error_marks_its_own_tile_and_the_others_go_on(wrong):
    class Broken(Counted):
        def denoise(self, x, sigma):
            if self.forwards == 3:
                raise wrong
            return super().denoise(x, sigma)

    together = Race([contestant("reddiff:steps=9"), contestant("ddrm:steps=8", Broken(PRIOR)), contestant("dps:steps=4")])
    list(together.play())
    assert [c.status for c in together.contestants] == ["done", "error", "done"]
    assert str(wrong) in together["ddrm"].message
    assert together["ddrm"].run.last.i == 2


def test_one_that_diverges_is_an_error():
    class Exploding(Counted):
        def denoise(self, x, sigma):
            return super().denoise(x, sigma) * (float("nan") if self.forwards == 4 else 1)

    together = Race([contestant("diffpir:steps=9", Exploding(PRIOR)), contestant("ddrm:steps=3")])
    list(together.play())
    assert [c.status for c in together.contestants] == ["error", "done"]
    assert "finite" in together["diffpir"].message


# ---- equal budget


@pytest.mark.parametrize("cls", SAMPLERS)
@pytest.mark.parametrize("sigma_y", [0.0, 0.1])
def test_the_budget_is_met_within_the_cost_of_one_step(cls, sigma_y):
    budget = 60
    c = contestant(presets.sampler_for(cls.name, Inpaint(), sigma_y), budget=budget, sigma_y=sigma_y)
    list(Race([c]).play())
    assert c.status == "done"
    assert c.used <= budget
    if not cls.learned:
        assert c.used == 0
        return
    # One step more, counted in a run of its own, is not to be had.
    more = knobs.build(cls, {**knobs.values(c.run.now), "steps": c.run.now.steps + 1})
    counted = Counted(PRIOR)
    *_, _ = solve(problem(sigma_y), counted, more)
    assert counted.forwards + 2 * counted.backwards > budget


def test_a_budget_below_one_step_buys_one_step():
    chosen, plan = within(sampler("sitcom"), 0.0, 10)
    assert chosen.steps == 1
    assert plan == (28,)


def test_costs_are_counted_and_end_beyond_the_budget():
    assert spent(sampler("dps:steps=5"), 0.0, 100) == (3, 6, 9, 12, 15)
    assert spent(sampler("daps:steps=3,ode_steps=4"), 0.0, 100) == (4, 8, 12)
    assert spent(sampler("dps:steps=500"), 0.0, 7) == (3, 6, 9)


def test_steps_are_never_more_than_the_knob_allows():
    chosen, plan = within(sampler("diffpir"), 0.0, 10_000)
    assert chosen.steps == 1000
    assert plan[-1] == 1000


@pytest.mark.parametrize(
    ("chosen", "planned"),
    [(SITCOM(steps=20, stop=0.0), 10), (SITCOM(steps=7, inner=4, stop=0.0), 28)],
    ids=["dearer than planned", "cheaper than planned"],
)
def test_a_run_that_leaves_its_plan_is_held_to_the_budget(chosen, planned):
    """A level of SITCOM ends early where the picture allows: what it costs is known afterwards."""
    c = contestant(chosen)
    c.budget, c.plan = 200, tuple(range(planned, 201, planned))
    assert len(c.plan) == chosen.steps
    list(Race([c]).play())
    most = max(c.costs)
    assert 200 - most < c.used <= 200, c.costs
    assert c.run.changes
    assert c.status == "done"
    record = c.run.record()
    *_, last = record.replay(PRIOR)
    assert record.reproduces(last)
