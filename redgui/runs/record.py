"""Records: one JSON object that reproduces a run bit for bit on the same device at the same precision.

A record carries the picture itself (as fitted to the prior, PNG), every knob, the changes made in mid-run and
after which step, and how many steps were run, so that a run that a person tuned and stopped by hand replays.
"""

import base64
import dataclasses
import hashlib
import json
import platform
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Self, cast

import torch
from torch import Tensor

import redgui
from redgui import images, knobs, operators, samplers
from redgui.errors import RedguiError
from redgui.fitting import Way
from redgui.knobs import KnobError
from redgui.priors import Counted, Prior
from redgui.priors.names import TOLD
from redgui.runs import cores
from redgui.runs.problem import Problem
from redgui.runs.settings import Settings, decoded
from redgui.runs.shared import Shared
from redgui.runs.stream import Measured, Stop, controlled, measured, solve, summary
from redgui.samplers import Sampler

FORMAT = "redgui-record"
VERSION = 1
MAX_BYTES = 64 * 2**20  # a picture of 12 megapixels has up to 48
MOST_STEPS = 100_000  # more than any sampler makes
MOST_TOGETHER, MOST_CALLS = 1024, 10**7
# What every record of this version says; other fields came later, and older records lack them.
FIRST = ("image", "prior", "operator", "sampler", "sigma_y", "seed", "particles", "steps", "given", "device", "precision")
LATER = {"inpaint": {"area": "whole"}}  # knobs that came later, as records without them were made
Sizes = tuple[tuple[int, ...], ...]


class RecordError(RedguiError):
    """A record that cannot be read or replayed; the message says why."""


