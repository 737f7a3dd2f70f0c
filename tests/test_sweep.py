"""Sweeps: a cell is the run alone, a step is one call of the network, and axes that cannot be are told before anything runs."""

import dataclasses
import json
import threading

import pytest
import torch
from sweeping import PICTURE, PRIOR, START, grid, played, sweep

from redgui.knobs import KnobError
from redgui.operators import build
from redgui.priors import Counted
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import MOST_CELLS, MOST_PICTURES, Grid, Sweep, axis, suggest, sweepable
from redgui.samplers import DDRM, DPS, SAMPLERS, RedDiff, SamplerError, Step
from redgui.ui.host.sessions import Sessions
from redgui.ui.sweep.board import SweepBoard
from redgui.ui.sweep.layout import ABLATION, WEIGHTINGS, usual
from redgui.ui.sweep.tab import Sweeping


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


def test_a_step_of_the_whole_grid_is_one_call_of_the_network():
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
