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
from typing import Any

import torch
from torch import Tensor

import redgui
from redgui import images, knobs, operators, samplers
from redgui.errors import RedguiError
from redgui.fitting import WAYS
from redgui.operators import Operator
from redgui.priors import Counted, Prior
from redgui.runs import cores
from redgui.runs.problem import Problem
from redgui.runs.rounds import Shared
from redgui.runs.stream import Measured, Stop, controlled, measured, solve, summary
from redgui.samplers import Sampler

FORMAT = "redgui-record"
VERSION = 1
MAX_BYTES = 16 * 2**20


class RecordError(RedguiError):
    """A record that cannot be read or replayed; the message says why."""


@dataclass(frozen=True)
class Change:
    """Knobs that took effect after step `after` (0-based) had been made."""

    after: int
    knobs: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A run. `image` is a PNG in base64: the ground truth, or the measurement itself where `given` is true.

    `fit` says how a person's picture became it (`redgui.fitting`); a replay does not need it, and older records lack it.
    `threads` are those of the CPU, where the run was made there, on which the last bits depend; older records lack it, too.
    `sizes`: how many pictures went through the network together, [[pictures, calls], ...], where the run shared its calls with
    others: the last bits depend on that number, and a replay fills its calls up to it. None for a run alone.
    """

    image: str
    prior: str
    operator: dict[str, Any]
    sampler: dict[str, Any]
    sigma_y: float
    seed: int
    particles: int
    steps: int
    given: bool
    device: str
    precision: str
    changes: tuple[Change, ...] = ()
    fit: str = "crop"
    threads: int | None = None
    sizes: list[list[int]] | None = None
    result: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        picture: Tensor,
        problem: Problem,
        prior: Prior,
        sampler: Sampler,
        last: Measured,
        changes: tuple[Change, ...] = (),
        fit: str = "crop",
        sizes: list[list[int]] | None = None,
    ) -> "Record":
        """The record of a run of `sampler` (as it was at the start) whose last Step is `last`."""
        # How many steps were planned tells a run that was stopped by hand from one that ended.
        result = {**summary(last, problem), "planned": last.n, "pixels_sha256": pixels_sha256(last.x0_hat)}
        return cls(
            image=encoded(picture),
            prior=prior.name,
            operator={"name": problem.H.name, "knobs": knobs.values(problem.H)},
            sampler={"name": sampler.name, "knobs": knobs.values(sampler)},
            sigma_y=problem.sigma_y,
            seed=problem.seed,
            particles=len(last.x0_hat),
            steps=last.i + 1,
            given=problem.x_true is None,
            device=prior.device.type,
            precision=prior.precision,
            changes=changes,
            fit=fit,
            threads=last.threads,
            sizes=sizes,
            result=result,
            made_with={"redgui": redgui.__version__, "torch": torch.__version__, "python": platform.python_version()},
        )

    def to_json(self) -> str:
        """Readable JSON text."""
        body = dataclasses.asdict(self)
        image = body.pop("image")
        return json.dumps({"format": FORMAT, "version": VERSION, **body, "image": image}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Reads and validates; a record is data from anywhere. Raises RecordError or KnobError."""
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
        known = {f.name: f for f in dataclasses.fields(cls)}
        for name in body:
            if name not in known:
                raise RecordError(f"the record has a field {name!r} that this redgui does not know. Update redgui.")
        types = dict(image=str, prior=str, operator=dict, sampler=dict, sigma_y=(int, float), seed=int, particles=int,
                     steps=int, given=bool, device=str, precision=str, changes=list, fit=str,
                     threads=(int, NoneType), sizes=(list, NoneType), result=dict, made_with=dict)  # fmt: skip
        for name, kind in types.items():
            required = known[name].default is dataclasses.MISSING and known[name].default_factory is dataclasses.MISSING
            if name not in body and required:
                raise RecordError(f"the record lacks the field {name!r}.")
            truth = name in body and isinstance(body[name], bool) and kind is not bool  # Python counts True as an int
            wrong = name in body and (truth or not isinstance(body[name], kind))
            if wrong:
                raise RecordError(f"the record's {name!r} has the wrong type: {type(body[name]).__name__}.")
        changes = []
        for change in body.get("changes", []):
            fits = isinstance(change, dict) and set(change) == {"after", "knobs"}
            if not fits or type(change["after"]) is not int or not isinstance(change["knobs"], dict):
                raise RecordError(f"a change in a record is {{'after': step, 'knobs': {{...}}}}; got {str(change)[:80]}.")
            changes.append(Change(change["after"], change["knobs"]))
        record = cls(**{**body, "changes": tuple(changes)})
        if not (1 <= record.particles <= 64 and 1 <= record.steps <= 100_000 and 0 <= record.seed < 2**63):
            raise RecordError("the record's particles, steps or seed are out of range (1 to 64, 1 to 100000, 0 to 2^63).")
        if record.threads is not None and not 1 <= record.threads <= cores.MOST:
            raise RecordError(f"the record's threads lie in 1 to {cores.MOST}; got {record.threads}.")
        pairs = record.sizes or []
        if not all(isinstance(p, list) and len(p) == 2 and all(type(n) is int and 1 <= n <= 100_000 for n in p) for p in pairs):
            raise RecordError("the record's sizes are pairs [pictures in a call, calls], both 1 to 100000.")
        if any(size > 1024 for size, _ in pairs) or sum(calls for _, calls in pairs) > 10**7:
            raise RecordError("the record's sizes are of more pictures or calls than a run can have (1024, 10000000).")
        if record.fit not in WAYS:
            raise RecordError(f"the record's fit is one of {', '.join(WAYS)}; got {record.fit[:20]!r}. Update redgui.")
        if not 0 <= record.sigma_y <= 2:
            raise RecordError(f"the record's sigma_y lies in 0 to 2; got {str(record.sigma_y)[:20]}.")
        return record

    @classmethod
    def read(cls, path: str | Path) -> "Record":
        """From a file."""
        try:
            return cls.from_json(Path(path).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"the record {path} cannot be read: {error}") from None

    def picture(self) -> Tensor:
        """The picture of the run, (1, 3, h, w)."""
        try:
            return images.to_tensor(images.read(base64.b64decode(self.image, validate=True)))
        except ValueError as error:
            raise RecordError(f"the record's image cannot be read: {error}") from None

    def build_operator(self) -> Operator:
        """The operator with its knobs."""
        return _build(operators.OPERATORS, self.operator, "operator")

    def build_sampler(self) -> Sampler:
        """The sampler with its knobs at the start of the run."""
        return _build(samplers.SAMPLERS, self.sampler, "sampler")

    def problem(self) -> Problem:
        """The same measurement, to the bit."""
        make = Problem.given if self.given else Problem.simulate
        return make(self.picture(), self.build_operator(), float(self.sigma_y), self.seed)

    def begins_with(self, problem: Problem, sampler: Sampler, particles: int) -> bool:
        """Whether a run of these is the run of this record up to its first change."""
        own = self.problem()
        known = (own.x_true is None) == (problem.x_true is None)
        if not known or own.y.shape != problem.y.shape or not torch.equal(own.y, problem.y.to(own.y)):
            return False
        same = (self.sigma_y, self.seed, self.particles) == (problem.sigma_y, problem.seed, particles)
        return same and self.operator["name"] == problem.H.name and self.build_sampler() == sampler

    def replay(self, prior: Prior) -> Generator[Measured, None, None]:
        """The run again, Step by Step, with its changes in mid-run at the steps where they were made."""
        problem, sampler, counted = self.problem(), self.build_sampler(), Counted(Shared(prior, self.sizes))
        tuner = Tuner(sampler, self.changes)

        def control(step: Measured) -> Sampler | None:
            if step.i + 1 >= self.steps:
                raise Stop
            return tuner(step.i)

        stream = measured(solve(problem, counted, sampler, self.particles), problem, counted)
        return controlled(stream, control)

    def reproduces(self, last: Measured) -> bool:
        """Whether a replay's last Step has the very pixels of this record."""
        return pixels_sha256(last.x0_hat) == self.result.get("pixels_sha256")


