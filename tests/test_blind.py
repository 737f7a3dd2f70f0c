"""Blind deblurring: the kernel is found from the picture alone, and a run that finds it first is a run like any other."""

import dataclasses
import itertools

import blind as photographs  # benchmarks/blind.py
import numpy as np
import pytest
import torch
from test_blurred_files import Mirrored
from torch import Tensor

from redgui import api, images, knobs, presets
from redgui.bench import plan
from redgui.operators import OperatorError, build, kernel_search, kernels
from redgui.operators.blind import BlindBlur, offset, shifted
from redgui.priors import GaussianPrior
from redgui.runs.blind import FLOOR
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Change, Record
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve
from redgui.samplers import SAMPLERS, RedDiff

PRIOR = GaussianPrior(size=24, std=0.4)
BLIND = "blur:kind=blind,size=5,angle=30"
TURNS = kernel_search.turns(5)
SAMPLER = RedDiff(steps=6, lr=0.1)


def edges(n: int, seed: int = 3) -> Tensor:
    """A picture (1, 3, n, n) of 8 bits with sharp edges, as scenes have them and Gaussian fields do not."""
    rng = np.random.default_rng(seed)
    scene = np.full((3, n, n), -0.5)
    for _ in range(30):
        top, left, h, w = rng.integers(0, n, 4)
        scene[:, top : top + h // 3 + 2, left : left + w // 3 + 2] = rng.uniform(-0.9, 0.9, (3, 1, 1))
    return images.to_tensor(images.to_pil(torch.from_numpy(scene).float()[None]))


def fresh(operator: str = BLIND, sampler: RedDiff = SAMPLER, **options) -> Run:
    picture = edges(24)
    return Run(picture, Problem.simulate(picture, build(operator), 0.02, seed=2), PRIOR, sampler, **options)


def replays(run: Run) -> bool:
    *_, last = Record.from_json(run.record().to_json()).replay(PRIOR)
    return torch.equal(last.x0_hat, run.last.x0_hat) and last.i == run.last.i and last.found == run.last.found


# ---- the search ----


def test_the_nearest_point_of_the_simplex_is_that_of_its_conditions():
    v = np.random.default_rng(0).normal(size=(5, 7))
    k = kernel_search.onto_simplex(v)
    assert k.min() == 0
    assert k.sum() == pytest.approx(1)
    multiplier = (v - k)[k > 0]
    assert np.ptp(multiplier) < 1e-12  # v - k is the same wherever k > 0, and no larger elsewhere
    assert (v[k == 0] <= multiplier[0] + 1e-12).all()


@pytest.mark.parametrize("kernel", [kernels.line(7, 30), kernels.shake(9, 3), kernels.disc(5)], ids=["line", "shake", "disc"])
def test_of_gradients_that_are_known_least_squares_give_the_kernel_itself(kernel):
    g = np.random.default_rng(1).normal(size=(64, 64))
    size = len(kernel)
    padded = np.zeros_like(g)
    padded[:size, :size] = kernel
    F, K = np.fft.fft2(g), np.fft.fft2(np.roll(padded, (-(size // 2),) * 2, (0, 1)))
    A, b = (np.fft.fftshift(np.fft.ifft2(F.conj() * other).real) for other in (F, K * F))
    at, reach = 32, size // 2
    found = kernel_search.least_squares(
        A[at - 2 * reach : at + 2 * reach + 1, at - 2 * reach : at + 2 * reach + 1],
        b[at - reach : at + reach + 1, at - reach : at + reach + 1],
    )
    assert np.abs(found - kernel).max() < 2e-3  # the damping's part


def test_a_kernel_is_centred_whole_and_its_stray_weights_are_cut():
    kernel = np.zeros((9, 9))
    kernel[6, 5:8] = 1.0
    kernel[0, 0] = 0.2  # apart from the rest, and 6 % of it
    kernel[6, 4] = 0.01
    found = kernel_search.simplex(kernel)
    wanted = np.zeros((9, 9))
    wanted[4, 3:6] = 1 / 3
    np.testing.assert_allclose(found, wanted)
    point = kernel_search.simplex(-np.ones((5, 5)))
    assert point[2, 2] == point.sum() == 1


def test_scales_lead_from_three_pixels_to_the_size():
    for size in range(3, 33, 2):
        scales = kernel_search.scales(size)
        assert (scales[0], scales[-1]) == (3, size)
        assert all(n % 2 == 1 for n in scales)
        assert all(a < b <= 1.5 * a + 2 for a, b in itertools.pairwise(scales))


def test_a_picture_of_one_tone_has_no_kernel_but_a_point():
    *_, found = kernel_search.search(np.full((32, 32), 0.4), 7)
    assert np.isfinite(found.sharp).all()
    assert found.kernel.sum() == pytest.approx(1)


@pytest.mark.parametrize("k", [0, 5, 7])
def test_the_kernel_of_a_blurred_photograph_is_found_and_the_picture_gains(k):
    case = photographs.case(k)
    result = api.restore(case.file, prior=Mirrored(256), operator=f"given:of=blur,kind=blind,size={len(case.kernel) + 4}",
                         sampler="ddrm:steps=5", fit="native")  # fmt: skip
    assert photographs.correlation(result.kernel, case.kernel) > 0.9
    before, after = (photographs.psnr(x, case.truth) for x in (images.to_tensor(case.file), result.restored))
    assert after > before + 1


# ---- up to a shift ----


def test_a_shift_by_fractions_is_found_and_taken_back():
    x = GaussianPrior(size=32, std=0.4, exponent=3.0).sample(1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shifted(x, 2, -3), torch.roll(x, (2, -3), (-2, -1)), atol=1e-5, rtol=0)
    for by in ((0.0, 0.0), (1.0, -2.0), (0.4, 1.3), (-2.6, 0.25)):
        found = offset(shifted(x, *by), x, 4)
        np.testing.assert_allclose(found, [-v for v in by], atol=0.1)
    H, k = build(BLIND), build("blur:kind=motion,size=5,angle=30").kernel()
    moved = dataclasses.replace(H, kind="file", taps=kernels.encode(np.roll(np.pad(k, 1), 1, 1)))
    # The kernel one way and the picture the other explain the same measurement.
    torch.testing.assert_close(moved(shifted(x, 0, -1)), H(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(H.aligned(shifted(x, 0, -1), x), x, atol=5e-3, rtol=0)


# ---- the operator ----


def test_what_a_blind_blur_is_and_is_not():
    H = build(BLIND)
    assert isinstance(H, BlindBlur)
    x = edges(24)
    assert torch.equal(H(x), build("blur:kind=motion,size=5,angle=30")(x))  # what simulates it
    y = H(x)
    assert torch.equal(H.start(y), y)  # and nothing that is restored has seen it
    assert build(knobs.spec(H)) == H
    for border in ("wrap", "valid"):
        known = dataclasses.replace(H, border=border).known(H.kernel())
        assert not isinstance(known, BlindBlur)
        torch.testing.assert_close(known(x), build(f"blur:kind=motion,size=5,angle=30,border={border}")(x))
    with pytest.raises(OperatorError, match="at most 31"):
        build("blur:kind=blind,size=33")
    with pytest.raises(OperatorError, match="not in a composition"):
        build("compose:of=blur(kind=blind)>superres(factor=2)")


# ---- the run ----


@pytest.mark.parametrize("cls", [s for s in SAMPLERS if s.accepts(build(BLIND))], ids=lambda cls: cls.name)
def test_every_sampler_that_takes_a_blur_goes_on_with_what_was_found(cls):
    picture = edges(24)
    for problem in (
        Problem.simulate(picture, build(BLIND), 0.02, seed=1),
        Problem.given(picture[..., 2:22, 2:22], build(BLIND).placed(24, 24, (2, 2, 22, 22)), 0.0, seed=1),
    ):
        tuned = presets.sampler_for(cls.name, problem.H, problem.level)
        sampler = dataclasses.replace(tuned, **({"steps": 4} if hasattr(tuned, "steps") else {}))
        n = 2 if cls.coupled else 1
        steps = []
        for step in measured(solve(problem, PRIOR, sampler, n), problem):
            steps.append(step)
            if step.i + 1 == TURNS + 2:
                break
        assert [step.i for step in steps] == list(range(min(TURNS + 2, steps[-1].n)))
        assert steps[-1].x0_hat.shape == (n, 3, *picture.shape[-2:]) if problem.x_true is not None else (n, 3, 20, 20)
        assert all(step.before == TURNS and step.n > TURNS for step in steps)
        assert steps[-1].found == steps[TURNS - 1].found
        assert steps[-1].found.kernel().sum() == pytest.approx(1)


def test_the_sampler_does_what_it_does_with_that_kernel_and_no_less_noise_than_the_floor():
    picture = edges(24)
    problem = Problem.simulate(picture, build(BLIND), 0.0, seed=2)
    *_, last = solve(problem, PRIOR, dataclasses.replace(SAMPLER, init="wiener"), 2)
    known = Problem(problem.y, last.found, FLOOR, problem.seed)
    *_, alone = solve(known, PRIOR, dataclasses.replace(SAMPLER, init="wiener"), 2)
    assert torch.equal(last.x0_hat, alone.x0_hat)
    assert (last.i, last.n) == (TURNS + alone.i, TURNS + alone.n)


def test_particles_and_noises_have_it_too():
    problem = Problem.simulate(edges(24), build(BLIND), 0.02, seed=2, noise=Settings.read({"noise": "outliers"}).model)
    *_, last = measured(solve(problem, PRIOR, SAMPLER, 3), problem)
    assert last.x0_hat.shape[0] == 3
    assert np.isfinite(last.residual)
    assert last.found.H.kernel().sum() == pytest.approx(1)


def test_stopped_tuned_and_gone_on_with_while_the_kernel_forms_it_still_replays():
    run = fresh()
    for step in run.play():
        if step.i == 3:
            run.tune(dataclasses.replace(SAMPLER, lam=0.7))
        if step.i == 5:
            run.stop()  # seen after the step that is being made
    assert run.last.i == 6 < TURNS
    assert not run.finished
    assert run.changes == [Change(4, {"lam": 0.7})]
    assert replays(run)
    run.extend(50)  # the rest of it
    for step in run.play():
        if step.i == TURNS + 1:
            run.tune(dataclasses.replace(run.now, lr=0.05))
    assert run.finished
    assert run.last.i + 1 == TURNS + SAMPLER.steps
    assert run.now.lam == 0.7
    assert replays(run)
    run.extend(2)
    assert len(list(run.play())) == 2  # what finds the kernel is not made again
    assert replays(run)


def test_in_a_comparison_all_have_the_same_kernel_and_a_budget_is_the_networks():
    race = Race([Contestant(str(k), "RED-diff", fresh(sampler=dataclasses.replace(SAMPLER, lr=lr)), budget=4)
                 for k, lr in enumerate((0.1, 0.03))])  # fmt: skip
    for _ in race.play():
        pass
    one, other = race.members
    assert one.last.found == other.last.found
    assert [member.last.nfe for member in race.members] == [4, 4]
    assert all(member.last.i == TURNS + 3 for member in race.members)


def test_each_picture_of_a_benchmark_has_a_kernel_of_its_own():
    shown = [plan.Picture(str(k), edges(24, seed=k)) for k in range(3)]
    wanted = {job.key(PRIOR): job for job in plan.jobs(shown, [BLIND, "blur:size=5"], ["reddiff:steps=2"])}
    assert sorted(map(len, plan.batches(wanted, 16))) == [1, 1, 1, 3]


def test_what_a_run_leaves_has_the_kernel(tmp_path):
    steps = []
    result = api.restore(images.to_pil(edges(24)), prior=PRIOR, operator=BLIND, sampler="reddiff:steps=3", watch=steps.append)
    kernel = steps[-1].found.kernel()
    np.testing.assert_array_equal(result.kernel, kernel)
    across = result.figures["kernel"]
    assert across == max(np.ptp(np.flatnonzero(kernel.any(axis))) + 1 for axis in (0, 1))
    assert result.figures["steps"] == TURNS + 3
    again = kernels.read(result.save(tmp_path) / "kernel.png")  # as the kernel of a blur that is known
    assert again.shape == kernel.shape
    assert np.abs(again - kernel).max() < 0.01
    record = Record.read(tmp_path / "record.json")
    *_, last = record.replay(PRIOR)
    assert record.reproduces(last)
    assert api.restore(images.to_pil(edges(24)), prior=PRIOR, operator="blur:size=5", sampler="ddrm:steps=2").kernel is None