@dataclass(frozen=True)
class Change:
    """Knobs of the sampler, or texts of the prior (`Prior.texts`), that took effect after step `after` (0-based) was made."""

    after: int
    knobs: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A run.

    Attributes:
        image: a PNG in base64: the ground truth, or the measurement itself where the settings say `given`.
        settings: those at the start, with the device, the precision and the CPU's threads that it had. Older records lack
            `threads`, on which the last bits depend, and `fit`, which a replay does not need; `size` is that of the image.
        steps: that were made.
        changes: in mid-run.
        sizes: [pictures, calls] or [pictures, calls, threads]: how many pictures went through the network together, for how
            many calls, on how many CPU threads where it was not on those of the settings; None: alone.
        result: figures, and the digest of the pixels.
        made_with: versions.
    """

    image: str
    settings: Settings
    steps: int
    changes: tuple[Change, ...] = ()
    sizes: Sizes | None = None
    result: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, picture: Tensor, problem: Problem, prior: Prior, sampler: Sampler, last: Measured,
           changes: tuple[Change, ...] = (), fit: str = "crop", sizes: Sizes | None = None) -> Self:  # fmt: skip
        """The record of a run of `sampler` (as it was at the start) whose last Step is `last`."""
        settings = Settings(H=problem.H, sampler=sampler, sigma_y=problem.sigma_y, seed=problem.seed,
                            noise=knobs.spec(problem.noise), given=problem.x_true is None,
                            fit=cast(Way, fit)).by(prior)  # fmt: skip
        return cls.made(picture, problem, settings, last, changes, sizes)

    @classmethod
    def made(cls, picture: Tensor, problem: Problem, settings: Settings, last: Measured, changes: tuple[Change, ...] = (),
             sizes: Sizes | None = None) -> Self:  # fmt: skip
        """The same by the settings of the run, which name its prior, device and precision."""
        settings = dataclasses.replace(settings, particles=len(last.x0_hat), threads=last.threads)
        # How many steps were planned tells a run that was stopped by hand from one that ended.
        result = {**summary(last, problem), "planned": last.n, "pixels_sha256": pixels_sha256(last.x0_hat)}
        versions = {"redgui": redgui.__version__, "torch": torch.__version__, "python": platform.python_version()}
        return cls(encoded(picture), settings, last.i + 1, changes, sizes, result, versions)

    def to_json(self) -> str:
        """Readable JSON text."""
        s = self.settings
        specs = {what: {"name": of.name, "knobs": knobs.values(of)} for what, of in (("operator", s.H), ("sampler", s.sampler))}
        body = {"format": FORMAT, "version": VERSION, **specs, **{name: getattr(s, name) for name in _stored()}}
        body |= {"steps": self.steps, "changes": [vars(change) for change in self.changes]}
        body |= {} if self.sizes is None else {"sizes": self.sizes}  # what an older redgui reads, too, where it can
        return json.dumps({**body, "result": self.result, "made_with": self.made_with, "image": self.image}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads and validates; a record is data from anywhere. Raises RecordError or KnobError."""
        body = _typed(_body(text))
        if not 1 <= (steps := body["steps"]) <= MOST_STEPS:
            raise RecordError(f"the record is out of range: the steps lie in 1 to {MOST_STEPS}; got {str(steps)[:20]}.")
        changes = tuple(_change(change) for change in body.get("changes", []))
        sizes = None if body.get("sizes") is None else _sizes(body["sizes"])
        H = _built(operators.OPERATORS, body["operator"], "operator")
        sampler = _built(samplers.SAMPLERS, body["sampler"], "sampler")
        try:
            settings = Settings(H=H, sampler=sampler, **{name: body[name] for name in _stored() if name in body})
        except KnobError as error:
            raise RecordError(f"the record is out of range: {error}") from None
        return cls(body["image"], settings, steps, changes, sizes, body.get("result", {}), body.get("made_with", {}))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a file."""
        try:
            return cls.from_json(Path(path).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"the record {path} cannot be read: {error}") from None

    def picture(self) -> Tensor:
        """The picture of the run, (1, c, h, w): of one channel where the file has one."""
        try:
            return decoded(base64.b64decode(self.image, validate=True))
        except ValueError as error:
            raise RecordError(f"the record's image cannot be read: {error}") from None

    def problem(self) -> Problem:
        """The same measurement, to the bit."""
        return self.settings.problem(self.picture())

    def begins_with(self, problem: Problem, sampler: Sampler, particles: int) -> bool:
        """Whether a run of these is the run of this record up to its first change."""
        own, s = self.problem(), self.settings
        known = (own.x_true is None) == (problem.x_true is None)
        if not known or own.y.shape != problem.y.shape or not torch.equal(own.y, problem.y.to(own.y)):
            return False
        wanted = (problem.sigma_y, knobs.spec(problem.noise), problem.seed, particles, problem.H.name, sampler)
        return (s.sigma_y, s.noise, s.seed, s.particles, s.H.name, s.sampler) == wanted

    def replay(self, prior: Prior) -> Generator[Measured, None, None]:
        """The run again, Step by Step, with its changes in mid-run at the steps where they were made."""
        problem, sampler, shared = self.problem(), self.settings.sampler, Shared(prior, self.sizes)
        tuner, counted = Tuner(sampler, self.changes), Counted(shared)

        def control(step: Measured) -> Sampler | None:
            if step.i + 1 >= self.steps:
                raise Stop
            shared.retell(tuner.said(step.i))
            return tuner(step.i)

        stream = measured(solve(problem, counted, sampler, self.settings.particles), problem, counted)
        return controlled(stream, control)

    def reproduces(self, last: Measured) -> bool:
        """Whether a replay's last Step has the very pixels of this record."""
        return pixels_sha256(last.x0_hat) == self.result.get("pixels_sha256")


class Tuner:
    """A record's changes: called with the index of a step just made, gives the sampler for the next or None."""

    def __init__(self, sampler: Sampler, changes: tuple[Change, ...]):
        known = {k.name for k in knobs.knobs(type(sampler))}
        self.after: dict[int, Sampler] = {}
        self.texts: dict[int, dict[str, Any]] = {}
        for change in sorted(changes, key=lambda change: change.after):  # all checked here, before anything runs
            said = {name: value for name, value in change.knobs.items() if name in TOLD}
            if said:
                self.texts[change.after] = self.texts.get(change.after, {}) | said
            if unknown := set(change.knobs) - known - set(TOLD):
                raise RecordError(f"the record changes knobs that {sampler.label} does not have: {', '.join(sorted(unknown))}.")
            if own := {name: value for name, value in change.knobs.items() if name not in TOLD}:
                sampler = self.after[change.after] = dataclasses.replace(sampler, **own)

    def __call__(self, after: int) -> Sampler | None:
        return self.after.get(after)

    def said(self, after: int) -> dict[str, Any]:
        """The texts that the prior is told after a step; empty where it is told nothing else."""
        return self.texts.get(after, {})


