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
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from redgui import knobs
from redgui.errors import RedguiError

if TYPE_CHECKING:  # this module is light: torch is for those who call it
    from redgui.runs.record import Record
    from redgui.runs.settings import Settings

LONGEST_LINK = 8000  # characters: beyond that mail programs, proxies and servers begin to cut addresses off
LONGEST_WORD = 100_000  # bytes: Linux takes 131072 in one word of a command
PARAMETERS = ("example", "picture", "fit", "prior", "operator", "sampler", "sigma_y", "seed", "particles", "given")
FOREIGN = ("view", "deep_link", "logs")  # what Gradio and its hosts put into an address, besides all that begins with __


class LinkError(RedguiError):
    """A link that cannot be made or opened; the message says why."""


def link(record: "Record") -> str:
    """`?operator=...&sampler=...`, which after the app's address opens it with the settings that the run began with.

    Raises:
        LinkError: a painted mask makes it too long.
    """
    from redgui import presets
    from redgui.runs.settings import Settings

    s = Settings.of(record)
    said: dict[str, Any] = {"example": s.example} if s.example else {"picture": s.picture}
    said |= {"operator": knobs.spec(s.H), "sampler": _sampler_spec(s)}
    said |= {name: value for name, value, usual in (("sigma_y", s.sigma_y, 0.0), ("seed", s.seed, 0)) if value != usual}
    if s.particles != presets.particles(s.sampler, s.H):
        said["particles"] = s.particles
    said |= {"given": 1} if s.given else {}
    said |= {"prior": s.prior, "fit": s.fit}
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
    from redgui import api, presets
    from redgui.fitting import WAYS
    from redgui.runs.settings import Settings

    if len(query) > 8 * LONGEST_LINK:
        raise LinkError(f"the link has {len(query)} characters; at most {8 * LONGEST_LINK} are read.")
    found: dict[str, str] = {}
    for name, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        if name.startswith("__") or name in FOREIGN:
            continue
        if name not in PARAMETERS:
            raise LinkError(f"it has {name[:40]!r}, which this app does not know. It knows: {', '.join(PARAMETERS)}.")
        if name in found:
            raise LinkError(f"it gives {name!r} twice.")
        found[name] = value
    if not found:
        return None
    given = found.get("given", "0")
    if given not in ("0", "1"):
        raise LinkError(f"given is 0 or 1; got {given[:20]!r}.")
    if (fit := found.get("fit", "crop")) not in WAYS:
        raise LinkError(f"fit is one of {', '.join(WAYS)}; got {fit[:20]!r}.")
    if (example := found.get("example")) is not None:
        api.resolve(f"example:{example[:40]}")
    if (picture := found.get("picture")) is not None and (example is not None or not re.fullmatch("[0-9a-f]{16}", picture)):
        raise LinkError("picture is 16 hexadecimal digits, and not beside an example.")
    if found.get("operator", "").partition(":")[0].strip() == "given":
        raise LinkError("an own damaged picture is said by given=1 beside the operator.")
    H, _ = api.parse_operator(found.get("operator", "inpaint"))
    sigma_y = float(_number(found, "sigma_y", 0.0))
    sampler = presets.sampler_for(found.get("sampler", "reddiff"), H, sigma_y)
    return Settings(
        H=H, sampler=sampler, sigma_y=sigma_y, seed=int(_number(found, "seed", 0)),
        particles=int(_number(found, "particles", presets.particles(sampler, H))), given=given == "1",
        prior=found.get("prior", prior), fit=fit, example=example, picture=picture,
    )  # fmt: skip


def command(record: "Record") -> str:
    """The command that makes the run again, quoted for a shell; a replay where no other can (`only_replay`)."""
    if only_replay(record):
        return replay_command()
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in _options(record).items()]
    return " ".join(["python -m redgui restore", shlex.quote(_image(record)), *words])


def replay_command(path: str = "record.json") -> str:
    """The command that runs a record again."""
    return f"python -m redgui replay {shlex.quote(path)}"


def snippet(record: "Record") -> str:
    """The same in Python."""
    if only_replay(record):
        return (
            'from redgui.api import replay\n\nresult, same = replay("record.json")\n'
            'print("the very pixels of the record:", same)\nresult.save("out")\n'
        )
    said = [json.dumps(_image(record)), *(f"{name}={_literal(value)}" for name, value in _options(record).items())]
    lines = "".join(f"    {entry},\n" for entry in said)
    return f'from redgui.api import restore\n\nresult = restore(\n{lines})\nprint(result.figures)\nresult.save("out")\n'


