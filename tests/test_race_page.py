"""What a race shows and gives to take away, and what comes from the browser."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from racing import FIVE, PICTURE, PRIOR, contestant, race
from taking import taken

from redgui import images
from redgui.errors import RedguiError
from redgui.operators import Inpaint, build
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.samplers import SamplerError
from redgui.samplers import build as sampler
from redgui.ui.compare import board, picture_list, tab, take_away
from redgui.ui.compare.board import COLUMNS, Scoreboard
from redgui.ui.host.sessions import Sessions
from redgui.ui.parts.controls import Controls


def finished(sigma_y: float = 0.1, *specs: str) -> Scoreboard:
    together = Race([contestant(spec, sigma_y=sigma_y) for spec in specs or FIVE])
    list(together.play())
    return Scoreboard(together, 1)


def test_only_what_has_changed_is_encoded_anew():
    together = race(*FIVE)
    board, before = Scoreboard(together, 1), {}
    for turn in together.play():
        value = board.value("running")
        for key, frame in before.items():
            assert (value["frames"][key] is frame) == (key != turn.key)
        before = value["frames"]
    assert all(frame.startswith("data:image/png") for frame in board.value("done")["frames"].values())


def test_the_figures_at_the_end_are_those_of_the_records():
    board = finished()
    board.value("done")
    for c in board.race.contestants:
        result, row = c.run.record().result, board.rows[c.key]
        assert [row[key] for key in ("psnr", "ssim", "residual", "nfe", "backward")] == [
            result[key] for key in ("psnr", "ssim", "residual", "nfe", "backward")
        ]
        assert row["ratio"] == pytest.approx(result["residual"] / 0.1)
        assert row.get("lpips") is None


def test_the_best_of_each_column_is_marked():
    rows = {
        "a": dict(psnr=30.001, ssim=0.9, lpips=0.2, residual=0.02, ratio=0.2, nfe=10, backward=0, seconds=1.0),
        "b": dict(psnr=30.002, ssim=0.8, lpips=0.1, residual=0.11, ratio=1.1, nfe=5, backward=5, seconds=2.0),
        "c": dict(psnr=25.0, ssim=0.9, lpips=None, residual=0.5, ratio=5.0, nfe=20, backward=0, seconds=3.0),
    }
    found = board.best(rows, 0.1, set(rows), True)
    assert found == {
        "psnr": ["a", "b"], "ssim": ["a", "c"], "lpips": ["b"], "residual": ["b"], "ratio": ["b"], "nfe": ["b"],
        "backward": ["a", "c"], "seconds": ["a"],
    }  # fmt: skip
    assert set(board.best(rows, 0.1, {"a"}, False)) == {"psnr", "ssim", "lpips", "residual", "ratio"}
    assert board.best({"a": rows["a"]}, 0.1, {"a"}, True) == {}


def test_what_cannot_be_had_says_why():
    names = [column.key for column in COLUMNS]
    board = finished(0.0, "ddrm:steps=3", "diffpir:steps=3")
    board.value("done")
    cells = dict(zip(names, board.table()["rows"][0]["cells"], strict=True))
    assert {key for key, cell in cells.items() if cell["text"] == "n/a"} == {"lpips", "ratio"}
    assert "no noise" in cells["ratio"]["note"]
    assert "32 pixels" in cells["lpips"]["note"]
    blind = Problem.given(PICTURE, Inpaint(), 0.0, seed=1)
    board = Scoreboard(Race([Contestant("ddrm", "DDRM", Run(PICTURE, blind, PRIOR, sampler("ddrm:steps=3")))]), 1)
    list(board.race.play())
    value = board.value("done")
    cells = dict(zip(names, board.table()["rows"][0]["cells"], strict=True))
    assert cells["psnr"]["text"] == "n/a"
    assert "no original" in cells["psnr"]["note"]
    assert set(value["references"]) == {"measurement"}


def test_the_files_to_take_away():
    board = finished()
    files = taken(board, board.value("done"))
    sheet = Image.open(io.BytesIO(files["comparison.png"]))
    assert sheet.size == (10 + 3 * 170, 10 + 3 * 210)  # seven pictures of 16 pixels, ten times as large
    tile = sheet.crop((10, 10, 170, 170)).resize((16, 16), Image.Resampling.NEAREST)
    assert torch.equal(images.to_tensor(tile), PICTURE)
    assert files["comparison.pdf"].startswith(b"%PDF")
    assert b"</svg>" in files["comparison.svg"]
    assert files["comparison.tex"].decode().count(r"\\") == 1 + 5  # a head, and a line for each
    found = json.loads(files["comparison.json"])
    assert [entry["name"] for entry in found["contestants"]] == ["RED-diff", "VML-MAP", "DDRM", "DiffPIR", "DPS"]
    for entry, c in zip(found["contestants"], board.race.contestants, strict=True):
        record = Record.from_json(json.dumps(entry["record"]))
        *_, last = record.replay(PRIOR)
        assert record.reproduces(last)
        assert entry["figures"]["psnr"] == record.result["psnr"] == c.run.last.psnr
    lines = list(csv.DictReader(io.StringIO(files["comparison.csv"].decode())))
    assert [float(line["psnr"]) for line in lines] == [c.run.last.psnr for c in board.race.contestants]
    assert lines[0]["sampler"] == "reddiff:steps=9"
    assert lines[0]["lpips"] == ""


def test_several_seeds_are_one_row_with_its_standard_error_and_a_line_each_in_the_files():
    def run(spec: str, seed: int) -> Run:
        return Run(PICTURE, Problem.simulate(PICTURE, Inpaint(), 0.1, seed=seed), PRIOR, sampler(spec))

    def of(spec: str) -> list[Contestant]:
        name = spec.partition(":")[0]
        return [Contestant(f"{name}#{k}" if k else name, name, run(spec, k), of=name if k else "") for k in range(3)]

    together = Race([*of("ddrm:steps=7"), *of("diffpir:steps=6")])
    list(together.play())
    made = Scoreboard(together, 1)
    value = made.value("done")
    assert [entry["key"] for entry in json.loads(value["order"])] == list(value["tiles"]) == ["ddrm", "diffpir"]
    assert json.loads(value["tiles"]["ddrm"])["message"] == "3 of 3 runs"
    each = [c.run.last.psnr for c in together.runs("ddrm")]
    assert len(set(each)) == 3
    shown = f"{np.mean(each):.2f} ± {np.std(each, ddof=1) / 3**0.5:.2f}"
    first = json.loads(value["table"])["rows"][0]
    assert first["cells"][0]["text"] == shown
    assert shown.replace("±", r"$\pm$") in take_away.to_latex(made)
    lines = list(csv.DictReader(io.StringIO(take_away.to_csv(made))))
    assert [(line["seed"], float(line["psnr"])) for line in lines[:3]] == [(str(k), psnr) for k, psnr in enumerate(each)]
    means = {key: np.mean([c.run.last.psnr for c in together.runs(key)]) for key in ("ddrm", "diffpir")}
    winner = max(means, key=means.get)
    assert board.verdict(together).startswith(f"{winner} won with {means[winner]:.2f} dB")


def test_stopping_one_stops_all_of_its_seeds():
    together = Race([contestant("ddrm:steps=70"), Contestant("ddrm#1", "", contestant("ddrm:steps=70").run, of="ddrm"),
                     contestant("diffpir:steps=6")])  # fmt: skip
    for _ in together.play():
        together.stop("ddrm")
    assert [c.status for c in together.members] == ["stopped", "stopped", "done"]


def test_a_page_that_closes_ends_its_race():
    sessions = Sessions()
    session = sessions.of("page")
    comparison = session.states[tab.Comparison] = tab.Comparison(race("reddiff:steps=5000", "ddrm:steps=1000"))
    for k, _ in enumerate(comparison.played.play()):
        if k == 3:
            sessions.drop("page")
    assert {c.status for c in comparison.played.contestants} == {"stopped"}
    assert comparison.stop_wanted


def test_a_sampler_that_does_not_fit_is_refused_before_anything_runs():
    blind = Problem.simulate(PICTURE, build("hdr"), 0.0, seed=2)
    with pytest.raises(SamplerError, match="spectral"):
        Run(PICTURE, blind, PRIOR, sampler("ddrm"))


@pytest.mark.parametrize("value", [None, "", 3, [], {}, {"ticked": "reddiff"}, {"ticked": [None, 4, ["reddiff"], {}]}])
def test_a_list_from_the_browser_may_be_anything(value):
    assert picture_list.ticked_in(value) == set()


@pytest.mark.parametrize("value", [None, "many", True, float("nan"), float("inf"), -1, 9, 5001, 10**400])
def test_a_budget_from_the_browser_is_checked(value):
    controls = Controls(tab.Terms, {"budget": "budget"})
    assert controls.build({"budget": 100}).budget == controls.build({"budget": "100"}).budget == 100
    with pytest.raises(RedguiError, match=r"budget (lies in 10 to 5000|is a (whole |finite )?number); got"):
        controls.build({"budget": value})
