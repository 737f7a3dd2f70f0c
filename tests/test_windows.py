"""Inpainting in windows: what they cover, that each is solved by itself, and that the rest of a picture stays to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made import scratched
from PIL import Image
from test_tiled import photograph
from torch import Tensor

from redgui import priors
from redgui.operators.inpaint import Inpaint, of_mask
from redgui.priors import Counted
from redgui.priors.base import Prior, Sigma
from redgui.priors.closed_form import GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.shared import Shared
from redgui.runs.stream import measured, solve
from redgui.runs.windows import Windowed, Windows
from redgui.samplers import DDRM, SAMPLERS
from redgui.windows import Packing, around, part

MASKS: dict[str, np.ndarray] = {
    "a scratch": scratched(400, 600, (20, 30, 560, 330)),
    "a cross": scratched(400, 600, (100, 50, 500, 350), (500, 50, 100, 350)),
    "at the border": scratched(400, 600, (0, 0, 200, 0), (599, 200, 599, 399)),
    "specks": scratched(400, 600, (30, 30, 34, 30), (300, 200, 303, 202), (590, 390, 590, 391)),
    "a hole and a scratch": scratched(400, 600, (20, 30, 560, 60)) | scratched(400, 600, (400, 250, 400, 340), width=80),
}


@pytest.fixture(params=MASKS, ids=str)
def hole(request) -> np.ndarray:
    return MASKS[request.param]


@pytest.fixture(scope="module")
def photos() -> Prior:
    return priors.load("photos", "cpu", "fp32")


def where(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask.copy())


def covered(boxes, shape) -> np.ndarray:
    found = np.zeros(shape, int)
    for box in boxes:
        part(found, box)[...] += 1
    return found


# ---- where the windows are


def test_every_hole_is_in_a_window_with_context_around_it(hole):
    boxes = around(hole, 8)
    assert 0 < covered(boxes, hole.shape).sum() < 0.6 * hole.size
    grown = np.array(Image.fromarray(hole).resize((600, 400))).copy()
    for axis in (0, 1):  # by 8 pixels in all directions
        grown = np.any([np.roll(grown, k, axis) for k in range(-8, 9)], 0)
    inside = grown & ~_wrapped(hole)
    assert covered(boxes, hole.shape)[inside].all()
    for top, left, bottom, right in boxes:
        assert 0 <= top < bottom <= 400
        assert 0 <= left < right <= 600
        assert not any(v % 8 for v in (top, left, bottom, right))
        assert min(bottom - top, right - left) >= 64
        assert part(hole, (top, left, bottom, right)).any()


def _wrapped(hole: np.ndarray) -> np.ndarray:
    """Where np.roll brings what is at the other side."""
    h, w = hole.shape
    edge = np.zeros(hole.shape, bool)
    edge[:8], edge[h - 8 :], edge[:, :8], edge[:, w - 8 :] = True, True, True, True
    return edge


@pytest.mark.parametrize("multiple", [8, 16, 32, 64])
def test_windows_are_of_sides_that_the_network_takes(multiple):
    mask = scratched(448, 640, (20, 30, 60, 130), (420, 300, 600, 310))
    assert (boxes := around(mask, multiple))
    assert covered(boxes, mask.shape)[mask].all()
    assert not any(v % multiple for box in boxes for v in box)


def test_a_wide_hole_is_shown_more_than_a_narrow_one():
    def margin(width: int) -> int:
        mask = np.zeros((800, 800), bool)
        mask[400 : 400 + width, 400 : 400 + width] = True
        ((top, left, bottom, right),) = around(mask, 8)
        assert (top, bottom) == (left, right)
        return min(400 - top, bottom - 400 - width)

    margins = [margin(width) for width in (8, 40, 80, 160)]
    assert margins == sorted(margins)
    assert margins[0] >= 16
    assert margins[1] >= 40
    assert margins[3] >= 96


def test_near_holes_share_a_window_far_ones_do_not_and_a_slanting_scratch_has_a_row_of_them():
    assert len(around(scratched(400, 600, (100, 100, 104, 100), (140, 110, 144, 110)), 8)) == 1
    assert len(around(scratched(400, 600, (100, 100, 104, 100), (400, 310, 404, 310)), 8)) == 2
    slanting = around(MASKS["a scratch"], 8)
    assert len(slanting) > 3
    overlapping = covered(slanting, (400, 600))[MASKS["a scratch"]]
    assert overlapping.max() >= 2


@pytest.mark.parametrize("mask", [np.zeros((300, 300), bool), np.random.default_rng(0).random((300, 300)) < 0.3,
                                  Inpaint().hole(300, 300)], ids=["empty", "everywhere", "a box"])  # fmt: skip
def test_the_whole_is_solved_where_windows_do_not_pay(mask):
    assert around(mask, 8) == ()


def test_many_specks_of_a_large_picture_are_found_in_a_moment():
    mask = np.zeros((3000, 4000), bool)
    at = np.random.default_rng(0).integers(0, 2990, (150, 2))
    for y, x in at:
        mask[y : y + 3, x : x + 3] = True
    boxes = around(mask, 8)
    assert covered(boxes, mask.shape)[mask].all()
    assert sum((b - t) * (r - le) for t, le, b, r in boxes) < 0.1 * mask.size


# ---- there and back


def test_a_canvas_holds_the_windows_apart_and_gives_the_picture_back(hole):
    packing = Packing(around(hole, 8), hole.shape)
    assert covered(packing.places, packing.canvas).max() == 1
    x = torch.randn(2, 3, *hole.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(packing.unpack(packing.pack(x), x), x)
    marked = packing.unpack(packing.pack(x) + 1, x)
    inside = where(covered(packing.boxes, hole.shape) > 0)
    torch.testing.assert_close(marked[..., inside], x[..., inside] + 1)
    assert torch.equal(marked[..., ~inside], x[..., ~inside])


class Nearby(Prior):
    """A linear denoiser of any size that looks at the mean of all it is shown: windows that saw each other would differ."""

    multiple, shape = 8, (3, 64, 64)
    sigmas = GaussianPrior().sigmas

    def __init__(self) -> None:
        self.name, self.asked = "nearby", []

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        self.asked.append(tuple(x.shape))
        level = sigma if isinstance(sigma, float) else sigma.to(x).reshape(-1, 1, 1, 1)
        return x / (1 + level**2) + x.mean((2, 3), keepdim=True) / 10


def test_each_window_is_shown_by_itself_at_its_level_in_one_call_for_a_shape():
    packing, prior = Packing(around(MASKS["specks"], 8), (400, 600)), Nearby()
    x = torch.randn(2, 3, *packing.canvas)
    levels = torch.tensor([0.5, 2.0])
    counted = Counted(prior)
    D = Windowed(counted, packing).denoise(x, levels)
    assert counted.forwards == 1
    assert sum(shape[0] for shape in prior.asked) == 2 * len(packing.places)
    assert len({shape[2:] for shape in prior.asked}) == len(prior.asked)
    for place in packing.places:
        torch.testing.assert_close(part(D, place), Nearby().denoise(part(x, place), levels))
    assert (D[..., where(covered(packing.places, packing.canvas) == 0)] == 0).all()


def test_the_pull_back_is_counted_once_and_is_that_of_each_window():
    packing, counted = Packing(around(MASKS["specks"], 8), (400, 600)), Counted(Nearby())
    x, u = torch.randn(1, 3, *packing.canvas), torch.randn(1, 3, *packing.canvas)
    _, back = Windowed(counted, packing).linearized(x, 0.5)
    pulled = back(u)
    assert (counted.forwards, counted.backwards) == (1, 1)
    for place in packing.places:
        torch.testing.assert_close(part(pulled, place), Nearby().linearized(part(x, place), 0.5)[1](part(u, place)))


# ---- the runs


@pytest.mark.parametrize("cls", [cls for cls in SAMPLERS if cls.learned], ids=lambda cls: cls.name)
def test_every_sampler_works_in_windows_and_leaves_the_rest_to_the_bit(cls):
    hole = scratched(160, 240, (20, 20, 60, 60), (180, 130, 200, 140))
    problem = Problem.simulate(photograph(160, 240), of_mask(hole))
    found = Windows.of(Nearby(), problem.H, problem.y, 0.0)
    assert found is not None
    assert len(found.packing.boxes) == 2
    name = next(name for name in ("steps", "levels") if hasattr(cls(), name))
    counted = Counted(Shared(Nearby()))
    steps = list(measured(solve(problem, counted, cls(**{name: 2}), 2), problem, counted))
    x, outside = steps[-1].x0_hat, where(covered(found.packing.boxes, hole.shape) == 0)
    assert x.shape == (2, 3, 160, 240)
    assert torch.equal(x[..., outside], problem.y[..., outside].expand(2, -1, -1))
    assert (x[..., where(hole)] != 0).any()
    assert counted.inner.together() is None  # type: ignore[attr-defined]


def test_with_noise_or_by_wish_or_with_a_prior_of_one_size_the_whole_is_solved(photos):
    H = of_mask(MASKS["specks"])
    y = torch.zeros(1, 3, 400, 600)
    assert Windows.of(photos, H, y, 0.0) is not None
    assert Windows.of(photos, H, y, 0.1) is None
    assert Windows.of(photos, replace(H, area="whole"), y, 0.0) is None
    assert Windows.of(GaussianPrior(size=64), H, y, 0.0) is None


def test_windows_solve_what_the_whole_solves(photos):
    """DDRM on a photograph with two scratches: within 1 dB in the holes."""
    hole = scratched(128, 192, (16, 16, 32, 28), (150, 90, 166, 104), width=3)
    x, psnr = photograph(128, 192, 100, 200), {}
    for area in ("holes", "whole"):
        problem = Problem.simulate(x, replace(of_mask(hole), area=area))
        *_, last = solve(problem, photos, DDRM(steps=10, sigma_max=5.0, temperature=0.5))
        psnr[area] = -10 * float((last.x0_hat - x)[..., where(hole)].square().mean().div(4).log10())
    assert psnr["whole"] > 28
    assert psnr["holes"] > psnr["whole"] - 1
