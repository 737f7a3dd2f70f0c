"""What a sweep shows and gives to take away, also of samplers with fewer than two knobs."""

import csv
import io
import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from sweeping import PICTURE, PRIOR, played, problem, sweep
from taking import taken

from redgui import images
from redgui.knobs import KnobError, knob
from redgui.operators import build
from redgui.runs.budget import within
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.sweep import Sweep, sweepable
from redgui.runs.tune import Tuning
from redgui.samplers import RedDiff, Sampler, Step
from redgui.ui.host.host import Host
from redgui.ui.host.limits import HOME
from redgui.ui.host.sessions import Session
from redgui.ui.parts.board import best, made
from redgui.ui.parts.controls import Controls, Named
from redgui.ui.sweep.board import FIGURES, SweepBoard, blank, offered
from redgui.ui.sweep.layout import SIDES, SweepLayout, usual
from redgui.ui.sweep.tab import Sweeping, SweepTab
from redgui.ui.sweep.tuned import TuneBoard, told


@pytest.fixture(scope="module")
def over() -> Sweep:
    return played(sweep())


# ---- what a person sees


def test_the_board_has_every_cell_and_the_best(over):
    value = SweepBoard(over, 7).value("done")
    assert value["run"] == 7
    cells = {key: json.loads(text) for key, text in value["cells"].items()}
    assert set(cells) == set(value["frames"]) == {f"{i}-{j}" for i in range(3) for j in range(2)}
    psnr = {cell.key: cell.last.psnr for cell in over.cells}
    for key, cell in cells.items():
        assert cell["psnr"] == pytest.approx(psnr[key], abs=1e-9)
        assert (cell["status"], cell["i"], cell["n"]) == ("done", 8, 8)
        assert cell["ratio"] == pytest.approx(cell["residual"] / 0.1)
    top = max(round(v, 2) for v in psnr.values())
    assert set(json.loads(value["best"])["psnr"]) == {key for key, v in psnr.items() if round(v, 2) == top}
    drawn = json.loads(value["grid"])
    assert drawn["rows"] == {"name": "lr", "label": "learning rate", "values": ["0.03", "0.1", "0.3"]}
    json.dumps(value, allow_nan=False)
    opened = blank(7, "waiting", "", over.problem, over.grid)
    assert opened["grid"] == value["grid"], "the page must not build its grid anew at the first step"
    assert set(opened["cells"]) == set(cells)


def test_only_what_is_new_is_encoded(monkeypatch):
    one, encoded = sweep(), []
    board, url = SweepBoard(one, 1), images.data_url
    monkeypatch.setattr(images, "data_url", lambda *given, **named: encoded.append(1) or url(*given, **named))
    stream = one.play()
    next(stream)
    board.value("running")
    board.value("running")
    assert len(encoded) == 6
    stream.close()


def test_figures_suit_the_problem():
    given = Problem.given(PICTURE, build("inpaint"), 0.1)
    assert [f.key for f in offered(problem(0.1))] == ["psnr", "ssim", "ratio"]
    assert [f.key for f in offered(problem(0.0))] == ["psnr", "ssim", "residual"]
    assert [f.key for f in offered(given)] == ["ratio"]
    rows = {"0-0": {"psnr": 20.001, "ratio": 0.5}, "0-1": {"psnr": 20.002, "ratio": 1.2}, "1-0": {"ratio": float("nan")}}
    found = best(rows, [f for f in FIGURES if f.key in ("psnr", "ratio")])
    assert found == {"ratio": ["0-1"]}  # as far as its digits tell, the pictures are alike


