"""What reproduces a run, as text: a link that opens the app with its settings, a command line, a Python snippet.

    print(command(Record.read("record.json")))

Command and snippet name the knobs that differ from the presets, so they are short, and give the very pixels of the run with the
same version of redgui, the device and precision that they name, and the files of `files`. What a person changed in mid-run, or
stopped by hand, no plain command can say: both are then a replay of record.json. A link carries settings only: an example
by its name, a person's own picture by a number that tells whether a browser still has it, and never the picture itself.
"""

import base64
import json
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from redgui import __version__, knobs, plugins
from redgui.errors import RedguiError

if TYPE_CHECKING:  # this module is light: torch is for those who call it
    from redgui.operators import Inpaint
    from redgui.runs.record import Record
    from redgui.runs.settings import Settings

LONGEST_LINK = 8000  # characters: beyond that mail programs, proxies and servers begin to cut addresses off
LONGEST_WORD = 100_000  # bytes: Linux takes 131072 in one word of a command
FOREIGN = ("view", "deep_link", "logs")  # what Gradio and its hosts put into an address, besides all that begins with __


class LinkError(RedguiError):
    """A link that cannot be made or opened; the message says why."""


def link(record: "Record") -> str:
    """`?operator=...&sampler=...`, which after the app's address opens it with the settings that the run began with.

    Raises:
        LinkError: a painted mask makes it too long.
    """
    from redgui.runs.settings import Settings

    s = Settings.of(record)
    said = {"example": s.example} if s.example else {"picture": s.picture}
    said |= {name: int(value) if isinstance(value, bool) else value for name, value in s.words(page=True).items()}
    text = "?" + urlencode(said, quote_via=quote, safe=":,=/")
    if len(text) > LONGEST_LINK:
        raise LinkError(f"the painted mask makes the link {len(text)} characters long; send record.json instead.")
    return text


def read_link(query: str, prior: str = "faces-64") -> "Settings | None":
    """The settings in the query of an address; None where it has none of ours. What it leaves out is as in the command line.

    Args:
        prior: where the link names none.

    Raises:
        RedguiError: a name that is unknown or given twice, or a value that cannot be used.
    """
    from redgui import api
    from redgui.runs.settings import Settings

    if len(query) > 8 * LONGEST_LINK:
        raise LinkError(f"the link has {len(query)} characters; at most {8 * LONGEST_LINK} are read.")
    known: dict[str, Any] = dict.fromkeys(("example", "picture", "operator", "sampler"))
    known |= {k.name: k for k in knobs.knobs(Settings) if k.shown}
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        if name.startswith("__") or name in FOREIGN:
            continue
        if name not in known:
            raise LinkError(f"it has {name[:40]!r}, which this app does not know. It knows: {', '.join(known)}.")
        if name in found:
            raise LinkError(f"it gives {name!r} twice.")
        found[name] = value if known[name] is None else _value(known[name], value)
    if not found:
        return None
    if (example := found.get("example")) is not None:
        api.resolve(f"example:{example[:40]}")
    if (picture := found.get("picture")) is not None and (example is not None or not re.fullmatch("[0-9a-f]{16}", picture)):
        raise LinkError("picture is 16 hexadecimal digits, and not beside an example.")
    if found.get("operator", "").partition(":")[0].strip() == "given":
        raise LinkError("an own damaged picture is said by given=1 beside the operator.")
    return Settings.read({"prior": prior, **found})


def command(record: "Record") -> str:
    """The command that makes the run again, quoted for a shell; a replay where no other can (`only_replay`)."""
    if only_replay(record):
        return replay_command()
    return in_shell(_image(record), _options(record))


def in_shell(image: str, options: dict[str, Any]) -> str:
    """The command that restores a picture with options by the names that `redgui.api.restore` has for them."""
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items()]
    return " ".join(["python -m redgui restore", shlex.quote(image), *words, *_plugins()])


def replay_command(path: str = "record.json") -> str:
    """The command that runs a record again."""
    return " ".join(["python -m redgui replay", shlex.quote(path), *_plugins()])


def _plugins() -> list[str]:
    return [f"--plugin {shlex.quote(str(file))}" for file in plugins.files()]


def snippet(record: "Record") -> str:
    """The same in Python."""
    added = "".join(f"plugins.add({json.dumps(str(file))})\n" for file in plugins.files())
    added = f"from redgui import plugins\n\n{added}" if added else ""
    if only_replay(record):
        return (
            f'{added}from redgui.api import replay\n\nresult, same = replay("record.json")\n'
            'print("the very pixels of the record:", same)\nresult.save("out")\n'
        )
    said = [json.dumps(_image(record)), *(f"{name}={_literal(value)}" for name, value in _options(record).items())]
    lines = "".join(f"    {entry},\n" for entry in said)
    return f'{added}from redgui.api import restore\n\nresult = restore(\n{lines})\nprint(result.figures)\nresult.save("out")\n'


