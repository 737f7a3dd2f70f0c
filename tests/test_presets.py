"""Presets: what is mixed into a sampler that a person asks for, and what is not."""

import dataclasses

import pytest
import torch

from redgui import api, bench, images, knobs, operators, presets, snippets
from redgui.operators import OPERATORS, Operator, build
from redgui.presets import PRESETS, PUBLISHED, sampler_for
from redgui.priors import PRIORS, catalogue
from redgui.runs.budget import with_steps
from redgui.runs.settings import Settings
from redgui.samplers import SAMPLERS, PiGDM, RedDiff

KINDS = [f"inpaint:kind={kind}" for kind in ("half", "outpaint", "random")]
HS = [*(operator() for operator in OPERATORS), *map(build, KINDS)]
every_problem = pytest.mark.parametrize("sigma_y", [0.0, 0.1])


def test_every_preset_is_of_a_sampler_and_a_degradation_that_there_are():
    names = {H.name for H in HS}
    for prior, sampler, operator in PRESETS:
        assert prior in {"*", catalogue.FEW, catalogue.FEW_LATENT, *(card.name for card in PRIORS)}
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


def test_priors_of_few_steps_have_presets_of_few_calls():
    few = [card.name for card in catalogue.MODELS if card.presets == catalogue.FEW]
    latents = [card.name for card in catalogue.MODELS if card.presets == catalogue.FEW_LATENT]
    assert len(few) == 1
    assert len(latents) == 4
    H = build("inpaint")
    for name in few:
        assert [sampler_for(s, H, 0.0, f"{name}:label=3").steps for s in ("diffpir", "ddnm", "reddiff")] == [8, 8, 8]
    assert all(sampler_for("reddiff", H, 0.1, f"{name}:prompt=a cup").steps == 8 for name in latents)
    assert sampler_for("dps", H, 0.0, few[0]) == sampler_for("dps", H, 0.0)


def test_a_prior_of_its_own_lines_has_them_and_any_other_those_of_all(monkeypatch):
    table = {("*", "ddrm", "*"): {"steps": 1}, ("*", "ddrm", "blur"): {"steps": 2}, ("photos", "ddrm", "*"): {"steps": 3},
             ("photos", "ddrm", "inpaint:text"): {"steps": 4}, ("*", "dps", "*"): {"steps": 5}}  # fmt: skip
    monkeypatch.setattr(presets, "PRESETS", table)
    wanted = {("photos", "blur"): 3, ("photos", "inpaint:kind=text"): 4, ("photos", "inpaint"): 3, ("faces-64", "blur"): 2,
              ("photos:label=3", "blur"): 3, ("a/model", "denoise"): 1}  # fmt: skip
    for (prior, operator), steps in wanted.items():
        assert sampler_for("ddrm", build(operator), 0.0, prior).steps == steps, (prior, operator)
    assert sampler_for("dps", build("blur"), 0.0, "photos").steps == 5  # it has no line for this sampler
    assert presets.text(sampler_for("ddrm", build("blur"), 0.0, "photos"), build("blur"), 0.0, "photos") == "ddrm"
    assert presets.text(sampler_for("ddrm", build("blur"), 0.0, "photos"), build("blur"), 0.0, "faces-64") == "ddrm:steps=3"


def test_the_name_of_the_prior_reaches_the_presets_of_a_run_a_link_and_a_benchmark(tmp_path):
    said = {"operator": "inpaint:kind=text", "prior": "photos"}
    tuned = sampler_for("reddiff", build("inpaint:kind=text"), 0.0, "photos")
    assert tuned != sampler_for("reddiff", build("inpaint:kind=text"))
    settings = Settings.read(said)
    assert settings.sampler == tuned
    assert settings.words()["sampler"] == "reddiff"
    assert Settings.read(settings.words()) == settings
    assert snippets.read_link("?prior=photos&operator=inpaint:kind=text").sampler == tuned
    assert snippets.read_link("?operator=inpaint:kind=text", "photos").sampler == tuned
    shown = [bench.Picture("one", torch.zeros(1, 3, 64, 64))]
    (job,) = bench.jobs(shown, ["inpaint:kind=text"], ["reddiff"], prior="photos")
    assert job.settings.sampler == tuned
    images.to_pil(torch.zeros(1, 3, 64, 64)).save(tmp_path / "grey.png")
    result = api.restore(tmp_path / "grey.png", prior="photos", operator="inpaint:kind=text", sampler="reddiff:steps=2")
    assert result.record.settings.sampler == dataclasses.replace(tuned, steps=2)
    assert "reddiff:steps=2 " in snippets.command(result.record) + " "


def test_presets_know_about_noise(monkeypatch):
    table = {("*", "ddrm", "*"): {"steps": 1}, ("*", "ddrm", "*@noisy"): {"steps": 2}, ("*", "ddrm", "blur"): {"steps": 3},
             ("*", "ddrm", "inpaint:box@noisy"): {"steps": 4}}  # fmt: skip
    monkeypatch.setattr(presets, "PRESETS", table)
    wanted = {
        ("denoise", 0.0): 1,
        ("denoise", 0.1): 2,
        ("blur", 0.0): 3,
        ("blur", 0.1): 3,
        ("inpaint", 0.0): 1,
        ("inpaint", 0.1): 4,
    }
    for (name, sigma_y), steps in wanted.items():
        assert presets.sampler_for("ddrm", operators.build(name), sigma_y).steps == steps
    assert presets.sampler_for("ddrm:steps=9", operators.build("blur"), 0.1).steps == 9


@pytest.mark.parametrize("key", presets.PRESETS, ids=":".join)
def test_every_preset_can_be_built(key):
    _, sampler, operator = key
    cls = knobs.find(SAMPLERS, sampler, "sampler")
    knobs.build(cls, presets.PRESETS[key])
    name, _, kind = operator.removesuffix("@noisy").partition(":")
    if name != "*":
        assert cls.accepts(operators.build(f"{name}:kind={kind}" if kind else name))
