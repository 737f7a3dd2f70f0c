r"""Knobs: the typed, bounded settings of samplers, operators and closed-form priors.

A knob is a dataclass field with bounds and a help text. The same declaration feeds the sliders of the
app, the command line, the benchmark and the record, and its bounds are enforced in one place, `check`.

    @dataclass(frozen=True, kw_only=True)
    class Blur(LinearOperator):
        size: int = knob(9, 3, 61, help="support of the kernel in pixels")

A specification is the text form: `blur:kind=gaussian,size=9`. In a text, a comma is written `\,`, a backslash `\\`
(needed only before a comma, a backslash or a space) and a space at either end `\ `: `inpaint:kind=text,text=one\, two`.
"""

import contextlib
import dataclasses
import difflib
import functools
import math
import re
import typing
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal

from redgui.errors import RedguiError

LONGEST_SHOWN = 60  # characters of a wrong value in a message


class KnobError(RedguiError):
    """A knob, or the name of a thing with knobs, that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Knob:
    """One setting as read from a class by `knobs`."""

    name: str
    kind: type  # float, int, bool or str; a choice is a str with `choices`
    default: Any
    lo: float | None
    hi: float | None
    choices: tuple[str, ...]
    help: str
    label: str
    log: bool  # a slider should move in factors, not in differences
    step: float | None
    live: bool  # may change in the middle of a run
    advanced: bool
    shown: bool  # False: not offered as a control (set by other means, such as a painted mask)
    only_with: tuple[str, tuple[str, ...]] | None  # shown when another knob has one of these values
    whole: float | None  # a text a/b is a of b times this


def knob(
    default: Any,
    lo: float | None = None,
    hi: float | None = None,
    *,
    help: str,
    label: str = "",
    log: bool = False,
    step: float | None = None,
    live: bool = True,
    advanced: bool = False,
    shown: bool = True,
    only_with: tuple[str, tuple[str, ...]] | None = None,
    compare: bool = True,
    whole: float | None = None,
) -> Any:
    """A dataclass field with bounds (`lo`, `hi`, both inclusive; of a text, `hi` characters at most) and a `help` text.

    A default of None means that nothing is chosen, and makes None a value. `compare` is that of `dataclasses.field`.
    With `whole` a number may be written in the units of somebody else: as a/b, where they span b and the knob's own `whole`.
    """
    meta = dict(lo=lo, hi=hi, help=help, label=label, log=log, step=step, live=live, advanced=advanced, shown=shown,
                only_with=only_with, whole=whole)  # fmt: skip
    return dataclasses.field(default=default, compare=compare, metadata={"knob": meta})


@functools.cache
def knobs(cls: type) -> tuple[Knob, ...]:
    """The knobs of a dataclass, in the order of declaration."""
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        if "knob" not in field.metadata:
            continue
        hint = hints[field.name]
        if NoneType in typing.get_args(hint):
            (hint,) = (kind for kind in typing.get_args(hint) if kind is not NoneType)
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        meta = dict(field.metadata["knob"])
        meta["label"] = meta["label"] or field.name
        found.append(Knob(field.name, str if choices else hint, field.default, choices=choices, **meta))
    return tuple(found)


def check(thing: Any) -> None:
    """Validates every knob of a dataclass instance; called by `__post_init__`.

    Integral floats become ints and ints become floats where the declaration says so.

    Raises:
        KnobError: wrong type, not finite, out of bounds or not among the choices.
    """
    for k in knobs(type(thing)):
        value = coerce(k, getattr(thing, k.name), type(thing).__name__)
        object.__setattr__(thing, k.name, value)


def coerce(k: Knob, value: Any, owner: str = "") -> Any:
    """`value` as the type of the knob `k`; text is parsed. Raises KnobError with what to do."""
    where = f"{owner}: {k.name}" if owner else k.name
    got = shown(value)
    if value is None and k.default is None:
        return None
    if k.choices:
        if value not in k.choices:
            raise KnobError(f"{where} is one of {', '.join(k.choices)}; got {got}{_closest(str(value), k.choices)}.")
        return value
    if k.kind is bool:
        if isinstance(value, bool):
            return value
        truth = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
        if isinstance(value, str) and value.lower() in truth:
            return truth[value.lower()]
        raise KnobError(f"{where} is true or false; got {got}.")
    if k.kind is str:
        if not isinstance(value, str):
            raise KnobError(f"{where} is a text; got {got}.")
        longest = 2000 if k.hi is None else int(k.hi)
        if len(value) > longest:
            raise KnobError(f"{where} is a text of at most {longest} characters; got {len(value)}.")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise KnobError(f"{where} is a number; got {got}.")
    part, slash, of = value.partition("/") if isinstance(value, str) and k.whole is not None else (value, "", "1")
    try:
        number = k.whole * float(part) / float(of) if slash and k.whole else float(value)
    except (ValueError, ZeroDivisionError):
        raise KnobError(f"{where} is a number{', or a part such as 12.75/255' if k.whole else ''}; got {got}.") from None
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise KnobError(f"{where} is a finite number; got {str(value)[:20]!r}.")
    if k.kind is int and 2**53 <= abs(number) < 2**64:
        with contextlib.suppress(ValueError):  # a float has 53 bits, a seed has 63
            number = int(value)
    if k.kind is int and number != int(number):
        raise KnobError(f"{where} is a whole number; got {got}.")
    if (k.lo is not None and number < k.lo) or (k.hi is not None and number > k.hi):
        raise KnobError(f"{where} lies in {span(k)}; got {spelled(number)}.")
    return int(number) if k.kind is int else number


def span(k: Knob) -> str:
    """The bounds of a number, such as `0 to 2`."""
    return f"{spelled(k.lo)} to {spelled(k.hi)}"


def build(cls: type, values: dict[str, Any]) -> Any:
    """`cls` with the given knobs; unknown names are an error that lists the known ones."""
    known = {k.name: k for k in knobs(cls)}
    for name in values:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise KnobError(f"{cls.name} has no knob {shown(name)}{_closest(name, known)}. Its knobs: {listed}.")
    return cls(**{name: coerce(known[name], value, cls.name) for name, value in values.items()})


def values(thing: Any) -> dict[str, Any]:
    """The knobs of an instance as a JSON-ready dict; `build(type(thing), values(thing)) == thing`."""
    return {k.name: getattr(thing, k.name) for k in knobs(type(thing))}


def parse(text: str) -> tuple[str, dict[str, str]]:
    r"""Splits `name:knob=value,knob=value` into the name and the values (still text, `\,` in them as a comma)."""
    name, _, rest = text.partition(":")
    given = {}
    for part in re.findall(r"(?:\\.|[^,\\]|\\\Z)+", rest, re.DOTALL):  # up to a comma without a backslash
        key, equals, value = part.partition("=")
        if not equals and key.strip():
            raise KnobError(
                f"knobs are written knob=value and separated by commas; got {shown(part.strip())} in {shown(text)}."
            )
        if equals:
            given[key.strip()] = _unescaped(value)
    return name.strip(), given


def spec(thing: Any, than: Any = None) -> str:
    """The text form of an instance, with the knobs that differ from those of `than`, of the same class (None: the defaults)."""
    usual = {k.name: k.default for k in knobs(type(thing))} if than is None else values(than)
    return written(type(thing).name, {name: value for name, value in values(thing).items() if value != usual[name]})


def written(name: str, given: dict[str, Any]) -> str:
    """The text that `parse` splits into the name and these values."""
    return name + (":" + ",".join(f"{key}={spelled(value)}" for key, value in given.items()) if given else "")


def find(classes: tuple[type, ...], name: str, what: str) -> type:
    """The class called `name` in a registry, or an error that lists what there is."""
    for cls in classes:
        if cls.name == name:
            return cls
    names = [cls.name for cls in classes]
    raise KnobError(f"there is no {what} {shown(name)}{_closest(str(name), names)}. Choose one of: {', '.join(names)}.")


def shown(value: Any) -> str:
    """A wrong value as a message has it: no longer than a line."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _closest(name: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def spelled(value: Any) -> str:
    """As short as reads back exactly."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(int(value)) if value == int(value) else repr(value)
    return _escaped(value) if isinstance(value, str) else str(value)


def _escaped(text: str) -> str:
    """A backslash before every comma and backslash, and before spaces at both ends."""
    return re.sub(r"[\\,]|^\s+|\s+\Z", lambda found: "".join("\\" + c for c in found[0]), text)


def _unescaped(text: str) -> str:
    """The inverse of `_escaped`; spaces at both ends without a backslash are dropped, any other backslash is itself."""
    text = re.sub(r"^\s*((?:\\.|[^\\]|\\\Z)*?)\s*\Z", r"\1", text, flags=re.DOTALL)
    return re.sub(r"\\([\\,\s])", r"\1", text)
