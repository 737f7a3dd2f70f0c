"""Settings are the one value that says what a run is: whatever reads or writes runs carries a new field by itself."""

import dataclasses
import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from redgui import api, asked, knobs, priors, snippets
from redgui.errors import RedguiError
from redgui.knobs import KnobError, knob
from redgui.operators import Inpaint
from redgui.runs import record as records
from redgui.runs import settings as home
from redgui.runs.record import Record, RecordError
from redgui.runs.settings import Settings
from redgui.samplers import RedDiff
from redgui.ui.calls import endpoints
from redgui.ui.host.limits import HOME
from redgui.ui.parts.controls import SETTING

PRIOR = "gaussian:size=16,std=0.4"
SAID = [
    dict(),
    dict(operator="blur:size=5", sampler="ddrm:steps=3", sigma_y=0.25, seed=2**63 - 1, particles=3),
    dict(operator="phase", sampler="daps:steps=9", seed=2**53 + 1, fit="pad", prior="photos"),
    dict(operator="superres:factor=2", given=True, sampler="rsd", fit="native", size=300, device="cuda", threads=3),
    dict(sampler="ddrm:steps=3", device="cuda:1"),
    dict(sampler="ddrm:steps=3", device="mps"),
    dict(operator=r"inpaint:kind=text,text=a\, b", precision="bf16", example="face-06"),
]


@pytest.mark.parametrize("said", SAID, ids=str)
def test_words_are_read_back_and_say_no_more_than_they_must(said):
    settings = Settings.read(said)
    words = settings.words()
    assert Settings.read(words | {"example": settings.example}) == settings
    assert set(words) <= {"operator", "sampler", "prior", *said}
    assert json.loads(json.dumps(words)) == words
    assert not {"device", "precision", "threads"} & set(settings.words(page=True))


def test_operator_and_sampler_may_be_made_already():
    sampler = RedDiff(steps=7)
    settings = Settings.read({"operator": Inpaint(kind="half"), "sampler": sampler})
    assert (settings.H, settings.sampler, settings.given) == (Inpaint(kind="half"), sampler, False)


