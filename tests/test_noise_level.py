"""The noise of a picture, measured in it: how near it is, and where it stands for a sigma_y that nobody has said."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from redgui import api, bundled, cli, images
from redgui.knobs import KnobError
from redgui.noise.estimate import noise_level
from redgui.operators import build
from redgui.runs.known_noise import measured_noise
from redgui.runs.settings import Settings


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """Photographs in [0, 1], of scikit-image: with texture, grain of their own, and dark and bright parts."""
    data = pytest.importorskip("skimage.data")
    shown = [data.astronaut()[40:200, 120:280], data.coffee()[100:260, 200:360], data.chelsea()[60:220, 120:280]]
    return [picture[..., :3] / 255 for picture in shown]


def file_of(picture: np.ndarray, sigma: float, seed: int = 0) -> Tensor:
    """A picture with noise as a file holds it: cut off at black and white and in 256 levels; (1, 3, h, w) in [-1, 1]."""
    noisy = picture + sigma * np.random.default_rng(seed).standard_normal(picture.shape)
    return torch.from_numpy((noisy.clip(0, 1) * 255).round() / 127.5 - 1).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(("sigma", "within"), [(0.01, 0.2), (0.03, 0.08), (0.1, 0.05), (0.3, 0.08)])
def test_the_noise_of_photographs_is_found(photographs, sigma, within):
    errors = [noise_level(file_of(picture, sigma)) / (2 * sigma) - 1 for picture in photographs]
    assert max(map(abs, errors)) < within, errors


def test_it_is_that_before_values_were_cut_off():
    dark = np.full((96, 96, 3), 0.04) + np.linspace(0, 0.1, 96)[:, None, None]
    y = file_of(dark, 0.2)
    assert float((y == -1).float().mean()) > 0.3
    assert noise_level(y) / 2 == pytest.approx(0.2, rel=0.08)


def test_rounding_to_grey_levels_is_no_noise_and_a_smooth_picture_has_none():
    ramp = np.linspace(0.2, 0.8, 96)[None, :, None] * np.ones((96, 96, 3)) + np.linspace(0, 0.1, 96)[:, None, None]
    assert noise_level(file_of(ramp, 0.0)) < 1 / 255
    assert noise_level(torch.full((1, 3, 32, 32), 0.3)) == 0


def test_grey_pictures_and_small_ones_and_what_is_not_measured(photographs):
    grey = np.repeat(photographs[1].mean(2, keepdims=True), 3, axis=2)
    noisy = file_of(grey, 0.05)[:, :1].expand(-1, 3, -1, -1)  # one noise for all three channels
    assert noise_level(noisy) / 2 == pytest.approx(0.05, rel=0.1)
    assert noise_level(file_of(photographs[2], 0.1)[..., :24, :24]) / 2 == pytest.approx(0.1, rel=0.2)
    H, y = build("inpaint:kind=random,fraction=0.3"), file_of(photographs[0], 0.1)
    known = H.on_support(torch.ones_like(y)) > 0
    assert noise_level(H(y), known) / 2 == pytest.approx(0.1, rel=0.15)
    assert noise_level(torch.zeros(1, 3, 4, 4)) == 0


def test_pixels_that_are_wrong_altogether_do_not_count_as_noise(photographs):
    y = file_of(photographs[1], 0.05)
    wrong = torch.rand(y.shape, generator=torch.Generator().manual_seed(0))
    y = torch.where(wrong < 0.02, torch.where(wrong < 0.01, -1.0, 1.0), y)
    settings = Settings.read({"operator": "given:of=denoise", "noise": "outliers"})
    assert measured_noise(settings, y) / 2 == pytest.approx(0.05, rel=0.15)


# ---- where nobody has said sigma_y


@pytest.fixture
def noisy(tmp_path) -> str:
    face = images.load(images.folder(bundled.EXAMPLES)[0], 64, 64)
    path = tmp_path / "noisy.png"
    images.to_pil(file_of(((face[0].permute(1, 2, 0) + 1) / 2).numpy(), 0.1)).save(path)
    return str(path)


COMMON = dict(prior="gaussian:size=64", sampler="reddiff:steps=2", threads=1)


def test_a_picture_that_is_to_be_denoised_has_its_noise_measured_and_the_record_says_it(noisy):
    result = api.restore(noisy, operator="given:of=denoise", **COMMON)
    assert result.problem.sigma_y / 2 == pytest.approx(0.1, rel=0.1)
    assert result.record.settings.sigma_y == result.figures["sigma_y"] == result.problem.sigma_y
    assert api.replay(result.record)[1]
    asked = api.restore(noisy, operator="given:of=denoise", sigma_y="auto", **COMMON)
    assert torch.equal(asked.restored, result.restored)
    said = api.restore(noisy, operator="given:of=denoise", sigma_y=0.3, **COMMON)
    assert said.problem.sigma_y == 0.3


def test_presets_are_those_for_the_noise_that_was_measured(noisy):
    prior = api.priors.load("gaussian:size=64")
    for said in ({"sigma_y": "auto"}, {"sigma_y": None}, {}):
        settings, *_ = api.settled(noisy, None, prior, {"operator": "given:of=denoise", "sampler": "reddiff", **said})
        assert settings.sampler == Settings.read({"operator": "denoise", "sigma_y": settings.sigma_y}).sampler
        assert settings.sampler != Settings.read({"operator": "denoise", "sigma_y": 0.0}).sampler


@pytest.mark.parametrize(("said", "reason"), [
    (dict(operator="given:of=denoise", sigma_y=0), "it would come back as it is"),
    (dict(operator="given:of=denoise", sigma_y="0"), "it would come back as it is"),
    (dict(operator="denoise", sigma_y="auto"), "here it is simulated"),
    (dict(operator="given:of=denoise", sigma_y="auto", noise="poisson"), "not with the noise poisson"),
    (dict(operator="given:of=denoise", sigma_y="much"), "sigma_y is a number"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(noisy, said, reason, capsys, tmp_path):
    with pytest.raises(KnobError, match=reason):
        api.restore(noisy, **said, **COMMON)
    words = [word for name, value in said.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words += ["--prior", "gaussian:size=64", "--out", str(tmp_path / "out")]
    assert cli.main(["restore", noisy, *words]) == 2
    assert reason in capsys.readouterr().err.strip().split("\n")[-1]


def test_a_picture_without_noise_is_not_denoised_for_nothing(tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (64, 64), (90, 120, 200)).save(path)
    with pytest.raises(KnobError, match="it would come back as it is"):
        api.restore(str(path), operator="given:of=denoise", **COMMON)
    filled = api.restore(str(path), operator="given:of=inpaint,kind=box", **COMMON)  # there is a hole to fill
    assert filled.problem.sigma_y == 0


def test_the_command_line_measures_and_prints_what_it_found(noisy, tmp_path, capsys):
    assert cli.main(["restore", noisy, "--operator", "given:of=denoise", "--sigma-y", "auto", "--prior", "gaussian:size=64",
                     "--sampler", "reddiff:steps=2", "--out", str(tmp_path / "out")]) == 0  # fmt: skip
    figures = json.loads(capsys.readouterr().out.strip().split("\n")[-1])
    assert figures["sigma_y"] / 2 == pytest.approx(0.1, rel=0.1)
    assert json.loads((tmp_path / "out" / "record.json").read_text())["sigma_y"] == figures["sigma_y"]
