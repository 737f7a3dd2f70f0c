"""Phase retrieval: what it measures, what it cannot tell apart, and which of several runs is kept."""

import pytest
import torch
from tiny import pictures

from redgui.operators import Operator, PhaseRetrieval, build
from redgui.runs.problem import Problem
from redgui.runs.stream import Measured, measured, summary
from redgui.samplers import Step


def test_phase_pads_as_the_papers_do():
    y = PhaseRetrieval()(torch.zeros(1, 3, 256, 256))
    assert y.shape == (1, 3, 384, 384)
    assert y.numel() / (3 * 256**2) == 2.25
    for h, w, oversample in ((5, 9, 2.0), (16, 12, 0.0), (7, 30, 3.25)):
        H = PhaseRetrieval(oversample=oversample)
        assert H.start(H(torch.zeros(2, 3, h, w))).shape == (2, 3, h, w)


def test_phase_measures_the_energy():
    x = pictures()
    y = PhaseRetrieval(convention="signed")(x)
    torch.testing.assert_close(y.square().sum(), x.square().sum(), rtol=1e-6, atol=0)
    assert float(PhaseRetrieval()(-torch.ones_like(x)).max()) < 1e-5  # black has no light


def test_phase_cannot_tell_apart_what_is_turned():
    x = pictures()
    for convention in ("positive", "signed"):
        H = PhaseRetrieval(convention=convention)
        torch.testing.assert_close(H(x.flip(-2, -1)), H(x))
        assert float((H(x.flip(-1)) - H(x)).abs().max()) > 0.1  # a mirror image is another thing
        assert (float((H(-x) - H(x)).abs().max()) < 1e-9) is (convention == "signed")


def test_phase_is_aligned_before_it_is_compared():
    x_true = pictures(3)
    found = torch.stack([x_true[0], x_true[1].flip(-2, -1), -x_true[2].flip(-2, -1)])
    torch.testing.assert_close(PhaseRetrieval().aligned(found, x_true)[:2], x_true[:2])
    torch.testing.assert_close(PhaseRetrieval(convention="signed").aligned(found, x_true), x_true)
    assert torch.equal(build("denoise").aligned(found, x_true), found)


def test_phase_starts_at_random_by_its_seed():
    y = PhaseRetrieval()(pictures(2))
    first = PhaseRetrieval(seed=1).start(y)
    assert torch.equal(first, PhaseRetrieval(seed=1).start(y))
    assert not torch.equal(first, PhaseRetrieval(seed=2).start(y))
    assert torch.equal(first[0], first[1])
    assert float(first.abs().max()) <= 1
    assert torch.equal(PhaseRetrieval(seed=1)(pictures()), PhaseRetrieval(seed=2)(pictures()))


def test_of_several_runs_the_one_of_least_residual_is_kept_whatever_its_psnr():
    x_true = pictures(1, 16, 16, torch.float32)
    problem = Problem.simulate(x_true, PhaseRetrieval())
    turned = x_true.flip(-2, -1)
    blurred = 0.5 * x_true + 0.5 * turned  # nearer to the truth as it stands than the turned one
    particles = torch.cat([torch.zeros_like(x_true), turned, blurred])
    (last,) = measured((Step(0, 1, 1.0, particles) for _ in range(1)), problem)
    assert last.best == 1
    assert torch.equal(last.estimate, turned)
    figures = summary(last, problem)
    assert figures["aligned"] is True
    assert figures["psnr"] == last.psnr == pytest.approx(100)
    assert figures["residual"] < 1e-5


def test_of_other_operators_the_mean_is_kept():
    x = pictures(2, 16, 16, torch.float32)
    problem = Problem.simulate(x[:1], build("denoise"))
    (last,) = measured((Step(0, 1, 1.0, x) for _ in range(1)), problem)
    assert last.best is None
    assert torch.equal(last.estimate, x.mean(0, keepdim=True))
    assert torch.equal(Measured(0, 1, 1.0, x).estimate, last.estimate)
    assert summary(last, problem)["aligned"] is False
    assert not Operator.ambiguous
