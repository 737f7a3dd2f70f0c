"""No nan comes out: a run that breaks ends at that step, and the last sound one is kept."""

import dataclasses
import json
import math

import pytest
import torch
from breaking import OF_ALL, PICTURE, PRIOR, SIGMA_Y, Breaking, every_sampler, problem, run_of, run_of_record
from torch import Tensor

from redgui import api, knobs
from redgui.operators import Inpaint, Operator, OperatorError
from redgui.priors import Prior
from redgui.runs.divergence import LARGEST, Diverged
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.stream import solve
from redgui.samplers import RedDiff, VmlMap
from redgui.samplers import build as sampler_of

INNER = [
    VmlMap(steps=6, inner=4, use_jacobian=True),
    sampler_of("daps:steps=6,ode_steps=4"),
    sampler_of("sitcom:steps=6,inner=4"),
]


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("sampler", OF_ALL + INNER, ids=lambda s: knobs.spec(s).partition(",")[0])
def test_a_prior_that_breaks_ends_the_run_at_that_step_and_the_one_before_is_kept(sampler, bad):
    """Also where the sampler clips an inf to a picture, or takes back the step that led to a nan."""
    healthy = run_of(PRIOR, sampler)
    for broken_at in (1, len(healthy) - 1):
        k = healthy[broken_at - 1].nfe + 1
        for call in {k, healthy[broken_at].nfe}:  # the first and the last of the step
            told = rf"step {broken_at + 1} of {len(healthy)}; step {broken_at} is kept; lower"
            with pytest.raises(Diverged, match=told) as caught:
                run_of(Breaking(call, bad), sampler)
            last = caught.value.last
            assert last.i == broken_at - 1
            assert torch.equal(last.x0_hat, healthy[last.i].x0_hat)
            assert (last.psnr, last.residual, last.nfe) == tuple(
                getattr(healthy[last.i], name) for name in ("psnr", "residual", "nfe")
            )


def test_one_bad_answer_in_the_middle_of_a_step_is_not_forgotten():
    """VML-MAP takes a step back that leads to a nan, and its picture is finite all the same."""
    sampler = INNER[0]
    healthy = run_of(PRIOR, sampler)
    within = Breaking(healthy[2].nfe + 3, once=True)
    *_, last = solve(problem(), within, sampler)
    assert bool(last.x0_hat.isfinite().all())
    with pytest.raises(Diverged, match="step 4 of 6; step 3 is kept"):
        run_of(Breaking(within.k, once=True), sampler)


@every_sampler
def test_a_prior_that_is_broken_from_the_start_gives_nothing(sampler):
    with pytest.raises(Diverged, match="step 1 of") as caught:
        run_of(Breaking(1), sampler, particles=2)
    assert caught.value.last is None


@every_sampler
def test_restore_gives_the_last_sound_step_and_its_record_replays_it(sampler):
    whole = api.restore(PICTURE, prior=PRIOR, sampler=knobs.spec(sampler), sigma_y=SIGMA_Y, particles=2)
    steps = whole.figures["steps"]
    short = run_of_record(whole.record, steps - 1)
    prior = Breaking(short.nfe + 1)
    with pytest.raises(Diverged) as caught:
        api.restore(PICTURE, prior=prior, sampler=knobs.spec(sampler), sigma_y=SIGMA_Y, particles=2)
    result = caught.value.result
    assert result.figures["error"] == str(caught.value)
    assert result.figures["steps"] == result.record.steps == steps - 1
    assert torch.equal(result.particles, short.x0_hat)
    assert torch.equal(result.film[-1], result.restored)
    assert result.record.result["planned"] == steps
    record = Record.from_json(result.record.to_json())
    json.dumps(dataclasses.asdict(record), allow_nan=False)
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    assert result.figures["psnr"] == again.psnr