class Tuner:
    """Applies a record's changes: called with the index of a step just made, gives the sampler for the next or None."""

    def __init__(self, sampler: Sampler, changes: tuple[Change, ...]):
        known = {k.name for k in knobs.knobs(type(sampler))}
        self.after: dict[int, Sampler] = {}
        for change in sorted(changes, key=lambda change: change.after):  # all checked here, before anything runs
            if unknown := set(change.knobs) - known:
                raise RecordError(f"the record changes knobs that {sampler.label} does not have: {', '.join(sorted(unknown))}.")
            sampler = self.after[change.after] = dataclasses.replace(sampler, **change.knobs)

    def __call__(self, after: int) -> Sampler | None:
        return self.after.get(after)


def encoded(picture: Tensor) -> str:
    """A picture (1, 3, h, w) as a record holds it: PNG in base64."""
    return base64.b64encode(images.encode(picture)).decode()


def pixels_sha256(x: Tensor) -> str:
    """SHA-256 of the 8-bit pixels of all images of x."""
    digest = hashlib.sha256()
    for k in range(len(x)):
        digest.update(images.to_uint8(x[k : k + 1]).tobytes())
    return digest.hexdigest()


def _build(classes: tuple[type, ...], entry: dict[str, Any], what: str) -> Any:
    if set(entry) != {"name", "knobs"} or not isinstance(entry["knobs"], dict):
        raise RecordError(f"the record's {what} is {{'name': ..., 'knobs': {{...}}}}; got {str(entry)[:80]}.")
    return knobs.build(knobs.find(classes, entry["name"], what), entry["knobs"])
