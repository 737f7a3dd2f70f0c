"""A sweep: two knobs of a sampler on a grid, all settings on one measurement with one call of the network a step.

    sweep = Sweep(picture, problem, prior, grid(sampler, axis(RedDiff, "lr", "0.03, 0.1"), axis(RedDiff, "lam", "0.1, 0.25")))
    for _ in sweep.play():
        print([cell.last.psnr for cell in sweep.cells if cell.last])

Every cell has the seed, and so the random numbers, of a run alone; its result is that of a run alone up to the rounding of a
batched convolution (`redgui.runs.lockstep`). The paper's ablations over lr, lambda and weighting are such grids
(arXiv 2305.04391).
"""

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from redgui import knobs
from redgui.errors import RedguiError
from redgui.knobs import Knob, KnobError
from redgui.priors import Counted, Prior
from redgui.runs.lockstep import lockstep
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.stream import Measured, measured, seen_by, solve
from redgui.samplers import SAMPLERS, Sampler

MOST_VALUES = 8  # of an axis: RED-diff has so many weightings
MOST_CELLS = 25
MOST_PICTURES = 100  # cells times particles: they go through the network together
OVER = ("stopped", "done", "error")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Axis:
    """A knob and the values that it takes along a side of the grid."""

    knob: Knob
    values: tuple[Any, ...]

    @property
    def texts(self) -> list[str]:
        """The values as they are written."""
        return [text(value) for value in self.values]


def sweepable(cls: type[Sampler]) -> tuple[Knob, ...]:
    """The knobs of a sampler that can be an axis: all that are shown but free texts."""
    return tuple(k for k in knobs.knobs(cls) if k.shown and (k.choices or k.kind is not str))


def axis(cls: type[Sampler], name: str, values: str) -> Axis:
    """An axis from the name of a knob and its values as text, `0.03, 0.1, 0.3`.

    Raises:
        KnobError: there is no such knob, a value is not one of it, or there are none, too many, or the same twice.
    """
    known = {k.name: k for k in sweepable(cls)}
    if name not in known:
        raise KnobError(f"{cls.label} has no knob {name!r} to sweep. Choose one of: {', '.join(known)}.")
    k, parts = known[name], [part.strip() for part in values.replace(";", ",").replace("\n", ",").split(",")]
    given = [part.replace(" ", "_") if k.choices else part for part in parts if part]
    if not 0 < len(given) <= MOST_VALUES:
        raise KnobError(f"{cls.label}: {name} takes 1 to {MOST_VALUES} values, separated by commas; got {len(given)}.")
    found: list[Any] = []
    for part in given:
        value = knobs.coerce(k, part, cls.label)
        if value in found:
            raise KnobError(f"{cls.label}: {name} has the value {text(value)} twice; leave one of them out.")
        found.append(value)
    return Axis(k, tuple(found))


def text(value: Any) -> str:
    """A knob's value as it is written in a box or a header."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def suggest(k: Knob, now: Any) -> str:
    """Values around the one that a knob has: factors of about three for a logarithmic knob, all choices, both truths."""
    if k.choices:
        return ", ".join(c for c in k.choices if c != "power")  # the paper's weightings; a power needs its exponent
    if k.kind is bool:
        return "false, true"
    lo, hi = (-math.inf if k.lo is None else k.lo), (math.inf if k.hi is None else k.hi)
    if k.log:
        middle = float(now) or float(k.default) or 1.0
        near = [_round(middle / 10**0.5), float(now), _round(middle * 10**0.5)]
    else:
        span = (hi - lo) if math.isfinite(hi - lo) else 4 * max(abs(float(now)), 1.0)
        step = _round(span / 4, 1)
        near = [float(now) - step, float(now), float(now) + step]
    near = [min(max(v, lo), hi) for v in near]
    distinct = dict.fromkeys(text(round(v) if k.kind is int else float(f"{v:.4g}")) for v in sorted(near))
    return ", ".join(distinct)


def _round(x: float, digits: int = 2) -> float:
    """To two digits, or to 1 or 3 times a power of ten where that is near."""
    for mantissa in (1, 3, 10):
        simple = mantissa * 10.0 ** math.floor(math.log10(x))
        if abs(x / simple - 1) < 0.1:
            return float(f"{simple:.1g}")
    return float(f"{x:.{digits}g}")


@dataclass
class Cell:
    """A setting of the grid and its newest Step."""

    row: int
    column: int
    sampler: Sampler
    status: str = "waiting"
    message: str = ""
    last: Measured | None = None

    @property
    def key(self) -> str:
        """Its name within the grid."""
        return f"{self.row}-{self.column}"

    @property
    def over(self) -> bool:
        """Whether it makes no more steps."""
        return self.status in OVER


@dataclass(frozen=True)
class Grid:
    """A sampler and the axes along which its knobs are changed: `rows` down, `columns` across, None for a single column."""

    sampler: Sampler
    rows: Axis
    columns: Axis | None = None

    def __post_init__(self) -> None:
        swept = {axis.knob.name: axis for axis in self.axes}
        if len(swept) < len(self.axes):
            raise KnobError(f"both axes are {self.rows.knob.name}; choose two different knobs.")
        count = math.prod(len(axis.values) for axis in self.axes)
        if count > MOST_CELLS:
            got = " x ".join(str(len(axis.values)) for axis in self.axes) + f" = {count}"
            raise KnobError(f"a grid has at most {MOST_CELLS} cells; got {got}. Leave some values out.")
        for k in (axis.knob for axis in self.axes):
            if k.only_with is None:
                continue
            other, wanted = k.only_with
            values = swept[other].values if other in swept else (getattr(self.sampler, other),)
            if not set(values) & set(wanted):
                raise KnobError(f"{k.name} acts only with {other} = {' or '.join(wanted)}; choose that first, or another knob.")
        _ = self.cells  # every setting is built once here, so that a combination that cannot be is told before anything runs

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Its axes, one or two."""
        return (self.rows,) if self.columns is None else (self.rows, self.columns)

    @property
    def cells(self) -> list[Cell]:
        """New cells, row by row."""
        return [
            Cell(at[0], at[1] if len(at) > 1 else 0, knobs.build(type(self.sampler), knobs.values(self.sampler) | self.at(*at)))
            for at in itertools.product(*(range(len(axis.values)) for axis in self.axes))
        ]

    def at(self, row: int, column: int = 0) -> dict[str, Any]:
        """The swept knobs of a cell, by their names."""
        return {axis.knob.name: axis.values[k] for axis, k in zip(self.axes, (row, column), strict=False)}


