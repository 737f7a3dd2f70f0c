"""A race on several pictures: which they are, what its mean and standard error are over, and its files."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bad import saved
from PIL import Image
from racing import PICTURE, PRIOR
from wire import Served

from redgui import figures, images, metrics
from redgui.operators import Inpaint, masks
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.samplers import build as sampler
from redgui.ui.compare import board, take_away
from redgui.ui.compare.board import Scoreboard
from redgui.ui.compare.tab import Comparison
from redgui.ui.parts import components

OTHER = images.to_tensor(images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(8)))).repeat(1, 1, 1, 2)  # 16x32
TWO = {"first": PICTURE, "second": OTHER}


def of(spec: str, seeds: int = 2) -> list[Contestant]:
    name, found = spec.partition(":")[0], []
    for picture, x in TWO.items():
        for seed in range(seeds):
            run = Run(x, Problem.simulate(x, Inpaint(), 0.1, seed=seed), PRIOR, sampler(spec))
            key, repeats = (f"{name}#{len(found)}", name) if found else (name, "")
            found.append(Contestant(key, name.upper(), run, of=repeats, picture=picture))
    return found


@pytest.fixture(scope="module")
def made() -> Scoreboard:
    together = Race([*of("ddrm:steps=7"), *of("diffpir:steps=6")])
    list(together.play())
    scores = Scoreboard(together, 1)
    scores.value("done")
    return scores


def psnr(made: Scoreboard, key: str) -> np.ndarray:
    """(pictures, seeds) of a contestant."""
    return np.array([c.run.last.psnr for c in made.race.runs(key)]).reshape(2, 2)


def test_the_standard_error_is_over_pictures_each_with_the_mean_of_its_seeds(made: Scoreboard):
    value = made.value("done")
    each = psnr(made, "ddrm").mean(1)
    shown = f"{each.mean():.2f} ± {np.std(each, ddof=1) / 2**0.5:.2f}"
    assert json.loads(value["table"])["rows"][0]["cells"][0]["text"] == shown
    assert json.loads(value["table"])["rows"][0]["cells"][5]["text"] == "7"  # as many calls in every run
    assert json.loads(value["tiles"]["ddrm"])["message"] == "4 of 4 runs"
    row = json.loads(value["spread"])
    assert row["of"] == "pictures"
    assert row["rows"][0]["runs"] == list(psnr(made, "ddrm").ravel())
    assert row["rows"][0]["said"][3] == "second, seed 1"
    gains = each - psnr(made, "diffpir").mean(1)
    ahead = f"{abs(gains.mean()):.2f} ± {np.std(gains, ddof=1) / 2**0.5:.2f} dB above"
    assert ahead in board.verdict(made.race)
    assert "on average over 2 pictures" in board.verdict(made.race)


def test_every_run_is_measured_against_its_own_picture(made: Scoreboard):
    for c in made.race.runs("diffpir"):
        truth = TWO[c.picture]
        assert made.rows[c.key]["ssim"] == pytest.approx(float(metrics.ssim(c.run.last.estimate, truth)), abs=1e-6)
        assert made.picture(c).shape == truth.shape


def test_the_files_name_picture_and_seed_and_have_the_pinned_runs(made: Scoreboard):
    card = {"sampler": "RED-diff", "knobs": "steps 20", "title": "Blur", "of": "cat", "prior": "photos", "steps": 20,
            "figures": {"psnr": 21.5, "ssim": float("nan"), "nfe": 20}, "more": 1}  # fmt: skip
    bad = [None, 3, "x", [], {}, card | {"of": 3}, card | {"sampler": None}]
    odd = card | {"figures": "many", "steps": True, "knobs": "x" * 9999, "title": "a\nb"}
    pinned = take_away.pinned_of([*bad, card, odd])
    assert [take_away.pinned_of(value) for value in (None, {}, "x", bad)] == [[], [], [], []]
    assert [run.name for run in pinned] == ["RED-diff, Blur, cat", "RED-diff, ab, cat"]
    assert (pinned[1].steps, len(pinned[1].knobs), set(pinned[1].figures.values())) == (None, 200, {None})
    assert take_away.pinned_of([card | {"figures": {"psnr": 10**400}}])[0].figures["psnr"] is None
    assert len(take_away.pinned_of([card] * 99)) == take_away.MOST_PINNED
    texts = {name: make() for name, (_, make) in made.files(pinned[:1]).items() if not name.endswith((".png", ".svg"))}
    lines = list(csv.DictReader(io.StringIO(texts["comparison.csv"])))
    assert [(line["picture"], line["seed"]) for line in lines[2:5]] == [("second", "0"), ("second", "1"), ("first", "0")]
    assert (lines[-1]["status"], lines[-1]["psnr"], lines[-1]["ssim"], lines[-1]["seed"]) == ("pinned", "21.5", "", "")
    found = json.loads(texts["comparison.json"])
    assert [(e["picture"], e["seed"]) for e in found["contestants"][:3]] == [("first", 0), ("first", 1), ("second", 0)]
    assert found["pinned"][0]["figures"]["psnr"] == 21.5
    latex = texts["comparison.tex"]
    assert r"2 pictures, seeds 0 to 1, mean $\pm$ standard error over pictures. The last row is" in latex
    assert r"RED-diff, Blur, cat & 21.50 & – &" in latex
    assert texts["comparison.pdf"].startswith(b"%PDF")


def test_one_that_failed_on_a_picture_is_not_compared(made: Scoreboard, monkeypatch):
    ahead = max(("ddrm", "diffpir"), key=lambda key: psnr(made, key).mean())
    monkeypatch.setattr(made.race[f"{ahead}#2"], "status", "error")
    rows = {row["key"]: row for row in made.table()["rows"]}
    assert rows[ahead]["failed"]
    assert not any(cell["best"] for cell in rows[ahead]["cells"])
    assert board.verdict(made.race) == ""


def test_the_figure_has_error_bars_below_its_pictures():
    panels = [figures.Panel(f"s{k}", PICTURE) for k in range(7)]
    means = {"a": ([20.0, 22.0], 21.0, 1.0), "b": ([19.0], 19.0, None), "c": ([], None, None)}
    spreads = [figures.Spread(name, *mean) for name, mean in means.items()]
    drawn = figures.comparison(panels, spreads=spreads, about="PSNR")
    bars, *places = drawn.axes
    assert [text.get_text() for text in bars.get_yticklabels()] == ["a", "b", "c"]
    assert bars.get_xlabel() == "PSNR"
    assert [place.get_visible() for place in places] == [True] * 7 + [False] * 5
    assert figures.encode(drawn, "pdf") == figures.encode(figures.comparison(panels, spreads=spreads, about="PSNR"), "pdf")


# ---- on the page


def given(path: str, name: str) -> dict:
    """An uploaded file as a page names it."""
    return {"compare-upload": [{"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}]}


def test_examples_and_own_files_of_any_shape_take_part_under_the_same_mask(home: Served):
    page = home.page()
    own = page.upload("my photo.png", saved(Image.linear_gradient("L").resize((40, 24)), "PNG")).json()[0]
    added = page.call("add_pictures", **given(own, "my photo.png"))
    assert added.toasts == []
    shown = added.outputs["compare-pictures"]
    assert [row["label"] for row in shown["rows"]][-1] == "my photo"
    assert "face-06" not in [row["label"] for row in shown["rows"]]  # it is the Restore tab's
    assert shown["ticked"] == [own]
    hole = np.zeros((64, 64), bool)
    hole[16:32, 32:48] = True
    page.values = {
        "contestants": {"ticked": ["ddrm", "diffpir"]}, "compare-pictures": {"ticked": [own, "photo-cat", "face-06", "no"]},
        "compare-seeds": 2, "fit": "native", "inpaint-kind": "mask", "mask": components.mask_value(None, hole, 0),
    }  # fmt: skip
    assert page.call("get_ready", shows="race").outputs["race"]["status"] == "waiting"
    assert page.call("start", shows="race").outputs["race"]["status"] == "done"
    race = home.host.sessions.of(page.key).state(Comparison).played
    assert list(race.pictures) == ["face-06", "photo-cat", "my photo"]
    assert [c.run.problem.seed for c in race.runs("ddrm")] == [0, 1] * 3
    assert [tuple(c.run.picture.shape[-2:]) for c in race.runs("ddrm")[::2]] == [(64, 64), (128, 128), (24, 40)]
    for c in race.members:
        h, w = c.run.picture.shape[-2:]
        assert (c.run.problem.H.hole(h, w) == masks.covered(hole, h, w)).all()
    gone = page.call("remove_picture", event={"key": own}).outputs["compare-pictures"]
    assert own not in [row["key"] for row in gone["rows"]]
    Path(own).unlink()


def test_too_many_runs_are_one_line_before_anything_is_computed(home: Served):
    page, ticked = home.page(), [path.stem for path in home.host.examples]
    page.values = {"contestants": {"ticked": ["ddrm", "diffpir", "dps"]}, "compare-pictures": {"ticked": ticked}}
    page.values["compare-seeds"] = 8
    told = "this host takes at most 160 runs in a comparison, samplers × pictures × seeds; got 192. Untick"
    assert told in page.call("get_ready", shows="race").outputs["race"]["message"]
    assert told in page.call("start", shows="race").outputs["race"]["message"]


def test_a_picture_that_is_gone_is_named(home: Served):
    page = home.page()
    own = page.upload("meadow.png", saved(Image.new("RGB", (16, 16), "green"), "PNG")).json()[0]
    page.call("add_pictures", **given(own, "meadow.png"))
    Path(own).unlink()
    found = page.call("start", shows="race", **{"compare-pictures": {"ticked": [own]}}).outputs["race"]
    assert found["status"] == "error"
    assert found["message"].startswith("meadow: ")
