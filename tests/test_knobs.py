"""Knobs: bounds, types and the text form."""

import dataclasses
import json
import math
from typing import Literal

import pytest

from redgui import knobs
from redgui.knobs import KnobError, knob
from redgui.operators import OPERATORS, Inpaint
from redgui.priors import Empirical, GaussianPrior
from redgui.samplers import SAMPLERS, RedDiff


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """One knob of each kind."""

    name = "thing"
    rate: float = knob(0.5, -2.0, 2.0, help="a number")
    count: int = knob(3, 1, 2**31 - 1, help="a whole number")
    flag: bool = knob(False, help="yes or no")
    kind: Literal["round", "square"] = knob("round", help="a choice")
    words: str = knob("", hi=40, help="a text")
    hidden: int = 7  # not a knob

    def __post_init__(self) -> None:
        knobs.check(self)


ALL = [*SAMPLERS, *OPERATORS, GaussianPrior, Empirical]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_every_knob_has_help_and_every_number_bounds_around_its_default(cls):
    for k in knobs.knobs(cls):
        assert k.help, k.name
        assert k.kind in (float, int, bool, str), k.name
        if k.kind in (float, int):
            assert k.lo is not None, k.name
            assert k.hi is not None, k.name
            assert k.lo <= k.default <= k.hi, k.name
        if k.choices:
            assert k.default in k.choices, k.name
        if k.only_with:
            other = next(o for o in knobs.knobs(cls) if o.name == k.only_with[0])
            assert set(k.only_with[1]) <= set(other.choices), k.name


@pytest.mark.parametrize("cls", [*SAMPLERS, *OPERATORS], ids=lambda cls: cls.name)
def test_every_registered_class_describes_itself_to_people(cls):
    assert cls.label
    assert cls.about
    knobs.build(cls, {})


def test_knobs_are_read_in_order_with_their_kinds():
    found = knobs.knobs(Thing)
    assert [(k.name, k.kind) for k in found] == [("rate", float), ("count", int), ("flag", bool), ("kind", str), ("words", str)]
    assert found[3].choices == ("round", "square")


@pytest.mark.parametrize(
    ("given", "name", "wanted"),
    [
        ("0.25", "rate", 0.25),
        (1, "rate", 1.0),
        ("1e-3", "rate", 1e-3),
        ("12", "count", 12),
        (12.0, "count", 12),
        ("yes", "flag", True),
        ("FALSE", "flag", False),
        ("square", "kind", "square"),
        ("5", "words", "5"),
    ],
)
def test_text_and_kindred_numbers_become_the_declared_type(given, name, wanted):
    value = getattr(knobs.build(Thing, {name: given}), name)
    assert value == wanted
    assert type(value) is type(wanted)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("rate", 2.5, "lies in -2 to 2; got 2.5"),
        ("rate", 2.0000000001, "got 2.0000000001"),  # :g once said "lies in -2 to 2; got 2"
        ("rate", math.nan, "finite"),
        ("rate", "inf", "finite"),
        ("rate", 10**400, "finite"),  # once an OverflowError
        ("rate", "fast", "number"),
        ("rate", True, "number"),
        ("rate", None, "number"),
        ("rate", [1], "number"),
        ("count", 2**31, "lies in 1 to 2147483647"),  # :g once said 2.14748e+09
        ("count", 2.5, "whole"),
        ("flag", 2, "true or false"),
        ("flag", "maybe", "true or false"),
        ("kind", "sqare", "did you mean 'square'"),
        ("kind", ["round"], "one of round, square"),
        ("words", 5, "text"),
        ("words", "x" * 41, "at most 40"),
        ("wrods", "x", "did you mean 'words'"),
        ("hidden", 1, "Its knobs: rate, count, flag, kind, words"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(name, value, told):
    with pytest.raises(KnobError) as caught:
        knobs.build(Thing, {name: value})
    assert told in str(caught.value)
    assert name in str(caught.value)


def test_bounds_hold_for_the_plain_constructor_and_for_replace():
    with pytest.raises(KnobError):
        Thing(rate=3.0)
    with pytest.raises(KnobError):
        dataclasses.replace(Thing(), count=0)
    assert Thing(rate=2.0).rate == 2.0  # bounds are included


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-7, -1.23456789012345, 2.0, 0.1 + 0.2, 5e-324])
def test_numbers_survive_the_text_form_exactly(value):
    # The text form once kept six digits.
    thing = Thing(rate=value)
    assert knobs.build(Thing, knobs.parse(knobs.spec(thing))[1]) == thing


@pytest.mark.parametrize("words", [",", "a, b", "a=b,c=d", "\\", "a\\,b", "\\,", " a ", "  ", "\\ ", "a:b", "tail\\", "tail\\ ",
                                   "C:\\pics", "\n", "é,\t"])  # fmt: skip
def test_texts_survive_the_text_form_exactly(words):
    # Commas, and spaces at the ends, were once lost.
    for thing in (Thing(words=words), Thing(words=words, count=9), Thing(words=words, rate=1.0)):
        assert knobs.build(Thing, knobs.parse(knobs.spec(thing))[1]) == thing


def test_the_text_form_is_short_and_readable():
    assert knobs.spec(Thing()) == "thing"
    assert knobs.spec(Thing(rate=1.0, flag=True, kind="square")) == "thing:rate=1,flag=true,kind=square"
    assert knobs.spec(Inpaint(kind="text", text="a, b")) == r"inpaint:kind=text,text=a\, b"


def test_parse_allows_spaces_and_stray_commas():
    assert knobs.parse(" thing : rate = 0.5 , , count=2,") == ("thing", {"rate": "0.5", "count": "2"})
    assert knobs.parse("thing") == ("thing", {})
    assert knobs.parse(r"prior:folder=C:\pics\new") == ("prior", {"folder": r"C:\pics\new"})


def test_parse_says_what_is_wrong():
    with pytest.raises(KnobError, match="knob=value"):
        knobs.parse("thing:rate")


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_values_and_text_rebuild_every_class(cls):
    thing = cls()
    values = json.loads(json.dumps(knobs.values(thing)))
    assert knobs.build(cls, values) == thing
    assert knobs.build(cls, knobs.parse(knobs.spec(thing))[1]) == thing


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(KnobError, match="did you mean 'reddiff'") as caught:
        knobs.find(SAMPLERS, "redif", "sampler")
    assert all(s.name in str(caught.value) for s in SAMPLERS)
    with pytest.raises(KnobError, match="no sampler 5"):  # a name from a record may be anything
        knobs.find((RedDiff,), 5, "sampler")
