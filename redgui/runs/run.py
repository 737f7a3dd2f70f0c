"""A run that a person watches: it can be tuned, stopped and gone on with."""

import dataclasses
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from redgui import finishing, knobs, priors
from redgui.fitting import Fitting
from redgui.priors import Counted, Prior
from redgui.runs.film import Film, Frame
from redgui.runs.problem import Problem
from redgui.runs.record import Change, Record, Tuner
from redgui.runs.rounds import Job, seconds
from redgui.runs.shared import Shared
from redgui.runs.stream import Measured, Stop, controlled, measured, solve
from redgui.samplers import Sampler

COMPANY = 10  # times the seconds allowed, on the clock: what a run may take that shares the solver with others
STATE = ("changes", "rows", "now", "broken", "_film")  # what a copy is brought up to
Wishes = tuple[bool, Sampler | None, str | None]
UNPLOTTED = ("at", "seconds", "nfe", "backward")  # of a row


@dataclass(eq=False)
class Run:
    """One picture being restored.

    The stream of Steps is left suspended when the run is stopped or has made its last step, so that `play` can go on with
    it: with the same random numbers and the optimiser's state. All that a person changes is kept in `changes`.

    Attributes:
        seconds_allowed: for each play, as `rounds.seconds` counts them; on the clock COMPANY times as many.
        heard: called after every step, before the knobs of the next are settled. It may raise Stop.
        fitting: how the person's picture `source` became `picture`.
        replayed: a record whose changes the run makes, after the same steps, and where it ends.
        exact: it shares no call with other runs, so that its bits are those of a plain loop.
        filmed: whether iterates are kept for the filmstrip.
        rows: of every step its figures by name: i, sigma, every scalar, psnr, residual, nfe, backward, seconds, and `at`, its
            time on the clock.
        broken: an error ended it; what was made before it stays.
        elapsed: seconds of play so far, on the clock.
    """

    picture: Tensor
    problem: Problem
    prior: Prior
    sampler: Sampler
    particles: int = 1
    _: KW_ONLY
    seconds_allowed: float = float("inf")
    heard: Callable[[Measured], None] | None = None
    fitting: Fitting | None = None
    source: Image.Image | None = None
    replayed: Record | None = None
    exact: bool = False
    filmed: bool = True

    changes: list[Change] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    last: Measured | None = None
    playing: bool = False
    broken: bool = False
    elapsed: float = 0.0

    def __post_init__(self) -> None:
        self.now = self.sampler  # the knobs in force
        self._began, self._clock, self._film = 0.0, 0.0, Film()
        self._wanted: Sampler | None = None
        self._told: Prior | None = None  # to be asked in place of the prior, with other texts
        self._wish: Wishes = (False, None, None)  # the newest that were passed on to where it is played
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._script = None if self.replayed is None else Tuner(self.sampler, self.replayed.changes)
        self._begin()

    def _begin(self) -> None:
        """A stream before its first step. That sampler and operator fit is checked here, before anything runs."""
        self.shared = Shared(self.prior, None if self.replayed is None else self.replayed.sizes)
        self.counted = Counted(self.shared)
        self._stream = measured(solve(self.problem, self.counted, self.sampler, self.particles), self.problem, self.counted)

    @property
    def series(self) -> dict[str, list[Any]]:
        """The curves of the run so far, by their names: i, sigma, psnr, residual and every scalar of its Steps.

        None where a step has no such scalar. From any thread: rows are added whole.
        """
        rows = list(self.rows)
        names = dict.fromkeys(name for row in rows for name in row if name not in UNPLOTTED)
        return {name: [row.get(name) for row in rows] for name in names}

    @property
    def progress(self) -> float:
        """The share of the steps asked for that has been made, 0 to 1."""
        return 0.0 if self.last is None else min(1.0, (self.last.i + 1) / self.last.n)

    @property
    def finished(self) -> bool:
        """Whether all steps that were asked for have been made."""
        return self.last is not None and self.last.i + 1 >= self.last.n

    @property
    def complete(self) -> bool:
        """Whether no step can follow the last one made: it was the last of all, or the stream has broken off or was closed."""
        closed = inspect.getgeneratorstate(self._stream) == inspect.GEN_CLOSED
        return self.broken or closed or (self.finished and not self.sampler.endless)

    def play(self) -> Iterator[Measured]:
        """Runs on until the end or `stop`, and yields every Step."""
        self.begun()
        self._began = seconds()
        try:
            # The knobs in force are sent again: whoever left the last `play` may have kept them from the sampler.
            repeats = inspect.getgeneratorstate(self._stream) == inspect.GEN_CREATED  # steps that were made elsewhere
            first = None if self.last is None or repeats else self._take(self.last.i) or self.now
            yield from controlled(self._stream, self._control, first=first, close=False)
        except Exception:  # whatever it is, the stream is over
            self.broken = True
            raise
        finally:
            self.ended()

    def jobs(self) -> list[Job]:
        """The run as a job of an engine."""
        return [Job(self.play(), alone=self.exact)]

    def tune(self, sampler: Sampler) -> None:
        """Has the next iteration use other knobs. From any thread."""
        with self._lock:
            self._wanted = sampler

    def retell(self, prior: Prior) -> None:
        """Has the next iteration ask the same text-to-image model with other texts. From any thread."""
        with self._lock:
            self._told = prior

    def stop(self) -> None:
        """Ends `play` after the iteration in progress. From any thread."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and not yet to go on."""
        return self._stop.is_set()

    def wanted(self) -> Sampler | None:
        """The sampler that was asked for since this was called last."""
        with self._lock:
            wanted, self._wanted = self._wanted, None
        return wanted

    def told(self) -> Prior | None:
        """The prior with other texts that was asked for since this was called last."""
        with self._lock:
            told, self._told = self._told, None
        return told

    def close(self) -> None:
        """Frees what the suspended stream holds. Record and film stay; it cannot be gone on with."""
        self._stream.close()

    def extend(self, steps: int) -> None:
        """Prepares another `play`: the steps that a stop left over, or after the last one `steps` more."""
        self._stop.clear()
        self.replayed = None  # from here on it is a person's own
        knob = next((k for k in knobs.knobs(type(self.now)) if k.name == "steps"), None)
        if self.finished and self.last and knob is not None:
            with self._lock:
                more = int(min(self.last.n - self.last.before + steps, knob.hi or float("inf")))
                self._wanted = knobs.build(type(self.now), {**knobs.values(self._wanted or self.now), "steps": more})

    def film(self) -> list[Frame]:
        """The kept iterates and the last one, wherever the run stands."""
        return self._film.until(self.last)

    def record(self) -> Record:
        """What reproduces the run up to its last step."""
        if self.last is None:
            raise RuntimeError("a run has no record before its first step")
        fit, changes = self.fitting.how if self.fitting else "crop", tuple(self.changes)
        sizes = self.shared.together()
        return Record.of(self.picture, self.problem, self.prior, self.sampler, self.last, changes, fit, sizes)

    def given_back(self, x: Tensor) -> Tensor:
        """Pictures that the sampler made (n, c, h, w), as a person is given them (`finishing.finished`)."""
        return finishing.finished(x, self.picture, self.problem)

    def full(self) -> Image.Image | None:
        """What is restored so far at the picture's own shape and size; None where that is what the prior takes."""
        if self.last is None or self.fitting is None or self.source is None:
            return None
        if self.fitting.original == self.prior.picture_shape[-2:] == self.fitting.solved:
            return None
        return finishing.whole(self.given_back(self.last.estimate), self.source, self.fitting, self.problem.H)

    def _control(self, step: Measured) -> Sampler | None:
        if step.i < len(self.rows):  # repeated, to go on behind it
            self.last = step
            assert self._script is not None
            self.shared.retell(self._script.said(step.i))
            return (self._take(step.i) if step.i + 1 == len(self.rows) else None) or self._script(step.i)
        self.last = step
        self._remember(step)
        if self.heard is not None:
            self.heard(step)
        end = step.n if self.replayed is None else self.replayed.steps
        late = max(seconds() - self._began, (time.perf_counter() - self._clock) / COMPANY) > self.seconds_allowed
        if self._stop.is_set() or step.i + 1 >= end or late:
            raise Stop
        return self._take(step.i)

    def _take(self, after: int) -> Sampler | None:
        """The sampler that a person asked for since, noted as a change after step `after`; None if nothing differs."""
        wanted = self.wanted()
        said: Mapping[str, Any] = getattr(self.told(), "texts", None) or {}
        if self.replayed is not None and self._script is not None:
            wanted, said = self._script(after), self._script.said(after)
        old, new = knobs.values(self.now), knobs.values(wanted or self.now)
        live = {k.name for k in knobs.knobs(type(self.now)) if k.live}
        changed = {name: value for name, value in new.items() if value != old[name] and name in live}
        if changed:
            self.now = dataclasses.replace(self.now, **changed)
        if noted := changed | self.shared.retell(said):
            self.changes.append(Change(after, noted))
        return self.now if changed else None

    def _remember(self, step: Measured) -> None:
        figures = dict(i=step.i + 1, sigma=step.sigma, psnr=step.psnr, residual=step.residual)
        spent = dict(at=time.perf_counter(), seconds=step.seconds, nfe=step.nfe, backward=step.backward)
        self.rows.append({name: step.scalar(name) for name in step.scalars} | figures | spent)
        if self.filmed:
            self._film.remember(step)

    # ---- on a GPU that is lent (`redgui.runs.remote`): pickled, and played by a copy

    def __getstate__(self) -> dict[str, Any]:
        """Without what no other process can have. The prior is known by its name there."""
        left_out = ("_stream", "_lock", "_stop", "_told", "counted", "shared", "heard", "source", "fitting", "last", "prior")
        state = {name: value for name, value in vars(self).items() if name not in left_out}
        return state | {"prior": self.prior.name, "playing": False, "_wanted": self.wanted()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy that repeats the steps made so far, with their changes: a worker has forgotten the run that it played."""
        vars(self).update(state)
        self.prior = priors.load(state["prior"])
        self.heard = self.fitting = self.source = self.last = self._told = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        if self.replayed is None:
            self._script = Tuner(self.sampler, tuple(self.changes))
        self._begin()

    def state(self) -> dict[str, Any]:
        """All that changes while it is played, to be pickled: its tensors on the CPU."""
        last = self.last if self.last is not None and self.last.i + 1 >= len(self.rows) else None
        found = {name: getattr(self, name) for name in STATE} | {"last": last and last.carried(), "sizes": self.shared.sizes}
        return found | {"device": self.prior.network_device.type, "precision": self.prior.precision}

    def take(self, state: dict[str, Any]) -> None:
        """Brings this copy to the state of another, which was played elsewhere."""
        from redgui.runs.remote import RemotePrior

        if state["last"] is None:  # it still repeats what this copy has
            return
        for name in (*STATE, "last"):
            setattr(self, name, state[name])
        self.shared.sizes = state["sizes"]
        if not isinstance(self.prior, RemotePrior):
            self.prior = RemotePrior(self.prior, state["device"], state["precision"])

    def begun(self) -> None:
        """It is played elsewhere from now on."""
        self.playing, self._clock = True, time.perf_counter()

    def ended(self) -> None:
        """It is played no more."""
        self.playing = False
        self.elapsed += time.perf_counter() - self._clock

    def wishes(self) -> Wishes:
        """What a person wants of it: to stop, other knobs, and a prior with other texts; the newest of each."""
        told = self.told()
        self._wish = self.stopping, self.wanted() or self._wish[1], told.name if told else self._wish[2]
        return self._wish

    def grant(self, wishes: Wishes) -> None:
        """Does what a person wants, in the copy that is played."""
        stop, sampler, prior = wishes
        if sampler is not None:
            self.tune(sampler)
        if prior is not None:
            self.retell(priors.load(prior))
        if stop:
            self.stop()
