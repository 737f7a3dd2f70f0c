"""Particles: the mathematics of an ensemble against a posterior in closed form, and what the Particles tab makes of it."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from taking import taken

from redgui import images
from redgui.errors import RedguiError
from redgui.metrics.ensemble import HALF_LEVEL, LEVELS, ONE_STD, Ensemble, far_of, share_beyond, share_outside
from redgui.operators import build
from redgui.priors import GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.stream import solve
from redgui.samplers import SAMPLERS
from redgui.samplers import build as sampler
from redgui.ui.host.sessions import Sessions
from redgui.ui.particles.board import NO_TRUTH, STOPS, TOPS, ParticleBoard, blank, coloured, marked
from redgui.ui.particles.tab import KINDS, Count, Particles, kind
from redgui.ui.parts.controls import Controls

SIDE, SIGMA_Y = 32, 0.3
PRIOR = GaussianPrior(size=SIDE)
SMALL = GaussianPrior(size=16)
PICTURE = images.to_tensor(images.to_pil(SMALL.sample(1, torch.Generator().manual_seed(3))))


def posterior(n: int, seed: int, draws: int = 1) -> tuple[Ensemble, float]:
    """n exact draws of the posterior of a noisy picture under the Gaussian prior, the truth, and the posterior's std in [0, 1].

    For y = x + sigma_y n and a prior of spectrum s the posterior has the mean s / (s + sigma_y^2) y and the spectrum
    s sigma_y^2 / (s + sigma_y^2). `draws` truths lie side by side, as further channels.
    """
    g = torch.Generator().manual_seed(seed)
    s = PRIOR.spectrum(SIDE, SIDE)

    def field(spectrum: torch.Tensor, *shape: int) -> torch.Tensor:
        white = torch.randn(*shape, SIDE, SIDE, generator=g, dtype=torch.float64)
        return torch.fft.ifft2(spectrum.sqrt() * torch.fft.fft2(white)).real

    x_true = field(s, 1, 3 * draws)
    y = x_true + SIGMA_Y * torch.randn(x_true.shape, generator=g, dtype=torch.float64)
    mean = torch.fft.ifft2(s / (s + SIGMA_Y**2) * torch.fft.fft2(y)).real
    variance = s * SIGMA_Y**2 / (s + SIGMA_Y**2)
    return Ensemble(mean + field(variance, n, 3 * draws), x_true, tolerance=0.0), float(variance.mean().sqrt()) / 2


@pytest.mark.parametrize("n", [2, 5, 16])
def test_exact_draws_are_found_calibrated(n):
    found, std = posterior(n, seed=n, draws=30)
    figures = found.figures()
    assert figures["rms_std"] == pytest.approx(std, rel=0.03)
    assert figures["rmse"] == pytest.approx(std * (1 + 1 / n) ** 0.5, rel=0.03)
    assert figures["spread_over_error"] == pytest.approx(1, abs=0.03)
    assert figures["beyond"] == pytest.approx(share_beyond(n), abs=0.012)
    assert figures["outside"] == pytest.approx(2 / (n + 1), abs=0.012)
    gain = figures["psnr_mean"] - figures["psnr_particle"]
    assert gain > 0
    assert figures["coverage"] == pytest.approx(figures["levels"], abs=0.02)
    assert figures["std_factor"] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(("times", "sure"), [(0.4, True), (2.5, False)])
def test_a_spread_that_is_wrong_is_told(times, sure):
    found, _ = posterior(8, seed=1, draws=10)
    wrong = Ensemble(found.mean + times * (found.particles - found.mean), found.x_true, 0.0).figures()
    assert wrong["spread_over_error"] == pytest.approx(times, rel=0.1)
    assert (wrong["beyond"] > 2 * wrong["beyond_calibrated"]) == sure
    assert (wrong["outside"] > 1.5 * wrong["outside_calibrated"]) == sure
    assert (wrong["beyond"] < 0.2 * wrong["beyond_calibrated"]) != sure
    assert all((share < level) == sure for share, level in zip(wrong["coverage"], wrong["levels"], strict=True))
    assert wrong["std_factor"] == pytest.approx(1 / times, rel=0.06)
    mended = Ensemble(found.mean + wrong["std_factor"] * times * (found.particles - found.mean), found.x_true, 0.0)
    assert mended.coverage([ONE_STD]) == [pytest.approx(ONE_STD, abs=0.001)]


def test_a_posterior_sampler_has_the_posteriors_std_and_a_mode_seeker_has_not():
    x_true = PRIOR.sample(1, torch.Generator().manual_seed(3))
    problem = Problem.simulate(x_true, build("denoise"), SIGMA_Y, seed=4)
    _, std = posterior(2, seed=0)
    *_, drawn = solve(problem, PRIOR, sampler("pigdm:steps=400"), 16)
    *_, sought = solve(problem, PRIOR, sampler("vml-map:steps=20"), 16)
    drawn, sought = (Ensemble(step.x0_hat, x_true).figures() for step in (drawn, sought))
    assert drawn["rms_std"] == pytest.approx(std, rel=0.06)
    assert drawn["spread_over_error"] == pytest.approx(1, abs=0.15)
    assert sought["rms_std"] < 0.5 * std
    assert sought["beyond"] > 2 * drawn["beyond"]


def test_repulsion_widens_the_spread_where_nothing_was_measured():
    problem = Problem.simulate(PICTURE, build("inpaint"), 0.0, seed=4)
    spread = []
    for gamma in (0.0, 0.3):
        *_, last = solve(problem, SMALL, sampler(f"rsd:steps=60,gamma={gamma}"), 4)
        spread.append(Ensemble(last.x0_hat).std_map)
    hole = torch.tensor(build("inpaint").hole(16, 16))
    assert spread[1][hole].mean() > 1.2 * spread[0][hole].mean()


def test_the_shares_of_a_calibrated_ensemble():
    known = {2: 0.349802, 3: 0.225403, 4: 0.171586, 5: 0.141927, 9: 0.094350, 16: 0.071382}  # Student's t, by tables
    for n, share in known.items():
        assert share_beyond(n) == pytest.approx(share, abs=1e-6)
    assert share_beyond(4000) == pytest.approx(0.0455, abs=1e-4)
    assert share_beyond(4000, far=1.0) == pytest.approx(0.3173, abs=2e-4)
    assert share_outside(2) == pytest.approx(2 / 3)
    for n, level in ((2, 0.9), (5, 0.5), (16, 0.1)):
        assert share_beyond(n, far_of(n, level)) == pytest.approx(1 - level, abs=1e-9)


def test_figures_by_hand():
    values = torch.tensor([-0.5, 0.0, 0.5])[:, None, None, None].expand(3, 1, 1, 4)
    truth = torch.tensor([0.0, 0.6, 1.0, -1.0])[None, None, None]
    found = Ensemble(values, truth)
    assert found.std.flatten().tolist() == pytest.approx([0.25] * 4)
    assert found.std_map.shape == (1, 4)
    assert found.error.flatten().tolist() == pytest.approx([0, 0.3, 0.5, 0.5])
    assert found.outside.flatten().tolist() == [False, True, True, True]
    assert found.beyond.flatten().tolist() == [False] * 4  # 2 std is 0.5, and not less
    figures = found.figures()
    assert figures["outside"] == 0.75
    assert figures["mean_std"] == pytest.approx(0.25)
    assert figures["rmse"] == pytest.approx((0.59 / 4) ** 0.5)
    with pytest.raises(ValueError, match="at least 2"):
        Ensemble(values[:1])


def test_what_was_measured_exactly_is_neither_outside_nor_counted():
    particles = torch.zeros(4, 1, 1, 10)
    particles[:, :, :, 0] = torch.tensor([-0.3, -0.1, 0.1, 0.3])[:, None, None]
    truth = torch.full((1, 1, 1, 10), HALF_LEVEL)  # a quarter of a level off, which an 8-bit picture does not know
    truth[..., 0] = 0.8
    figures = Ensemble(particles, truth).figures()
    assert figures["outside"] == figures["beyond"] == pytest.approx(0.1)
    assert figures["unsettled"] == pytest.approx(0.1)
    assert figures["outside_unsettled"] == figures["beyond_unsettled"] == 1
    sure = Ensemble(torch.zeros(4, 1, 1, 10), truth).figures()  # sure and wrong: it must not drop out of the count
    assert sure["beyond_unsettled"] == 1
    assert sure["std_factor"] is None, "particles that are all alike cannot be scaled"
    assert sure["coverage"] == [0.0] * 9
    assert Ensemble(torch.zeros(4, 1, 1, 10), torch.zeros(1, 1, 1, 10)).coverage() is None


# ---- what a person sees


def finished(operator: str = "inpaint", given: bool = False, n: int = 3, spec: str = "reddiff:steps=6") -> ParticleBoard:
    make = Problem.given if given else Problem.simulate
    run = Run(PICTURE, make(PICTURE, build(operator), 0.1, seed=4), SMALL, sampler(spec), n)
    for _ in run.play():
        pass
    return ParticleBoard(run, 5)


def test_the_board_has_all_tiles_and_figures():
    board = finished()
    value = board.value("done")
    keys = ["mean", "std", "calibrated", "beyond", "outside", "p0", "p1", "p2"]
    assert [tile["key"] for tile in json.loads(value["tiles"])] == list(value["frames"]) == keys
    assert (value["run"], value["i"], value["n"]) == (5, 6, 6)
    want = Ensemble(board.run.last.x0_hat, PICTURE).figures()
    shown = {card["name"]: card for card in json.loads(value["cards"])}
    assert shown["PSNR of the mean"]["text"] == f"{board.run.last.psnr:.2f} dB"
    assert shown["PSNR of one particle"]["text"] == f"{np.mean(want['psnr_each']):.2f} dB"
    assert shown["mean std"] == {
        "name": "mean std", "text": f"{want['mean_std'] * LEVELS:.1f} levels", "note": f"{want['mean_std']:.4f} of [0, 1]",
    }  # fmt: skip
    assert shown["spread / error"]["text"] == f"{want['spread_over_error']:.2f}"
    assert "22.5 % if normal and calibrated (n = 3)" in shown["truth beyond 2 std, where unsettled"]["note"]
    assert "50.0 % if calibrated (n = 3)" in shown["truth outside min..max, where unsettled"]["note"]
    assert json.loads(value["coverage"])["shares"] == pytest.approx(want["coverage"], abs=1e-4)
    notes = json.loads(value["notes"])
    assert notes["calibrated"] == f"× {want['std_factor']:.2f}"
    assert notes["p1"] == f"{want['psnr_each'][1]:.2f} dB"
    assert notes["outside"] == f"{100 * want['outside']:.1f} %"
    json.dumps(value, allow_nan=False)
    opened = blank(5, "waiting", "", board.run.problem, 3)
    assert opened["tiles"] == value["tiles"], "the page must not build its tiles anew at the first step"
    assert board.value("running")["frames"]["p0"].startswith("data:image/jpeg")
    assert value["frames"]["p0"].startswith("data:image/png")


def test_without_a_truth_there_is_no_coverage_and_a_word_why():
    value = finished(given=True).value("done")
    assert list(value["frames"]) == ["mean", "std", "p0", "p1", "p2"]
    assert value["absent"] == NO_TRUTH
    assert [card["name"] for card in json.loads(value["cards"])] == ["mean std"]
    assert json.loads(value["notes"]) == {}
    assert finished().value("done")["absent"] == ""


def test_particles_that_the_operator_cannot_tell_apart_have_no_spread():
    board = finished("phase", n=2)
    x = PICTURE
    step = board.run.last
    object.__setattr__(step, "x0_hat", torch.cat([x, x.flip(-2, -1)]))
    assert float(board.ensemble(step).std.max()) == 0
    board.problem = Problem.given(PICTURE, build("phase"), 0.1)
    assert float(board.ensemble(step).std.max()) == 0


def test_the_scale_of_the_spread():
    board = finished()
    ends = np.asarray(coloured(np.array([[0.0, 1.0, 7.0, np.nan]])))[0]
    assert ["#" + bytes(pixel).hex() for pixel in ends] == [STOPS[0], *[STOPS[-1]] * 3]
    for levels in (0.3, 4.9, 30.0, 127.5):
        x = torch.zeros(2, 3, 16, 16)
        x[1] = 2 * 2**0.5 * levels / LEVELS  # of two particles a distance d apart the std is d / sqrt(2)
        legend = board.pictures(Ensemble(x)) and board._top
        assert legend == min(top for top in TOPS if top >= levels)


def test_a_mark_is_stronger_where_more_channels_lie_outside():
    where = torch.zeros(3, 1, 3, dtype=torch.bool)
    where[0, 0, 1] = where[:, 0, 2] = True
    pixels = np.asarray(marked(torch.full((1, 3, 1, 3), -1.0), where, (255, 138, 0)))[0].astype(int)
    assert pixels[0].tolist() == [0, 0, 0]
    assert 100 < pixels[1][0] < 200
    assert pixels[2].tolist() == [255, 138, 0]


def test_the_files_to_take_away():
    board = finished(spec="rsd:steps=5")
    files = taken(board, board.value("done"))
    record = Record.from_json(files["record.json"].decode())
    *_, last = record.replay(SMALL)
    assert torch.equal(last.x0_hat, board.run.last.x0_hat)
    assert record.reproduces(last)
    assert json.loads(files["particles.json"])["rms_std"] == Ensemble(last.x0_hat, PICTURE).figures()["rms_std"]
    sheet = Image.open(io.BytesIO(files["particles.png"]))
    assert sheet.size == (10 + 6 * 180, 10 + 2 * 160)  # ten pictures


def test_every_sampler_says_what_its_particles_are():
    kinds = {cls.name: kind(cls) for cls in SAMPLERS}
    assert set(kinds.values()) == set(KINDS) - {"unknown"}
    assert kinds["reddiff"] == "independent"
    assert kinds["rsd"] == "repulsive"
    assert kinds["dps"] == kinds["daps"] == "posterior"


@pytest.mark.parametrize("value", [None, "many", True, 1, 17, 2.5, float("nan"), float("inf"), [8], 10**400])
def test_a_count_from_the_browser_is_checked(value):
    controls = Controls(Count, {"particles": "count"})
    assert controls.build({"count": 8.0}).particles == controls.build({"count": "8"}).particles == 8
    with pytest.raises(RedguiError, match=r"particles (lies in 2 to 16|is a (whole |finite )?number); got"):
        controls.build({"count": value})


def test_a_page_that_closes_ends_its_run():
    sessions = Sessions()
    session = sessions.of("page")
    problem = Problem.simulate(PICTURE, build("inpaint"), 0.1, seed=4)
    particles = session.states[Particles] = Particles(Run(PICTURE, problem, SMALL, sampler("reddiff:steps=500"), 2))
    for k, _ in enumerate(particles.played.play()):
        if k == 3:
            sessions.drop("page")
    assert particles.played.last.i <= 5
    assert particles.stop_wanted
