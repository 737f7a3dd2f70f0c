"""Sweeps: a cell is the run alone, a step is one call of the network, and axes that cannot be are told before anything runs."""

import base64
import csv
import dataclasses
import io
import json
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from redgui import images
from redgui.knobs import KnobError, knob
from redgui.operators import build
from redgui.priors import Counted, GaussianPrior
from redgui.runs.budget import within
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import MOST_CELLS, MOST_PICTURES, Grid, Sweep, axis, suggest, sweepable
from redgui.samplers import DDRM, DPS, SAMPLERS, RedDiff, Sampler, SamplerError, Step
from redgui.ui.host.host import Host
from redgui.ui.host.limits import HOME
from redgui.ui.host.sessions import Sessions
from redgui.ui.parts.board import best
from redgui.ui.parts.controls import Controls, Named
from redgui.ui.sweep.board import FIGURES, SweepBoard, blank, offered
from redgui.ui.sweep.tab import ABLATION, SIDES, WEIGHTINGS, Sweeping, SweepLayout, SweepTab, usual

SIDE = 16
PRIOR = GaussianPrior(size=SIDE)
PICTURE = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3))))
START = RedDiff(steps=8)


def problem(sigma_y: float = 0.1, operator: str = "inpaint") -> Problem:
    return Problem.simulate(PICTURE, build(operator), sigma_y, seed=4)


def grid(sampler=START, rows=("lr", "0.03, 0.1, 0.3"), columns=("lam", "0.1, 0.25")) -> Grid:
    return Grid(sampler, axis(type(sampler), *rows), axis(type(sampler), *columns))


def sweep(of: Grid | None = None, sigma_y: float = 0.1, prior=PRIOR, **options) -> Sweep:
    return Sweep(PICTURE, problem(sigma_y), prior, of or grid(), **options)


def played(one: Sweep) -> Sweep:
    for _ in one.play():
        pass
    return one


@pytest.fixture(scope="module")
def over() -> Sweep:
    return played(sweep())


@pytest.mark.parametrize(
    "of",
    [
        grid(),
        grid(rows=("weighting", "linear, sqrt, square, log, trunc linear, const"), columns=("lam", "0.1, 1")),
        grid(rows=("steps", "3, 5, 9"), columns=("optimizer", "adam, sgd")),
        grid(DDRM(steps=5), ("eta", "0.5, 0.85"), ("temperature", "0.7, 1")),
        grid(DPS(steps=4), ("zeta", "0.2, 1"), ("clip", "true, false")),
    ],
    ids=["lr-lam", "weightings", "steps", "ddrm", "dps"],
)
@pytest.mark.parametrize("particles", [1, 2])
def test_a_cell_is_the_run_alone(of, particles):
    one = played(sweep(of, particles=particles))
    for cell in one.cells:
        assert cell.status == "done"
        counted = Counted(PRIOR)
        *_, want = measured(solve(one.problem, counted, cell.sampler, particles), one.problem, counted)
        assert (cell.last.i, cell.last.n, cell.last.nfe, cell.last.backward) == (want.i, want.n, want.nfe, want.backward)
        torch.testing.assert_close(cell.last.x0_hat, want.x0_hat, atol=1e-4, rtol=1e-4)
        assert cell.last.psnr == pytest.approx(want.psnr, abs=1e-2)


def test_the_cells_differ_by_their_own_knobs_alone():
    cells = grid().cells
    assert [(c.row, c.column) for c in cells] == [(i, j) for i in range(3) for j in range(2)]
    for cell, (lr, lam) in zip(cells, [(lr, lam) for lr in (0.03, 0.1, 0.3) for lam in (0.1, 0.25)], strict=True):
        assert cell.sampler == dataclasses.replace(START, lr=lr, lam=lam)
    results = [cell.last.x0_hat for cell in played(sweep()).cells]
    assert all(not torch.equal(a, b) for k, a in enumerate(results) for b in results[:k])


def test_a_step_of_the_whole_grid_is_one_call_of_the_network(over):
    calls = []

    class Watched(Counted):
        def denoise(self, x, sigma):
            calls.append(len(x))
            return super().denoise(x, sigma)

    one = played(sweep(prior=Watched(PRIOR), particles=2))
    assert calls == [6 * 2] * 8
    assert all(cell.last.nfe == 8 for cell in one.cells)


