"""The command line as other programs rely on it: files, one JSON object in the last line, one line per error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import FAST
from PIL import Image

from redgui import api, knobs
from redgui.cli import main
from redgui.cli.output import figures_json
from redgui.images import ImageError
from redgui.knobs import KnobError
from redgui.operators import OPERATORS, build
from redgui.samplers import SAMPLERS

CONTRACT = {"psnr", "ssim", "psnr_measurement", "residual", "nfe", "backward", "seconds", "steps", "prior", "operator",
            "sampler", "seed", "device", "precision"}  # fmt: skip
FILES = {"input.png", "measurement.png", "restored.png", "restored-full.png", "filmstrip.png", "record.json"}
ROOT = Path(__file__).parents[1]


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


# ---- list ----


def test_list_as_json_names_everything_with_its_knobs(run):
    status, listing, errors = run("list", "--json")
    assert (status, errors) == (0, [])
    assert [s["name"] for s in listing["samplers"]] == [s.name for s in SAMPLERS]
    assert [o["name"] for o in listing["operators"]] == [*(o.name for o in OPERATORS), "given"]
    found = {k["name"]: k for k in listing["samplers"][0]["knobs"]}
    assert {"steps", "lr", "lam", "weighting", "exponent", "optimizer", "order", "sigma0", "init", "final", "noise_aware",
            "compat"} <= set(found)  # fmt: skip
    assert (found["steps"]["kind"], found["steps"]["default"], found["steps"]["lo"]) == ("int", 100, 1)
    assert "linear" in found["weighting"]["choices"]
    assert {"faces-64", "gaussian"} <= {p["name"] for p in listing["priors"]}
    assert len(listing["examples"]) > 3


def test_list_for_people_names_the_same(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for thing in (*SAMPLERS, *OPERATORS):
        assert f"  {thing.name} " in text
        assert thing.label in text
    assert "example:face-" in text


def test_a_list_is_remembered_without_torch_until_a_file_changes(run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, made, _ = run("list", "--json")
    code = "import sys; from redgui.cli import main; main(['list', '--json']); assert not {'torch', 'numpy'} & set(sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert json.loads(told) == made
    kept = tmp_path / "redgui" / "listing.json"
    known = json.loads(kept.read_text())
    known["state"][0][1] += 1  # as where the first file had another size
    kept.write_text(json.dumps(known | {"listing": {}}))
    assert run("list", "--json")[1] == made


def test_a_reader_that_leaves_is_no_error(monkeypatch, capsys):
    # `redgui list | head -1` once ended in "Broken pipe" and status 2.
    end, start = os.pipe()
    os.close(end)
    with os.fdopen(start, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["list"]) == 1
    assert capsys.readouterr().err == ""


# ---- restore ----


def test_restore_writes_its_files_and_all_figures(run, photo):
    status, figures, _ = run("restore", photo, *FAST, "--out", "result", "--seed", 3, "--sigma-y", 0.1)
    assert status == 0
    assert set(figures) >= CONTRACT
    assert {p.name for p in Path("result").iterdir()} == FILES
    assert (figures["steps"], figures["nfe"], figures["backward"], figures["seed"]) == (5, 5, 0, 3)
    assert (figures["prior"], figures["operator"], figures["device"]) == ("gaussian:size=32", "inpaint", "cpu")
    assert figures["sampler"].startswith("reddiff:steps=5")
    assert figures["precision"] == "fp32"
    for name in ("input", "measurement", "restored"):
        assert pixels(f"result/{name}.png").shape == (32, 32, 3)
    assert pixels("result/filmstrip.png").shape[0] == 32
    for name in ("psnr", "ssim", "psnr_measurement", "residual", "seconds"):
        assert isinstance(figures[name], float), name


def test_figures_are_those_of_the_files(run, photo):
    _, figures, _ = run("restore", photo, *FAST, "--out", "result", "--operator", "denoise", "--sigma-y", 0.2)
    truth, restored = (pixels(f"result/{name}.png") / 255 for name in ("input", "restored"))
    assert figures["psnr"] == pytest.approx(-10 * np.log10(((truth - restored) ** 2).mean()), abs=0.1)
    assert json.loads(Path("result/record.json").read_text())["result"]["psnr"] == figures["psnr"]


@pytest.mark.parametrize("operator", [o.name for o in OPERATORS])
def test_every_operator_runs(run, photo, operator):
    status, figures, _ = run("restore", photo, *FAST, "--operator", operator)
    assert status == 0
    assert figures["operator"] == operator
    assert Path("out/restored.png").is_file()


@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
def test_every_sampler_runs(run, photo, cls):
    words = f"{cls.name}:steps=3" if any(k.name == "steps" for k in knobs.knobs(cls)) else cls.name
    status, figures, _ = run("restore", photo, "--prior", "gaussian:size=16", "--sampler", words)
    assert status == 0
    assert figures["sampler"].startswith(cls.name)


def test_particles_add_their_pictures(run, photo):
    _, figures, _ = run("restore", photo, *FAST, "--particles", 3)
    assert figures["particles"] == 3
    assert {p.name for p in Path("out").iterdir()} == FILES | {"restored-raw.png", "particles.png", "std.png"}


def test_white_in_the_mask_is_what_is_filled_in(run, photo):
    Image.fromarray(np.repeat(np.array([[0] * 16 + [255] * 16], np.uint8), 32, 0)).save("mask.png")
    status, *_ = run("restore", photo, *FAST, "--mask", "mask.png")
    given, kept = pixels("out/input.png"), pixels("out/measurement.png")
    assert status == 0
    np.testing.assert_array_equal(kept[:, :16], given[:, :16])
    assert (kept[:, 16:] == 128).all()  # mid grey: not measured
    record = json.loads(Path("out/record.json").read_text())
    assert record["operator"]["knobs"]["kind"] == "mask"


def test_a_given_picture_is_the_measurement_and_has_no_truth(run, photo):
    Image.fromarray(np.repeat(np.array([[0] * 16 + [255] * 16], np.uint8), 32, 0)).save("mask.png")
    status, figures, _ = run("restore", photo, *FAST, "--operator", "given", "--mask", "mask.png")
    assert status == 0
    assert figures["operator"] == "inpaint" or "painted" in figures["operator"]
    for name in ("psnr", "ssim", "psnr_measurement"):
        assert figures[name] is None
    assert isinstance(figures["residual"], float)


def test_a_given_small_picture_is_enlarged(run, photo):
    status, figures, _ = run("restore", photo, *FAST, "--operator", "given:of=superres,factor=2")
    assert status == 0
    assert figures["psnr"] is None
    assert pixels("out/input.png").shape == (16, 16, 3)
    assert pixels("out/restored.png").shape == (32, 32, 3)


def test_an_example_needs_no_file_and_the_bundled_prior_restores_it(run):
    # The one test of the whole with the network that people have.
    status, figures, _ = run("restore", "example:face-06", "--sampler", "reddiff:steps=20", "--device", "cpu")
    assert status == 0
    assert figures["prior"] == "faces-64"
    assert figures["psnr"] > figures["psnr_measurement"] + 3


@pytest.mark.parametrize("how", ["crop", "pad", "stretch", "native"])
def test_every_fit_gives_the_picture_back_at_its_own_size(run, photo, how):
    status, _, _ = run("restore", photo, *FAST, "--fit", how, "--operator", "superres", *(["--size", 64] * (how == "native")))
    assert status == 0
    assert Image.open("out/restored-full.png").size == Image.open(photo).size
    assert pixels("out/input.png").shape == ((36, 40, 3) if how == "native" else (32, 32, 3))
    assert json.loads(Path("out/record.json").read_text())["fit"] == how
    assert run("replay", "out/record.json")[1]["same_pixels"] is True


# ---- replay ----


@pytest.mark.parametrize(
    "words",
    [("--sigma-y", 0.05), ("--particles", 2, "--operator", "superres"), ("--operator", "given", "--sigma-y", 0.05)],
)
def test_replay_has_the_same_pixels(run, photo, words):
    _, first, _ = run("restore", photo, *FAST, *words)
    status, second, _ = run("replay", "out/record.json", "--out", "again")
    assert status == 0
    assert second["same_pixels"] is True
    assert set(second) >= CONTRACT
    for name in CONTRACT - {"seconds"}:
        assert second[name] == first[name], name
    assert (pixels("out/restored.png") == pixels("again/restored.png")).all()
    # A record has only what the prior saw.
    assert {p.name for p in Path("again").iterdir()} == {p.name for p in Path("out").iterdir()} - {"restored-full.png"}


def test_replay_says_when_the_pixels_are_others(run, photo):
    run("restore", photo, *FAST)
    record = json.loads(Path("out/record.json").read_text())
    Path("other.json").write_text(json.dumps(record | {"seed": 5}))
    status, figures, _ = run("replay", "other.json")
    assert status == 0
    assert figures["same_pixels"] is False


# ---- the Python interface says the same ----


def test_the_python_interface_takes_pictures_and_things_that_are_made(photo, gaussian):
    seen = []
    result = api.restore(Image.open(photo), prior=gaussian, operator=build("superres:factor=2"), sampler="reddiff:steps=4",
                         watch=lambda step: seen.append(step.i))  # fmt: skip
    assert seen == [0, 1, 2, 3]
    assert result.restored.shape == (1, 3, 16, 16)
    assert result.figures["operator"] == "superres:factor=2"
    assert len(result.film) >= 2


def test_the_python_interface_raises_the_errors_of_the_command_line(gaussian, photo):
    with pytest.raises(ImageError, match="no file"):
        api.restore("nothing.png", prior=gaussian)
    with pytest.raises(KnobError, match="did you mean"):
        api.restore(photo, prior=gaussian, sampler="reddif")
    with pytest.raises(KnobError, match="a mask goes with the name"):  # was once ignored
        api.restore(photo, prior=gaussian, operator=build("inpaint"), mask=photo)


def test_figures_have_no_numbers_that_json_has_not():
    line = figures_json({"psnr": float("nan"), "residual": float("inf"), "steps": 3, "operator": "inpaint"})
    assert json.loads(line) == {"psnr": None, "residual": None, "steps": 3, "operator": "inpaint"}
    assert "\n" not in line
