"""A watched run: tuned, stopped, gone on with, and still reproduced by its record."""

import dataclasses
import threading

import pytest
import torch

from redgui import images
from redgui.operators import build
from redgui.priors import GaussianPrior
from redgui.runs.film import FRAMES
from redgui.runs.problem import Problem
from redgui.runs.record import Change, Record
from redgui.runs.run import Run
from redgui.samplers import RedDiff

PRIOR = GaussianPrior(size=16)
SAMPLER = RedDiff(steps=12, lr=0.1)
ALL = float("inf")


def fresh(sampler: RedDiff = SAMPLER, **options) -> Run:
    picture = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3))))
    return Run(picture, Problem.simulate(picture, build("inpaint"), 0.1, seed=2), PRIOR, sampler, **options)


def replays(run: Run) -> bool:
    """Whether the record, through JSON, gives the very picture."""
    record = Record.from_json(run.record().to_json())
    *_, last = record.replay(PRIOR)
    return record.reproduces(last) and torch.equal(last.x0_hat, run.last.x0_hat) and last.i == run.last.i


def test_a_run_left_alone_makes_its_steps_and_replays():
    run = fresh()
    assert run.last is None
    assert not run.finished
    assert [step.i for step in run.play()] == list(range(12))
    assert run.finished
    assert not run.playing
    assert run.changes == []
    assert replays(run)


def test_it_says_whether_it_is_playing():
    run = fresh()
    for _ in run.play():
        assert run.playing
    assert not run.playing


def test_every_step_is_in_the_series_whatever_is_shown():
    run = fresh()
    shown = list(run.play())
    assert set(run.series) == {"i", "sigma", "psnr", "residual", *shown[0].scalars}
    assert all(len(values) == 12 for values in run.series.values())
    assert run.series["i"] == list(range(1, 13))
    assert run.series["psnr"][-1] == shown[-1].psnr
    assert all(isinstance(value, float) for name in set(run.series) - {"i"} for value in run.series[name])


@pytest.mark.parametrize("steps", [1, 12, 49, 230])
def test_the_filmstrip_is_never_too_long_and_has_the_first_frame(steps):
    run = fresh(dataclasses.replace(SAMPLER, steps=steps))
    list(run.play())
    assert 1 <= len(run.film()) <= FRAMES
    assert run.film()[0].i == 1
    assert [frame.i for frame in run.film()] == sorted({frame.i for frame in run.film()})
    assert run.film()[0].src.startswith("data:image/jpeg;base64,")


def test_tuning_acts_on_the_next_iteration_and_is_on_record():
    plain, run = fresh(), fresh()
    pictures = [step.x0_hat for step in plain.play()]
    same = []
    for step in run.play():
        same.append(torch.equal(step.x0_hat, pictures[step.i]))
        if step.i == 4:
            run.tune(dataclasses.replace(SAMPLER, lr=0.01, weighting="sqrt"))
    # The step after which it was tuned had been made and heard; the next one carries the news, the one after obeys.
    assert same == [True] * 6 + [False] * 6
    assert run.changes == [Change(5, {"lr": 0.01, "weighting": "sqrt"})]
    assert run.now.lr == 0.01
    assert replays(run)


def test_only_live_knobs_that_differ_count_as_a_change():
    run = fresh()
    for _ in run.play():
        run.tune(dataclasses.replace(SAMPLER, init="zero", compat=True))
    assert run.changes == []
    assert run.now == SAMPLER
    assert replays(run)


def test_stop_ends_it_within_one_iteration():
    run = fresh(dataclasses.replace(SAMPLER, steps=5000))
    seen = []
    for step in run.play():
        seen.append(step.i)
        if step.i == 3:
            run.stop()
    assert seen == [0, 1, 2, 3, 4]
    assert run.counted.forwards == 5
    assert not run.finished
    assert replays(run)


def test_stop_from_another_thread_ends_it():
    run = fresh(dataclasses.replace(SAMPLER, steps=5000))
    for step in run.play():
        if step.i == 2:
            thread = threading.Thread(target=run.stop)
            thread.start()
            thread.join()
    assert run.last.i == 3


