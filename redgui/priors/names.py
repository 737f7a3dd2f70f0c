"""The names of networks with what they are told, `DIR:label=207`, `owner/model:prompt=a red cup:negative=blur:guidance=2`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redgui import knobs
from redgui.knobs import KnobError, knob
from redgui.priors.base import PriorError
from redgui.reading import at_home

TEXTS = "prompt", "negative"  # knobs of a network whose commas are their own
TOLD = *TEXTS, "guidance"  # what a text-to-image model is told, and may be told anew in mid-run


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """The knobs of a network on the command line, after its name: `DIR:label=207`, `DIR:prompt=a red cup:guidance=2`."""

    name = "a network"
    label: int = knob(-1, -1, 10**6, help="class of a class-conditional network; -1: none")
    quantise: bool = knob(False, help="of a latent model with a codebook: decode its nearest entries, straight-through")
    memory: Literal["auto", "low"] = knob("auto", help="low: less of it for more time")
    prompt: str = knob("", hi=1000, help="of a text-to-image model: what the picture shows")
    negative: str = knob("", hi=1000, label="negative prompt", help="of a text-to-image model: what it does not show")
    guidance: float = knob(
        1.0, 0.0, 30.0, step=0.1, help="of a text-to-image model: how far from the negative prompt towards the prompt"
    )


def is_folder(name: str) -> bool:
    """Whether there is a folder of this name; what is too long for a name, or not for this person to see, is none."""
    try:
        return bool(name) and at_home(name).is_dir()
    except (OSError, ValueError):
        return False


def conditioned(name: str) -> tuple[str, Conditioned]:
    """`NAME:label=207` as NAME and its knobs, each after a colon, or a comma where none of them is a text. Raises PriorError.

    A colon may be part of a path: the longest NAME that is a folder is taken for it, else the shortest.
    """
    cuts = [found.start() for found in re.finditer(r":(?=\w+=)", name)]
    names = [name[:cut] for cut in cuts] + [name]
    where = next((one for one in reversed(names) if is_folder(one)), names[0])
    given: dict[str, str] = {}
    try:
        for part in re.split(r":(?=\w+=)", name[len(where) + 1 :]) if where != name else ():
            key, _, value = part.partition("=")
            given |= {key: value} if key in TEXTS else knobs.parse(f":{part}")[1]
        return where, knobs.build(Conditioned, given)
    except KnobError as error:
        raise PriorError(str(error)) from None


def with_texts(name: str, said: Mapping[str, Any]) -> str:
    """A name whose texts and guidance are these, in place of its own. Raises PriorError where it would not be read back."""
    where, now = conditioned(name)
    try:
        wanted = knobs.build(Conditioned, {**knobs.values(now), **said})
    except KnobError as error:
        raise PriorError(str(error)) from None
    told = {k.name: value for k in knobs.knobs(Conditioned) if (value := getattr(wanted, k.name)) != k.default}
    whole = where + "".join(f":{key}={value if key in TEXTS else knobs.spelled(value)}" for key, value in told.items())
    if conditioned(whole) != (where, wanted):
        raise PriorError("in a prompt a colon before a word and = begins the next setting; put a space after it.")
    return whole
