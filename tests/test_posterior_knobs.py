"""DPS, ΠGDM, DDRM, MCG, DDNM and RePaint: what a run costs, and what happens when its knobs are turned on the way."""

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor

from redgui.operators import Operator, build
from redgui.priors import Counted, GaussianPrior, Prior
from redgui.randomness import Generators
from redgui.samplers import DDNM, DDRM, DPS, MCG, PiGDM, RePaint, Sampler, Step

SAMPLERS = (DPS, PiGDM, DDRM, MCG, DDNM, RePaint)
BOX = build("inpaint")


def run(sampler: Sampler, prior: Prior, H: Operator, y: Tensor, sigma_y: float = 0.0) -> list[Step]:
    return list(sampler(prior, H, y, sigma_y, generator=Generators(range(len(y)))))


@pytest.mark.parametrize(("sampler", "forwards", "backwards"), [
    (DPS(steps=7), 7, 7), (PiGDM(steps=7), 7, 7), (MCG(steps=7), 7, 7), (DDRM(steps=7), 7, 0), (DDNM(steps=7), 7, 0),
    (DDNM(steps=100, travel=10, repeats=3), 280, 0), (RePaint(steps=50, jump=5, repeats=3), 140, 0),
], ids=str)  # fmt: skip
def test_the_network_is_called_as_often_as_the_paper_has_it(gaussian, drawn, sampler, forwards, backwards):
    counted = Counted(gaussian)
    run(sampler, counted, BOX, BOX(drawn(1)))
    assert (counted.forwards, counted.backwards) == (forwards, backwards)


@pytest.mark.parametrize("cls", SAMPLERS)
def test_another_number_of_steps_in_mid_run_respaces_the_levels_not_yet_visited(gaussian, drawn, cls):
    sampler = cls(steps=10) if cls is not RePaint else cls(steps=10, repeats=1)
    for wanted, total in ((30, 30), (3, 5)):  # a run made shorter than it is already ends with one more step
        stream = sampler(gaussian, BOX, BOX(drawn(1)), 0.1, generator=Generators([0]))
        steps = list(itertools.islice(stream, 4))
        steps.append(stream.send(dataclasses.replace(sampler, steps=wanted)))
        steps += stream
        sigmas = [step.sigma for step in steps]
        assert [step.i for step in steps] == list(range(total))
        assert [step.n for step in steps] == [10] * 4 + [total] * (total - 4)
        assert sigmas == sorted(set(sigmas), reverse=True)
        assert sigmas[-1] == float(gaussian.sigmas[0])


@pytest.mark.parametrize("sampler", [DDNM(steps=12, travel=3, repeats=2), RePaint(steps=12, jump=3, repeats=2)], ids=str)
def test_a_change_in_the_middle_of_a_time_travel_takes_up_the_descent_from_there(gaussian, drawn, sampler):
    knobs = dataclasses.replace(sampler, steps=20, repeats=1)
    plain = run(sampler, gaussian, BOX, BOX(drawn(1)))
    stream = sampler(gaussian, BOX, BOX(drawn(1)), 0.0, generator=Generators([0]))
    up = next(i for i, (a, b) in enumerate(itertools.pairwise(plain)) if b.sigma > a.sigma)
    steps = list(itertools.islice(stream, up + 2))  # one step after the jump
    steps.append(stream.send(knobs))
    steps += stream
    sigmas = [step.sigma for step in steps[up + 1 :]]
    assert sigmas == sorted(set(sigmas), reverse=True)
    assert len({step.sigma for step in steps if step.sigma >= steps[up + 1].sigma}) + len(sigmas) - 1 == 20
    assert steps[-1].i + 1 == steps[-1].n


TURNS = {
    DPS: dict(zeta=2.0, eta=0.0, clip=False),
    PiGDM: dict(eta=0.0, weight=0.3, variant="B", spread=0.1, sigma_y_min=0.3, clip=False),
    DDRM: dict(eta=0.1, eta_b=0.3, temperature=0.5),
    MCG: dict(zeta=2.0, eta=0.0, clip=False),
    DDNM: dict(eta=0.1, noise_aware=False, repeats=3),
    RePaint: dict(repeats=1, jump=2, clip=False),
}


@pytest.mark.parametrize(("cls", "knob", "value"), [(cls, *turn) for cls, turns in TURNS.items() for turn in turns.items()])
def test_every_knob_acts_and_not_before_it_is_turned(drawn, cls, knob, value):
    prior = GaussianPrior(size=16, std=1.0)  # so that clipping is felt
    sampler, y = cls(steps=12), BOX(drawn(1)) + BOX.on_support(torch.full((1, 3, 16, 16), 0.1))
    plain = run(sampler, prior, BOX, y, 0.1)
    stream = sampler(prior, BOX, y, 0.1, generator=Generators([0]))
    steps = list(itertools.islice(stream, 4))
    steps.append(stream.send(dataclasses.replace(sampler, **{knob: value})))
    steps += stream
    assert all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(steps[:4], plain[:4], strict=True))
    assert not torch.equal(steps[-1].x0_hat, plain[-1].x0_hat)


def test_ddrm_can_start_below_the_highest_level(gaussian, drawn):
    sigmas = [step.sigma for step in run(DDRM(steps=6, sigma_max=5.0), gaussian, BOX, BOX(drawn(1)))]
    assert len(sigmas) == 6
    assert sigmas[0] == float(gaussian.sigmas[gaussian.sigmas <= 5.0][-1])
    assert sigmas[-1] == float(gaussian.sigmas[0])
