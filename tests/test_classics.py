"""The classics: what they solve, by its own equations or the library that has it; the sampler and the starts that use them."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from redgui import api, classics, images, knobs
from redgui.advice import advice
from redgui.classics import filling
from redgui.operators import OPERATORS, Blur, Denoise, Inpaint, Operator, SuperRes, build, masks
from redgui.priors import PRIORS, GaussianPrior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.samplers import SAMPLERS, Classic, RedDiff, SamplerError
from redgui.ui.compare.board import verdict

PRIOR = GaussianPrior(size=32)
PICTURE = PRIOR.sample(1, torch.Generator().manual_seed(3)).clamp(-1, 1)


def photo(h: int, w: int) -> np.ndarray:
    """(h, w, 3), smooth, with an edge."""
    r, c = np.mgrid[:h, :w]
    return np.stack([np.sin(r / 9 + c / 13), np.cos(r / 11 - c / 7), np.where(c > w / 2, 0.5, -0.3)], -1) * 0.6


def laplacian(u: np.ndarray) -> np.ndarray:
    """Of a picture that is mirrored at its border."""
    v = np.pad(u, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return 4 * u - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]


# ---- holes


def test_away_from_the_border_a_hole_is_filled_as_scikit_image_does():
    from skimage.restoration import inpaint_biharmonic

    hole = np.zeros((40, 50), bool)
    hole[5:12, 8:30] = hole[20:22, 5:40] = True
    hole[25:36, 10:45] = np.random.default_rng(0).random((11, 35)) < 0.4
    damaged = np.where(hole[..., None], 0, photo(40, 50))
    np.testing.assert_allclose(filling.biharmonic(damaged, hole), inpaint_biharmonic(damaged, hole, channel_axis=-1), atol=1e-9)


@pytest.mark.parametrize("kind", ["half", "outpaint", "random", "box"])
def test_at_the_border_too_no_other_filling_bends_less(kind):
    hole = masks.hole(kind, 24, 30, fraction=0.4)
    picture = photo(24, 30)
    filled = filling.biharmonic(np.where(hole[..., None], 9, picture), hole)
    np.testing.assert_array_equal(filled[~hole], picture[~hole])
    # The energy |L u|^2 has gradient 2 L L u, which vanishes in the hole but where a value was held within those that are kept.
    slope = laplacian(laplacian(filled))
    free = hole[..., None] & (filled > picture[~hole].min(0)) & (filled < picture[~hole].max(0))
    if (free == hole[..., None]).all():
        assert abs(slope[hole]).max() < 1e-9
    assert free.any()


def test_many_missing_pixels_are_solved_in_tiles_as_in_one_system(monkeypatch):
    hole = np.random.default_rng(0).random((150, 130)) < 0.3
    hole[60:66] = True
    damaged = np.where(hole[..., None], 0, photo(150, 130))
    assert hole.sum() > filling.TOGETHER
    tiled = filling.biharmonic(damaged, hole)
    monkeypatch.setattr(filling, "TOGETHER", hole.size)
    np.testing.assert_allclose(tiled, filling.biharmonic(damaged, hole), atol=2e-3)


def test_the_inside_of_a_wide_hole_comes_from_smaller_pictures():
    hole = masks.box(240, 240, 0.5)
    r, c = np.mgrid[:240, :240] / 240
    picture = np.stack([r - c, r * c, r * r - c * c], -1)  # biharmonic themselves, the last two but for the border
    filled = filling.biharmonic(np.where(hole[..., None], 0, picture), hole)
    assert hole.sum() > filling.TOGETHER
    assert abs(filled - picture)[hole].max() < 0.02


def test_patches_continue_a_texture_where_a_smooth_surface_does_not():
    r, c = np.mgrid[:96, :96]
    picture = np.stack([np.sign(np.sin(r * np.pi / 4)), np.sin((r + c) * np.pi / 4), np.cos(c * np.pi / 4)], -1) * 0.5
    hole = masks.box(96, 96, 0.3)
    damaged = np.where(hole[..., None], 0, picture)
    smooth, textured = (f(damaged, hole) - picture for f in (filling.biharmonic, filling.patches))
    assert np.square(textured[hole]).mean() < 0.25 * np.square(smooth[hole]).mean()
    np.testing.assert_array_equal(filling.patches(damaged, hole)[~hole], picture[~hole])


def test_the_flattest_filling_is_harmonic_and_within_the_values_at_its_rim():
    hole, picture = masks.box(40, 40, 0.6), photo(40, 40)
    filled = filling.harmonic(np.where(hole[..., None], 9, picture), hole)
    assert abs(laplacian(filled)[hole]).max() < 1e-9
    around = hole.copy()
    around[7:33, 7:33] = True  # the box and its rim
    assert filled[hole].max() <= picture[around & ~hole].max()
    assert filled[hole].min() >= picture[around & ~hole].min()


@pytest.mark.parametrize("fill", [filling.biharmonic, filling.harmonic, filling.patches])
@pytest.mark.parametrize("shape", [(3, 40), (9, 9), (33, 70)])
def test_any_hole_in_any_picture_is_filled_with_numbers(fill, shape):
    for hole in (np.zeros(shape, bool), ~np.eye(*shape, dtype=bool), masks.half(*shape), masks.scattered(*shape)):
        filled = fill(np.where(hole[..., None], 0, photo(*shape)), hole)
        assert filled.shape == (*shape, 3)
        assert np.isfinite(filled).all()
        assert abs(filled).max() < 0.6001


@pytest.mark.parametrize(
    ("hole", "width"), [(np.zeros((9, 9)), 0), (np.eye(9), 1), (masks.box(45, 45, 0.2), 9), (masks.half(20, 20), 19)]
)
def test_the_width_of_a_hole(hole, width):
    assert filling.width(hole.astype(bool)) == width  # half a picture of 20 goes on beyond it: ten pixels to what is kept


# ---- the methods


def test_what_accepts_says_is_what_there_is():
    for cls in OPERATORS:
        H = cls()
        assert Classic.accepts(H) == bool(classics.methods(H, 0.0)) == bool(classics.methods(H, 0.1))
        assert set(classics.methods(H, 0.0)) == set(classics.methods(H, 0.1))
    assert not any(Classic.accepts(build(name)) for name in ("hdr", "phase", "nonlinear-blur"))


@pytest.mark.parametrize("H", [cls() for cls in OPERATORS if Classic.accepts(cls())], ids=lambda H: H.name)
@pytest.mark.parametrize("sigma_y", [0.0, 0.1])
def test_every_method_of_an_operator_gives_a_picture_and_others_are_refused_by_name(H: Operator, sigma_y: float):
    y = Problem.simulate(PICTURE, H, sigma_y).y
    for method in ("auto", *classics.methods(H, sigma_y)):
        (step,) = Classic(method=method)(PRIOR, H, y, sigma_y, generator=Generators([0]))
        assert step.x0_hat.shape == PICTURE.shape
        assert float(step.scalars["residual"]) < 0.6
    for k in knobs.knobs(Classic):
        for method in set(k.choices) - {"auto", *classics.methods(H, sigma_y)}:
            with pytest.raises(SamplerError, match=f"{method} is no method for {H.label}. Choose one of: auto, "):
                Classic(method=method).check_fit(H, SAMPLERS)


def test_noise_is_removed_as_scikit_image_does_and_by_more_than_half():
    from skimage.restoration import denoise_nl_means

    clean = torch.from_numpy(photo(48, 48)).permute(2, 0, 1)[None].float()
    problem = Problem.simulate(clean, Denoise(), 0.2)
    y = problem.y[0].permute(1, 2, 0).double().numpy()
    wanted = denoise_nl_means(y, patch_size=5, patch_distance=6, h=0.12, sigma=0.2, fast_mode=True, channel_axis=-1)
    np.testing.assert_allclose(classics.restored(Denoise(), problem.y, 0.2)[0].permute(1, 2, 0), wanted, atol=1e-6)
    for method in ("nlm", "tv"):
        left = float((classics.restored(Denoise(), problem.y, 0.2, method) - clean).square().mean().sqrt())
        assert left < 0.1, method
    assert torch.equal(classics.restored(Denoise(), problem.y, 0.0), problem.y)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_bicubic_is_pillows(k):
    small = SuperRes(factor=k)(torch.from_numpy(photo(24, 36)).permute(2, 0, 1)[None].float())
    planes = [Image.fromarray(plane.numpy()).resize((36, 24), Image.Resampling.BICUBIC) for plane in small[0]]
    wanted = torch.from_numpy(np.stack([np.asarray(plane) for plane in planes])).clamp(-1, 1)
    torch.testing.assert_close(classics.restored(SuperRes(factor=k), small, 0.0, "bicubic")[0], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spec", ["blur:size=5", "superres:factor=2", "fourier", "compressed-sensing"])
def test_wiener_solves_its_normal_equations(spec):
    H = build(spec)
    y = Problem.simulate(PICTURE, H, 0.1).y
    x = classics.wiener(H, y, 0.1)
    torch.testing.assert_close(H.gram(x) + 0.04 * x, H.adjoint(y), atol=1e-4, rtol=1e-3)


def test_richardson_lucy_keeps_the_light_and_nears_the_measurement():
    H = Blur(size=9, width=2.0)
    y = H(0.9 * PICTURE)
    few, many = (classics.richardson_lucy(H, y, n) for n in (2, 30))
    torch.testing.assert_close(few.mean(), y.mean(), atol=1e-3, rtol=0)
    misfit = [float((H(x) - y).norm()) for x in (y, few, many)]
    assert misfit[0] > misfit[1] > misfit[2]
    assert float((many - 0.9 * PICTURE).norm()) < float((y - 0.9 * PICTURE).norm())


@pytest.mark.parametrize("spec", ["blur:size=5,border=valid", "superres:factor=2,kernel=bicubic,border=valid"])
def test_what_lies_beyond_the_frame_is_restored_too(spec):
    H, picture = build(spec), torch.from_numpy(photo(48, 48)).permute(2, 0, 1)[None].float()
    for method in classics.methods(H, 0.0):
        x = classics.restored(H, H(picture), 0.0, method)
        assert x.shape == picture.shape, method
        assert float((H.visible(x) - H.visible(picture)).square().mean().sqrt()) < 0.25 * float(picture.std()), method


def test_equal_pictures_of_a_batch_are_restored_once(monkeypatch):
    calls, fill = [], filling.biharmonic
    monkeypatch.setattr(filling, "biharmonic", lambda *given: calls.append(1) or fill(*given))
    H = Inpaint()
    y = H(PICTURE)
    particles = classics.restored(H, y.repeat(9, 1, 1, 1), 0.0)
    assert len(calls) == 1
    assert torch.equal(particles, classics.restored(H, y, 0.0).repeat(9, 1, 1, 1))


def test_a_wide_hole_is_filled_with_texture_too_a_narrow_or_a_noisy_one_is_not():
    y = torch.zeros(1, 3, 128, 128)
    assert classics.chosen(build("inpaint:kind=text"), y, 0.0) == "biharmonic"
    assert classics.chosen(build("inpaint:kind=box"), y, 0.0) == "mixed"
    assert classics.chosen(build("inpaint:kind=box"), y, 0.1) == "nlm"
    assert classics.chosen(build("inpaint:kind=box"), y, 0.0, "tv") == "tv"


# ---- RED-diff's start


def run_of(sampler: RedDiff, H: Operator, told: RedDiff | None = None) -> list:
    stream = sampler(PRIOR, H, H(PICTURE), 0.0, generator=Generators([0]))
    return [next(stream), stream.send(told), *stream]


def test_reddiff_starts_from_what_a_classic_makes():
    for spec in ("inpaint:kind=text", "superres", "blur", "jpeg"):
        H = build(spec)
        y = H(PICTURE)
        first = RedDiff(init="classic").first(PRIOR, H, y, 0.0, Generators([0]))
        assert torch.equal(first, classics.restored(H, y, 0.0)), spec
    H = build("hdr")
    assert torch.equal(RedDiff(init="classic").first(PRIOR, H, H(PICTURE), 0.0, Generators([0])), H.start(H(PICTURE)))


def test_a_first_level_of_zero_follows_the_width_of_the_hole():
    follows, starts = RedDiff(steps=6, spacing="karras", sigma_start=0.0), {}
    for fraction in (0.1, 0.3, 0.95):
        H = Inpaint(fraction=fraction)
        steps = run_of(follows, H)
        starts[fraction] = steps[0].sigma
        plain = run_of(dataclasses.replace(follows, sigma_start=follows.begun(H, H(PICTURE), 0.0).sigma_start), H)
        assert all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(steps, plain, strict=True))
    assert starts[0.1] <= starts[0.3] < starts[0.95]
    noisy = follows.begun(Blur(size=5), H(PICTURE), 0.3), dataclasses.replace(follows, sigma_end=0.0).begun(H, H(PICTURE), 0.3)
    assert (noisy[0].sigma_start, noisy[0].sigma_end) == (0.3, 0.005)  # no hole
    assert noisy[1].sigma_start == 4 * noisy[1].sigma_end
    # Turned to 0 in mid-run, it has the rest of the levels that lie below the present one.
    H = Inpaint(fraction=0.3)
    told = run_of(dataclasses.replace(follows, sigma_start=100.0), H, follows)
    assert told[1].sigma <= starts[0.3] * 1.1 < told[0].sigma
    assert len(told) == 6


def test_a_run_that_follows_the_hole_from_a_classic_start_replays_to_the_bit(tmp_path):
    images.to_pil(PICTURE).save(tmp_path / "photo.png")
    of = dict(prior="gaussian:size=32", operator="inpaint:kind=text")
    result = api.restore(tmp_path / "photo.png", sampler="reddiff:steps=4,init=classic,sigma_start=0", **of)
    assert api.replay(result.record)[1]
    sampler = result.record.settings.sampler
    assert (sampler.init, sampler.sigma_start) == ("classic", 0.0)
    classic = api.restore(tmp_path / "photo.png", sampler="classic", **of)
    assert api.replay(classic.record)[1]
    assert (classic.figures["nfe"], classic.figures["steps"]) == (0, 1)


# ---- what a person is told


def test_advice_says_what_every_prior_is_good_for_and_warns_of_a_hole_too_wide():
    assert all(advice(card.name).good_for == card.good_for and card.good_for for card in PRIORS)
    assert advice("gaussian:size=16").good_for
    assert advice("a/model") == ("", "")
    wide, narrow = Inpaint(fraction=0.5), Inpaint(fraction=0.05)
    assert "127 pixels wide" in advice("photos", wide, 256, 256).warning
    assert "objects" in advice("photos", wide, 256, 256).warning
    for prior, H in (("photos", narrow), ("photos", Blur()), ("faces-64", wide)):
        assert advice(prior, H, 256, 256).warning == ""


def raced(truth: Tensor | None, **samplers) -> Race:
    H = Inpaint()
    problem = Problem(H(PICTURE), H, 0.0, 0, truth)
    race = Race([Contestant(key, key, Run(PICTURE, problem, PRIOR, sampler)) for key, sampler in samplers.items()])
    list(race.play())
    return race


def test_a_comparison_says_who_won_and_by_how_much_over_the_other_camp():
    poor, poorer = (RedDiff(steps=n, lr=0.0001, init="zero") for n in (3, 2))
    told = verdict(raced(PICTURE, poor=poor, poorer=poorer, smooth=Classic(method="biharmonic"), tv=Classic(method="tv")))
    assert told.startswith("smooth won with ")
    assert told.endswith(" dB above poor, the best with a network.")
    told = verdict(raced(PICTURE, poor=poor, poorer=poorer))
    assert told.startswith("poor won with ")
    assert told.endswith(" dB above poorer.")
    assert verdict(raced(None, poor=poor, smooth=Classic())) == ""
    assert verdict(raced(PICTURE, smooth=Classic())) == ""
