"""Runs, races, sweeps and the app in the worker that ZeroGPU forks."""

import dataclasses
import pickle
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from redgui import images
from redgui.errors import RedguiError
from redgui.operators import build as operator
from redgui.priors import load
from redgui.runs import remote
from redgui.runs import zero_gpu as host
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Change, Record
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.runs.watch import watch
from redgui.samplers import DDRM, DPS, RedDiff
from redgui.ui.calls.restoration import Restoration
from redgui.ui.host.limits import HOME
from redgui.ui.restore.state import Restoring

ROOT = Path(__file__).parents[1]
PRIOR = "gaussian:size=16"
FAST = 1000.0  # looks a second
SAMPLER = RedDiff(steps=12, lr=0.1)
LONG = dataclasses.replace(SAMPLER, steps=5000)


def fresh(sampler=SAMPLER, **options) -> Run:
    prior = load(PRIOR)
    picture = images.to_tensor(images.to_pil(prior.sample(1, torch.Generator().manual_seed(3))))
    return Run(picture, Problem.simulate(picture, operator("inpaint"), 0.1, seed=2), prior, sampler, **options)


def replays(run: Run) -> bool:
    record = Record.from_json(run.record().to_json())
    *_, last = record.replay(load(PRIOR))
    return record.reproduces(last) and torch.equal(last.x0_hat, run.last.x0_hat) and last.i == run.last.i


# ---- what is asked of it


def test_seconds_follow_steps_and_stay_within_what_is_lent(zero_gpu):
    few, many = (remote.gpu_seconds(dataclasses.replace(SAMPLER, steps=n), 0.0, 1, load(PRIOR)) for n in (100, 400))
    assert many == pytest.approx(4 * few)
    assert remote.gpu_seconds(DPS(steps=100), 0.0, 1, load(PRIOR)) == pytest.approx(3 * few)  # a forward, and back through it
    assert host._seconds(b"", 1) == host.LEAST
    assert host._seconds(b"", 1e6) == host.LONGEST
    list(watch(fresh(), FAST))
    assert zero_gpu.asked == [host.LEAST]


def test_a_wish_replaces_the_one_before_and_a_torn_one_is_none(zero_gpu):
    wishes = host.Wishes.taken()
    assert wishes.newest() is None
    wishes.post("a long first wish")
    wishes.post((True, SAMPLER))
    assert wishes.newest() == (True, SAMPLER)
    host.Wishes._memory[wishes.slot * host.SLOT_BYTES + host.HEAD.size + 3] ^= 1
    assert wishes.newest() is None
    with pytest.raises(host.HostError, match="bytes"):
        wishes.post("x" * host.SLOT_BYTES)
    wishes.free()


# ---- a run in the worker


def test_a_run_in_the_worker_is_the_run_at_home_and_its_record_replays(zero_gpu):
    home, lent = fresh(), fresh()
    list(home.play())
    list(watch(lent, FAST))
    assert torch.equal(lent.last.x0_hat, home.last.x0_hat)
    assert (lent.last.i, lent.last.nfe, lent.finished, lent.playing) == (11, 12, True, False)
    assert lent.series == home.series
    assert lent.film() == home.film()
    assert lent.counted.forwards == 0  # not a call of the network in this process
    assert lent.elapsed > 0
    assert replays(lent)


def test_it_is_tuned_and_stopped_in_mid_run(zero_gpu):
    run, tuned = fresh(LONG), dataclasses.replace(LONG, lr=0.02)
    for _ in watch(run, FAST):
        if run.last.i > 20 and not run.changes:
            run.tune(tuned)
        if run.changes and run.last.i > run.changes[0].after + 20:
            run.stop()
    assert [change.knobs for change in run.changes] == [{"lr": 0.02}]
    assert run.now.lr == 0.02
    assert not run.finished
    assert zero_gpu.ended == ["end"]  # it was told, and ended by itself
    assert len(run.rows) == run.last.i + 1
    assert replays(run)


def test_going_on_repeats_what_was_made_and_then_goes_on(zero_gpu):
    run = fresh(LONG)
    for _ in watch(run, FAST):
        if run.last.i > 20:
            run.tune(dataclasses.replace(LONG, lr=0.03))
        if run.last.i > 40:
            run.stop()
    made, rows = run.last.i, list(run.rows)
    run.tune(dataclasses.replace(run.now, lam=1.0))
    run.extend(50)
    shown = []
    for _ in watch(run, FAST):
        shown.append(run.last.i)
        if run.last.i > made + 30:
            run.stop()
    assert max(shown) > made
    assert run.rows[: len(rows)] == rows
    assert [row["i"] for row in run.rows] == list(range(1, run.last.i + 2))
    assert run.changes[-1] == Change(made, {"lam": 1.0})
    assert [frame.i for frame in run.film()] == sorted({frame.i for frame in run.film()})
    assert replays(run)


def test_a_run_that_has_ended_gets_more_steps_again_and_again(zero_gpu):
    run = fresh()
    list(watch(run, FAST))
    for end in (17, 22):
        run.extend(5)
        list(watch(run, FAST))
        assert run.last.i == end - 1
        assert run.finished
    assert run.changes == [Change(11, {"steps": 17}), Change(16, {"steps": 22})]
    assert replays(run)


def test_closing_the_stream_ends_the_worker(zero_gpu):
    run = fresh(LONG)
    stream = watch(run, FAST)
    next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    assert zero_gpu.ended in (["end"], ["closed"])
    assert replays(run)
    raw = host.stream(remote.PlayJob(pickle.dumps(fresh(LONG)), 20.0, 100.0))  # without a word to the worker
    next(raw)
    raw.close()
    assert zero_gpu.ended[-1] == "closed"


