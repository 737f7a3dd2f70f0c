"""Operators that are not linear: what they measure, and gradients that are finite and lead somewhere."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import pictures

from redgui import api, images, metrics
from redgui.operators import JPEG, OPERATORS, LinearOperator, Operator, OperatorError, Quantize, build
from redgui.operators.jpeg import CHROMA, LUMA, table
from redgui.operators.nonlinear_blur import encoded, light
from redgui.randomness import Generators

SPECS = [
    "hdr",
    "hdr:gain=4",
    "phase",
    "phase:convention=signed,oversample=1",
    "nonlinear-blur",
    "nonlinear-blur:kind=disc,size=5,exposure=2.5",
    "jpeg",
    "jpeg:quality=75,subsampling=444",
    "quantize",
    "quantize:bits=1",
    "compose:of=blur(size=3)>hdr",
    "compose:of=colorize>phase",
    "compose:of=superres(factor=2)>jpeg(subsampling=444)",
]
every_spec = pytest.mark.parametrize("spec", SPECS)


# --- what all have in common ----------------------------------------------------------------------------------------


def test_every_operator_that_is_not_linear_is_put_to_the_tests():
    others = {cls.name for cls in OPERATORS if not issubclass(cls, LinearOperator)}
    assert {build(spec).name for spec in SPECS} == others


@every_spec
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(spec, dtype):
    """At black, white, mid grey (of magnitude 0 in the signed convention), and far outside."""
    H = build(spec)
    y = H(pictures(dtype=dtype))
    for value in (-1.0, 0.0, 1.0, -3.0, 3.0):
        x = torch.full((1, 3, 32, 48), value, dtype=dtype, requires_grad=True)
        (through_H,) = torch.autograd.grad(H(x).square().sum(), x)
        r, of_residual = H.gradient(x, y)
        for found in (through_H, r, of_residual):
            assert bool(found.isfinite().all()), value
            assert not found.requires_grad


@every_spec
def test_gradients_lead_downhill(spec):
    H = build(spec)
    x_true, x = pictures(2)
    y = H(x_true[None])
    x = x[None]
    r, g = H.gradient(x, y)
    assert float(g.abs().max()) > 0
    shorter = H.residual(x - 1e-4 * g / g.abs().max(), y)
    assert float(shorter.square().sum()) < float(r.square().sum())


@every_spec
def test_the_truth_has_no_residual(spec):
    H = build(spec)
    x = pictures(2, spread=0.25)
    assert float(H.residual(x, H(x)).abs().max()) < 1e-9


@every_spec
def test_alone_as_in_a_batch_and_in_either_precision(spec):
    H = build(spec)
    x = pictures(3)
    y = H(x)
    other = x.flip(0)
    for out, of in ((H, x), (H.start, y), (H.picture, y), (lambda y: H.residual(other[: len(y)], y), y)):
        torch.testing.assert_close(out(of)[:1], out(of[:1]), rtol=1e-12, atol=1e-12)
    single = H(x.float())
    assert {t.dtype for t in (single, H.start(single), H.picture(single), H.residual(x.float(), single))} == {torch.float32}
    if "jpeg" not in spec:  # a rounding may go the other way
        torch.testing.assert_close(single.double(), y, rtol=1e-4, atol=1e-4)


@every_spec
def test_nothing_is_drawn_from_the_global_generators(spec):
    H = build(spec)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    y = H(pictures(h=48, w=32))
    assert torch.equal(H.start(y), H.start(y))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


@every_spec
def test_input_is_left_alone(spec):
    H = build(spec)
    x = pictures()
    before = x.clone()
    y = H(x)
    H.start(y).add_(1)
    y.add_(1)
    assert torch.equal(x, before)
    assert torch.equal(H(x) + 1, y)


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
def test_a_person_can_look_at_every_measurement_and_give_one(cls):
    H = cls()
    y = H(pictures(2, 32, 32))
    shown = H.picture(y + 0.1)  # noise may take it beyond its range
    assert shown.shape[:2] in ((2, 1), (2, 3))
    assert bool(shown.isfinite().all())
    assert images.to_uint8(shown).std() > 1
    assert H.start(y).shape == (2, 3, 32, 32)
    assert H.measurement_of(torch.zeros(1, 3, *H.measured_size(32, 32))).shape == y[:1].shape
    assert H.entries(y) == int(H.on_support(torch.ones_like(y[:1])).sum())


# --- HDR ------------------------------------------------------------------------------------------------------------


def test_hdr_clips_and_has_its_true_derivative():
    H = build("hdr:gain=2")
    x = torch.tensor([-0.9, -0.3, 0.0, 0.4, 0.7], dtype=torch.float64).reshape(1, 1, 1, 5).requires_grad_()
    y = H(x)
    assert y.flatten().tolist() == pytest.approx([-1, -0.6, 0, 0.8, 1])
    (g,) = torch.autograd.grad(y.sum(), x)
    assert g.flatten().tolist() == [0, 2, 2, 2, 0]
    assert H.start(y.detach()).flatten().tolist() == pytest.approx([-0.5, -0.3, 0, 0.4, 0.5])


def test_hdr_residual_is_one_sided_where_y_is_clipped():
    H = build("hdr:gain=2")
    y = torch.tensor([1.0, 1.0, 1.07, -1.0, -1.0, 0.3, 0.95]).reshape(1, 1, 1, 7)
    x = torch.tensor([0.8, 0.4, 0.9, -0.9, 0.1, 0.6, 0.7]).reshape(1, 1, 1, 7)
    r, g = H.gradient(x, y)
    # far enough; short of it; noise beyond the bound; likewise below; drawn back; may be a clipped value and noise
    torch.testing.assert_close(r.flatten(), torch.tensor([0, -0.2, 0, 0, 1.2, 0.9, 0.05]))
    torch.testing.assert_close(g.flatten(), torch.tensor([0, -0.4, 0, 0, 2.4, 1.8, 0.0]))


# --- quantisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_quantisation_has_its_tones_and_rounds_to_the_nearest(bits):
    H = Quantize(bits=bits)
    x = torch.linspace(-1.2, 1.2, 5001, dtype=torch.float64).reshape(1, 1, 1, -1)
    y = H(x)
    tones = torch.linspace(-1, 1, 2**bits, dtype=torch.float64)
    torch.testing.assert_close(y.unique(), tones)
    nearest = (x.reshape(-1, 1) - tones).abs().min(1).values
    torch.testing.assert_close((y - x).abs().flatten(), nearest)


def test_quantisation_passes_the_gradient_through():
    x = torch.tensor([-1.5, -0.99, 0.1, 0.5, 1.5], requires_grad=True)
    (g,) = torch.autograd.grad(Quantize(bits=3)(x).sum(), x)
    assert g.tolist() == [0, 1, 1, 1, 0]


def test_quantisation_residual_is_the_distance_to_the_cell():
    H = Quantize(bits=2)  # cells of width 2/3 around -1, -1/3, 1/3, 1
    y = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0, 1.0, -1.0], dtype=torch.float64).reshape(1, 1, 1, -1)
    x = torch.tensor([0.6, 0.0, 0.9, 1.8, 0.5, -7.0], dtype=torch.float64).reshape(1, 1, 1, -1)
    wanted = [0, 0, 0.9 - 2 / 3, 0, 0.5 - 2 / 3, 0]
    assert H.residual(x, y).flatten().tolist() == pytest.approx(wanted, abs=1e-12)


# --- JPEG -----------------------------------------------------------------------------------------------------------


def photo(h: int = 64, w: int = 96) -> Image.Image:
    rows, cols = np.mgrid[0:h, 0:w] / 16
    waves = np.stack([np.sin(rows * cols / 3), np.cos(2 * rows + cols), np.sin(cols - rows / 2)], -1)
    edge = ((rows - 2) ** 2 + (cols - 3) ** 2 < 2)[..., None] * np.array([0.5, -0.4, 0.3])
    grain = np.random.default_rng(0).normal(size=(h, w, 3)) * 0.03
    return Image.fromarray(((0.45 * waves + edge + grain).clip(-1, 1) * 127.5 + 127.5).round().astype(np.uint8))


def by_pillow(picture: Image.Image, quality: int, subsampling: str) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=quality, subsampling={"444": 0, "420": 2}[subsampling])
    return Image.open(file)


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 95, 100])
def test_jpeg_tables_are_pillows(quality):
    tables = by_pillow(photo(), quality, "420").quantization
    assert [tables[0], tables[1]] == [table(base, quality).ravel().tolist() for base in (LUMA, CHROMA)]


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize("quality", [5, 10, 30, 75, 95])
def test_jpeg_decodes_to_what_pillow_does(quality, subsampling):
    y = JPEG(quality=quality, subsampling=subsampling)(images.to_tensor(photo()))
    theirs = images.to_tensor(by_pillow(photo(), quality, subsampling))
    assert float(metrics.psnr(y, theirs)) > 45


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_jpeg_residual_is_the_distance_to_the_cells_of_the_coefficients(subsampling):
    H = JPEG(quality=20, subsampling=subsampling)
    x = pictures(spread=0.25)
    y = H(x)
    assert float(y.abs().max()) < 1
    assert float(H.residual(x, y).abs().max()) < 1e-9
    # Brighter by 0.3: the constant coefficient of each block of Y by 8 x 0.3, beyond its cell and what it is widened by.
    (luma, q), _ = H.planes(x, "averaged")
    blocks = luma.reshape(1, 4, 8, 6, 8).mean((2, 4)).flatten() * 8
    (decoded, _), _ = H.planes(y, "undone")
    middles = decoded.reshape(1, 4, 8, 6, 8).mean((2, 4)).flatten() * 8
    beyond = (blocks + 8 * 0.3 * 127.5 - middles - q[0, 0] / 2 - 1.5).clamp(min=0) / 127.5
    moved = H.residual(x + 0.3, y)[0, : luma.numel() : 64]
    torch.testing.assert_close(moved, beyond)
    assert float(moved.min()) > 1


def test_jpeg_says_what_it_needs():
    with pytest.raises(OperatorError, match=r"divisible by 16.*Use pictures of 32x16, or subsampling 444"):
        build("jpeg").check_size(40, 24)
    build("jpeg:subsampling=444").check_size(40, 24)
    with pytest.raises(OperatorError, match="at least 8x8"):
        build("jpeg:subsampling=444").check_size(40, 4)
    with pytest.raises(OperatorError, match="3 channels"):
        build("jpeg")(torch.zeros(1, 2, 16, 16))


# --- non-linear blur ------------------------------------------------------------------------------------------------


def test_light_is_srgb():
    u = torch.linspace(-0.2, 1.2, 200, dtype=torch.float64)
    torch.testing.assert_close(encoded(light(u)), u, rtol=1e-6, atol=1e-6)
    assert float(light(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)
    assert float(light(torch.tensor(1.0))) == pytest.approx(1)


def test_light_is_blurred_and_clipped():
    H = build("nonlinear-blur:kind=disc,size=5,exposure=2")
    grey = torch.full((1, 3, 16, 16), 0.2, dtype=torch.float64)
    torch.testing.assert_close(H(grey), 2 * encoded(2 * light((grey + 1) / 2)) - 1)
    torch.testing.assert_close(H.start(H(grey)), grey)
    lamp = torch.full((1, 3, 16, 16), -1.0, dtype=torch.float64)
    lamp[..., 8, 8] = 1
    y = H(lamp)
    assert float(y.max()) <= 1
    assert (
        float(y[0, 0, 8, 10]) > 2 * build("blur:kind=disc,size=5")(lamp)[0, 0, 8, 10] + 1
    )  # it bleeds further than pixel values
    white = torch.full((1, 3, 16, 16), 0.9, dtype=torch.float64)
    assert torch.equal(H(white), torch.ones_like(white))
    assert float(H.gradient(white, H(white))[1].abs().max()) == 0  # bright enough
    assert float(H.gradient(white, H(grey))[1].min()) > 0  # too bright, although it is clipped


def test_non_linear_blur_speaks_of_itself():
    with pytest.raises(OperatorError, match=r"^nonlinear-blur: size must be odd"):
        build("nonlinear-blur:size=8")
    with pytest.raises(OperatorError, match=r"^nonlinear-blur: the kernel of 9"):
        build("nonlinear-blur").check_size(8, 8)


# --- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["inpaint", "superres", "hdr", "quantize", "jpeg", "nonlinear-blur", "compose:of=blur>hdr"])
@pytest.mark.parametrize("sigma_y", [0.0, 0.05, 0.1])
def test_the_noise_floor_is_what_noise_leaves_at_the_truth(spec, sigma_y):
    """A fit should end there: below it noise is fitted, above it the measurement is ignored."""
    H = build(spec)
    x = images.load(api.resolve("example:face-06"), 64, 64)
    y = H(x) + sigma_y * H.on_support(Generators([5]).randn_like(H(x)))
    left = metrics.residual(x, y, H)
    floor = H.noise_floor(y, sigma_y)
    assert floor.shape == (1,)
    if type(H).residual is Operator.residual:
        assert float(floor) == pytest.approx(sigma_y)
    torch.testing.assert_close(floor, left, rtol=0.25, atol=2e-3)
    # never above sigma_y by more than chance
    assert float(floor) <= 1.02 * sigma_y
