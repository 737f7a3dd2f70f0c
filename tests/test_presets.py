"""Presets: what is mixed into a sampler that a person asks for, and what is not."""

import dataclasses

import pytest

from redgui import knobs, presets
from redgui.operators import OPERATORS, Operator, build
from redgui.presets import PRESETS, PUBLISHED, sampler_for
from redgui.priors import PRIORS
from redgui.runs.budget import with_steps
from redgui.samplers import SAMPLERS, PiGDM, RedDiff

KINDS = [f"inpaint:kind={kind}" for kind in ("half", "outpaint", "random")]
HS = [*(operator() for operator in OPERATORS), *map(build, KINDS)]
every_problem = pytest.mark.parametrize("sigma_y", [0.0, 0.1])


def test_every_preset_is_of_a_sampler_and_a_degradation_that_there_are():
    names = {H.name for H in HS}
    for prior, sampler, operator in PRESETS:
        assert prior in {"*", *(card.name for card in PRIORS)}
        knobs.build(knobs.find(SAMPLERS, sampler, "sampler"), PRESETS[prior, sampler, operator])
        assert operator.partition("@")[0].partition(":")[0] in {*names, "*"}, operator


@every_problem
@pytest.mark.parametrize("H", HS, ids=knobs.spec)
def test_compat_is_the_authors_method_whatever_the_degradation(H: Operator, sigma_y: float):
    authors = RedDiff(compat=True, steps=1000, lr=0.1, lam=0.25, weighting="linear", optimizer="adam", init="pinv")
    assert authors == RedDiff(compat=True, steps=1000)
    assert sampler_for("reddiff:compat=true", H, sigma_y) == authors
    assert sampler_for("reddiff:compat=yes,lr=0.2,steps=50", H, sigma_y) == dataclasses.replace(authors, lr=0.2, steps=50)
    assert sampler_for("reddiff:compat=false", H, sigma_y) == sampler_for("reddiff", H, sigma_y)


@every_problem
@pytest.mark.parametrize("variant", ["B", "C"])
def test_published_variants_of_pigdm_have_the_weight_and_the_spread_that_were_published(variant, sigma_y):
    for H in (build("blur"), build("inpaint:kind=random"), build("superres")):
        assert sampler_for(f"pigdm:variant={variant}", H, sigma_y) == PiGDM(variant=variant, steps=33)


@every_problem
@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
def test_the_shortest_text_reads_back_as_the_sampler(cls, sigma_y):
    for H in HS:
        usual = sampler_for(cls.name, H, sigma_y)
        assert presets.text(usual, H, sigma_y) == cls.name
        forms = [cls(), usual, with_steps(usual, 7)]
        forms += [dataclasses.replace(s, **{knob: value}) for s in forms for name, knob, value in PUBLISHED if name == cls.name]
        for sampler in forms:
            assert sampler_for(presets.text(sampler, H, sigma_y), H, sigma_y) == sampler