def test_a_cell_that_fails_ends_alone(monkeypatch):
    good = RedDiff.__call__

    def bad(self, *given, **named):
        for step in good(self, *given, **named):
            if self.lr == 0.3 and step.i == 3:
                raise ZeroDivisionError("no luck\nat all")
            nan = self.lr == 0.1 and self.lam == 0.25
            yield Step(step.i, step.n, step.sigma, step.x0_hat * float("nan") if nan else step.x0_hat, step.scalars)

    monkeypatch.setattr(RedDiff, "__call__", bad)
    one = played(sweep())
    by = {(cell.sampler.lr, cell.sampler.lam): cell for cell in one.cells}
    assert [cell.status for cell in one.cells] == ["done", "done", "done", "error", "error", "error"]
    assert "finite numbers" in by[0.1, 0.25].message
    assert by[0.3, 0.1].message == "reddiff:lr=0.3,lam=0.1 broke off: no luck"
    assert by[0.3, 0.1].last.i == 2
    assert one.progress == 1
    found = json.loads(SweepBoard(one, 1).to_json())
    assert [entry["record"] is None for entry in found["cells"]] == [False, False, False, True, True, True]
    assert "3-1" not in str(SweepBoard(one, 1).value("done")["best"])


def test_stop_ends_all_within_a_step_and_leaves_no_thread():
    before = threading.active_count()
    one = sweep(grid(RedDiff(steps=500)))
    stream = one.play()
    for _ in range(5):
        next(stream)
    assert one.playing
    one.stop()
    for _ in stream:
        pass
    assert not one.playing
    assert {cell.status for cell in one.cells} == {"stopped"}
    assert max(cell.last.i for cell in one.cells if cell.last) <= 6
    assert 0 < one.progress < 0.05
    assert threading.active_count() == before


def test_the_time_allowed_is_kept_and_told():
    now = [0.0]

    class Slow(Counted):
        def denoise(self, x, sigma):
            now[0] += 1
            return super().denoise(x, sigma)

    one = played(sweep(grid(RedDiff(steps=500)), prior=Slow(PRIOR), seconds_allowed=20.0, clock=lambda: now[0]))
    assert {cell.status for cell in one.cells} == {"stopped"}
    assert 18 <= one.cells[0].last.i <= 21
    assert "20 seconds" in one.cells[0].message


def test_closing_the_page_ends_the_sweep():
    sessions = Sessions()
    session = sessions.of("page")
    sweeping = session.states[Sweeping] = Sweeping(sweep(grid(RedDiff(steps=500))))
    stream = sweeping.played.play()
    next(stream)
    sessions.drop("page")
    list(stream)
    assert {cell.status for cell in sweeping.played.cells} == {"stopped"}
    assert max(cell.last.i for cell in sweeping.played.cells if cell.last) <= 1
    assert sweeping.stop_wanted


# ---- axes


def test_axes_are_read_as_people_write_them():
    assert axis(RedDiff, "lr", "0.03,0.1;  1e-2\n.3").values == (0.03, 0.1, 0.01, 0.3)
    assert axis(RedDiff, "steps", "10, 20").values == (10, 20)
    assert axis(RedDiff, "weighting", "linear, const,").values == ("linear", "const")
    assert axis(DPS, "clip", "true, false").texts == ["true", "false"]
    assert axis(RedDiff, "lr", "0.030").texts == ["0.03"]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("lr", "", "got 0"),
        ("lr", " , ;", "got 0"),
        ("lr", ",".join(str(k) for k in range(1, 10)), "got 9"),
        ("lr", "0.1, 0.10", "0.1 twice"),
        ("lr", "0.1, fast", "fast"),
        ("lr", "0.1, nan", "nan"),
        ("lr", "0.1, 3000", "3000"),
        ("steps", "10, 1.5", "1.5"),
        ("weighting", "linear, cubic", "cubic"),
        ("warmth", "1", "no knob 'warmth'"),
        ("compat", "1, true", "true twice"),
    ],
)
def test_an_axis_that_cannot_be_says_why(name, values, said):
    with pytest.raises(KnobError, match=said):
        axis(RedDiff, name, values)


