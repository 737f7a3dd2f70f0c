"""Metrics against scikit-image with the settings that the module states."""

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from redgui import metrics
from redgui.metrics import perceptual
from redgui.operators import build


def pair(h: int, w: int, c: int = 3, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(h * w)
    truth = torch.rand(2, c, h, w, generator=generator) * 2 - 1
    return truth + noise * torch.randn(2, c, h, w, generator=generator), truth  # leaves [-1, 1], as iterates do


def unit(x: Tensor) -> np.ndarray:
    """One picture (c, h, w) as h w c, clipped to [0, 1]."""
    return (x.double().clamp(-1, 1) / 2 + 0.5).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("h", "w", "c"), [(16, 16, 3), (11, 11, 3), (11, 20, 1), (23, 14, 3)])
def test_psnr_and_ssim_are_those_of_scikit_image(h, w, c):
    # 11 pixels: pictures just as large as the window once got a smaller one.
    x, truth = pair(h, w, c)
    psnr, ssim = metrics.psnr(x, truth), metrics.ssim(x, truth)
    for k in range(2):
        a, b = unit(x[k]), unit(truth[k])
        assert float(psnr[k]) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-3)
        theirs = structural_similarity(
            a, b, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(ssim[k]) == pytest.approx(theirs, abs=1e-4)


def test_a_picture_against_itself_is_perfect():
    x = torch.rand(1, 3, 12, 12) * 2 - 1
    assert float(metrics.psnr(x, x)) == pytest.approx(100)
    assert float(metrics.ssim(x, x)) == pytest.approx(1)


def test_values_beyond_the_range_count_as_the_range():
    white = torch.ones(1, 3, 12, 12)
    assert float(metrics.psnr(white * 3, white)) == pytest.approx(100)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 5), (4, 4), (10, 3)])
def test_ssim_of_pictures_smaller_than_the_window_is_a_number(h, w):
    x, truth = pair(h, w)
    assert bool(metrics.ssim(x, truth).isfinite().all())
    assert float(metrics.ssim(truth, truth).mean()) == pytest.approx(1)


def test_the_residual_of_pure_noise_is_sigma_y_whatever_the_holes():
    truth = torch.zeros(4, 3, 64, 64)
    H = build("inpaint:kind=random,fraction=0.8")
    y = H(truth) + 0.2 * H.on_support(torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)))
    r = metrics.residual(truth, y, H)
    assert r.shape == (4,)
    torch.testing.assert_close(r, torch.full((4,), 0.2), rtol=0.05, atol=0)


@pytest.fixture
def without_lpips(monkeypatch):
    """A machine that has none of what LPIPS needs, and a look at it that is taken anew."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    perceptual.lpips_at_hand.cache_clear()
    yield
    perceptual.lpips_at_hand.cache_clear()


def test_lpips_is_missing_and_not_replaced(without_lpips, offline):
    assert perceptual.lpips_at_hand() is None
    assert "torchvision" in perceptual.lpips_missing()


def test_lpips_needs_weights_on_disk_and_fetches_none(monkeypatch, tmp_path, offline):
    models = types.ModuleType("torchvision.models")
    models.AlexNet_Weights = types.SimpleNamespace(IMAGENET1K_V1=types.SimpleNamespace(url="https://example.org/alexnet-1.pth"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual.lpips_at_hand.cache_clear()
    assert perceptual.lpips_at_hand() is None
    assert str(tmp_path / "checkpoints" / "alexnet-1.pth") in perceptual.lpips_missing()
    perceptual.lpips_at_hand.cache_clear()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-1.pth").touch()
    assert perceptual.lpips_missing() is None