def notebook(record: "Record") -> str:
    """A Jupyter notebook (nbformat 4.5) that holds the record, makes the run again, and shows it; it needs no other file."""
    added = "".join(f"plugins.add({json.dumps(str(file))})\n" for file in plugins.files())
    s = record.settings
    cells = [
        f"# {s.sampler.label} on {s.H.label}\n\nSeed {s.seed}, prior `{s.prior}`, made by redgui {__version__}.",
        (f"from redgui import plugins\n\n{added}\n" if added else "")
        + f'from redgui.runs.record import Record\n\nrecord = Record.from_json(r"""{record.to_json()}""")\n'
        "print(record.settings.sampler)",
        "from redgui import replay\nfrom redgui.runs.film import Film\n\nfilm = Film()\n"
        "result, same = replay(record, watch=film.remember)\nprint(result.figures)\n"
        'print("the very pixels of the record:", same)\nresult.image',
        "from redgui import images\n\nimages.row([result.picture, result.problem.start(), result.restored])",
        'from redgui.runs import movie\n\nmovie.save("run.webp", movie.frames(film.frames, result.problem))',
    ]
    made = [_cell(k, "code" if k else "markdown", text) for k, text in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell = {"id": f"cell-{number}", "cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def only_replay(record: "Record") -> str:
    """Why only a replay of its record makes the run again; empty where a plain command does."""
    if record.changes:
        return "The knobs were changed in mid-run, which only a replay of its record does again."
    planned = record.result.get("planned", getattr(record.settings.sampler, "steps", record.steps))
    if record.steps != planned:
        return f"The run was stopped after {record.steps} of {planned} steps, which only a replay of its record does again."
    if record.settings.given and record.settings.H.name == "compose":
        return "A damaged picture with a composition cannot be said in a command; a replay of its record makes the run again."
    if any(len(str(value).encode()) > LONGEST_WORD for value in _options(record).values()):
        return "The degradation is too long for a command; a replay of its record makes the run again."
    return ""


def files(record: "Record") -> dict[str, bytes]:
    """The files that command and snippet name and their bytes: picture.png, mask.png where there is one; and record.json."""
    from redgui import images

    found = {"record.json": record.to_json().encode()}
    if only_replay(record):
        return found
    if _image(record) == "picture.png":
        found["picture.png"] = base64.b64decode(record.image)
    if (H := _painted(record)) is not None:
        from PIL import Image

        hole = H.hole(*record.picture().shape[-2:])
        found["mask.png"] = images.encode(Image.fromarray(hole.astype("uint8") * 255).convert("RGB"))
    return found


def _options(record: "Record") -> dict[str, Any]:
    """What `restore` is told besides the picture, in its own names, without what it does by itself."""
    from redgui import fitting, priors
    from redgui.runs.settings import Settings

    s = Settings.of(record)
    said = s.words()
    painted = _painted(record)
    operator = knobs.spec(replace(painted, kind="box", painted="", grow=0)) if painted else said["operator"]
    if said.pop("given", False):
        name, colon, rest = operator.partition(":")
        if name == "inpaint" and not painted and not knobs.parse(operator)[1].keys() - type(s.H).beside:  # type: ignore[attr-defined]
            colon, rest = ":", "kind=box" + f",{rest}" * bool(rest)  # without a word of it no hole is meant
        operator = f"given:of={name}" + (f",{rest}" if colon else "")
    # A bare command has loaded the prior, and fits as usual for it: where that may not be a crop, a crop is said.
    known = {"gaussian": "crop", "empirical": "crop"}.get(s.prior.partition(":")[0])
    usual = fitting.usual(priors.multiple_of(s.prior)) if s.prior in priors.bundled() else known
    said |= {"fit": s.fit} if s.fit != usual else {}
    return {"operator": operator} | ({"mask": "mask.png"} if painted else {}) | {**said, "operator": operator}


def _painted(record: "Record") -> "Inpaint | None":
    """The operator, where it fills in what a person has painted."""
    from redgui.operators import Inpaint

    H = record.settings.H
    return H if isinstance(H, Inpaint) and H.kind == "mask" else None


def _image(record: "Record") -> str:
    from redgui.runs.settings import example_of

    example = example_of(record.image, record.settings.fit)
    return f"example:{example}" if example else "picture.png"


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _value(k: knobs.Knob, text: str) -> Any:
    """The value of a knob in a link."""
    whole = "whole " if k.kind is int else ""
    wanted = "0 or 1" if k.kind is bool else f"a {whole}number from {knobs.span(k)}" if k.lo is not None else ""
    try:
        return {"0": False, "1": True}[text] if k.kind is bool else knobs.coerce(k, text)
    except (knobs.KnobError, KeyError) as error:
        raise LinkError(f"{k.name} is {wanted}; got {text[:20]!r}." if wanted else str(error)) from None
