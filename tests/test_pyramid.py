"""The pyramid of FFDNets: what it begins as, that it is convolutions alone, and that a folder of it loads and trains on."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from discs import interrupted, made, same
from PIL import Image
from torch import Tensor

from redgui import images, priors
from redgui.bundled import EXAMPLES
from redgui.priors import PriorError, ffdnet
from redgui.priors.network import load_unet
from redgui.priors.pyramid import Layout, PyramidDenoiser
from redgui.train import state
from redgui.train.data import Pictures
from redgui.train.loop import train

TINY = Layout(sample_size=16, levels=3, width=8, depth=3)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights(layout: Layout = TINY) -> dict[str, Tensor]:
    """Those of a random FFDNet, of a size at which all of it shows in the output."""
    widths = [13, *[layout.width] * (layout.depth - 1), 12]
    found = {}
    for k, (a, b) in enumerate(pairwise(widths)):
        found[f"conv.{k}.weight"] = noise(b, a, 3, 3, seed=k) * (2 / (9 * a)) ** 0.5
        found[f"conv.{k}.bias"] = 0.1 * noise(b, seed=100 + k)
    return found


def plain(given: dict[str, Tensor], x: Tensor, sigma: float) -> Tensor:
    """FFDNet by its paper, (b, 3, h, w) in [0, 1] with noise sigma."""
    h = torch.cat([F.pixel_unshuffle(x, 2), torch.full((len(x), 1, x.shape[2] // 2, x.shape[3] // 2), sigma)], 1)
    depth = len(given) // 2
    for k in range(depth):
        h = F.conv2d(h, given[f"conv.{k}.weight"], given[f"conv.{k}.bias"], padding=1)
        h = h.relu() if k < depth - 1 else h
    return F.pixel_shuffle(h, 2)


def some() -> PyramidDenoiser:
    """A network in which nothing is zero."""
    net = ffdnet.begun(weights(), TINY)
    with torch.no_grad():
        for k, weight in enumerate(net.parameters()):
            weight += 0.05 * noise(*weight.shape, seed=k)
    return net.eval().requires_grad_(False)


def of(sigma: float) -> Tensor:
    return torch.full((1, 1, 1, 1), sigma)


@pytest.fixture
def folder(tmp_path) -> Path:
    ffdnet.write(ffdnet.begun(weights(), TINY), tmp_path / "init")
    return tmp_path / "init"


# ---- what it is ----


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.35, 0.6])
@pytest.mark.parametrize("size", [(32, 32), (10, 38)])
def test_it_begins_as_ffdnet_up_to_the_noise_that_ffdnet_knows(folder, sigma, size):
    x = 0.5 * noise(2, 3, *size)
    wanted = 2 * plain(weights(), (x + 1) / 2, sigma / 2) - 1
    with torch.no_grad():
        torch.testing.assert_close(ffdnet.begun(weights(), TINY).denoise(x, of(sigma)), wanted, rtol=0, atol=1e-5)
    through = priors.load(str(folder), "cpu", "fp32").denoise(x, sigma)
    torch.testing.assert_close(through, wanted, rtol=0, atol=1e-4)


def test_above_that_noise_the_level_with_little_of_it_decides():
    given, net = weights(), ffdnet.begun(weights(), TINY)
    x = noise(1, 3, 32, 32)
    mean = F.avg_pool2d(x, 4)
    u2 = 2 * plain(given, (mean + 1) / 2, 0.25) - 1  # sigma 2 on means of 4x4 is 0.5
    u1, c = F.interpolate(u2, scale_factor=2, mode="bilinear"), 0.6  # 1 on means of 2x2
    u1 = 2 * plain(given, (u1 + c * (F.avg_pool2d(x, 2) - u1) + 1) / 2, 0.3) - 1
    u0, c = F.interpolate(u1, scale_factor=2, mode="bilinear"), 0.3
    wanted = 2 * plain(given, (u0 + c * (x - u0) + 1) / 2, 0.3) - 1
    with torch.no_grad():
        torch.testing.assert_close(net.denoise(x, of(2.0)), wanted, rtol=0, atol=1e-5)


def test_it_is_convolutions_alone():
    parts = {type(part) for part in some().modules() if not list(part.children())}
    assert parts == {torch.nn.Conv2d}


@pytest.mark.parametrize("sigma", [0.2, 3.0])
def test_a_tile_with_enough_around_it_has_the_pixels_of_the_whole(sigma):
    net = some()
    x, margin = noise(1, 3, 8, 240), -(-net.reach // 8) * 8
    assert margin < 100
    whole = net.denoise(x, of(sigma))
    tile = net.denoise(x[..., 8:], of(sigma))
    torch.testing.assert_close(tile[..., margin:], whole[..., 8 + margin :], rtol=0, atol=1e-6)
    tile = net.denoise(x[..., :-8], of(sigma))
    torch.testing.assert_close(tile[..., :-margin], whole[..., : -8 - margin], rtol=0, atol=1e-6)


def test_nothing_beyond_its_reach_matters_and_all_levels_do():
    net = some()
    x = noise(1, 3, 8, 240).requires_grad_()
    (slope,) = torch.autograd.grad(net.denoise(x, of(1.0))[..., 4, 120].sum(), x)
    far = (slope.abs().sum((0, 1, 2)).nonzero().flatten() - 120).abs().max()
    fine = 2 * TINY.depth + 1
    assert 4 * fine < far <= net.reach


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (37, 50), (16, 72)])
def test_it_takes_any_size(size):
    x = noise(2, 3, *size)
    d = some().denoise(x, torch.tensor([0.1, 40.0]).reshape(2, 1, 1, 1))
    assert d.shape == x.shape
    assert bool(d.isfinite().all())


def test_the_time_of_the_network_is_the_sigma_of_its_prior(folder):
    prior = priors.load(str(folder), "cpu", "fp32")
    sigmas = torch.cat([prior.sigmas[::37], prior.sigmas[100:103].log().mean().exp()[None], prior.sigmas[-1:]])
    found = prior.net.log_sigma(torch.from_numpy(prior.timestep(sigmas)).float())
    torch.testing.assert_close(found.double(), sigmas.log(), rtol=0, atol=2e-4)  # diffusers makes its betas in float32


# ---- folders ----


def test_a_folder_loads_without_code_of_its_own_and_takes_multiples_of_eight(folder, offline):
    config = json.loads((folder / "unet/config.json").read_text())
    assert config["_class_name"] == "PyramidDenoiser"
    prior = priors.load(str(folder), "cpu", "fp32")
    assert (prior.shape, prior.multiple) == ((3, 16, 16), 8)
    assert type(load_unet(folder / "unet")) is PyramidDenoiser
    assert prior.denoise(noise(1, 3, 24, 40), 1.0).shape == (1, 3, 24, 40)


def test_half_the_precision_is_near_the_whole(folder):
    full, half = (priors.load(str(folder), "cpu", precision) for precision in ("fp32", "bf16"))
    x = noise(1, 3, 32, 32)
    for sigma in (0.05, 1.0, 50.0):
        torch.testing.assert_close(half.denoise(sigma * x, sigma), full.denoise(sigma * x, sigma), rtol=0, atol=0.05)


@pytest.mark.parametrize("change", [{"width": 16}, {"levels": 2}, {"depth": "many"}])
def test_a_configuration_that_does_not_fit_the_weights_is_one_clear_error(folder, change):
    path = folder / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PriorError, match="cannot be read"):
        priors.load(str(folder), "cpu", "fp32")


def test_a_pyramid_of_pictures_at_half_scale_becomes_the_levels_below():
    coarse, x = some(), noise(1, 3, 32, 32)
    net = ffdnet.above(weights(), coarse).eval().requires_grad_(False)
    torch.testing.assert_close(net.denoise(x, of(0.5)), ffdnet.begun(weights(), TINY).denoise(x, of(0.5)), rtol=0, atol=1e-5)
    u = F.interpolate(coarse.denoise(F.avg_pool2d(x, 2), of(60.0)), scale_factor=2, mode="bilinear")  # of noise 120 on x
    c = 0.6 / 120
    wanted = 2 * plain(weights(), (u + c * (x - u) + 1) / 2, 0.3) - 1
    torch.testing.assert_close(net.denoise(x, of(120.0)), wanted, rtol=0, atol=1e-4)


def test_weights_that_are_no_ffdnet_are_refused():
    with pytest.raises(PriorError, match=r"conv\.0\.weight"):
        ffdnet.begun(weights() | {"conv.3.weight": noise(1)}, TINY)
    with pytest.raises(PriorError, match="8 channels"):
        ffdnet.begun(weights(Layout(width=16, depth=3)), TINY)


@pytest.mark.parametrize("shape", [(64, 64), (128, 96)])
def test_the_bundled_prior_of_photos_is_sound_at_the_highest_noise(shape):
    """There its answer is near the mean of all photos, whatever the picture."""
    prior = priors.load("photos", "cpu", "fp32")
    for k, path in enumerate(images.folder(EXAMPLES)[:2]):
        x0 = images.load(path, *shape)
        d = prior.denoise(x0 + 157 * noise(1, 3, *shape, seed=k), 157.0)
        assert float(d.abs().max()) < 1.2
        assert float(d.mean().abs()) < 0.4
        assert float(d.std()) < 0.4


# ---- training ----


@pytest.fixture
def discs(tmp_path) -> Path:
    for split, n in (("train", 12), ("val", 4)):
        (tmp_path / "discs" / split).mkdir(parents=True)
        for k, pixels in enumerate(made(n, n)):
            Image.fromarray(pixels).save(tmp_path / "discs" / split / f"{k}.png")
    return tmp_path / "discs"


def test_it_trains_on_from_a_folder_and_a_resumed_run_has_the_same_weights(folder, discs, tmp_path):
    options = dict(init=str(folder), size=16, turn=True, batch=4, lr=1e-3, warmup=1, device="cpu", precision="fp32", steps=6)
    train([str(discs)], str(tmp_path / "whole"), with_report=False, **options)
    interrupted([str(discs)], tmp_path / "parts", 3, **options)
    train([str(discs)], str(tmp_path / "parts"), resume=True, with_report=False, device="cpu")
    whole, parts = (state.load(tmp_path / name / "state") for name in ("whole", "parts"))
    assert same(whole, parts)
    assert np.nanmean(whole["watched"][-1][1]) < np.nanmean(whole["watched"][0][1])
    index = json.loads((tmp_path / "whole/model_index.json").read_text())
    assert index["unet"] == ["redgui", "PyramidDenoiser"]
    assert "`redgui` `PyramidDenoiser`" in (tmp_path / "whole/MODEL_CARD.md").read_text()
    assert priors.load(str(tmp_path / "whole"), "cpu", "fp32").prediction == "v_prediction"


def test_pictures_are_turned_where_that_is_asked_for_and_else_as_they_were(discs):
    items = [(None, str(k)) for k in range(8)]
    pictures = Pictures(items, 16)
    pictures.kept = dict(enumerate(made(8, 0)))
    upright, turned = (pictures.batch(0, 3, 8, True, turn=turn) for turn in (False, True))
    ways = [[(np.rot90(a, k) == b).all() for k in range(4)].index(True) for a, b in zip(upright, turned, strict=True)]
    assert len(set(ways)) > 2
    assert (pictures.batch(0, 3, 8, True) == upright).all()