# Knobs within their bounds at which a run diverges, and some as wild at which pulls that are normalised or clipped hold it.
WILD = [
    "reddiff:steps=100,lr=2,lam=10,optimizer=momentum,weighting=square",
    "reddiff:steps=100,lr=2,lam=10,optimizer=sgd,weighting=square",
    "pigdm:steps=200,weight=4,variant=C,clip=false",
    "pigdm:steps=100,weight=4,variant=B,spread=4,clip=false",
]
BOUNDED = [
    "reddiff:steps=50,lr=2,lam=10,optimizer=adam",
    "rsd:steps=30,lr=2,lam=10,gamma=10",
    "dps:steps=10,zeta=20,clip=false",
    "mcg:steps=10,zeta=20,clip=false",
    "pigdm:steps=50,weight=4",
    "vml-map:steps=10,inner=20,step=2,use_jacobian=true,clip=100",
    "daps:steps=5,inner=langevin,lr=1.9",
    "sitcom:steps=5,lr=1",
]


@pytest.mark.parametrize("spec", WILD + BOUNDED)
def test_knobs_at_their_bounds_end_with_numbers_that_mean_something(spec):
    operator = "inpaint" if spec.startswith("mcg") else "superres"
    try:
        found = api.restore(PICTURE, prior=PRIOR, sampler=spec, operator=operator)
    except Diverged as error:
        found = error.result
    told = found.figures.get("error", "")
    assert ("lower the learning rate, the strength of the pull or the weight of the prior" in told) == (spec in WILD)
    assert float(found.particles.abs().max()) < LARGEST
    assert all(math.isfinite(v) for v in found.figures.values() if isinstance(v, float))
    *_, again = found.record.replay(PRIOR)
    assert found.record.reproduces(again)


def test_a_picture_far_out_of_all_range_is_told_from_one_that_is_not_finite():
    with pytest.raises(Diverged, match=r"the run diverged to values of [1-9]e\+0[3-9], where pictures lie within 1, at step"):
        api.restore(PICTURE, prior=PRIOR, sampler=WILD[1], operator="denoise")


def test_a_network_that_overflows_in_fp16_is_given_another_precision():
    prior = Breaking(3, math.inf)
    prior.precision = "fp16"
    with pytest.raises(Diverged, match="or use precision fp32"):
        run_of(prior, RedDiff(steps=6))


class Latent(Prior):
    """Of latents of half the size; its decoder says inf from the k-th call on."""

    name, shape, picture_shape, sigmas = "latent", (3, 8, 8), (3, 16, 16), PRIOR.sigmas  # type: ignore[assignment]

    def __init__(self, k: int):
        self.k, self.calls = k, 0

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return PRIOR.denoise(x, sigma)

    def encode(self, picture: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(picture, 2)

    def decode(self, x: Tensor) -> Tensor:
        self.calls += not torch.is_grad_enabled()  # those for a person to see
        return torch.nn.functional.interpolate(x, scale_factor=2) + (math.inf if self.calls >= self.k else 0.0)


def test_a_decoder_that_overflows_gives_no_saturated_picture():
    with pytest.raises(Diverged, match="step 4 of 6; step 3 is kept") as caught:
        run_of(Latent(4), sampler_of("reddiff:steps=6,noise_aware=false"))
    assert caught.value.last.x0_hat.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_measurement_that_is_not_finite_is_refused_before_the_network_is_asked(bad):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Torn(Operator):
        """One number of its measurement is no number."""

        name, label, about = "torn", "Torn", ""

        def __call__(self, x: Tensor) -> Tensor:
            return x.index_fill(3, torch.tensor([4]), bad)

        def start(self, y: Tensor) -> Tensor:
            return y

    prior = Breaking(99)
    with pytest.raises(OperatorError, match="the measurement holds 48 of 768 numbers that are not finite"):
        api.restore(PICTURE, prior=prior, operator=Torn())
    x = torch.zeros(1, 3, 16, 16)
    x[0, 0, 0, 0] = bad
    with pytest.raises(OperatorError, match="the original holds 1 of"):
        Problem.simulate(x, Inpaint())
    assert prior.calls == 0
