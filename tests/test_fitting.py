"""Pictures of any shape: fitted to a prior, restored, and back at their own size with what was not touched bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image

from redgui import api, fitting, images, priors
from redgui.fitting import plan
from redgui.images import ImageError
from redgui.operators import OPERATORS, OperatorError, build
from redgui.priors import Counted, GaussianPrior
from redgui.runs.budget import with_steps
from redgui.samplers import SAMPLERS

SHAPES = [(200, 300), (300, 200), (37, 211), (20, 31), (65, 64), (64, 64)]
FAST = dict(prior="gaussian:size=32", sampler="reddiff:steps=3", device="cpu")


def picture(h: int, w: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8))


def smooth(h: int, w: int) -> Image.Image:
    y, x = np.mgrid[:h, :w]
    return Image.fromarray(np.stack([255 * x // w, 255 * y // h, 0 * x + 90], -1).astype(np.uint8))


def pixels(image: Image.Image | Path) -> np.ndarray:
    return np.asarray(image if isinstance(image, Image.Image) else Image.open(image).convert("RGB")).astype(int)


def folder_of(path: Path, **config) -> Path:
    """A tiny random UNet2DModel in diffusers format."""
    torch.manual_seed(0)
    options = dict(sample_size=64, block_out_channels=(8, 8), layers_per_block=1, down_block_types=("DownBlock2D",) * 2,
                   up_block_types=("UpBlock2D",) * 2, norm_num_groups=4, add_attention=False)  # fmt: skip
    UNet2DModel(**{**options, **config}).save_pretrained(path / "unet")
    DDPMScheduler().save_pretrained(path / "scheduler")
    return path


# ---- there and back ----


@pytest.mark.parametrize("how", fitting.WAYS)
@pytest.mark.parametrize(("h", "w"), SHAPES)
def test_a_smooth_picture_comes_back(h, w, how):
    fitted, image = plan((h, w), (64, 64), how, multiple=8), smooth(h, w)
    seen = fitted.apply(image)
    assert (seen.height, seen.width) == fitted.size
    back = fitted.undo(images.to_tensor(seen), image)
    assert back.size == image.size
    assert abs(pixels(back) - pixels(image)).max() <= (16 if min(h, w) < 64 else 6)  # of resampling, at the edges
    assert abs(pixels(back) - pixels(image)).mean() < 0.7


def test_the_crop_is_the_one_that_images_fit_makes():
    image = picture(57, 200)
    assert plan((57, 200), (64, 48)).apply(image) == images.fit(image, 64, 48)


def test_padding_mirrors_and_native_keeps_every_pixel():
    fitted, image = plan((90, 121), (64, 64), "native", multiple=8), picture(90, 121)
    seen = pixels(fitted.apply(image))
    assert seen.shape == (96, 128, 3)
    np.testing.assert_array_equal(seen[3:93, 3:124], pixels(image))
    np.testing.assert_array_equal(seen[2::-1], seen[3:6])
    np.testing.assert_array_equal(pixels(fitted.undo(images.to_tensor(fitted.apply(image)), image)), pixels(image))
    wide = plan((100, 200), (64, 64), "pad")
    seen = pixels(wide.apply(picture(100, 200)))
    np.testing.assert_array_equal(seen[15::-1], seen[16:32])


@pytest.mark.parametrize("how", fitting.WAYS)
@pytest.mark.parametrize(("h", "w"), SHAPES)
def test_what_is_not_in_the_hole_is_kept_bit_for_bit_and_the_hole_is_not(h, w, how):
    fitted, image = plan((h, w), (64, 64), how, multiple=8), picture(h, w)
    inverted = -images.to_tensor(fitted.apply(image))
    rng = np.random.default_rng(1)
    drawn = rng.random((h, w)) < 0.02
    drawn[h // 4 : h // 2, w // 3 : w // 2] = True
    for hole, enlarged in ((drawn, drawn), (low := build("inpaint").hole(*fitted.size), fitted.hole_of_picture(low))):
        back = pixels(fitted.undo(inverted, image, hole))
        np.testing.assert_array_equal(back[~enlarged], pixels(image)[~enlarged])
        assert enlarged.any()
        touched = (back != pixels(image)).any(-1)
        if how != "crop":
            assert touched[enlarged].mean() > 0.9


def test_outside_a_crop_is_the_picture_itself():
    image = picture(100, 260)
    fitted = plan((100, 260), (64, 64))
    back = pixels(fitted.undo(torch.zeros(1, 3, 64, 64), image))
    np.testing.assert_array_equal(back[:, :80], pixels(image)[:, :80])
    np.testing.assert_array_equal(back[:, 180:], pixels(image)[:, 180:])
    assert (back[:, 80:180] == 128).all()


@pytest.mark.parametrize("how", fitting.WAYS)
def test_a_masks_every_speck_is_in_the_hole_of_the_small_picture(how):
    fitted = plan((300, 200), (64, 64), how, multiple=8, longest=64 if how == "native" else None)
    mask = np.zeros((300, 200), bool)
    mask[150, 101] = True
    low = fitted.hole(mask)
    assert low.sum() == 1
    assert fitted.hole_of_picture(low)[150, 101]
    assert not fitted.hole(np.zeros((300, 200), bool)).any()
    dotted = np.zeros((300, 200), bool)
    dotted[::2, ::2] = True
    assert not fitted.hole(dotted).all()  # where covering would leave nothing


def test_a_hole_at_the_edge_is_mirrored_with_the_picture():
    fitted = plan((100, 200), (64, 64), "pad")
    mask = np.zeros((100, 200), bool)
    mask[:3] = True
    assert fitted.hole(mask)[15:17].all()
    assert fitted.hole(mask).sum() == 2 * 64


# ---- sizes ----


def test_native_sides_are_multiples_within_bounds_and_suit_the_operator():
    def size(h, w, spec=None, **options):
        return plan((h, w), (64, 64), "native", multiple=8, H=spec and build(spec), **options).size

    assert size(900, 1200) == (904, 1200)
    assert size(3000, 4000) == (3000, 4000)
    assert size(6000, 8000) == (3000, 4000)
    assert size(30, 12000) == (64, 8192)
    assert size(200, 300, longest=256) == (176, 256)
    assert size(30, 1000, longest=256) == (64, 256)
    assert size(200, 300) == (200, 304)
    assert size(200, 300, spec="jpeg") == (208, 304)
    assert size(200, 300, spec="superres:factor=3") == (216, 312)
    assert size(200, 300, spec="superres:factor=5") == (200, 320)
    given = plan((50, 75), (64, 64), "native", multiple=8, H=build("superres:factor=4"), given=True)
    assert (given.size, given.solved) == ((50, 75), (200, 304))  # nothing that is mirrored counts as measured
    given = plan((50, 75), (64, 64), "native", multiple=8, longest=256, H=build("superres:factor=4"), given=True)
    assert (given.size, given.solved) == ((43, 64), (176, 256))


def test_the_working_size_is_said_and_a_measurement_is_never_made_smaller_unasked():
    def working(how, h, w, **options):
        return plan((h, w), (64, 64), how, multiple=8, **options).working

    assert working("native", 900, 1200) == "1200x900"
    assert working("native", 900, 1200, longest=600) == "600x450, resized from 1200x900"
    assert working("native", 6000, 8000) == "4000x3000, resized from 8000x6000"
    assert working("crop", 900, 1200) == "64x64, resized from 900x900 of 1200x900"
    assert working("pad", 900, 1200) == "64x48, resized from 1200x900"
    for spec in ("superres:factor=4", "blur", "denoise"):
        given: Any = dict(H=build(spec), given=True)
        sizes = (1500, 2000) if spec.startswith("s") else (6000, 8000)
        with pytest.raises(ImageError, match=r"would be worked on at 8000x6000.*12 million"):
            working("native", *sizes, **given)
        assert "resized from" in working("native", *sizes, longest=4000, **given)
    assert "resized" in working("native", 6000, 8000, H=build("inpaint"), given=True)  # the rest of it stays as it is


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(how="native"), "this one takes 64x64 alone"),
        (dict(how="zoom"), "crop, pad, stretch, native, face; got 'zoom'"),
        (dict(how="pad", longest=128), "Leave the size out"),
        (dict(how="native", multiple=8, longest=10000), "64 to 8192; got 10000"),
    ],
)
def test_a_fit_that_does_not_suit_is_one_clear_error(options, told):
    with pytest.raises(ImageError, match=told):
        plan((100, 100), (64, 64), **options)


def test_every_operator_finds_a_native_size_that_it_takes():
    source = smooth(72, 104)
    for operator in OPERATORS:
        assert api.restore(source, operator=operator.name, fit="native", **FAST).full.size == source.size


def test_a_shape_that_an_operator_does_not_take_says_which_it_does():
    with pytest.raises(OperatorError, match="powers of two"):
        api.restore(smooth(72, 300), operator="compressed-sensing", fit="native", size=300, **FAST)


def test_every_sampler_takes_a_native_size():
    for sampler in SAMPLERS:
        result = api.restore(smooth(70, 99), fit="native", **{**FAST, "sampler": with_steps(sampler(), 2)})
        assert result.restored.shape[-2:] == (70, 99)


# ---- priors of any size ----


def test_a_network_without_attention_takes_any_size(tmp_path):
    prior = priors.load(str(folder_of(tmp_path)), "cpu", "fp32")
    assert (prior.multiple, Counted(prior).multiple) == (8, 8)
    x = torch.randn(1, 3, 72, 104)
    assert prior.denoise(x, 1.0).shape == x.shape
    result = api.restore(smooth(90, 130), operator="superres", sampler="reddiff:steps=2", prior=prior, fit="native", size=128)
    assert result.restored.shape == (1, 3, 96, 128)
    assert result.full.size == (130, 90)


@pytest.mark.parametrize(
    ("config", "declared", "multiple"),
    [
        (dict(add_attention=True, attention_head_dim=8), None, 0),
        (dict(add_attention=True, attention_head_dim=8), {"any_size": True}, 8),
        (dict(add_attention=True, attention_head_dim=8), {"any_size": "yes"}, 0),
        (dict(down_block_types=("DownBlock2D", "AttnDownBlock2D"), attention_head_dim=8), None, 0),
        (dict(block_out_channels=(4,) * 5, down_block_types=("DownBlock2D",) * 5, up_block_types=("UpBlock2D",) * 5), None, 16),
    ],
)
def test_attention_keeps_a_network_to_its_size_unless_the_folder_says_otherwise(tmp_path, config, declared, multiple):
    folder_of(tmp_path, **config)
    if declared:
        (tmp_path / "model_index.json").write_text(json.dumps({"redgui": declared}))
    assert priors.load(str(tmp_path), "cpu", "fp32").multiple == multiple


def test_closed_forms_and_the_bundled_prior_say_what_they_take():
    assert GaussianPrior(size=16).multiple == 1
    assert priors.multiple_of("faces-64") == priors.load("faces-64", "cpu").multiple == 0
    x = torch.randn(1, 3, 24, 40)
    assert GaussianPrior(size=16).denoise(x, 1.0).shape == x.shape


# ---- the whole way ----


@pytest.mark.parametrize("how", fitting.WAYS)
def test_the_interface_keeps_what_is_outside_a_mask_of_the_picture(tmp_path, how):
    image, mask = picture(90, 150), np.zeros((90, 150), bool)
    mask[30:55, 60:90] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    image.save(tmp_path / "photo.png")
    result = api.restore(tmp_path / "photo.png", mask=tmp_path / "mask.png", fit=how, **FAST)
    result.save(tmp_path / "out")
    full = pixels(tmp_path / "out/restored-full.png")
    np.testing.assert_array_equal(full[~mask], pixels(image)[~mask])
    assert (full != pixels(image)).any(-1)[mask].mean() > 0.9
    assert result.record.settings.fit == how
    assert api.replay(result.record)[1]


def test_a_given_measurement_becomes_as_many_times_larger():
    result = api.restore(smooth(20, 30), operator="given:of=superres,factor=4", fit="pad", **FAST)
    assert result.full.size == (120, 80)


def test_a_picture_of_the_priors_size_has_no_other_size(tmp_path):
    result = api.restore(smooth(32, 32), **FAST)
    assert result.full is None
    assert not (result.save(tmp_path) / "restored-full.png").exists()


@pytest.mark.parametrize(("multiple", "how"), [(0, "crop"), (1, "crop"), (8, "native")])  # a network, a closed form, a network
def test_the_usual_way_is_native_where_a_network_takes_any_size(multiple, how, monkeypatch):
    monkeypatch.setattr(GaussianPrior, "multiple", multiple)
    found = fitting.for_prior(Image.new("RGB", (96, 80)), GaussianPrior(size=64))
    assert (found.how, found.size) == (how, (80, 96) if how == "native" else (64, 64))


def test_a_longest_side_means_native(monkeypatch):
    monkeypatch.setattr(GaussianPrior, "multiple", 0)
    with pytest.raises(ImageError, match="takes 64x64 alone"):
        fitting.for_prior(Image.new("RGB", (96, 80)), GaussianPrior(size=64), longest=128)
