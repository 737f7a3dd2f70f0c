"""Training: what is learnt, what a run depends on, how it ends, and what it leaves behind."""

import io
import json
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import TINY, interrupted, made, same
from PIL import Image

from redgui.cli import main
from redgui.priors import calibration, load
from redgui.priors.network import DiffusersPrior
from redgui.train import heldout, state
from redgui.train.data import find
from redgui.train.loop import train
from redgui.train.recipe import TrainError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "discs"
    for split, n, seed in (("train", 48, 0), ("val", 16, 1)):
        (root / split).mkdir(parents=True)
        for k, pixels in enumerate(made(n, seed)):
            Image.fromarray(pixels).save(root / split / f"{k:03}.png")
    return root


@pytest.fixture(scope="module")
def zipped(folder) -> Path:
    path = folder.parent / "discs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for p in sorted(folder.rglob("*.png")):
            archive.write(p, p.relative_to(folder))
    return path


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("runs") / "discs"
    return out, train([str(folder)], str(out), steps=60, **TINY)


# ---- what is learnt ----


def test_the_heldout_loss_falls(trained):
    first, *_, last = state.load(trained[0] / "state")["watched"]
    assert first[0] < last[0] == 60
    assert np.mean(last[1]) < 0.6 * np.mean(first[1])


def test_min_snr_and_other_predictions_learn_too(folder, tmp_path):
    weightings, predictions = ("min-snr", "even"), ("epsilon", "sample")
    ways = [dict(weighting=w) for w in weightings] + [dict(prediction=p) for p in predictions]
    for k, options in enumerate(ways):
        train([str(folder)], str(tmp_path / str(k)), steps=40, with_report=False, **TINY, **options)
        (_, early), *_, (_, late) = state.load(tmp_path / str(k) / "state")["curve"]
        assert late < 0.8 * early, options


@pytest.mark.parametrize(
    ("prediction", "scheduler"), [("flow", "FlowMatchEulerDiscreteScheduler"), ("edm", "EDMEulerScheduler")]
)
def test_every_prediction_is_exported_as_what_it_is_and_denoises(folder, tmp_path, prediction, scheduler):
    train([str(folder)], str(tmp_path), steps=40, prediction=prediction, with_report=False, **TINY)
    assert json.loads((tmp_path / "scheduler/scheduler_config.json").read_text())["_class_name"] == scheduler
    assert json.loads((tmp_path / "model_index.json").read_text())["scheduler"] == ["diffusers", scheduler]
    prior = load(str(tmp_path), device="cpu", precision="fp32")
    assert prior.prediction == prediction
    pictures = np.stack(made(16, 1))
    spread = float(np.std(pictures / 127.5 - 1))
    low, middle = heldout(prior, pictures, (0.3, 1.0))
    assert low < 0.3 * 0.9  # of the noise that there is
    assert middle < 0.8 * spread


def test_a_run_of_another_prediction_begins_at_the_weights_of_a_prior(trained, folder, tmp_path):
    options = dict(init=str(trained[0]), batch=8, device="cpu", with_report=False, lr=1e-4)
    train([str(folder)], str(tmp_path / "flow"), prediction="flow", steps=2, **options)
    train([str(folder)], str(tmp_path / "again"), steps=1, **(options | dict(init=str(tmp_path / "flow"))))
    train([str(folder)], str(tmp_path / "eps"), prediction="epsilon", steps=1, **options)
    names = [load(str(tmp_path / name), device="cpu").prediction for name in ("flow", "again", "eps")]
    assert names == ["flow", "flow", "epsilon"]
    assert main(["train", str(folder), "--out", str(tmp_path / "flow"), "--evaluate", "--device", "cpu"]) == 0


# ---- what a run depends on ----


@pytest.mark.parametrize("options", [{}, dict(dropout=0.2, prediction="epsilon")])
def test_a_resumed_run_has_the_weights_of_one_that_was_not_interrupted(folder, tmp_path, options):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train([str(folder)], str(whole), steps=14, with_report=False, **TINY, **options)
    # The cosine's horizon is the budget, so the interruption is a signal within the same budget.
    interrupted([str(folder)], parts, 6, steps=14, **TINY, **options)
    assert state.load(parts / "state")["step"] == 6
    train([str(folder)], str(parts), resume=True, with_report=False, device="cpu")
    assert same(state.load(whole / "state"), state.load(parts / "state"))


