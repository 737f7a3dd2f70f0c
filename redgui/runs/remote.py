"""What is played on a GPU that is lent: a run as a job, and how its news reach the watcher's own copy.

`play` is to a page what `Run.play` is where the app has its hardware to itself: the Run of the serving process is what is
shown, stopped, tuned and recorded, whoever makes the steps. Races and sweeps are in `away_race` and `away_sweep`.
"""

import dataclasses
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from redgui import priors
from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.priors.base import PriorError, Sigma
from redgui.runs import zero_gpu
from redgui.runs.divergence import Diverged
from redgui.runs.problem import Problem
from redgui.runs.race import spent
from redgui.runs.record import Change, Record, Tuner
from redgui.runs.run import Frame, Run
from redgui.runs.stream import Measured
from redgui.runs.zero_gpu import Heard, Wishes
from redgui.samplers import Sampler

HZ = 6.0  # news a second
PATIENCE = 3  # news after a wish to stop, before the job is closed
START = 8.0  # seconds until a worker has its process, CUDA and the weights
# A pass through the network: what its launch costs, and what 256x256 pixels cost; generous, since a run that is given too few
# seconds is cut off.
PASS, PASS_256 = 0.02, 0.04


def gpu_seconds(sampler: Sampler, sigma_y: float, particles: int, prior: Prior) -> float:
    """Seconds of a GPU that a run is expected to take, from its steps and what a step costs."""
    steps = getattr(sampler, "steps", 100)
    few = dataclasses.replace(sampler, steps=min(4, steps)) if hasattr(sampler, "steps") else sampler
    used = spent(few, sigma_y, 10**9)
    _, h, w = prior.picture_shape
    return steps * used[-1] / len(used) * (PASS + PASS_256 * particles * h * w / 256**2)


@final
class Elsewhere(Prior):
    """A prior that a worker runs: what a record says of it, and no network."""

    def __init__(self, prior: Prior, device: str, precision: str):
        self.name, self.shape, self.sigmas, self.multiple = prior.name, prior.shape, prior.sigmas, prior.multiple
        self.device, self.precision = torch.device(device), precision
        self._picture_shape = prior.picture_shape

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self._picture_shape

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        raise PriorError(f"{self.name} runs in a worker that has ended; play the run anew.")


# ---- a run


@dataclass(frozen=True)
class RunNews:
    """What has happened to a Run since the news before; all tensors on the CPU."""

    last: Measured
    rows: list[dict[str, Any]]
    frames: list[Frame]  # new ones
    kept: list[int]  # `i` of all that are kept
    changes: list[Change]
    now: Sampler
    device: str
    precision: str

    def tell(self, run: Run) -> None:
        """Brings the watcher's Run to where the worker's is."""
        run.rows.extend(self.rows)
        run.frames = [frame for frame in [*run.frames, *self.frames] if frame.i in self.kept]
        run.changes, run.now, run.last = list(self.changes), self.now, self.last
        if not isinstance(run.prior, Elsewhere):
            run.prior = Elsewhere(run.prior, self.device, self.precision)


def carried(step: Measured) -> Measured:
    """A Step as it goes from the worker to the watcher: its tensors on the CPU."""
    scalars = {name: s.cpu() if isinstance(s, Tensor) else s for name, s in step.scalars.items()}
    return dataclasses.replace(step, x0_hat=step.x0_hat.cpu(), scalars=scalars)


class Teller:
    """Makes the news of a Run in the worker. `rows`, `frame`: what the watcher has already."""

    def __init__(self, run: Run, rows: int = 0, frame: int = 0):
        self.run, self.rows, self.frame = run, rows, frame

    def __call__(self) -> RunNews | None:
        run, last = self.run, self.run.last
        if last is None or len(run.rows) <= self.rows:
            return None
        rows, frames = run.rows[self.rows :], [frame for frame in run.frames if frame.i > self.frame]
        self.rows, self.frame = len(run.rows), max([self.frame, *(frame.i for frame in frames)])
        kept, device = [frame.i for frame in run.frames], run.prior.device.type
        return RunNews(carried(last), rows, frames, kept, list(run.changes), run.now, device, run.prior.precision)


@dataclass(frozen=True)
class RunJob:
    """A Run to be played, from its start or from where a watcher's copy stands.

    A worker that was told to end has forgotten its run, so going on repeats the steps that were made, with their changes.
    """

    picture: Tensor
    problem: Problem
    prior: str
    sampler: Sampler
    particles: int
    seconds: float
    allowed: float
    changes: tuple[Change, ...] = ()
    made: int = 0  # steps
    wanted: Sampler | None = None  # knobs after these
    frame: int = 0  # `i` of the watcher's last
    replayed: Record | None = None

    def news(self, heard: Heard) -> Iterator[RunNews | None]:
        run = Run(self.picture, self.problem, priors.load(self.prior), self.sampler, self.particles,
                  replayed=self.replayed)  # fmt: skip
        run.seconds_allowed = self.allowed
        repeat, wish = Tuner(self.sampler, self.changes), None

        def between(step: Measured) -> None:
            nonlocal wish
            if (tuned := repeat(step.i)) is not None:
                run.tune(tuned)
            if step.i + 1 == self.made and self.wanted is not None:
                run.tune(self.wanted)
            before, wish = wish, heard() or wish
            if wish is None or wish is before or wish == before:
                return
            stop, sampler = wish
            if stop:
                run.stop()
            if sampler is not None and step.i + 1 >= self.made and (before is None or before[1] != sampler):
                run.tune(sampler)

        run.heard, tell, began = between, Teller(run, self.made, self.frame), time.perf_counter()
        while True:
            at = len(run.rows)
            try:
                for _ in run.play(HZ):
                    yield tell()  # None while the steps are repeated: a worker is told to end at a yield only
            except RedguiError:
                yield tell()  # what was made since the news before
                raise
            # The end of the steps that were asked for at first is no end where more were made.
            late = run.stopping or time.perf_counter() - began > self.allowed
            if late or len(run.rows) > self.made or len(run.rows) == at:
                return


def play(run: Run, hz: float = HZ) -> Iterator[Measured]:
    """`Run.play`, wherever the steps are made."""
    return _play(run) if zero_gpu.on_zero_gpu() else run.play(hz)


def _play(run: Run) -> Generator[Measured, None, None]:
    made, now = (run.last.i + 1 if run.last else 0), run.wanted()
    needed = START + gpu_seconds(now or run.now, run.problem.sigma_y, run.particles, run.prior)
    allowed, frame = zero_gpu.allowed(needed, run.seconds_allowed), max((frame.i for frame in run.frames), default=0)
    job = RunJob(
        run.picture, run.problem, run.prior.name, run.sampler, run.particles, needed, allowed, tuple(run.changes), made, now,
        frame, run.replayed,
    )  # fmt: skip
    wishes, told, began = Wishes.taken(), 0, time.perf_counter()
    run.playing = True
    sampler = None
    if now is not None and not made:
        wishes.post((False, now))
    try:
        with closing(zero_gpu.stream(job, wishes)) as items:
            for news in items:
                if isinstance(news, RunNews):
                    news.tell(run)
                tuned = run.wanted()
                if tuned is not None or (run.stopping and not told):
                    sampler = tuned or sampler
                    wishes.post((run.stopping, sampler))
                told += run.stopping
                if isinstance(news, RunNews):
                    yield news.last
                if told > PATIENCE:
                    return
    except Diverged:
        run.broken = True
        raise
    finally:
        run.playing = False
        run.elapsed += time.perf_counter() - began
        wishes.free()
