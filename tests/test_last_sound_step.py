"""Where a run broke, each way to look at it has the last sound step and says why it ended."""

import json
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from breaking import ALL, OF_ALL, PICTURE, PRIOR, SIGMA_Y, Breaking, problem, run_of, run_of_record, unplayed
from PIL import Image

from redgui import api, bench, cli, images, priors
from redgui.operators import Inpaint
from redgui.runs import remote
from redgui.runs.divergence import Diverged
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.settings import Settings
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.runs.watch import watch
from redgui.samplers import RedDiff
from redgui.samplers import build as sampler_of
from redgui.ui.restore import outcome


def test_the_command_line_writes_the_last_sound_step_and_returns_the_status_of_an_error(tmp_path, capsys, monkeypatch):
    PICTURE.save(tmp_path / "in.png")
    command = ["restore", str(tmp_path / "in.png"), "--sampler", "ddrm:steps=5", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(api.priors, "load", lambda *_: Breaking(4))
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("redgui: the run left the finite numbers at step 4 of 5; step 3 is kept; lower")
    figures = json.loads(said.out.splitlines()[-1])
    assert (figures["steps"], figures["nfe"]) == (3, 3)
    assert "step 4 of 5" in figures["error"]
    record = Record.read(tmp_path / "out" / "record.json")
    *_, last = record.replay(PRIOR)
    assert record.reproduces(last)
    assert Image.open(tmp_path / "out" / "restored.png").tobytes() == images.to_pil(last.estimate).tobytes()
    monkeypatch.setattr(api.priors, "load", lambda *_: Breaking(1))
    assert cli.main([*command[:-1], str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize("spec", ["reddiff:steps=8", "dps:steps=8", "vml-map:steps=8"])
def test_a_run_that_is_watched_keeps_its_last_sound_step_and_cannot_go_on(spec):
    sampler = sampler_of(spec)
    run = unplayed(Breaking(run_of(PRIOR, sampler)[4].nfe + 1), sampler)
    with pytest.raises(Diverged, match="step 6 of 8; step 5 is kept"):
        list(watch(run, ALL))
    assert (run.last.i, len(run.rows), run.film()[-1].i) == (4, 5, 5)
    assert run.broken
    record = Record.from_json(run.record().to_json())
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    assert torch.equal(again.x0_hat, run.last.x0_hat)
    layout = SimpleNamespace(view="live", result="result", film="film", run="run", stop="stop", resume="more")
    updates = outcome.ended(layout, outcome.LiveBoard(run, 7), "what was wrong", "error")
    live, result, film, stop, more = (updates[name] for name in ("live", "result", "film", "stop", "more"))
    assert (live["status"], live["message"], live["i"]) == ("error", "what was wrong", 5)
    assert result["after"]["src"] == images.data_url(again.estimate)
    assert film["frames"][-1]["i"] == 5
    assert (stop["interactive"], more["interactive"]) == (False, False)
    json.dumps([live, result, film], allow_nan=False)


def test_from_a_worker_the_last_sound_step_comes_before_the_error(monkeypatch):
    sampler = RedDiff(steps=8)
    run = unplayed(PRIOR, sampler)
    job = remote.PlayJob(pickle.dumps(run), 1.0, ALL)
    monkeypatch.setattr(priors, "load", lambda _: Breaking(6))

    def listen() -> None:
        for state in job.news(lambda: None):
            run.take(state)

    with pytest.raises(Diverged):
        listen()
    assert run.last.i == 4
    assert torch.equal(run.last.x0_hat, run_of(PRIOR, sampler)[4].x0_hat)


def test_one_of_a_race_and_of_a_sweep_keeps_its_last_sound_step():
    race = Race([Contestant(s.name, s.label, unplayed(p, s)) for p, s in [(Breaking(4), OF_ALL[0]), (PRIOR, OF_ALL[4])]])
    list(race.play())
    broken, other = race.contestants
    assert (broken.status, broken.run.last.i, other.status) == ("error", 2, "done")
    assert torch.equal(broken.run.last.x0_hat, run_of(PRIOR, OF_ALL[0])[2].x0_hat)
    grid = Grid(RedDiff(steps=6), axis(RedDiff, "lr", "0.1"), axis(RedDiff, "lam", "0.1, 0.25, 1"))
    sweep = Sweep(images.to_tensor(PICTURE), problem(), Breaking(4, row=1, once=True), grid)
    list(sweep.play())
    assert [(cell.status, cell.last.i) for cell in sweep.cells] == [("done", 5), ("error", 2), ("done", 5)]
    assert "step 4 of 6; step 3 is kept" in sweep.cells[1].message
    record = sweep.cells[1].run.record()
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    torch.testing.assert_close(again.x0_hat, run_of(PRIOR, sweep.cells[1].sampler)[2].x0_hat, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler", [s for s in OF_ALL if not s.coupled], ids=lambda s: s.name)
def test_a_picture_of_a_benchmark_that_breaks_is_a_row_that_says_so_and_the_others_are_as_without_it(sampler):
    shown = [bench.Picture(f"p{k}", PRIOR.sample(1, torch.Generator().manual_seed(k)).clamp(-1, 1)) for k in range(3)]
    batch = [bench.Job(p, k, Settings(H=Inpaint(), sampler=sampler, sigma_y=SIGMA_Y, seed=k)) for k, p in enumerate(shown)]
    whole = bench.run(PRIOR, batch)
    last_but_one = run_of_record(bench.record_of(whole[1][0], shown[1]), whole[1][0]["steps"] - 1)
    rows = bench.run(Breaking(last_but_one.nfe + 1, row=1), batch)
    assert "error" in rows[1][0]
    assert f"step {whole[1][0]['steps'] - 1} is kept" in rows[1][0]["error"]
    assert not {"psnr", "record"} & set(rows[1][0])
    assert bool(rows[1][1].isfinite().all())
    assert not torch.equal(rows[1][1], whole[1][1])
    for k in (0, 2):
        assert torch.equal(rows[k][1], whole[k][1])
        assert rows[k][0]["psnr"] == whole[k][0]["psnr"]
    (row,) = bench.summarise([row for row, _ in rows])
    assert (row["n"], row["failed"]) == (2, 1)
    assert math.isfinite(row["psnr"])
