"""A race: several samplers on one measurement, a step of one and then of another, in one thread. No gradio here.

Every contestant is a `Run` of its own with its own random numbers and optimiser, so that its picture is that of a solo run to
the bit. The one that has used the least seconds makes the next step: at every moment all have had the same time, and at
the end of a budget of network calls each has taken what it needs.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from redgui import knobs
from redgui.errors import RedguiError
from redgui.operators import Inpaint
from redgui.priors import Counted, GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.stream import Measured, solve
from redgui.samplers import Sampler

OVER = ("stopped", "done", "error")
PROBE = 16  # side of the pictures on which the cost of a sampler is measured
log = logging.getLogger(__name__)


def cost(step: Any) -> int:
    """Network budget of a Step, or of a counted prior's attributes: forwards + 2 x backwards."""
    return step.nfe + 2 * step.backward


@lru_cache(maxsize=256)
def spent(sampler: Sampler, sigma_y: float, most: int) -> tuple[int, ...]:
    """The budget that a run has used after each of its steps, counted in a run on tiny closed-form pictures.

    It ends early once the budget exceeds `most`: then the last number does, too.
    """
    counted = Counted(GaussianPrior(size=PROBE))
    picture = counted.inner.sample(1, torch.Generator().manual_seed(0)).clamp(-1, 1)  # type: ignore[attr-defined]
    problem = Problem.simulate(picture, Inpaint(), sigma_y, seed=0)
    used = []
    for _ in solve(problem, counted, sampler):
        used.append(counted.forwards + 2 * counted.backwards)
        if used[-1] > most:
            break
    return tuple(used)