def test_a_signal_ends_in_a_checkpoint_and_a_prior(folder, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    figures = interrupted([str(folder)], tmp_path / "out", 3, steps=1000, **TINY)
    assert (figures["steps"], figures["stopped"]) == (3, "signal")
    assert load(str(tmp_path / "out"), device="cpu").shape == (3, 16, 16)
    assert signal.getsignal(signal.SIGTERM) is before


def test_looking_at_heldout_pictures_changes_nothing(folder, tmp_path):
    options = dict(steps=6, with_report=False, **TINY, dropout=0.1)
    train([str(folder)], str(tmp_path / "seldom"), **options)
    train([str(folder)], str(tmp_path / "often"), save_minutes=0.001, **(options | dict(heldout_pictures=8)))
    assert same(state.load(tmp_path / "seldom" / "state"), state.load(tmp_path / "often" / "state"))


def test_training_leaves_the_callers_random_numbers_alone(folder, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train([str(folder)], str(tmp_path / "out"), steps=2, with_report=False, **TINY)
    assert torch.equal(torch.rand(4), expected)


def test_a_zip_and_its_folder_give_the_same_weights(folder, zipped, tmp_path):
    for path in (folder, zipped):
        train([str(path)], str(tmp_path / path.name), steps=3, with_report=False, **TINY)
    assert same(state.load(tmp_path / folder.name / "state"), state.load(tmp_path / zipped.name / "state"))


def test_minutes_end_in_a_prior_and_count_over_resumes(folder, tmp_path):
    out = tmp_path / "out"
    figures = train([str(folder)], str(out), minutes=0.02, with_report=False, **TINY)
    assert 1.2 <= figures["seconds"] < 4
    assert figures["steps"] > 3
    load(str(out), device="cpu")
    again = train([str(folder)], str(out), resume=True, with_report=False, device="cpu")
    assert again["steps"] == figures["steps"]  # the minutes are spent
    more = train([str(folder)], str(out), resume=True, minutes=0.03, with_report=False, device="cpu")
    assert more["steps"] > figures["steps"]
    assert more["seconds"] >= 1.8


# ---- pictures ----


def test_a_memory_limit_changes_nothing_but_the_memory(folder):
    kept, lazy = (find([str(folder)], 16, scales=1, memory=m, held_out=0, seed=0)[0] for m in (2**20, 3000))
    assert (kept.batch(0, 5, 32, True) == lazy.batch(0, 5, 32, True)).all()
    assert len(kept.kept) > len(lazy.kept) > 0


def test_a_flat_folder_holds_out_the_same_share_every_time(folder):
    names = [[p.items for p in find([str(folder / "train")], 16, scales=1, memory=0, held_out=0.25, seed=4)] for _ in (0, 1)]
    (train_a, val_a), (_, val_b) = ([{name for _, name in items} for items in run] for run in names)
    assert val_a == val_b
    assert len(val_a) == 12
    assert not val_a & train_a


# ---- what is left behind ----


def test_the_export_is_a_prior_whose_denoiser_is_that_of_the_averaged_weights(trained):
    from diffusers.models.unets.unet_2d import UNet2DModel

    out, figures = trained
    saved = state.load(out / "state")
    net = UNet2DModel.from_config(json.loads((out / "unet" / "config.json").read_text()))
    net.load_state_dict({key: value.half().float() for key, value in saved["average"].items()})
    prior = load(str(out), device="cpu", precision="fp32")
    averaged = DiffusersPrior(net, prior.sigmas.square().add(1).reciprocal(), "v_prediction", prior.shape)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for sigma in (0.1, 1.0, 100.0):
        torch.testing.assert_close(prior.denoise(x, sigma), averaged.denoise(x, sigma), atol=1e-5, rtol=1e-4)
    assert figures["rmse"].keys() == {"0.342", "1.24", "3.44", "12.0", "60.8", "157.0"}
    assert prior.errors().sigmas.tolist() == list(calibration.LEVELS)
    assert float(prior.errors().rmse[4]) == pytest.approx(figures["rmse"]["1.24"], rel=0.2)  # of sigma 1
    card = (out / "MODEL_CARD.md").read_text()
    assert "48 pictures" in card
    assert f"{figures['rmse']['12.0']:.4f}" in card
    for name in ("samples", "neighbours", "loss"):
        assert Image.open(out / f"{name}.png").width > 90
        assert f"({name}.png)" in card


def test_heldout_is_the_error_of_a_known_denoiser(gaussian, drawn):
    pictures = gaussian.sample(40, torch.Generator().manual_seed(2))
    rmse = heldout(gaussian, pictures, (0.5, 5.0))
    power = gaussian.spectrum(16, 16).double()
    for got, sigma in zip(rmse, (0.5, 5.0), strict=True):
        wiener = (power * sigma**2 / (power + sigma**2)).mean().sqrt().item()
        assert got == pytest.approx(wiener, rel=0.1)
    assert rmse == heldout(gaussian, pictures, (0.5, 5.0))


def test_fine_tuning_begins_at_the_prior(trained, folder, tmp_path):
    out, _ = trained
    with pytest.raises(TrainError, match="leave --channels out"):
        train([str(folder)], str(tmp_path / "wider"), init=str(out), channels="64,64", steps=1)
    train([str(folder)], str(tmp_path / "next"), init=str(out), steps=1, lr=1e-7, batch=8, device="cpu", with_report=False)
    old, new = (DiffusersPrior.from_folder(p, name="p") for p in (out, tmp_path / "next"))
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(old.denoise(x, 1.0), new.denoise(x, 1.0), atol=2e-3, rtol=0)
    assert str(tmp_path) not in (tmp_path / "next" / "unet" / "config.json").read_text()  # nor where the first one lay


# ---- the command line ----


def test_evaluate_prints_the_errors_and_writes_nothing(trained, zipped, capsys):
    out, figures = trained
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert main(["train", str(zipped), "--out", str(out), "--evaluate", "--device", "cpu"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["rmse"] == pytest.approx(figures["rmse"], rel=1e-3)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def broken(tmp_path: Path) -> str:
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    return str(tmp_path / "broken.zip")


def without_val(tmp_path: Path) -> str:
    with zipfile.ZipFile(tmp_path / "half.zip", "w") as archive:
        buffer = io.BytesIO()
        Image.fromarray(made(1, 0)[0]).save(buffer, "png")
        archive.writestr("train/a.png", buffer.getvalue())
    return str(tmp_path / "half.zip")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda d: ["missing.zip", "--steps", "1"], "there is no missing.zip"),
        (lambda d: [broken(d), "--steps", "1"], "not a zip"),
        (lambda d: [str((d / "empty").mkdir() or d / "empty"), "--steps", "1"], "has no pictures"),
        (lambda d: [without_val(d), "--steps", "1"], "no pictures in val/"),
        (lambda d: [without_val(d)], "needs a budget"),
        (lambda d: [without_val(d), "--steps", "1", "--minutes", "1"], "not both"),
        (lambda d: [without_val(d), "--steps", "1", "--resume"], "no run to resume"),
        (lambda d: [without_val(d), "--steps", "1", "--channels", "a,b"], "--channels"),
        (lambda d: [without_val(d), "--steps", "1", "--lr", "fast"], "lr is a number"),
        (lambda d: [without_val(d), "--steps", "1", "--init", str(d)], "--init needs a prior folder"),
    ],
)
def test_errors_are_one_line(words, said, tmp_path, capsys):
    assert main(["train", *words(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_other_settings_other_pictures_and_a_second_start_are_refused(trained, folder, tmp_path):
    out, _ = trained
    with pytest.raises(TrainError, match=r"has --lr 0\.002"):
        train([str(folder)], str(out), resume=True, lr=0.1)
    with pytest.raises(TrainError, match="the pictures are not those"):
        train([str(folder / "train")], str(out), resume=True, device="cpu")
    with pytest.raises(TrainError, match="has a run already"):
        train([str(folder)], str(out), steps=1, **TINY)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(TrainError, match="cannot be read"):
        train([str(folder)], str(tmp_path), resume=True)
