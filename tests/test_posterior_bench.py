"""The benchmark against exact posteriors: exact draws pass, point estimates and draws of another law are found out."""

import pytest
import torch

from redgui.bench import posterior
from redgui.bench.plan import BenchError
from redgui.metrics.stein import ksd

CASES = [(prior, spec) for prior in (posterior.field(), posterior.modes()) for spec in posterior.TASKS]


def draws(of: posterior.Posterior, n: int = 256, seed: int = 0):
    return of.draw(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("prior", "spec"), CASES, ids=lambda value: getattr(value, "name", value))
def test_exact_draws_have_a_discrepancy_as_chance_has_it_and_others_are_found_out(prior, spec):
    case = posterior.Case.made(prior, spec, 1)
    exact = case.posterior
    by_chance = torch.tensor([exact.judged(draws(exact, seed=seed))["ksd"] for seed in range(20)])
    assert abs(by_chance.mean()) < 4 * by_chance.std() / 20**0.5  # the estimate is unbiased, and so 0 on the average
    most = float(by_chance.max())
    point = exact.judged(exact.mean + 1e-4 * draws(exact))
    assert point["gap"] < 0.1
    assert point["spread"] < 0.01
    narrow = exact.judged(exact.mean + 0.5 * (draws(exact, seed=99) - exact.mean))
    shifted = exact.judged(draws(exact, seed=99) + 0.5 * exact.total.diagonal().sqrt())
    for found in (point, narrow, shifted):
        assert found["ksd"] > most


@pytest.mark.parametrize(("prior", "spec"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_score_is_that_of_the_prior_and_the_likelihood(prior, spec):
    """By Bayes' theorem, the prior's part by its own denoiser at a noise level near 0."""
    case = posterior.Case.made(prior, spec, 2)
    x = draws(case.posterior, 5)
    pictures = x.view(-1, *case.prior.picture_shape)
    level = 1e-3
    score = (case.prior.denoise(pictures, level) - pictures) / level**2
    score = score + case.H.adjoint(case.y.double() - case.H(pictures)) / posterior.SIGMA_Y**2
    assert torch.allclose(case.posterior.score(x), score.flatten(1), rtol=1e-2, atol=0.3)


def test_one_mode_of_two_is_seen_in_the_shares():
    exact = posterior.Case.made(posterior.modes(), posterior.TASKS[0], 0).posterior
    assert int((exact.weights > 0.1).sum()) == 2  # half a picture leaves two modes open
    z = draws(posterior.Posterior(exact.means[:1], exact.covariance, torch.ones(1, dtype=torch.float64)))
    assert exact.judged(z)["modes"] == pytest.approx(1 - float(exact.weights[0]), abs=0.02)
    assert exact.judged(draws(exact, 512))["modes"] < 0.1


def test_the_estimate_is_the_double_sum_written_out():
    """u by automatic differentiation of the kernel, pair by pair."""
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    s = -x * torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    total = 0.0
    for i in range(4):
        for j in range(4):
            if i == j:
                continue
            a, b = x[i].clone().requires_grad_(), x[j].clone().requires_grad_()
            k = (1 + (a - b).square().sum() / 3) ** -0.5
            da, db = torch.autograd.grad(k, (a, b), create_graph=True)
            trace = sum(torch.autograd.grad(da[m], b, retain_graph=True)[0][m] for m in range(3))
            total += float((k * (s[i] @ s[j]) + s[i] @ db + s[j] @ da + trace).detach())
    assert ksd(x, s) == pytest.approx(total / 12)


def test_a_row_holds_means_and_errors_and_the_table_marks_what_chance_does_not_explain():
    rows = posterior.measure(["reddiff:steps=10"], draws=16, seeds=2)
    assert {row["sampler"].partition(":")[0] for row in rows} == {"exact", "reddiff"}
    text = posterior.table(rows)
    assert all("**" not in line for line in text.splitlines() if "`exact`" in line)
    assert any("**" in line for line in text.splitlines() if "reddiff" in line)
    with pytest.raises(BenchError, match="needs 8 draws"):
        posterior.measure(["reddiff"], draws=2)