def test_a_seed_of_63_bits_keeps_every_digit():  # 2**53 + 1 was once rounded as a float is
    for seed in (2**53 + 1, 2**62 + 3, 2**63 - 1):
        assert Settings.read({"seed": seed}).seed == Settings.read({"seed": str(seed)}).seed == seed
        assert snippets.read_link(f"?seed={seed}").seed == seed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (dict(colour=1), "no setting 'colour'. Its settings: operator, sampler, sigma_y, seed"),
        (dict(seed=-1), "the seed lies in 0 to 9223372036854775807; got -1"),
        (dict(seed=2**63), "the seed lies in"),
        (dict(seed=1.5), "seed is a whole number"),
        (dict(sigma_y=float("nan")), "the sigma_y lies in 0 to 2; got nan"),
        (dict(particles=65), "the particles lie in 1 to 64; got 65"),
        (dict(threads=0), "the threads lie in 1 to 1024; got 0"),
        (dict(size=10**9), "the size lies in 64 to 8192"),
        (dict(size="large"), "size is a number"),
        (dict(fit="zoom"), "fit is one of crop, pad, stretch, native"),
        (dict(device="abacus"), "device is one of auto, cpu, cuda"),
        (dict(precision="fp4"), "precision is one of auto, fp32, bf16, fp16"),
        (dict(given="perhaps"), "given is true or false"),
        (dict(operator=3), "operator is a text; got 3"),
        (dict(sampler=["ddrm"]), "sampler is a text"),
        (dict(sampler=Inpaint()), "sampler is a text"),
        (dict(prior="x" * 10**6), "prior is a text of at most"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_cannot_be_is_one_error(said, told):
    with pytest.raises(KnobError) as caught:
        Settings.read(said)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


def test_settings_are_equal_whatever_machine_they_name():
    assert Settings.read({"device": "cuda", "precision": "fp16", "threads": 4}) == Settings.read({})
    assert Settings.read({"seed": 1}) != Settings.read({})


def test_the_page_ends_within_the_bounds():
    bounds = {k.name: k for k in knobs.knobs(Settings)}
    assert {name: k.hi for name, k in SETTING.items()} == {"sigma_y": 1.0, "seed": 2**31 - 1, "particles": 16}
    assert all(bounds[name].lo <= k.lo < k.hi < bounds[name].hi for name, k in SETTING.items())


# ---- one more field


@dataclass(frozen=True, kw_only=True)
class Wider(Settings):
    """Settings with two fields that there are not."""

    contrast: float = knob(1.0, 0.1, 4.0, help="a number")
    exact: bool = knob(False, help="a truth")


@pytest.fixture
def wider(monkeypatch) -> Settings:
    """Settings of one more field for all that reads and writes them. Nothing but the class is changed."""
    for module in (home, records, api, asked):
        monkeypatch.setattr(module, "Settings", Wider)
    said = dict(sampler="reddiff:steps=2", prior=PRIOR, device="cpu", precision="fp32", contrast=2.5, exact=True)
    return Wider.read(said)


@pytest.fixture
def record(wider) -> Record:
    """The record of a run of those."""
    source, prior = api.opened("example:face-06"), priors.load(PRIOR, "cpu", "fp32")
    return api.perform(wider, source, None, prior, None).record


def test_a_new_field_is_in_a_record_and_older_records_lack_it(record):
    assert (record.settings.contrast, record.settings.exact) == (2.5, True)
    body = json.loads(record.to_json())
    assert (body["contrast"], body["exact"]) == (2.5, True)
    assert Record.from_json(record.to_json()) == record
    del body["contrast"], body["exact"]
    older = Record.from_json(json.dumps(body))
    assert (older.settings.contrast, older.settings.exact) == (1.0, False)
    result, same = api.replay(record)
    assert same
    assert result.record.settings == record.settings
    for wrong, told in ((9, "the contrast lies in 0.1 to 4; got 9"), ("much", "'contrast' has the wrong type: str")):
        with pytest.raises(RecordError, match=told):
            Record.from_json(json.dumps(body | {"contrast": wrong}))


def test_a_new_field_is_in_a_link_and_is_read_from_one(record):
    link = snippets.link(record)
    assert "&contrast=2.5&exact=1" in link
    assert snippets.read_link(link) == Wider.of(record)
    assert snippets.read_link("?seed=3").contrast == 1.0
    for wrong, told in (("contrast=9", "contrast is a number from 0.1 to 4; got '9'"), ("exact=yes", "exact is 0 or 1")):
        with pytest.raises(snippets.LinkError, match=told):
            snippets.read_link(f"?{wrong}")


def test_a_new_field_is_in_command_and_snippet(record):
    assert " --contrast 2.5 --exact True" in snippets.command(record)
    assert "    contrast=2.5,\n    exact=True,\n" in snippets.snippet(record)
    usual = dataclasses.replace(record, settings=dataclasses.replace(record.settings, contrast=1.0))
    assert "contrast" not in snippets.command(usual)


def test_a_new_field_is_read_from_a_call(wider):
    actions = SimpleNamespace(limits=HOME)
    said = dict(operator="blur", given=False, size=None, contrast="0.5", exact=None)
    settings, *_ = endpoints.asked(actions, "example:face-06", None, priors.load(PRIOR, "cpu"), said)
    assert (settings.contrast, settings.exact, settings.prior) == (0.5, False, PRIOR)
    with pytest.raises(RedguiError, match="the contrast lies in"):
        endpoints.asked(actions, "example:face-06", None, priors.load(PRIOR, "cpu"), {**said, "contrast": 9})


def test_what_a_run_is_is_hashable_and_known_by_its_figures():
    settings = Settings(H=Inpaint(), sampler=Settings.read({}).sampler, seed=4)
    assert len({settings, dataclasses.replace(settings, seed=5), dataclasses.replace(settings, threads=2)}) == 2
    figures = settings.figures()
    assert list(figures) == ["prior", "operator", "sampler", "sigma_y", "noise", "seed", "particles", "device", "precision"]
    assert figures["seed"] == 4
