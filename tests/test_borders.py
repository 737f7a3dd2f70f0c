"""Where a picture ends and its scene goes on: valid operators, the room around a frame, and files that others have blurred."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import signal
from torch import Tensor

from redgui import api, fitting, images, knobs
from redgui.operators import LinearOperator, OperatorError, SpectralOperator, build
from redgui.operators.frame import Margin
from redgui.priors import GaussianPrior
from redgui.priors.base import Prior
from redgui.priors.bordered import Bordered
from redgui.runs.problem import Problem
from redgui.runs.record import Record

VALID = [
    ("blur:border=valid,size=5,width=1", 14, 17),
    ("blur:border=valid,size=5,kind=disc", 14, 17),
    ("blur:border=valid,size=5,kind=motion,angle=30", 15, 13),
    ("blur:border=valid,size=5,kind=motion", 15, 13),
    ("blur:border=valid,size=5,kind=disc,margin=2+3+4+5", 16, 17),
    ("blur:border=valid,size=5,kind=uniform,margin=2+3+4+5", 16, 17),
    ("superres:factor=3,margin=1+0+1+1", 13, 17),
    ("superres:factor=3,kernel=bicubic,margin=1+0+1+1", 13, 17),
    ("superres:factor=2,kernel=bicubic,border=valid", 12, 16),
    ("superres:factor=3,kernel=bicubic,border=valid,margin=6+7+8+6", 19, 23),
]
every_valid = pytest.mark.parametrize(("spec", "h", "w"), VALID)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(H: LinearOperator, h: int, w: int) -> Tensor:
    """H of one channel as a matrix."""
    return torch.stack([H(unit.view(1, 1, h, w)).flatten() for unit in torch.eye(h * w, dtype=torch.float64)], 1)


# ---- the operators ----


KINDS = ["gaussian,width=1.5", "uniform", "disc", "motion,angle=20", "motion,seed=4", "anisotropic,angle=9"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_blur_is_scipys_whatever_lies_around_it(kind):
    x = noise(1, 1, 21, 24)
    H = build(f"blur:border=valid,size=7,kind={kind}")
    wanted = signal.convolve2d(x[0, 0].numpy(), H.kernel(), mode="valid")
    np.testing.assert_allclose(H(x)[0, 0].numpy(), wanted, atol=1e-12)
    assert H.measured_size(21, 24) == wanted.shape
    assert H.size_of_x(H(x)) == (21, 24)
    wider = H.with_margin(Margin(4, 3, 5, 6))
    np.testing.assert_allclose(wider(x)[0, 0].numpy(), wanted[: 21 - 3 - 6, 1 : 24 - 5 - 3], atol=1e-12)


@every_valid
def test_adjoint_and_gradient(spec, h, w):
    H = build(spec)
    x = noise(2, 3, h, w).requires_grad_()
    y = H(x)
    assert y.shape[-2:] == H.measured_size(h, w)
    u = noise(*y.shape, seed=1)
    torch.testing.assert_close((y * u).sum(), (x * H.adjoint(u)).sum(), rtol=1e-10, atol=1e-12)
    (vjp,) = torch.autograd.grad(y, x, u)
    torch.testing.assert_close(H.adjoint(u), vjp, rtol=1e-10, atol=1e-12)
    assert knobs.build(type(H), knobs.values(H)) == build(knobs.spec(H)) == H


@every_valid
def test_the_spectrum_and_the_solutions_are_those_of_the_matrix(spec, h, w):
    H = build(spec)
    A, b, y = matrix(H, h, w), noise(1, 1, h, w), H(noise(1, 1, h, w, seed=1))
    gram = A.T @ A
    for reg in (0.3, 1e-2, 1e-3):
        wanted = torch.linalg.solve(gram + reg * torch.eye(len(gram), dtype=torch.float64), b.flatten())
        near = 1e-3 if reg > 1e-3 or isinstance(H, SpectralOperator) else 0.05  # as far as the iterations go
        torch.testing.assert_close(H.solve(b, reg).flatten(), wanted, rtol=0, atol=near * float(wanted.abs().max()))
    if isinstance(H, SpectralOperator):
        lam, V = torch.linalg.eigh(gram)
        wanted = V @ ((3 * lam.clamp(min=0)).cos() * (V.T @ b.flatten()))
        torch.testing.assert_close(H.spectral(lambda lam: (3 * lam).cos(), b).flatten(), wanted, rtol=0, atol=1e-10)
        assert float(lam.max()) <= H.lam_max * (1 + 1e-9)
    else:  # damped where it cannot be cut off
        wanted = torch.linalg.solve(gram + H.cutoff**2 * torch.eye(len(gram), dtype=torch.float64), A.T @ y.flatten())
        torch.testing.assert_close(H.pinv(y).flatten(), wanted, rtol=0, atol=0.01 * float(wanted.abs().max()))


def test_a_kernel_that_is_an_outer_product_is_spectral_and_any_other_is_completed():
    outer, other = build("blur:border=valid,kind=gaussian"), build("blur:border=valid,kind=disc,size=7")
    assert isinstance(outer, SpectralOperator)
    assert not isinstance(other, SpectralOperator)
    x = GaussianPrior(size=40).sample(1, torch.Generator().manual_seed(1))
    H, whole = other.completed(y := other(x))
    assert isinstance(H, SpectralOperator)
    assert torch.equal(other.beyond.cut(whole), y)  # what was measured is what it was
    # The margin is what a circular blur could have measured: a filtered inverse explains all of it, and not a margin of zeros.
    zeros = other.beyond.around(y)
    off, of_zeros = (H(H.solve(H.adjoint(v), 1e-3)) - v for v in (whole, zeros))
    assert 4 * off.square().mean().sqrt() < of_zeros.square().mean().sqrt()
    assert float(off.square().mean().sqrt()) < 0.005


def test_sides_that_the_factor_does_not_divide_leave_rows_at_the_border_unmeasured():
    for factor, n in ((3, 64), (5, 64), (7, 50), (16, 40)):
        H = build(f"superres:factor={factor}").placed(n, n)
        x = noise(1, 1, n, n)
        y, first = H(x), n % factor // 2
        assert y.shape[-1] == n // factor
        block = x[..., first : first + factor, first : first + factor].mean()
        torch.testing.assert_close(y[0, 0, 0, 0], block)
        assert float(H.adjoint(torch.ones_like(y)).sum()) == pytest.approx(y.numel())
        assert float(H.adjoint(torch.ones_like(y))[..., -1, -1]) == (0 if n % factor else 1 / factor**2)
    with pytest.raises(OperatorError, match="nothing at a 16th"):
        build("superres:factor=16").placed(12, 40)
    problem = Problem.simulate(torch.zeros(1, 3, 64, 64), build("superres:factor=3"), 0.1)
    assert problem.y.shape == (1, 3, 21, 21)


def test_a_kernel_that_leaves_no_frame_is_refused():
    with pytest.raises(OperatorError, match="leaves a frame of 4x4"):
        build("blur:border=valid,size=13").placed(16, 16, (6, 6, 10, 10))
    with pytest.raises(OperatorError, match="at least 4 wide"):
        build("blur:border=valid,size=9,margin=4+4+3+4")
    with pytest.raises(OperatorError, match=r"left\+top"):
        build("blur:border=valid,margin=4")


def test_a_valid_nonlinear_blur_is_the_circular_one_without_its_margin():
    x = noise(1, 3, 20, 22) / 3
    whole, frame = build("nonlinear-blur:size=5"), build("nonlinear-blur:size=5,border=valid")
    torch.testing.assert_close(frame(x), whole(x)[..., 2:-2, 2:-2])
    start = frame.start(frame(x))
    assert start.shape == x.shape
    torch.testing.assert_close(frame.visible(start), whole.start(frame(x)))
    with pytest.raises(OperatorError, match="nonlinear-blur: "):
        build("nonlinear-blur:size=13,border=valid").placed(16, 16, (6, 6, 10, 10))


# ---- the room around a frame ----


class OneSize(Prior):
    """The closed-form prior as a network of one size is."""

    def __init__(self, size: int):
        self.of = GaussianPrior(size=size)
        self.name, self.shape, self.sigmas = "one-size", self.of.shape, self.of.sigmas

    def denoise(self, x: Tensor, sigma):
        assert x.shape[1:] == self.shape
        return self.of.denoise(x, sigma)


def test_a_prior_of_one_size_gets_room_around_its_pictures():
    inner = OneSize(16)
    prior, x, u = Bordered(inner, 22, 21), noise(2, 3, 22, 21).float(), noise(2, 3, 22, 21, seed=1).float()
    D = prior.denoise(x, 0.4)
    middle = slice(3, 19), slice(2, 18)
    torch.testing.assert_close(D[:, :, *middle], inner.denoise(x[:, :, *middle], 0.4))
    share = 0.3**2 / (0.3**2 + 0.4**2)
    torch.testing.assert_close(D[:, :, 0, 0], share * x[:, :, 0, 0] + (1 - share) * D[:, :, 3, 2])
    linear, back = prior.linearized(x, torch.tensor([0.4, 0.4]))
    torch.testing.assert_close(linear, D)
    torch.testing.assert_close(back(u), Prior.linearized(prior, x, 0.4)[1](u))


ROOMY = ["blur:size=9", "blur:size=7,kind=disc", "superres:factor=3,kernel=bicubic", "superres:factor=3",
         "nonlinear-blur:size=5", "jpeg:subsampling=444"]  # fmt: skip


@pytest.mark.parametrize("how", fitting.WAYS)
@pytest.mark.parametrize("spec", ROOMY)
@pytest.mark.parametrize(("h", "w"), [(40, 53), (64, 64), (33, 80)])
def test_what_is_fitted_has_room_around_it_and_comes_back(how, spec, h, w):
    H = build(spec)
    fitted = fitting.plan((h, w), (64, 64), how, multiple=8, H=H, given=True)
    left, top, right, bottom = fitted.shown
    placed = H.placed(*fitted.solved, fitted.shown)
    room = min(left, top, fitted.solved[1] - right, fitted.solved[0] - bottom)
    assert room >= H.overlap
    assert all(n % 8 == 0 for n in fitted.solved)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8))
    y = placed.measurement_of(images.to_tensor(fitted.apply(image)))
    x = torch.zeros(1, 3, *fitted.solved)
    assert y.shape == placed(x).shape
    if isinstance(placed, LinearOperator):
        assert placed.adjoint(y).shape == x.shape
    assert placed.visible(x).shape[-2:] == (bottom - top, right - left)
    k = H.scale
    assert fitted.undo(x, image).size == (k * w, k * h)
    # Where pixels are the picture's own, they are where the fit says that they are shown.
    if how == "native" and k == 1:
        shown = torch.zeros(1, 3, *fitted.solved)
        shown[..., top:bottom, left:right] = images.to_tensor(image)
        assert np.array_equal(np.asarray(fitted.undo(shown, image)), np.asarray(image))


def test_blocks_of_a_jpeg_begin_where_those_of_the_file_do():
    for h, w in itertools.product((100, 104, 128, 117), repeat=2):
        left, top, _, _ = fitting.plan((h, w), (64, 64), "native", multiple=8, H=build("jpeg"), given=True).shown
        assert left % 16 == top % 16 == 0


def test_records_of_a_frame_replay_and_say_nothing_of_where_it_lay():
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 33, 3), dtype=np.uint8))
    ways = (("native", GaussianPrior(size=32)), ("crop", OneSize(32)))
    for (fit, prior), sampler in itertools.product(ways, ("reddiff:steps=3", "ddrm:steps=3", "dps:steps=3")):
        found = api.restore(picture, prior=prior, operator="given:of=blur,size=5,kind=disc", sampler=sampler, fit=fit)
        record = Record.from_json(found.record.to_json())
        assert record.settings.H == found.problem.H
        assert "margin" not in record.settings.words()["operator"]
        assert found.restored.shape[-2:] == found.picture.shape[-2:]
        assert found.full.size == (33, 20)
        *_, last = record.replay(prior)
        assert record.reproduces(last)


def test_a_record_from_before_there_were_borders_replays_as_it_was_made():
    prior = GaussianPrior(size=16)
    picture = prior.sample(1, torch.Generator().manual_seed(2)).clamp(-1, 1)
    problem = Problem.given(picture, build("blur:size=5"))  # as the picture repeats: such a record says nothing of a border
    assert isinstance(problem.H, SpectralOperator)
    assert problem.y.shape == picture.shape


# ---- compositions ----

CHAINS = [
    "blur(size=5)>superres(factor=2)",
    "blur(size=5;kind=disc)>superres(factor=2;kernel=bicubic)",
    "superres(factor=3)>blur(size=3;kind=disc)",
    "blur(size=5;kind=disc)>colorize",
    "denoise>blur(size=7)>hdr",
    "blur(size=5)>blur(size=3;kind=disc)>superres(factor=3)",
]


@pytest.mark.parametrize("of", CHAINS)
def test_a_chain_measures_a_frame_as_its_parts_do(of):
    H = build(f"compose:of={of}")
    k, o = H.scale, H.overlap
    assert o % k == 0
    h, w = 2 * o + 11 * k, 2 * o + 14 * k
    placed = H.placed(h, w, (o, o + k, o + 12 * k, o + 11 * k))  # a margin of more than there has to be
    x = noise(1, 3, h, w)
    y = placed(x)
    assert y.shape[-2:] == (10, 12)
    assert placed.size_of_x(y) == (h, w)
    assert placed.unplaced.placed(h, w, (o, o + k, o + 12 * k, o + 11 * k)) == placed
    # Nothing that lies beyond the reach is measured, and y is that of the same scene with another surrounding.
    other = x.clone()
    other[..., :k, :] += 1
    torch.testing.assert_close(placed(other), y)
    if isinstance(placed, LinearOperator):
        u = noise(*y.shape, seed=1)
        torch.testing.assert_close((y * u).sum(), (x * placed.adjoint(u)).sum(), rtol=1e-10, atol=1e-10)
        assert float((placed(placed.pinv(y)) - y).norm() / y.norm()) < 0.5
    if isinstance(placed, LinearOperator) and placed.completes:
        near, whole = placed.completed(y)
        assert near(x).shape == whole.shape
        rows, columns = (np.flatnonzero(np.isin(whole[0, 0].numpy(), y[0, 0].numpy()).sum(axis) > 5) for axis in (1, 0))
        assert (len(rows), len(columns)) == (10, 12)


def test_a_chain_with_a_hole_is_taken_to_repeat_as_before():
    H = build("compose:of=inpaint(kind=half)>blur(size=5)")
    assert H.overlap == 0
    assert H.placed(20, 24, (0, 0, 24, 20)) == H
    simulated = build("compose:of=blur(size=5)>superres(factor=3)").placed(20, 24)
    assert simulated(noise(1, 3, 20, 24)).shape[-2:] == (6, 8)