def test_the_seconds_lent_end_it_before_the_worker_is_killed(zero_gpu, monkeypatch):
    monkeypatch.setattr(host, "LONGEST", host.MARGIN + 1)
    run = fresh(LONG)
    list(watch(run, FAST))
    assert 0 < run.last.i < 4999
    assert not run.finished
    assert zero_gpu.ended == ["end"]
    assert replays(run)


def test_an_error_of_the_worker_comes_in_its_words(zero_gpu):
    run = fresh()
    run.prior = remote.RemotePrior(run.prior, "cpu", "fp32")
    run.prior.name = "no such prior"
    job = remote.PlayJob(pickle.dumps(run), 20.0, 100.0)
    with pytest.raises(RedguiError, match="there is no prior 'no such prior'"):
        list(host.stream(job))
    with pytest.raises(gr.Error, match="AttributeError"):
        list(host.stream(dataclasses.replace(job, played=pickle.dumps(None))))


# ---- a race and an endpoint


def racers(**samplers) -> Race:
    return Race([Contestant(key, key.upper(), fresh(sampler)) for key, sampler in samplers.items()])


def test_a_race_in_the_worker_has_the_pictures_of_runs_at_home(zero_gpu):
    entries = dict(a=SAMPLER, b=DDRM(steps=10), c=dataclasses.replace(LONG, lr=0.05))
    race = racers(**entries)
    for _ in watch(race, FAST):
        if race["a"].over and race["b"].over:
            race.stop("c")
    assert [(c.key, c.status) for c in race.contestants] == [("a", "done"), ("b", "done"), ("c", "stopped")]
    assert not race.playing
    for key in "ab":
        home = fresh(entries[key])
        list(home.play())
        assert torch.equal(race[key].run.last.x0_hat, home.last.x0_hat)
    for c in race.contestants:
        assert len(c.curve) == len(c.run.rows) == c.run.last.i + 1
        assert c.seconds > 0
        assert replays(c.run)
    assert len(zero_gpu.asked) == 1


def test_a_race_is_stopped_as_a_whole(zero_gpu):
    race = racers(a=LONG, b=dataclasses.replace(LONG, lr=0.05))
    threading.Timer(0.5, race.stop).start()
    list(watch(race, FAST))
    assert {c.status for c in race.contestants} == {"stopped"}


def swept(**options) -> Sweep:
    run = fresh()
    axes = axis(RedDiff, "lr", "0.03, 0.1"), axis(RedDiff, "lam", "0.1, 0.3")
    return Sweep(run.picture, run.problem, run.prior, Grid(dataclasses.replace(SAMPLER, **options), *axes))


def test_a_sweep_in_the_worker_has_the_pictures_of_a_sweep_at_home(zero_gpu):
    there, home = swept(), swept()
    list(watch(there, FAST))
    list(home.play())
    for cell, same in zip(there.cells, home.cells, strict=True):
        assert (cell.status, cell.last.i) == ("done", SAMPLER.steps - 1)
        assert torch.equal(cell.last.x0_hat, same.last.x0_hat)
        assert cell.run.record().reproduces(same.last)
        assert replays(cell.run)
    assert not there.playing


def test_a_sweep_is_stopped_in_mid_run(zero_gpu):
    there = swept(steps=5000)
    for _ in watch(there, FAST):
        there.stop()
    assert {cell.status for cell in there.cells} == {"stopped"}
    assert 0 < max(cell.last.i for cell in there.cells) < 4999


def test_an_endpoint_restores_in_the_worker(zero_gpu):
    wanted = dict(operator="superres:factor=4", sampler="reddiff:steps=30", seed=1, prior="gaussian:size=64", device="cpu",
                  precision="fp32")  # fmt: skip
    face = images.read(ROOT / "assets/examples/face-06.png")
    at_home = Restoration(Settings.read(wanted), face, None, dataclasses.replace(HOME, seconds=60.0))
    there = dataclasses.replace(at_home.settings, device="auto", precision="auto")
    *_, (png, figures, record) = host.stream(dataclasses.replace(at_home, settings=there))
    *_, (same, _, _) = at_home.news(lambda: None)
    assert png == same
    assert figures["steps"] == record["steps"] == 30
    with pytest.raises(RedguiError, match="there is no sampler"):  # before a GPU is asked for
        list(host.stream(dataclasses.replace(at_home, settings=Settings.read(wanted | {"sampler": "none"}))))
    assert len(zero_gpu.asked) == 1


# ---- through the app


def test_the_app_runs_in_the_worker_and_its_record_replays(zero_gpu):
    from redgui.ui import build

    demo = build("gaussian:size=32")
    restore, form, layout = demo.restore, demo.form, demo.restore.layout
    assert (demo.host.device, demo.host.precision) == ("cpu", "fp32")
    everything = next(fn for fn in demo.fns.values() if getattr(fn.fn, "__name__", "") == "start" and form.mask in fn.inputs)
    values = {part: part.value for part in everything.inputs}
    values[form.samplers["reddiff"].parts["steps"]] = 15
    request = SimpleNamespace(session_hash="page")
    values[form.mask] = restore.editing.load_page(values, request)[form.mask]
    restore.get_ready(values, request)
    *_, last = restore.start(values, request)
    assert last[layout.view]["status"] == "done"
    assert last[layout.view]["i"] == 15
    run = demo.host.sessions.of("page").state(Restoring).played
    record = Record.from_json(run.record().to_json())
    *_, replayed = record.replay(load("gaussian:size=32"))
    assert record.reproduces(replayed)
    values[layout.more] = 10
    restore.get_ready_again(request)
    *_, last = restore.go_on(values, request)
    assert (last[layout.view]["status"], last[layout.view]["i"]) == ("done", 25)
    assert len(zero_gpu.asked) == 2