class Sweep:
    """A grid on one problem.

    Args:
        picture: what the record holds: the ground truth, or the measurement itself of a problem without one.
        particles: of each cell.
        fit: how the person's picture became `picture`, for the record.
        seconds_allowed: of the sweep as a whole, on the clock.

    Raises: SamplerError or KnobError, before anything runs.
    """

    def __init__(
        self,
        picture: Tensor,
        problem: Problem,
        prior: Prior,
        grid: Grid,
        particles: int = 1,
        fit: str = "crop",
        seconds_allowed: float = float("inf"),
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.picture, self.problem, self.prior, self.grid, self.particles = picture, problem, prior, grid, particles
        self.fit, self.seconds_allowed, self.clock = fit, seconds_allowed, clock
        self.cells = grid.cells
        if len(self.cells) * particles > MOST_PICTURES:
            most = max(1, MOST_PICTURES // len(self.cells))
            raise KnobError(
                f"{len(self.cells)} cells of {particles} particles are too many at once; "
                f"take at most {most} particles, or fewer values."
            )
        grid.sampler.check_fit(seen_by(prior, problem.H), SAMPLERS)
        self.playing = False
        self.calls = 0  # of the network, each for all cells that asked
        self._stop = threading.Event()

    @property
    def progress(self) -> float:
        """The share of all cells' steps that has been made, 0 to 1."""
        shares = [1.0 if c.status in ("done", "error") else (c.last.i + 1) / c.last.n if c.last else 0.0 for c in self.cells]
        return sum(shares) / len(shares)

    def stop(self) -> None:
        """Ends all cells after the iteration in progress. From any thread."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def play(self) -> Iterator[list[Cell]]:
        """Runs until all cells are over, and yields those that have something new."""
        began, self.playing = self.clock(), True
        counted = Counted(self.prior)
        news = lockstep(counted, [self._start(cell.sampler) for cell in self.cells])
        try:
            for items in news:
                self.calls = counted.forwards
                for index, item in items:
                    self._note(self.cells[index], item)
                yield [self.cells[index] for index, _ in items]
                late = self.clock() - began > self.seconds_allowed
                if self._stop.is_set() or late:
                    self.end("stopped", f"the {self.seconds_allowed:.0f} seconds of a sweep are over" if late else "")
                    return
        finally:
            news.close()
            self.end("stopped")
            self.playing = False

    def record(self, cell: Cell) -> Record:
        """What reproduces a cell alone, up to the rounding of a batched convolution."""
        if cell.last is None:
            raise RuntimeError("a cell has no record before its first step")
        return Record.of(self.picture, self.problem, self.prior, cell.sampler, cell.last, fit=self.fit)

    def _start(self, sampler: Sampler) -> Callable[[Prior], Iterator[Measured]]:
        def of(asking: Prior) -> Iterator[Measured]:
            counted = Counted(asking)
            return measured(solve(self.problem, counted, sampler, self.particles), self.problem, counted)

        return of

    def _note(self, cell: Cell, item: Any) -> None:
        if isinstance(item, RedguiError):
            cell.status, cell.message = "error", str(item)
        elif isinstance(item, Exception):  # whatever it is, the others go on
            log.error("%s broke off", knobs.spec(cell.sampler), exc_info=item)
            what = str(item).splitlines()[0][:200] if str(item) else type(item).__name__
            cell.status, cell.message = "error", f"broke off: {what}"
        else:
            cell.last = item
            cell.status = "done" if item.i + 1 >= item.n else "running"

    def end(self, status: str, message: str = "") -> None:
        """Gives all cells that are not over their end."""
        for cell in self.cells:
            if not cell.over:
                cell.status, cell.message = status, message
