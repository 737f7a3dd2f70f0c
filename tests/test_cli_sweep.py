"""`redgui sweep`: each cell is a run of its own, with a record that makes its pixels again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redgui import api, presets
from redgui.cli import main
from redgui.operators import build
from redgui.runs import stream

FAST = ("--prior", "gaussian:size=16", "--sampler", "reddiff:steps=4", "--operator", "superres", "--device", "cpu")
GRID = ("--rows", "lr=0.03,0.1", "--columns", "lam=0.1, 0.25,0.5")


def swept(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict], str]:
    status = main(["sweep", *map(str, words)])
    out, err = capsys.readouterr()
    return status, json.loads(out.splitlines()[-1])["rows"] if status == 0 else [], err


def test_every_cell_is_the_run_that_restore_makes_and_replays_to_the_bit(capsys, photo, tmp_path):
    out = tmp_path / "grid"
    status, rows, _ = swept(capsys, photo, *FAST, *GRID, "--sigma-y", 0.1, "--seed", 3, "--out", out)
    assert status == 0
    assert [(row["lr"], row["lam"]) for row in rows] == [(lr, lam) for lr in (0.03, 0.1) for lam in (0.1, 0.25, 0.5)]
    alone = api.restore(photo, prior="gaussian:size=16", operator="superres", sampler="reddiff:steps=4,lr=0.1,lam=0.25",
                        sigma_y=0.1, seed=3)  # fmt: skip
    assert rows[4] | {"seconds": 0} == rows[4] | alone.figures | {"seconds": 0}
    assert rows[4]["record"] == "1-1/record.json"
    for row in rows:
        assert api.replay(out / row["record"])[1]
    np.testing.assert_array_equal(api.replay(out / rows[4]["record"])[0].restored, alone.restored)


def test_it_leaves_a_sheet_and_the_figures_as_tables(capsys, photo, tmp_path):
    _, rows, _ = swept(capsys, photo, *FAST, *GRID, "--out", tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text())["rows"] == rows
    lines = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [(line["lr"], line["lam"], float(line["psnr"])) for line in lines] == [
        (str(row["lr"]), str(row["lam"]), row["psnr"]) for row in rows
    ]
    page = Image.open(tmp_path / "sweep.png")
    assert page.width > 3 * 128
    assert page.height > 2 * 128


def test_knobs_that_are_not_swept_are_those_of_the_presets_and_of_the_text(photo):
    cells = api.sweep(photo, "lr=0.03", "lam=0.1", prior="gaussian:size=16", operator="superres", sampler="reddiff:steps=2")
    (cell, _), = cells  # fmt: skip
    assert cell.sampler == presets.sampler_for("reddiff:steps=2,lr=0.03,lam=0.1", build("superres"))


def test_a_cell_that_diverges_is_told_and_the_others_go_on(capsys, photo, tmp_path, monkeypatch):
    sound = stream.sound
    monkeypatch.setattr(stream, "sound", lambda step, *rest: sound(step, *rest) & (step.i < 1 or len(seen) != 1))
    seen: list[int] = []
    restore = api.restore

    def counted(*words, **options):
        try:
            return restore(*words, **options)
        finally:
            seen.append(1)

    monkeypatch.setattr(api, "restore", counted)
    status, rows, _ = swept(capsys, photo, *FAST, *GRID, "--out", tmp_path)
    assert status == 0
    assert [row["error"] is None for row in rows] == [True, False, True, True, True, True]
    assert rows[1]["steps"] == 1
    assert (tmp_path / "sweep.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--rows", "lr=0.1", "--columns", "lr=0.2"), "both axes are lr"),
        (("--rows", "lr", "--columns", "lam=0.2"), "takes 1 to 8 values"),
        (("--rows", "speed=1", "--columns", "lam=0.2"), "no knob 'speed' to sweep"),
        (("--rows", "lr=90", "--columns", "lam=0.2"), "lr lies in 0.0001 to 2"),
        (("--rows", "lr=0.1", "--columns", "lam=0.2", "--mask", "nothing.png"), "nothing.png"),
        (("--rows", "lr=0.1", "--columns", "lam=0.2", "--prior", "nowhere"), "no prior 'nowhere'"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_grid_that_cannot_be_is_one_line_and_status_2(capsys, photo, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    status, _, err = swept(capsys, photo, *FAST, *words)
    assert status == 2
    assert told in err
    assert err.count("\n") == 1
    assert not list(Path("sweep").iterdir())
