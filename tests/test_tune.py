"""Tuning without the truth, on priors of closed form."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from redgui.cli import main
from redgui.metrics import psnr
from redgui.operators import build
from redgui.priors import GaussianPrior
from redgui.runs.divergence import Diverged
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.tune import HeldOut, Judge, TuneError, Tuning, grid
from redgui.samplers import DDRM, DiffPIR, RedDiff

PRIOR = GaussianPrior(size=16)
PICTURE = PRIOR.sample(1, torch.Generator().manual_seed(3))
POSTERIOR = RedDiff(steps=40, lr=0.1, lam=1.0, weighting="posterior", noise_aware=False, spacing="karras", sigma_start=1.0,
                    sigma_end=0.05, optimizer="sgd")  # fmt: skip


def problem(spec: str, sigma_y: float) -> Problem:
    return Problem.simulate(PICTURE, build(spec), sigma_y, seed=4)


def settings(sampler) -> list:
    return [spot.sampler for spot in grid(sampler).cells]


def tuned(of: Problem, sampler) -> Tuning:
    one = Tuning(PICTURE, of, PRIOR, sampler)
    for _ in one.play():
        pass
    return one


def quality(of: Problem, sampler) -> float:
    run = Run(PICTURE, of, PRIOR, sampler, filmed=False)
    try:
        for _ in run.play():
            pass
    except Diverged:
        return float("-inf")
    assert run.last is not None
    return float(psnr(run.last.x0_hat, PICTURE))


@pytest.mark.parametrize(("spec", "sigma_y"), [("denoise", 0.3), ("inpaint:kind=random", 0.1)])
def test_a_weight_that_is_too_large_is_found_out_without_the_truth(spec, sigma_y):
    """With the posterior's own weighting lambda = 1 is right; it is begun with three times that."""
    of, start = problem(spec, sigma_y), replace(POSTERIOR, lam=3.0)
    best = max(quality(of, sampler) for sampler in settings(start))
    assert quality(of, tuned(of, start).winner) > best - 0.5


@pytest.mark.parametrize("spec", ["inpaint", "inpaint:kind=random"])
def test_a_learning_rate_that_is_too_large_is_found_out(spec):
    """Too large for 64 steps, not for the 8 of a short run: those are made with a larger one still."""
    of, start = problem(spec, 0.0), RedDiff(steps=64, lr=0.5)
    best = max(quality(of, sampler) for sampler in settings(start))
    assert quality(of, start) < best - 1
    assert quality(of, tuned(of, start).winner) > best - 0.1


def test_three_runs_of_calls_and_the_same_winner_every_time_whatever_the_truth():
    of = problem("inpaint", 0.0)
    one = tuned(of, RedDiff(steps=40))
    assert one.calls == 3 * 40
    assert [len(group.members) for group in one.rounds] == [8, 2]
    other = Tuning(torch.zeros_like(PICTURE), Problem(of.y, of.H, 0.0, 4), PRIOR, RedDiff(steps=40))
    assert len(list(other.play())) > 0
    scores = [[m.score for group in t.rounds for m in group.members] for t in (one, other)]
    assert scores[0] == scores[1]
    assert one.winner == other.winner


def test_what_is_judged_was_not_given():
    for spec, sampler in (("inpaint", RedDiff()), ("superres:factor=2", RedDiff()), ("fourier", RedDiff()),
                          ("compressed-sensing", DiffPIR()), ("blur", RedDiff()), ("colorize", RedDiff())):  # fmt: skip
        of = problem(spec, 0.0)
        judge = Judge.of(of, sampler)
        assert judge.problem.x_true is None
        assert float((judge.problem.y * judge.where).abs().max()) == 0
        assert float((judge.problem.H(PICTURE) * judge.where).abs().max()) == 0
        assert judge.problem.H.entries(of.y) + int(judge.where.sum()) == of.H.entries(of.y)
        assert judge.score(PICTURE) < 1e-5


def test_a_held_out_operator_is_linear_with_its_adjoint():
    H = build("superres:factor=2")
    keep = (torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.2).float()
    held, x, y = HeldOut(H=H, keep=keep), PICTURE, torch.randn(1, 3, 8, 8)
    assert torch.allclose((held(x) * y).sum(), (x * held.adjoint(y)).sum(), atol=1e-4)
    assert torch.allclose(held(held.pinv(held(x))), held(x), atol=1e-4)


def test_the_noises_of_a_split_are_independent_and_of_the_level_that_is_told():
    of = problem("denoise", 0.2)
    judge = Judge.of(of, RedDiff())
    noise, other = (y - PICTURE for y in (judge.problem.y, judge.y))
    assert float(noise.std()) == pytest.approx(judge.problem.sigma_y, rel=0.1)
    assert abs(float((noise * other).mean() / noise.std() / other.std())) < 0.12  # of 768 values


def test_what_cannot_be_judged_is_told():
    with pytest.raises(TuneError, match="cannot be tuned without the truth"):
        Tuning(PICTURE, problem("blur", 0.0), PRIOR, DDRM())
    with pytest.raises(TuneError, match="cannot be tuned without the truth"):
        Tuning(PICTURE, problem("jpeg", 0.0), PRIOR, RedDiff())
    with pytest.raises(TuneError, match="8 steps"):
        Tuning(PICTURE, problem("inpaint", 0.0), PRIOR, RedDiff(steps=5))
    with pytest.raises(TuneError, match="cannot be tuned"):
        Tuning(PICTURE, problem("superres", 0.0), PRIOR, DDRM())


def test_every_setting_differs_and_the_own_one_is_tried_first():
    for sampler in (RedDiff(steps=40), DiffPIR(steps=40)):
        found = settings(sampler)
        assert Tuning(PICTURE, problem("inpaint", 0.0), PRIOR, sampler).winner == sampler
        assert len(found) <= 8
        assert all(a != b for a, b in itertools.combinations(found, 2))


def test_the_command_restores_with_the_winner_and_writes_what_was_tried(tmp_path, capsys):
    words = ["tune", "example:face-06", "--prior", "gaussian:size=16", "--sampler", "reddiff:steps=16", "--out", str(tmp_path)]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    tried = json.loads((tmp_path / "tune.json").read_text())["tried"]
    assert len(tried) == figures["tried"] == 8
    assert figures["sampler"] == tried[0]["sampler"]
    assert figures["steps"] == 16
    assert (tmp_path / "restored.png").exists()
