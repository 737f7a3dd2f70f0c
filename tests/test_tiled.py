"""Large pictures in tiles: the same answer and the same gradients as in one piece, without a seam, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from test_fitting import folder_of
from torch import Tensor

from redgui import priors
from redgui.priors import forward, pyramid
from redgui.priors.tiled import spans, tiled


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def photograph(h: int, w: int, top: int = 0, left: int = 0) -> Tensor:
    """A part of scikit-image's cup of coffee, (1, 3, h, w)."""
    pixels = np.ascontiguousarray(data.coffee()[top : top + h, left : left + w].transpose(2, 0, 1))
    return torch.from_numpy(pixels)[None].float() / 127.5 - 1


def seam_energy(x: Tensor, edges: list[int]) -> float:
    """The energy of differences across columns that begin a tile over that across all others."""
    energy = x.diff(dim=-1).square().mean((0, 1, 2))
    at = torch.zeros(len(energy), dtype=torch.bool)
    at[[edge - 1 for edge in edges]] = True
    return float(energy[at].mean() / energy[~at].mean())


# ---- the tiles


@pytest.mark.parametrize("n", [7, 100, 101, 250, 333])
@pytest.mark.parametrize("blend", [False, True])
def test_tiles_cover_all_once(n, blend):
    total = torch.zeros(n)
    for span in (found := spans(n, 100, 16, 2, blend)):
        assert 0 <= span.lo <= span.first < span.last <= span.hi <= n
        assert span.hi - span.lo <= 100 + 2 * 16 + 2
        assert span.first % 2 == 0
        total[span.first : span.last] += torch.ones(span.last - span.first) if span.weights is None else span.weights
    torch.testing.assert_close(total, torch.ones(n))
    assert len(found) == -(-n // 100)


def test_convolutions_in_tiles_are_those_of_the_whole_with_their_gradients():
    """Of two inputs, one at half the size, to two outputs, one twice as large, for a batch."""
    kernel = noise(4, 5, 3, 3)

    def call(k: int, x: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        near = F.interpolate(coarse, scale_factor=2)[..., : x.shape[2], : x.shape[3]]
        h = F.conv2d(torch.cat([x, near], 1), kernel, padding=1).tanh() * (k + 1)
        return F.pixel_shuffle(h, 2), h

    x, coarse = (v.requires_grad_() for v in (noise(2, 3, 51, 70), noise(2, 2, 26, 35)))
    found = tiled(call, [x, coarse], (51, 70), side=20, halo=2, unit=2)
    wanted = [torch.cat(each) for each in zip(*(call(k, x[k : k + 1], coarse[k : k + 1]) for k in range(2)), strict=True)]
    slopes = [noise(*each.shape) for each in wanted]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
    pulled, expected = (torch.autograd.grad(each, [x, coarse], slopes) for each in (found, wanted))
    for a, b in zip(pulled, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_where_tiles_blend_a_constant_stays_one_and_the_pull_back_is_the_adjoint():
    """<u, J v> = <J^T u, v> for tiles whose answer depends on all of the tile."""

    def call(k: int, x: Tensor) -> tuple[Tensor]:
        return (x - x.mean() + 2,)

    ones = torch.ones(1, 1, 60, 90)
    torch.testing.assert_close(tiled(call, [ones], (60, 90), side=30, halo=8, blend=True)[0], 2 * ones)
    x, u, v = (noise(3, 1, 1, 60, 90)[k] for k in range(3))
    plain = tiled(call, [x], (60, 90), side=30, halo=8, blend=True)[0]
    moved = tiled(call, [x + v], (60, 90), side=30, halo=8, blend=True)[0]
    (pulled,) = torch.autograd.grad(tiled(call, [x.requires_grad_()], (60, 90), side=30, halo=8, blend=True)[0], x, u)
    torch.testing.assert_close((u * (moved - plain)).sum(), (pulled * v).sum(), rtol=1e-4, atol=1e-3)


# ---- the priors


@pytest.mark.parametrize("sigma", [0.1, 0.5, 4.0])
def test_photos_in_tiles_is_photos_in_one_piece(sigma, monkeypatch):
    prior = priors.load("photos", "cpu", "fp32")
    x, u = photograph(80, 104, 150, 200), noise(1, 3, 80, 104)
    x = x + sigma * noise(*x.shape)
    whole, pull = prior.linearized(x, sigma)
    monkeypatch.setattr(pyramid, "CELLS", 20 * 20)
    tiles, pull_tiles = prior.linearized(x, sigma)
    torch.testing.assert_close(tiles, whole, rtol=0, atol=2e-5)
    torch.testing.assert_close(pull_tiles(u), pull(u), rtol=0, atol=2e-5)
    edges = [2 * span.first for span in spans(52, 20, 12, 2)[1:]]
    assert abs(seam_energy(tiles, edges) / seam_energy(whole, edges) - 1) < 1e-3


def test_a_pyramid_is_trained_in_one_piece(monkeypatch):
    net = pyramid.PyramidDenoiser(pyramid.Layout(levels=2, width=4, depth=3))
    monkeypatch.setattr(pyramid, "CELLS", 8 * 8)
    net.denoise(noise(1, 3, 40, 40), torch.full((1, 1, 1, 1), 0.3)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.level[0].parameters())


def test_a_unet_with_normalisations_in_tiles_has_no_seam(tmp_path, monkeypatch):
    prior = priors.load(str(folder_of(tmp_path)), "cpu", "fp32")
    x = photograph(192, 320, 100, 100) + 0.3 * noise(1, 3, 192, 320)
    whole = prior.denoise(x, 0.3)
    monkeypatch.setattr(forward, "WHOLE", 160 * 160)
    monkeypatch.setattr(forward, "SIDE", 160)
    monkeypatch.setattr(forward, "HALO", 24)
    tiles = prior.denoise(x, 0.3)
    assert not torch.equal(tiles, whole)  # each tile has statistics of its own
    edges = [span.first for span in spans(320, 112, 24, 8)[1:]]
    assert len(edges) == 2
    assert abs(seam_energy(tiles, edges) / seam_energy(whole, edges) - 1) < 0.02


MEASURE = """
import re, torch
from pathlib import Path
from redgui.priors import pyramid

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
net = pyramid.PyramidDenoiser(pyramid.Layout(levels=3, depth=4))
sigma = torch.full((1, 1, 1, 1), 0.3)
for side, pyramid.CELLS in ((64, 32 * 32), (SIDE, 32 * 32), (SIDE, 10**9)):
    x, before = torch.full((1, 3, side, side), 0.3), peak()
    with torch.no_grad():
        net.denoise(x, sigma)
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read from Linux")
def test_memory_is_bounded_by_the_tiles():
    """Beyond the picture itself it takes a few more of its size, where in one piece each activation is as large as eight."""
    side = 512
    done = subprocess.run([sys.executable, "-c", f"SIDE = {side}\n{MEASURE}"], capture_output=True, text=True, check=True)
    _, tiles, more = (int(line) / (3 * side**2 * 4) for line in done.stdout.split())
    assert tiles < 10
    assert tiles + more > 15