def encoded(picture: Tensor) -> str:
    """A picture (1, c, h, w) as a record holds it: PNG in base64, grey where c is 1."""
    shown = images.to_pil(picture)
    return base64.b64encode(images.encode(shown.convert("L") if picture.shape[1] == 1 else shown)).decode()


def pixels_sha256(x: Tensor) -> str:
    """SHA-256 of the 8-bit pixels of all images of x."""
    digest = hashlib.sha256()
    for k in range(len(x)):
        digest.update(images.to_uint8(x[k : k + 1]).tobytes())
    return digest.hexdigest()


# ---- reading


def _stored() -> dict[str, knobs.Knob]:
    """The knobs of the settings that a record says; the longest side is that of its picture."""
    return {k.name: k for k in knobs.knobs(Settings) if k.name != "size"}


def _body(text: str) -> dict[str, Any]:
    """The JSON object of a record of this version."""
    if len(text) > MAX_BYTES:
        raise RecordError(f"the record has {len(text)} characters; at most {MAX_BYTES} are read.")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise RecordError(f"the record is not valid JSON: {error}") from None
    if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
        raise RecordError("this is not a redgui record: its format is not 'redgui-record'.")
    version = body.pop("version", None)
    if version != VERSION:
        raise RecordError(f"the record is of version {version!r}; this redgui reads version {VERSION}. Update redgui.")
    return body


def _typed(body: dict[str, Any]) -> dict[str, Any]:
    """The body itself, where it has all that it needs and nothing else, each of its type."""
    types: dict[str, Any] = dict(image=str, operator=dict, sampler=dict, steps=int, changes=list, sizes=(list, NoneType),
                                 result=dict, made_with=dict)  # fmt: skip
    for name, k in _stored().items():
        types[name] = (int, float) if k.kind is float else k.kind if k.default is not None else (k.kind, NoneType)
    for name in body:
        if name not in types:
            raise RecordError(f"the record has a field {name!r} that this redgui does not know. Update redgui.")
    for name, kind in types.items():
        if name not in body and name in FIRST:
            raise RecordError(f"the record lacks the field {name!r}.")
        value = body.get(name)
        truth = isinstance(value, bool) and kind is not bool  # Python counts True as an int
        if name in body and (truth or not isinstance(value, kind)):
            raise RecordError(f"the record's {name!r} has the wrong type: {type(value).__name__}.")
    return body


def _change(change: Any) -> Change:
    fits = isinstance(change, dict) and set(change) == {"after", "knobs"}
    if not fits or type(change["after"]) is not int or not isinstance(change["knobs"], dict):
        raise RecordError(f"a change in a record is {{'after': step, 'knobs': {{...}}}}; got {str(change)[:80]}.")
    return Change(change["after"], change["knobs"])


def _sizes(sizes: list[Any]) -> Sizes:
    """Whole numbers from 1, of at most MOST_TOGETHER pictures, MOST_CALLS calls in all and as many threads as settings have."""
    for entry in sizes:
        if not isinstance(entry, list) or len(entry) not in (2, 3) or any(type(n) is not int or n < 1 for n in entry):
            what = "[pictures, calls] or [pictures, calls, threads], whole numbers from 1"
            raise RecordError(f"the record's sizes are {what}; got {str(entry)[:40]}.")
    calls, threads = sum(entry[1] for entry in sizes), max((*entry[2:], 1)[0] for entry in sizes) if sizes else 1
    if calls > MOST_CALLS or threads > cores.MOST or any(entry[0] > MOST_TOGETHER for entry in sizes):
        most = f"at most {MOST_TOGETHER} pictures, {MOST_CALLS} calls in all, and {cores.MOST} threads"
        raise RecordError(f"the record's sizes are of {most}; got {str(calls)[:20]} calls on {str(threads)[:20]} threads.")
    return tuple(tuple(entry) for entry in sizes)


def _built(classes: tuple[type, ...], entry: dict[str, Any], what: str) -> Any:
    if set(entry) != {"name", "knobs"} or not isinstance(entry["knobs"], dict):
        raise RecordError(f"the record's {what} is {{'name': ..., 'knobs': {{...}}}}; got {str(entry)[:80]}.")
    cls = knobs.find(classes, entry["name"], what)
    return knobs.build(cls, LATER.get(cls.name, {}) | entry["knobs"])