def only_replay(record: "Record") -> str:
    """Why only a replay of its record makes the run again; empty where a plain command does."""
    if record.changes:
        return "The knobs were changed in mid-run, which only a replay of its record does again."
    planned = record.result.get("planned", getattr(record.build_sampler(), "steps", record.steps))
    if record.steps != planned:
        return f"The run was stopped after {record.steps} of {planned} steps, which only a replay of its record does again."
    if record.given and record.operator["name"] == "compose":
        return "A damaged picture with a composition cannot be said in a command; a replay of its record makes the run again."
    if any(len(str(value).encode()) > LONGEST_WORD for value in _options(record).values()):
        return "The degradation is too long for a command; a replay of its record makes the run again."
    return ""


def files(record: "Record") -> dict[str, bytes]:
    """The files that command and snippet name and their bytes: picture.png, mask.png where there is one; and record.json."""
    from redgui import images
    from redgui.operators import Inpaint

    found = {"record.json": record.to_json().encode()}
    if only_replay(record):
        return found
    if _image(record) == "picture.png":
        found["picture.png"] = base64.b64decode(record.image)
    H = record.build_operator()
    if isinstance(H, Inpaint) and H.kind == "mask":
        from PIL import Image

        hole = H.hole(*record.picture().shape[-2:])
        found["mask.png"] = images.encode(Image.fromarray(hole.astype("uint8") * 255).convert("RGB"))
    return found


def _options(record: "Record") -> dict[str, Any]:
    """What `restore` is told besides the picture, in its own names, without what it does by itself."""
    from redgui import presets
    from redgui.runs.settings import Settings

    s = Settings.of(record)
    said: dict[str, Any] = {}
    if _painted(record):
        said |= {"operator": "given:of=inpaint" if s.given else "inpaint", "mask": "mask.png"}
    elif s.given:
        name, colon, rest = knobs.spec(s.H).partition(":")
        said["operator"] = f"given:of={name}" + (f",{rest}" if colon else "")
    else:
        said["operator"] = knobs.spec(s.H)
    said["sampler"] = _sampler_spec(s)
    if s.sigma_y:
        said["sigma_y"] = s.sigma_y
    if s.particles != presets.particles(s.sampler, s.H):
        said["particles"] = s.particles
    if s.seed:
        said["seed"] = s.seed
    said["prior"] = s.prior
    if s.fit == "native" or s.example:
        said |= _fit(record, s)
    said |= {"device": record.device, "precision": record.precision}
    return said if record.threads is None else said | {"threads": record.threads}


def _fit(record: "Record", s: "Settings") -> dict[str, Any]:
    """`fit` and `size` where the picture has still to be fitted, or keeps a size that is not the prior's."""
    from redgui import fitting

    if s.fit != "native":
        return {} if s.fit == "crop" else {"fit": s.fit}
    h, w = record.picture().shape[-2:]
    if s.given:  # the longest side is that of the picture which is looked for
        like = (256, 256)
        h, w = (n * k // m for n, k, m in zip((h, w), like, s.H.measured_size(*like), strict=True))
    return {"fit": "native"} | ({"size": max(h, w)} if max(h, w) > fitting.LONGEST else {})


def _sampler_spec(s: "Settings") -> str:
    """The sampler with the knobs that differ from its presets for this degradation."""
    from redgui import presets

    return presets.text(s.sampler, s.H, s.sigma_y)


def _painted(record: "Record") -> bool:
    return record.operator["name"] == "inpaint" and record.operator["knobs"].get("kind") == "mask"


def _image(record: "Record") -> str:
    from redgui.runs.settings import example_of

    example = example_of(record)
    return f"example:{example}" if example else "picture.png"


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _number(found: dict[str, str], name: str, usual: float) -> float:
    """A number of a link, within what a record may have."""
    lo, hi, kind = {"sigma_y": (0, 2, float), "seed": (0, 2**63 - 1, int), "particles": (1, 64, int)}[name]
    text = found.get(name)
    try:
        number = usual if text is None else kind(text[:40])
    except ValueError:
        number = None
    if number is None or not lo <= number <= hi:
        raise LinkError(f"{name} is a {'whole ' if kind is int else ''}number from {lo} to {hi}; got {str(text)[:20]!r}.")
    return number
