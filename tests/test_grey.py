"""Priors of one channel: they work on the luma and give grey pictures."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL
from PIL import Image
from tiny import load, noise
from wire import Served

from redgui import api, cli, images, metrics, operators
from redgui.operators import OPERATORS, OperatorError
from redgui.priors import PriorError
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import example_of
from redgui.runs.stream import measured, solve
from redgui.samplers import RedDiff

pytestmark = pytest.mark.usefixtures("forgetful")
EXAMPLE = "example:face-06"
GREY = "gaussian:size=16,channels=1"


def test_a_network_of_one_channel_works_on_the_luma_and_gives_grey(tmp_path):
    tiny.save(tmp_path / "grey", tiny.unet(1, sample_size=16))
    prior = str(tmp_path / "grey")
    got = api.restore(EXAMPLE, prior=prior, operator="superres:factor=2", sampler="reddiff:steps=3", fit="crop")
    assert got.restored.shape == got.picture.shape == (1, 1, 16, 16)
    source = images.fit(images.read(api.resolve(EXAMPLE)), 16, 16).convert("L")
    assert np.array_equal(images.to_uint8(got.picture)[..., 0], np.asarray(source))
    out = got.save(tmp_path / "out")
    for name in ("input.png", "measurement.png", "restored.png", "restored-full.png"):
        pixels = np.asarray(Image.open(out / name).convert("RGB"))
        assert (pixels == pixels[..., :1]).all(), name
    again, same = api.replay(out / "record.json")
    assert same
    assert torch.equal(again.restored, got.restored)
    kept = Image.open(io.BytesIO(base64.b64decode(Record.read(out / "record.json").image)))
    assert kept.mode == "L"
    assert example_of(got.record.image, "crop") == "face-06"  # a link to it needs no picture


def test_the_hole_of_a_grey_prior_lies_in_a_grey_picture(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(tmp_path / "colour.png")
    got = api.restore(tmp_path / "colour.png", prior=GREY, operator="inpaint", sampler="reddiff:steps=2")
    whole = np.asarray(got.full)
    luma = np.asarray(Image.open(tmp_path / "colour.png").convert("L"))
    assert whole.shape == (30, 40, 3)
    assert (whole == whole[..., :1]).all()
    assert (whole[:, 0, 0] == luma[:, 0]).all()  # outside of the crop


@pytest.mark.parametrize("H", OPERATORS, ids=lambda H: H.name)
def test_every_degradation_takes_one_channel_or_says_why_not(H):
    prior = load(GREY)
    picture = prior.sample(1, torch.Generator().manual_seed(1)).clamp(-1, 1)
    if H.name == "colorize":
        with pytest.raises(OperatorError, match="colorize needs pictures of 3 channels"):
            Problem.simulate(picture, operators.build("colorize"))
        return
    problem = Problem.simulate(picture, operators.build(H.name), 0.05)
    *_, last = measured(solve(problem, prior, RedDiff(steps=3)), problem)
    assert last.x0_hat.shape == (1, 1, 16, 16)
    assert np.isfinite(last.psnr)


def test_a_grey_jpeg_is_pillows():
    x = images.to_tensor(images.fit(images.read(api.resolve(EXAMPLE)), 64, 64), 1)
    buffer = io.BytesIO()
    images.to_pil(x).convert("L").save(buffer, "jpeg", quality=30)
    assert float(metrics.psnr(operators.build("jpeg:quality=30")(x), images.to_tensor(Image.open(buffer), 1))) > 45


def test_command_line_and_benchmark_take_a_grey_prior(tmp_path, capsys):
    words = ["restore", EXAMPLE, "--prior", GREY, "--sampler", "reddiff:steps=2", "--out", str(tmp_path / "one")]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["prior"] == "gaussian:size=16,channels=1"
    words = ["bench", "--limit", "2", "--prior", GREY, "--operators", "superres", "--samplers", "reddiff:steps=2"]
    assert cli.main([*words, "--out", str(tmp_path / "bench")]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["n"] == 2


def test_the_page_takes_a_grey_prior(home: Served, tmp_path):
    tiny.save(tmp_path / "grey", tiny.unet(1, sample_size=16))
    page = home.page()
    page.values["prior"] = str(tmp_path / "grey")
    assert page.call("choose_prior").toasts == []
    page.call("get_ready", shows="live")
    outputs = page.call("start", shows="live", **{"reddiff-steps": 3}).outputs
    assert outputs["live"]["status"] == "done"
    frame = np.asarray(images.read(base64.b64decode(outputs["result"]["after"]["src"].partition(",")[2])))
    assert (frame == frame[..., :1]).all()
    answer = page.call("restore", data=[EXAMPLE, "blur", "reddiff:steps=2", 0.0, 0, 1, str(tmp_path / "grey"), None, False,
                                        "crop", None, False, False, False, None])  # fmt: skip
    assert answer.error is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(in_channels=2, out_channels=2), "takes 2 channels"),
        (dict(in_channels=9, out_channels=4), "takes 9 channels"),  # an inpainting network
        (dict(in_channels=3, out_channels=4), "makes 4 channels of 3"),
    ],
)
def test_other_channels_are_refused_in_one_line(tmp_path, options, told):
    tiny.save(tmp_path, tiny.unet(**options))
    with pytest.raises(PriorError, match=told) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_grey_network_is_not_trained_further(tmp_path, capsys):
    tiny.save(tmp_path / "grey", tiny.unet(1))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ["train", str(tmp_path), "--init", str(tmp_path / "grey"), "--steps", "1", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has 1 channel" in line


def latents(folder: Path, pictures: int = 3, of: int = 4, **told: object) -> AutoencoderKL:
    """A latent model of 32x32 pictures, its weights random."""
    tiny.save(folder, tiny.unet(of))
    torch.manual_seed(0)
    vae = AutoencoderKL(in_channels=pictures, out_channels=pictures, latent_channels=4, block_out_channels=(8, 8, 16),
                        norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 3,
                        up_block_types=("UpDecoderBlock2D",) * 3, **told)  # fmt: skip
    vae.save_pretrained(folder / "vae")
    return vae.eval()


def test_latents_of_grey_pictures_with_a_shift(tmp_path):
    vae = latents(tmp_path, 1, scaling_factor=0.5, shift_factor=0.25)
    prior = load(tmp_path)
    assert (prior.shape, prior.picture_shape) == ((4, 8, 8), (1, 32, 32))
    picture = noise(1, 1, 32, 32).clamp(-1, 1)
    z = (vae.encode(picture).latent_dist.mode() - 0.25) * 0.5
    torch.testing.assert_close(prior.encode(picture) * 4, z)
    torch.testing.assert_close(prior.decode(prior.encode(picture)), vae.decode(z / 0.5 + 0.25).sample, rtol=1e-4, atol=1e-4)
    assert api.restore(EXAMPLE, prior=str(tmp_path), operator="superres", sampler="reddiff:steps=2").restored.shape[1] == 1


def test_latents_that_do_not_fit_each_other_are_refused_in_one_line(tmp_path):
    latents(tmp_path / "a", of=3)
    latents(tmp_path / "b", pictures=2)
    latents(tmp_path / "c", scaling_factor="much")
    for name, told in (("a", "takes 3 channels; redgui reads networks of 4"), ("b", "2 channels"), ("c", "scaling_factor")):
        with pytest.raises(PriorError, match=told):
            load(tmp_path / name)
