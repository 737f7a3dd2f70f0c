"""RED-diff with what FLAIR adds: a weight by the prior's errors, noise that is carried on, steps on the measurement alone."""

import dataclasses
import json

import pytest
import tiny
import torch
from red import BOX, White, last, run

from redgui import priors
from redgui.operators import build
from redgui.priors import Counted, GaussianPrior, PriorError, calibration
from redgui.priors.calibration import Errors
from redgui.randomness import Generators
from redgui.samplers import RedDiff, SamplerError, flair
from redgui.ui.parts import views

P = 0.25  # variance of white pixels, whose D is wrong by sqrt(P sigma^2 / (P + sigma^2))
LEVELS = torch.logspace(-2, 2, 1000, dtype=torch.float64)
EXACT = Errors(LEVELS, (P * LEVELS**2 / (P + LEVELS**2)).sqrt())
SGD = RedDiff(steps=12, lr=1.0, lam=0.3, optimizer="sgd", spacing="karras", sigma_start=5.0)


def test_the_calibrated_weight_of_white_pixels_is_known():
    """c = (1/P + 1/sigma^2) t^2 with t = sigma/(1 + sigma), of mean 1 over t, less that of the lowest level."""

    def c(t: torch.Tensor) -> torch.Tensor:
        return t**2 / P + (1 - t) ** 2

    t = torch.linspace(0.01 / 1.01, 100 / 101, 200, dtype=torch.float64)
    sigma = torch.tensor([0.3, 1.0, 7.0])
    wanted = (1 + sigma) * ((c(sigma / (1 + sigma)) - c(t[0])) / c(t).mean()).clamp(min=0)
    torch.testing.assert_close(flair.calibrated(sigma, EXACT), wanted.float(), rtol=2e-3, atol=1e-4)
    assert flair.calibrated(torch.tensor(0.01), EXACT) == 0
    assert float(flair.calibrated(torch.tensor(0.25), EXACT)) == 0, "where the errors are larger than at the lowest level"


def test_a_prior_without_a_table_is_measured_once_on_a_picture_that_it_draws():
    counted = Counted(prior := GaussianPrior(size=32, exponent=0.0, std=P**0.5))
    errors = counted.errors()
    wanted = (P * errors.sigmas**2 / (P + errors.sigmas**2)).sqrt()
    torch.testing.assert_close(errors.rmse, wanted, rtol=0.12, atol=0)
    assert counted.forwards == 0, "that is no part of a run"
    assert prior.errors() is errors
    assert len(calibration.measured(prior).sigmas) == len(errors.sigmas)


def test_red_diff_weighs_by_the_errors_of_its_prior(x_true):
    prior = GaussianPrior(size=16)
    for step in run(RedDiff(steps=5, lam=0.3, weighting="calibrated"), prior, BOX, BOX(x_true)):
        wanted = 0.3 * flair.calibrated(torch.tensor(step.sigma), prior.errors())
        assert step.scalars["weight"].item() == pytest.approx(float(wanted), rel=1e-5)
    with pytest.raises(SamplerError, match="give them"):
        RedDiff(weighting="calibrated").weight(torch.tensor(1.0))


def test_a_folder_has_its_errors_in_a_table(tmp_path):
    tiny.save(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    calibration.write(tmp_path, {"0.1": 0.04, "10": 0.3})
    found = tiny.load(tmp_path).errors()
    assert (found.sigmas.tolist(), found.rmse.tolist()) == ([0.1, 10.0], [0.04, 0.3])
    for wrong in ({"0.1": 0.04}, {"0.1": -1, "10": 0.3}, ["0.1"], {"a": 1, "10": 0.3}):
        (tmp_path / "model_index.json").write_text(json.dumps({"redgui": {"rmse": wrong}}))
        priors._load.cache_clear()
        with pytest.raises(PriorError, match="an error > 0 at each of several levels"):
            tiny.load(tmp_path)


@pytest.mark.parametrize("name", ["faces-64", "photos"])
def test_the_bundled_priors_have_theirs_which_the_plot_of_the_weights_draws(name):
    errors = priors.errors_of(name)
    assert errors is not None
    assert errors.sigmas.tolist() == list(calibration.LEVELS)
    assert bool((errors.rmse.diff() > 0).all())
    curves = {
        known: [curve["name"] for curve in views.weights(RedDiff(), priors.sigmas_of(name), 0.1, errors=of)["curves"]]
        for known, of in ((True, errors), (False, None))
    }
    assert set(curves[True]) - set(curves[False]) == {"calibrated"}


def test_carried_noise_is_what_the_network_took_for_noise_at_low_sigma_and_new_at_high():
    old, new = tiny.noise(2, 3, 8, 8), tiny.noise(2, 3, 8, 8, seed=1)
    torch.testing.assert_close(flair.carried(old, new, 1e-6), old, rtol=0, atol=1e-2)
    torch.testing.assert_close(flair.carried(old, new, 1e6), new, rtol=0, atol=1e-5)
    both = flair.carried(old, new, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(both[1], 0.25 * old[1] + (15 / 16) ** 0.5 * new[1])


def test_red_diff_carries_its_noise(x_true):
    """Against the iteration written out."""
    prior, y, H = White(P, [0.1, 1.0, 3.0]), torch.full((1, 3, 4, 4), 0.5), build("denoise")
    sampler = RedDiff(steps=3, lr=0.1, lam=0.2, optimizer="sgd", noise="carried", spacing="uniform")
    draw, mu, eps_hat = Generators([0]), y.clone(), None
    for sigma in (3.0, 1.0, 0.1):
        eps = draw.randn_like(mu)
        a = 1 / (1 + sigma)
        eps = eps if eps_hat is None else a * eps_hat + (1 - a**2) ** 0.5 * eps
        eps_hat = prior.eps(mu + sigma * eps, sigma)
        mu = mu - 0.1 * (mu - y + 0.2 * sigma * (eps_hat - eps))
    torch.testing.assert_close(last(sampler, prior, H, y), mu)


@pytest.mark.parametrize("spec", ["inpaint", "blur:size=5", "superres:factor=2"])
def test_data_steps_meet_the_measurement_after_every_step(gaussian, drawn, spec):
    H, counted = build(spec), Counted(gaussian)
    y = H(drawn(2))
    steps = run(dataclasses.replace(SGD, data_steps=100), counted, H, y)
    for step in steps:
        assert bool((H.residual(step.x0_hat, y).flatten(1).norm(dim=1) / H.entries(y) ** 0.5 <= 1.001 * flair.MET).all())
    assert (counted.forwards, counted.backwards) == (SGD.steps, 0)
    plain = last(SGD, gaussian, H, y)
    assert not torch.allclose(plain, steps[-1].x0_hat, atol=1e-3)


def test_data_steps_stop_at_the_noise_each_picture_by_itself(gaussian, drawn):
    H, sigma_y = build("denoise"), 0.2
    y = drawn(3) + sigma_y * tiny.noise(3, 3, 16, 16)
    sampler = dataclasses.replace(SGD, lr=0.2, lam=5.0, data_steps=50)
    together = last(sampler, gaussian, H, y, sigma_y)
    residual = (together - y).square().mean((1, 2, 3)).sqrt()
    assert bool(((residual > 0.75 * sigma_y) & (residual <= 1.001 * sigma_y)).all())
    torch.testing.assert_close(last(sampler, gaussian, H, y[1:2], sigma_y, seeds=[1]), together[1:2], rtol=0, atol=1e-5)