def test_after_a_stop_it_goes_on_as_if_nothing_had_happened():
    whole, run = fresh(), fresh()
    *_, end = whole.play()
    for step in run.play():
        if step.i == 4:
            run.stop()
    run.extend(7)
    assert [step.i for step in run.play()] == list(range(6, 12))
    assert torch.equal(run.last.x0_hat, end.x0_hat)
    assert run.changes == []
    assert replays(run)


def test_knobs_changed_while_it_stands_still_act_when_it_goes_on():
    run = fresh()
    for step in run.play():
        if step.i == 4:
            run.stop()
    run.tune(dataclasses.replace(SAMPLER, lam=2.0))
    run.extend(10)
    list(run.play())
    assert run.changes == [Change(5, {"lam": 2.0})]
    assert run.last.i == 11
    assert replays(run)


def test_after_the_end_it_goes_on_with_as_many_steps_more_and_again():
    run = fresh()
    list(run.play())
    for end in (17, 22):
        run.extend(5)
        shown = list(run.play())
        assert [step.i for step in shown] == list(range(end - 5, end))
        assert run.finished
        assert run.now.steps == end
    assert run.changes == [Change(11, {"steps": 17}), Change(16, {"steps": 22})]
    assert len(run.series["i"]) == 22
    assert replays(run)


def test_the_end_can_be_passed_with_other_knobs_and_stopped_again():
    run = fresh()
    list(run.play())
    run.tune(dataclasses.replace(SAMPLER, lr=0.02))
    run.extend(8)
    for step in run.play():
        if step.i == 14:
            run.stop()
    assert run.changes == [Change(11, {"steps": 20, "lr": 0.02})]
    assert run.last.i == 15
    assert replays(run)


def test_fewer_steps_than_were_made_end_it_at_once():
    run = fresh()
    for step in run.play():
        if step.i == 6:
            run.tune(dataclasses.replace(SAMPLER, steps=2))
    assert run.finished
    assert run.last.i == 8
    assert replays(run)


def test_more_steps_than_the_knob_allows_are_not_asked_for():
    run = fresh(dataclasses.replace(SAMPLER, steps=2))
    list(run.play())
    run.extend(10**6)
    for _ in run.play():
        run.stop()
    assert run.last.n == 5000


def test_a_time_limit_ends_it_and_each_play_has_its_own():
    run = fresh(seconds_allowed=0.0)
    assert [step.i for step in run.play()] == [0]
    assert [step.i for step in run.play()] == [1]
    assert not run.finished
    assert replays(run)


def test_particles_are_one_run_and_replay():
    run = fresh(particles=3)
    list(run.play())
    assert run.last.x0_hat.shape[0] == 3
    assert run.last.nfe == 12
    assert replays(run)


def test_a_run_has_no_record_before_its_first_step():
    with pytest.raises(RuntimeError, match="first step"):
        fresh().record()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_replay_makes_the_changes_and_ends_where_the_run_did(stopped):
    run = fresh()
    run.heard = lambda step: run.tune(dataclasses.replace(SAMPLER, lr=0.2)) if step.i == 4 else None
    list(run.play())
    run.extend(5)
    run.heard = lambda step: run.stop() if stopped and step.i == 14 else None
    list(run.play())
    record = Record.from_json(run.record().to_json())
    assert (record.steps, len(record.changes)) == (15 if stopped else 17, 2)

    again = fresh(replayed=record)
    again.heard = lambda step: again.tune(dataclasses.replace(SAMPLER, lr=0.5))  # knobs that are moved meanwhile do nothing
    list(again.play())
    assert record.reproduces(again.last)
    assert again.changes == list(record.changes)
    assert replays(again)

    again.heard = None
    again.tune(dataclasses.replace(again.now, lr=0.3))  # from here on it is one's own
    again.extend(3)
    list(again.play())
    assert again.changes[-1].knobs["lr"] == 0.3
    assert again.last.i > record.steps - 1
    assert replays(again)
