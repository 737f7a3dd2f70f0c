"""A sweep played on a GPU that is lent: the counterpart of `redgui.runs.remote` for the Sweep tab."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from torch import Tensor

from redgui import priors
from redgui.runs import zero_gpu
from redgui.runs.problem import Problem
from redgui.runs.remote import HZ, PATIENCE, START, Elsewhere, carried, gpu_seconds
from redgui.runs.stream import Measured
from redgui.runs.sweep import Cell, Grid, Sweep
from redgui.runs.zero_gpu import Heard, Wishes


@dataclass(frozen=True)
class CellNews:
    """Where a cell is now; tensors on the CPU."""

    key: str
    status: str
    message: str
    last: Measured | None


@dataclass(frozen=True)
class SweepNews:
    """What has happened since the news before, and where it runs."""

    cells: list[CellNews]
    calls: int
    device: str
    precision: str


@dataclass(frozen=True)
class SweepJob:
    """A Sweep to be played. Its wish is True: stop."""

    picture: Tensor
    problem: Problem
    prior: str
    grid: Grid
    particles: int
    seconds: float
    allowed: float

    def news(self, heard: Heard) -> Iterator[SweepNews]:
        prior = priors.load(self.prior)
        sweep = Sweep(self.picture, self.problem, prior, self.grid, self.particles, seconds_allowed=self.allowed)
        states: dict[str, tuple[str, int]] = {}

        def changed() -> SweepNews:
            found = []
            for cell in sweep.cells:
                if states.get(cell.key) != (state := (cell.status, cell.last.i if cell.last else -1)):
                    states[cell.key] = state
                    found.append(CellNews(cell.key, cell.status, cell.message, carried(cell.last) if cell.last else None))
            return SweepNews(found, sweep.calls, prior.device.type, prior.precision)

        shown = -math.inf
        with closing(sweep.play()) as turns:  # type: ignore[type-var]
            for _ in turns:
                if heard():
                    sweep.stop()
                if time.perf_counter() - shown >= 1 / HZ:
                    yield changed()
                    shown = time.perf_counter()
        yield changed()


def sweep(of: Sweep) -> Iterator[list[Cell]]:
    """`Sweep.play`, wherever the steps are made."""
    return _sweep(of) if zero_gpu.on_zero_gpu() else of.play()


def _sweep(of: Sweep) -> Generator[list[Cell], None, None]:
    sigma_y = of.problem.sigma_y
    # One batch for all: a cell's steps cost one pass, of the pictures of all cells.
    longest = max(of.cells, key=lambda cell: getattr(cell.sampler, "steps", 0)).sampler
    needed = START + gpu_seconds(longest, sigma_y, of.particles * len(of.cells), of.prior)
    allowed = zero_gpu.allowed(needed, of.seconds_allowed)
    job = SweepJob(of.picture, of.problem, of.prior.name, of.grid, of.particles, needed, allowed)
    wishes, late, found = Wishes.taken(), 0, {cell.key: cell for cell in of.cells}
    of.playing = True
    try:
        with closing(zero_gpu.stream(job, wishes)) as items:
            for news in items:
                if not isinstance(of.prior, Elsewhere):
                    of.prior = Elsewhere(of.prior, news.device, news.precision)
                of.calls = news.calls
                for one in news.cells:
                    cell = found[one.key]
                    cell.last, cell.message, cell.status = one.last, one.message, one.status
                yield [found[one.key] for one in news.cells]
                if of.stopping:
                    wishes.post(True)
                    late += 1
                if late > PATIENCE:
                    return
    finally:
        of.end("stopped")
        of.playing = False
        wishes.free()