def test_the_files_to_take_away(over):
    board = SweepBoard(over, 1)
    files = taken(board, board.value("done"))
    assert files["sweep.pdf"].startswith(b"%PDF")
    assert b"</svg>" in files["sweep.svg"]
    found = json.loads(files["sweep.json"])
    for entry, cell in zip(found["cells"], over.cells, strict=True):
        record = Record.from_json(json.dumps({**entry["record"], "image": found["image"]}))
        *_, last = record.replay(PRIOR)
        torch.testing.assert_close(last.x0_hat, cell.last.x0_hat, atol=1e-4, rtol=1e-4)
        assert entry["knobs"] == {"lr": cell.sampler.lr, "lam": cell.sampler.lam}
    lines = list(csv.DictReader(io.StringIO(files["sweep.csv"].decode())))
    assert [(line["lr"], line["lam"]) for line in lines[:3]] == [("0.03", "0.1"), ("0.03", "0.25"), ("0.1", "0.1")]
    assert [float(line["psnr"]) for line in lines] == [cell.last.psnr for cell in over.cells]
    sheet = Image.open(io.BytesIO(files["sweep.png"]))
    assert sheet.width > 2 * 128
    assert sheet.height > 3 * 128


def test_a_tuning_is_a_map_with_who_was_dropped_and_the_winner():
    tuning = Tuning(PICTURE, problem(0.1), PRIOR, RedDiff(steps=16))
    board, said = TuneBoard(tuning, 3), []
    for group in tuning.deal():
        said.append(board.value("running")["message"])
        playing = [tuning.playing for _ in group.play()]
        assert playing[0]
    assert said == ["Round 1 of 2: 8 settings, 2 steps each", "Round 2 of 2: 2 settings, 16 steps each"]
    assert (tuning.playing, tuning.progress) == (False, 1)
    status, message = told(tuning)
    value = board.value(status, message)
    cells = {key: json.loads(text) for key, text in value["cells"].items()}
    assert sorted(cell.get("round", 0) for cell in cells.values()) == [0, 1, 1, 1, 1, 1, 1, 2]
    (winner,) = [cell.key for cell in tuning.cells if not cell.dropped]
    assert value["winner"] == winner
    assert tuning.winner == next(cell.sampler for cell in tuning.cells if cell.key == winner)
    assert json.loads(value["best"]) == {"score": [winner]}
    assert {key: cell["score"] for key, cell in cells.items()} == {cell.key: cell.score for cell in tuning.cells}
    assert [figure["key"] for figure in json.loads(value["figures"])] == ["score"], "no figure that knows the truth"
    assert (status, value["message"]) == ("done", message)
    assert "calls of 3.0 runs" in message
    files = taken(board, value)
    assert len(list(csv.DictReader(io.StringIO(files["tuning.csv"].decode())))) == 8
    json.dumps(value, allow_nan=False)


def test_a_tuning_that_is_stopped_begins_no_other_round():
    tuning = Tuning(PICTURE, problem(0.1), PRIOR, RedDiff(steps=16))
    for _ in tuning.play():
        tuning.stop()
    assert (len(tuning.rounds), tuning.over, told(tuning)[0]) == (1, True, "stopped")
    assert tuning.winner == RedDiff(steps=16)
    assert all(cell.last is None or cell.last.i == 0 for cell in tuning.cells)