def test_a_grid_that_cannot_be_says_why():
    with pytest.raises(KnobError, match="both axes are lr"):
        grid(rows=("lr", "0.1"), columns=("lr", "0.3"))
    with pytest.raises(KnobError, match=f"at most {MOST_CELLS} cells; got 6 x 5 = 30"):
        grid(rows=("lr", "0.01, 0.02, 0.03, 0.04, 0.05, 0.06"), columns=("lam", "0.1, 0.2, 0.3, 0.4, 0.5"))
    with pytest.raises(KnobError, match="exponent acts only with weighting = power"):
        grid(rows=("exponent", "0.5, 1"))
    assert len(grid(rows=("exponent", "0.5, 1"), columns=("weighting", "linear, power")).cells) == 4
    with pytest.raises(KnobError, match=f"at most {MOST_PICTURES // 6} particles"):
        sweep(particles=17)


def test_a_sampler_that_does_not_fit_is_told_before_anything_runs():
    blind = Problem.simulate(PICTURE, build("hdr"), 0.0, seed=2)
    with pytest.raises(SamplerError, match="spectral"):
        Sweep(PICTURE, blind, PRIOR, grid(DDRM(), ("eta", "0.5, 1"), ("temperature", "0.7, 1")))


@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
def test_what_is_suggested_is_a_grid(cls):
    chosen = {k.name: k for k in sweepable(cls)}
    for name, k in chosen.items():
        values = axis(cls, name, suggest(k, k.default)).values
        assert len(values) >= 2, name
    axes = [axis(cls, name, suggest(chosen[name], chosen[name].default)) for name in usual(cls)]
    assert len(axes) == min(2, len(chosen))
    assert not axes or 2 ** len(axes) <= len(Grid(cls(), *axes).cells) <= MOST_CELLS


def test_what_is_suggested_lies_around_what_there_is():
    k = {k.name: k for k in sweepable(RedDiff)}
    assert suggest(k["lr"], 0.1) == "0.03, 0.1, 0.3"
    assert suggest(k["lr"], 2.0).endswith("2")  # at its bound
    assert axis(RedDiff, "weighting", suggest(k["weighting"], "linear")).values[0] == "linear"
    assert "power" not in suggest(k["weighting"], "linear").split(", ")  # it needs its exponent
    for names in (ABLATION, WEIGHTINGS):
        Grid(RedDiff(), *(axis(RedDiff, name, suggest(k[name], k[name].default)) for name in names))


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
    files = {f["name"]: base64.b64decode(f["href"].split(",")[1]) for f in SweepBoard(over, 1).value("done")["downloads"]}
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
    layout = SweepLayout("run", "stop", "view", "preview", {}, "sampler", knobs_, boxes, "note")
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
    (of,) = tab.planned(Sweeping(), values, problem())
    one = played(sweep(of))
    assert [(cell.key, cell.status, cell.last.i + 1) for cell in one.cells] == [("0-0", "done", 2), ("1-0", "done", 4)]
    value = SweepBoard(one, 1).value("done")
    assert blank(1, "waiting", "", one.problem, of)["grid"] == value["grid"]
    assert json.loads(value["grid"])["columns"] == {"name": "", "label": "", "values": [""]}
    files = {f["name"]: base64.b64decode(f["href"].split(",")[1]) for f in value["downloads"]}
    assert [entry["knobs"] for entry in json.loads(files["sweep.json"])["cells"]] == [{"steps": 2}, {"steps": 4}]
    assert [line["steps"] for line in csv.DictReader(io.StringIO(files["sweep.csv"].decode()))] == ["2", "4"]
    assert Image.open(io.BytesIO(files["sweep.png"])).height > 2 * 128


def test_a_sampler_without_a_knob_says_that_there_is_nothing_to_sweep(monkeypatch):
    assert usual(NoKnob) == ()
    tab, values = tab_of(NoKnob, monkeypatch)
    assert "No knob has no knob to sweep" in chosen(tab, values)
    with pytest.raises(KnobError, match="no knob to sweep; choose another sampler"):
        tab.planned(Sweeping(), values, problem())


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
