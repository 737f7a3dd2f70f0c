"""Metrics against scikit-image with the settings that the module states."""


import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from redgui import metrics
from redgui.metrics import lpips, perceptual
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


def test_lpips_is_that_of_the_authors_code(offline):
    y, x = np.mgrid[0:64, 0:96]
    truth = torch.from_numpy(np.stack([np.sin(x / 7), np.cos(y / 5), np.sin((x + y) / 9)])).float()[None]
    noisy = (truth + 0.5 * torch.from_numpy(np.sin(x * 1.3) * np.cos(y * 0.9)).float()).clamp(-1, 1)
    coarse = torch.nn.functional.avg_pool2d(truth, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    pictures = torch.cat([noisy, coarse, truth, -truth, 5 * truth])
    found = lpips.lpips(pictures, truth.expand(5, -1, -1, -1))
    # By the package lpips 0.1.4 (net="alex", version 0.1) from the same weights.
    torch.testing.assert_close(found[:4], torch.tensor([0.604201, 0.118016, 0.0, 0.394213]), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[4], lpips.lpips((5 * truth).clamp(-1, 1), truth)[0])  # clipped, as pictures are
    alone = torch.cat([lpips.lpips(v, truth) for v in pictures.split(1)])
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=0)
    grey = truth[:, :1]
    torch.testing.assert_close(lpips.lpips(-grey, grey), lpips.lpips(-grey.expand(1, 3, -1, -1), grey.expand(1, 3, -1, -1)))
    assert perceptual.lpips_of(truth, None) is None
    assert perceptual.lpips_of(truth[..., :31], truth[..., :31]) is None
    assert perceptual.lpips_of(noisy, truth) == pytest.approx(0.604201, abs=1e-5)