def test_a_file_that_is_not_offered_is_told():
    assert made({}, "../secret.png") == ({"name": "../secret.png", "href": ""}, made({}, "x")[1])
    assert "Run" in made({}, "x")[1]
    assert made({"a.png": ("A", lambda: 1 // 0)}, "a.png")[1].startswith("The file could not be made")


# ---- samplers with fewer than two knobs


def halves(self, prior, n):
    """A sampler's loop that halves the noise n times."""
    x = torch.zeros(1, *prior.shape)
    for i in range(n):
        x0_hat = prior.denoise(x, 2.0**-i)
        self = (yield Step(i, n, 2.0**-i, x0_hat, {})) or self


@dataclass(frozen=True, kw_only=True)
class OneKnob(Sampler):
    name, label, paper, about = "one-knob", "One knob", "none", "a sampler with a number of steps"
    steps: int = knob(5, 1, 1000, help="iterations")

    @torch.no_grad()
    def __call__(self, prior, H, y, sigma_y, *, generator):
        yield from halves(self, prior, self.steps)


@dataclass(frozen=True, kw_only=True)
class NoKnob(Sampler):
    name, label, paper, about = "no-knob", "No knob", "none", "a sampler that is as it is"
    endless = True

    @torch.no_grad()
    def __call__(self, prior, H, y, sigma_y, *, generator):
        yield from halves(self, prior, 10)


def tab_of(cls, monkeypatch) -> tuple[SweepTab, dict]:
    """The handlers of a Sweep tab whose form has one sampler, and the values of its components, which are their names here."""
    monkeypatch.setattr("redgui.ui.sweep.tab.SAMPLERS", (cls,))
    host, samplers = Host("gaussian:size=16", "cpu"), Named("sampler")
    samplers[cls.name] = Controls(cls, {k.name: f"of {k.name}" for k in sweepable(cls)})
    knobs_, boxes = {side: f"{side} knob" for side in SIDES}, {side: side for side in SIDES}
    layout = SweepLayout("run", "stop", "view", "preview", {}, "sampler", knobs_, boxes, "note", ())
    values = {"sampler": cls.name, "rows knob": "lr", "columns knob": "lam", "rows": "0.1, 0.3", "columns": "1, 2"}
    values |= {f"of {k.name}": k.default for k in sweepable(cls)}
    return SweepTab(SimpleNamespace(form=SimpleNamespace(samplers=samplers), host=host), layout), values


def chosen(tab: SweepTab, values: dict) -> str:
    """Chooses the sampler, as a page does, and gives what is said of the grid."""
    request = SimpleNamespace(session_hash="page")
    updates = tab.choose_sampler(values, request)
    values |= {part: update["value"] for part, update in updates.items()}
    assert tab._around(tab.session_of(request)[1], values) == {}  # nothing has moved in the Restore tab
    for side in SIDES:
        assert tab.choose_knob(side)(values, request) == {side: values[side]}
    return tab.describe(values)["note"]


def test_a_sampler_with_one_knob_is_swept_along_it(monkeypatch):
    assert usual(OneKnob) == ("steps",)
    tab, values = tab_of(OneKnob, monkeypatch)
    assert "<b>3 cells</b>" in chosen(tab, values)
    assert (values["columns knob"], values["columns"]) == (None, "")
    values["rows"] = "2, 4"
    (of,) = tab.planned(Session(), Sweeping(), values, problem())
    one = played(sweep(of))
    assert [(cell.key, cell.status, cell.last.i + 1) for cell in one.cells] == [("0-0", "done", 2), ("1-0", "done", 4)]
    board = SweepBoard(one, 1)
    value = board.value("done")
    assert blank(1, "waiting", "", one.problem, of)["grid"] == value["grid"]
    assert json.loads(value["grid"])["columns"] == {"name": "", "label": "", "values": [""]}
    files = taken(board, value)
    assert [entry["knobs"] for entry in json.loads(files["sweep.json"])["cells"]] == [{"steps": 2}, {"steps": 4}]
    assert [line["steps"] for line in csv.DictReader(io.StringIO(files["sweep.csv"].decode()))] == ["2", "4"]
    assert Image.open(io.BytesIO(files["sweep.png"])).height > 2 * 128


def test_a_sampler_without_a_knob_says_that_there_is_nothing_to_sweep(monkeypatch):
    assert usual(NoKnob) == ()
    tab, values = tab_of(NoKnob, monkeypatch)
    assert "No knob has no knob to sweep" in chosen(tab, values)
    with pytest.raises(KnobError, match="no knob to sweep; choose another sampler"):
        tab.planned(Session(), Sweeping(), values, problem())


def test_a_sampler_without_steps_runs_races_and_ends():
    run = Run(PICTURE, problem(), PRIOR, NoKnob())
    assert [step.i for step in run.play()][-1] == 9
    run.extend(5)
    assert (run.finished, run.now, run.changes) == (True, NoKnob(), [])
    assert within(NoKnob(), 0.1, 4) == (NoKnob(), ())
    racer = Contestant("no-knob", "No knob", Run(PICTURE, problem(), PRIOR, NoKnob()), budget=4)
    list(Race([racer]).play())
    assert (racer.status, racer.used, racer.message) == ("done", 4, "budget reached at step 4 of 10")
    assert HOME.run(NoKnob()) == HOME.seconds
