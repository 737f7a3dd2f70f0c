"""A run that a person watches: it can be tuned, stopped and gone on with. No gradio here."""

import contextvars
import dataclasses
import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from redgui import images, knobs
from redgui.fitting import Fitting, full_size
from redgui.priors import Counted, Prior
from redgui.runs.problem import Problem
from redgui.runs.record import Change, Record, Tuner
from redgui.runs.stream import Measured, Stop, measured, solve, throttle
from redgui.runs.teams import take_team
from redgui.samplers import Sampler

FRAMES = 48  # iterates kept for the filmstrip


@dataclass(frozen=True)
class Frame:
    """An iterate kept for the filmstrip, as a JPEG `data:` URL."""

    i: int
    sigma: float
    psnr: float | None
    src: str


@dataclass
class Run:
    """One picture being restored.

    The stream of Steps is left suspended when the run is stopped or has made its last step, so that `play` can go on with
    it: with the same random numbers and the optimiser's state. All that a person changes is kept in `changes`.
    """

    picture: Tensor
    problem: Problem
    prior: Prior
    sampler: Sampler
    particles: int = 1
    _: KW_ONLY
    seconds_allowed: float = float("inf")
    heard: Callable[[Measured], None] | None = None  # called after every step, before the knobs of the next are settled
    fitting: Fitting | None = None  # how the person's picture `source` became `picture`
    source: Image.Image | None = None
    replayed: Record | None = None  # the run makes its changes, after the same steps, and ends where it does

    changes: list[Change] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(
        default_factory=list
    )  # every step's figures by their names, and `at`: its time on the clock
    last: Measured | None = None
    playing: bool = False
    broken: bool = False  # an error ended it; what was made before it stays
    elapsed: float = 0.0  # seconds of play so far, what watching costs included

    def __post_init__(self) -> None:
        self.counted = Counted(self.prior)
        self.now = self.sampler  # the knobs in force
        self._lock = threading.Lock()
        self._wanted: Sampler | None = None
        self._stop = threading.Event()
        self._stride = 1
        self._began = time.perf_counter()
        self._script = None if self.replayed is None else Tuner(self.sampler, self.replayed.changes)
        # Fits are checked here, before anything runs.
        self._stream = measured(solve(self.problem, self.counted, self.sampler, self.particles), self.problem, self.counted)

    @property
    def series(self) -> dict[str, list[Any]]:
        """The curves of the run so far, by their names: i, sigma, psnr, residual and every scalar of its Steps.

        None where a step has no such scalar. From any thread: rows are added whole.
        """
        rows = list(self.rows)
        return {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row) if name != "at"}

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

    def play(self, hz: float = 10.0) -> Iterator[Measured]:
        """Runs on until the end or `stop`; yields at most `hz` Steps a second, always the first and the last."""
        self._began = time.perf_counter()
        self.playing = True
        try:
            # The knobs in force are sent again: whoever left the last `play` may have kept them from the sampler.
            first = (self._take(self.last.i) or self.now) if self.last else None
            yield from throttle(self._stream, hz, self._control, first=first, close=False)
        except Exception:  # whatever it is, the stream is over
            self.broken = True
            raise
        finally:
            self.playing = False
            self.elapsed += time.perf_counter() - self._began

    def tune(self, sampler: Sampler) -> None:
        """Has the next iteration use other knobs. From any thread."""
        with self._lock:
            self._wanted = sampler

    def stop(self) -> None:
        """Ends `play` after the iteration in progress. From any thread."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and not yet to go on."""
        return self._stop.is_set()

    def wanted(self) -> Sampler | None:
        """The sampler that was asked for since the last step, for whoever makes the steps in this Run's place."""
        with self._lock:
            wanted, self._wanted = self._wanted, None
        return wanted

    def close(self) -> None:
        """Frees what the suspended stream holds. Record and film stay; it cannot be gone on with."""
        self._stream.close()

    def extend(self, steps: int) -> None:
        """Prepares another `play`: the steps that a stop left over, or after the last one `steps` more."""
        self._stop.clear()
        self.replayed = None  # from here on it is a person's own
        if self.finished and self.last:
            with self._lock:
                sampler = self._wanted or self.now
                more = min(self.last.n + steps, next(k.hi for k in knobs.knobs(type(sampler)) if k.name == "steps") or 0)
                self._wanted = dataclasses.replace(sampler, steps=int(more))

    def film(self) -> list[Frame]:
        """The kept iterates and the last one, wherever the run stands."""
        if self.last is None or (self.frames and self.frames[-1].i == self.last.i + 1):
            return self.frames
        return [*self.frames, _frame(self.last)]

    def record(self) -> Record:
        """What reproduces the run up to its last step."""
        if self.last is None:
            raise RuntimeError("a run has no record before its first step")
        fit = self.fitting.how if self.fitting else "crop"
        return Record.of(self.picture, self.problem, self.prior, self.sampler, self.last, tuple(self.changes), fit)

    def full(self) -> Image.Image | None:
        """What is restored so far at the picture's own shape and size; None where that is what the prior takes."""
        if self.last is None or self.fitting is None or self.source is None:
            return None
        if self.fitting.original == self.prior.picture_shape[-2:]:
            return None
        return full_size(self.fitting, self.source, self.last.estimate, self.problem.H)

    def _control(self, step: Measured) -> Sampler | None:
        self.last = step
        self._remember(step)
        if self.heard is not None:
            self.heard(step)
        last = step.n if self.replayed is None else self.replayed.steps
        if self._stop.is_set() or step.i + 1 >= last or time.perf_counter() - self._began > self.seconds_allowed:
            raise Stop
        return self._take(step.i)

    def _take(self, after: int) -> Sampler | None:
        """The sampler that a person asked for since, noted as a change after step `after`; None if nothing differs."""
        wanted = self.wanted()
        if self.replayed is not None and self._script is not None:
            wanted = self._script(after)
        if wanted is None:
            return None
        old, new = knobs.values(self.now), knobs.values(wanted)
        live = {k.name for k in knobs.knobs(type(wanted)) if k.live}
        changed = {name: value for name, value in new.items() if value != old[name] and name in live}
        if not changed:
            return None
        self.now = dataclasses.replace(self.now, **changed)
        self.changes.append(Change(after, changed))
        return self.now

    def _remember(self, step: Measured) -> None:
        scalars = {name: step.scalar(name) for name in step.scalars}
        seen = {"at": time.perf_counter(), "i": step.i + 1, "sigma": step.sigma, "psnr": step.psnr, "residual": step.residual}
        self.rows.append(scalars | seen)
        if step.i % self._stride == 0 or step.i + 1 >= step.n:
            self.frames.append(_frame(step))
        if len(self.frames) > FRAMES:
            self._stride *= 2
            self.frames = [f for f in self.frames if (f.i - 1) % self._stride == 0]


def newest(stream: Iterator[Measured], stop: Callable[[], None]) -> Generator[Measured, None, None]:
    """Runs a stream in a thread of its own and yields its newest Step: the solver does not wait for who looks on.

    Closing this calls `stop` and waits for the thread, so for the iteration in progress.
    """
    latest: list[Measured] = []
    failed: list[BaseException] = []
    news, over = threading.Event(), threading.Event()

    def work() -> None:
        try:
            take_team()
            for step in stream:
                latest[:] = [step]
                news.set()
        except BaseException as error:
            failed.append(error)
        finally:
            over.set()
            news.set()

    # In the context of who looks on: a host that lends GPUs wants to know for whom.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True, name="solver")
    thread.start()
    try:
        shown = None
        while True:
            news.wait()
            news.clear()
            ended = over.is_set()  # read first: what is the newest after the end is the last
            if latest and latest[0] is not shown:
                shown = latest[0]
                yield shown
            if ended:
                break
        if failed:
            raise failed[0]
    finally:
        stop()
        thread.join()


def _frame(step: Measured) -> Frame:
    src = images.data_url(step.estimate, "jpeg", quality=92)
    return Frame(step.i + 1, step.sigma, step.psnr, src)