def within(sampler: Sampler, sigma_y: float, budget: int) -> tuple[Sampler, tuple[int, ...]]:
    """The sampler with the most steps that `budget` (forwards + 2 x backwards) pays for, at least one, and its plan.

    The plan is `spent`. What a step costs is measured and in no table: it depends on the knobs. A sampler without `steps`
    is given back without a plan: its run ends where the budget does.
    """
    k = next((k for k in knobs.knobs(type(sampler)) if k.name == "steps"), None)
    if k is None:
        return sampler, ()
    lo, hi = int(k.lo or 1), int(min(k.hi or budget, budget)) + 1

    def plan(steps: int) -> tuple[int, ...]:
        return spent(_with_steps(sampler, steps), sigma_y, budget)

    # From a short run a straight line, its neighbours, then halves: `lo` always fits (or is the least), `hi` never does.
    few = plan(min(lo + 1, hi - 1)) if hi - lo > 1 else plan(lo)
    straight = int(budget / (few[-1] / len(few))) if few[-1] <= budget else lo + 1
    guesses = [straight, straight + 1, straight - 1]
    while hi - lo > 1:
        steps = next((g for g in guesses if lo < g < hi), (lo + hi) // 2)
        guesses = [g for g in guesses if g != steps]
        if plan(steps)[-1] <= budget:
            lo = steps
        else:
            hi = steps
    return _with_steps(sampler, lo), plan(lo)


def _with_steps(sampler: Sampler, steps: int) -> Sampler:
    return knobs.build(type(sampler), {**knobs.values(sampler), "steps": steps})


@dataclass
class Contestant:
    """One sampler of a race, with what it has used.

    Attributes:
        key: its name within the race; label: for people.
        seconds: of its own steps, on the race's clock.
        memory: most bytes that it held on the accelerator at once, besides what was there before; None on a CPU, where what one
            sampler takes of a process that several share cannot be told.
        curve: (seconds, forwards + 2 x backwards, PSNR) after each step.
        plan: the budget that it should have used after each step; empty without a budget.
    """

    key: str
    label: str
    run: Run
    budget: int | None = None
    plan: tuple[int, ...] = ()
    status: str = "waiting"
    message: str = ""
    seconds: float = 0.0
    memory: int | None = None
    curve: list[tuple[float, int, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps: Iterator[Measured] = self.run.play(float("inf"))
        self.told_to_stop = threading.Event()
        self.costs: list[int] = []  # of each step
        self.run.heard = self._keep_to_budget
        self._held = 0

    @property
    def over(self) -> bool:
        """Whether it makes no more steps."""
        return self.status in OVER

    @property
    def used(self) -> int:
        """forwards + 2 x backwards so far."""
        return cost(self.run.last) if self.run.last else 0

    def stop(self) -> None:
        """Ends it after the step in progress. From any thread."""
        self.told_to_stop.set()

    def end(self, status: str, message: str = "") -> None:
        """No more steps."""
        self.status, self.message = status, message
        self.steps.close()  # type: ignore[attr-defined]
        self.run.close()

    def advance(self, clock: Callable[[], float]) -> None:
        """One step."""
        self.status = "running"
        began, gauge = clock(), Gauge(self.run.prior.device)
        try:
            step = next(self.steps, None)
        except RedguiError as error:
            return self.end("error", str(error))
        except Exception as error:  # whatever it is, the others go on
            log.exception("%s broke off", self.label)
            return self.end(
                "error", f"{self.label} broke off: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
        finally:
            self.seconds += clock() - began
            self.memory, self._held = gauge.read(self.memory, self._held)
        if step is None:
            return self.end("done")
        self.curve.append((step.seconds, self.used, step.psnr))
        if self.run.finished:
            return self.end("done")
        if (
            self.budget is not None
            and self.plan[step.i : step.i + 1] != (self.used,)
            and self.budget - self.used < self.costs[-1]
        ):
            return self.end("done", f"budget reached at step {step.i + 1} of {step.n}")
        return None

    def _keep_to_budget(self, step: Measured) -> None:
        """What a step costs can depend on the picture: a run that has left its plan gets as many steps as can still be paid."""
        self.costs.append(cost(step) - sum(self.costs))
        if self.budget is None or self.plan[step.i : step.i + 1] == (cost(step),):
            return
        recent = self.costs[-4:]  # later levels are cheaper or dearer than the first
        affordable = int((self.budget - cost(step)) / max(sum(recent) / len(recent), 1))
        if affordable and step.i + 1 + affordable != step.n and hasattr(self.run.now, "steps"):
            self.run.tune(_with_steps(self.run.now, step.i + 1 + affordable))


class Gauge:
    """Memory on the accelerator over one step."""

    def __init__(self, device: torch.device):
        self.device = device if device.type == "cuda" else None
        if self.device is not None:
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)

    def read(self, most: int | None, held: int) -> tuple[int | None, int]:
        """The most bytes so far and those held between steps, from their values before the step."""
        if self.device is None:
            return None, 0
        peak = held + torch.cuda.max_memory_allocated(self.device) - self.before
        return max(most or 0, peak), held + torch.cuda.memory_allocated(self.device) - self.before


@dataclass(frozen=True)
class Turn:
    """Whose step was made (or who was stopped)."""

    key: str


class Race:
    """Contestants on one problem.

    Args:
        seconds_allowed: of the race as a whole, on the clock.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        seconds_allowed: float = float("inf"),
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.contestants = list(contestants)
        self.seconds_allowed, self.clock = seconds_allowed, clock
        self.playing = False
        self.elapsed = 0.0

    def __getitem__(self, key: str) -> Contestant:
        return next(c for c in self.contestants if c.key == key)

    @property
    def progress(self) -> float:
        """The share of all steps that has been made, 0 to 1."""
        return sum(1.0 if c.over else c.run.progress for c in self.contestants) / len(self.contestants)

    @property
    def problem(self) -> Problem:
        """The measurement that all are given."""
        return self.contestants[0].run.problem

    def stop(self, key: str | None = None) -> None:
        """Ends one contestant, or all, after the step in progress. From any thread."""
        for contestant in self.contestants:
            if key in (None, contestant.key):
                contestant.stop()

    def play(self) -> Iterator[Turn]:
        """Runs until all are over, and yields after every step."""
        began = self.clock()
        self.playing = True
        try:
            while True:
                for c in self.contestants:
                    if not c.over and c.told_to_stop.is_set():
                        c.end("stopped")
                        yield Turn(c.key)
                running = [c for c in self.contestants if not c.over]
                if not running:
                    return
                if self.clock() - began > self.seconds_allowed:
                    for c in running:
                        c.end("stopped", f"the {self.seconds_allowed:.0f} seconds of a comparison are over")
                    yield Turn(running[-1].key)
                    return
                chosen = min(running, key=lambda c: c.seconds)  # of several the first
                chosen.advance(self.clock)
                yield Turn(chosen.key)
        finally:
            for c in self.contestants:
                if not c.over:
                    c.end("stopped")
            self.elapsed += self.clock() - began
            self.playing = False
