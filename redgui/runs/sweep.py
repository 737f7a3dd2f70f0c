"""A sweep: two knobs of a sampler on a grid, all settings on one measurement.

    sweep = Sweep(picture, problem, prior, Grid(sampler, axis(RedDiff, "lr", "0.03, 0.1"), axis(RedDiff, "lam", "0.1, 0.25")))
    for _ in sweep.play():
        print([cell.last.psnr for cell in sweep.cells if cell.last])

Every cell has the seed, and so the random numbers, of a run alone; its result is that of a run alone up to the rounding of a
batched convolution. The paper's ablations over lr, lambda and weighting are such grids (arXiv 2305.04391).
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from redgui import knobs
from redgui.fitting import Fitting
from redgui.knobs import Knob, KnobError
from redgui.priors import Prior
from redgui.runs.group import Group, Member
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.samplers import Sampler

MOST_VALUES = 8  # of an axis: RED-diff has so many weightings
MOST_CELLS = 25
MOST_PICTURES = 100  # cells times particles: they go through the network together


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
        # The paper's weightings; a power needs its exponent.
        return ", ".join([c for c in k.choices if c != "power"][:MOST_VALUES])
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


@dataclass(frozen=True)
class Spot:
    """A setting of the grid and where it lies."""

    row: int
    column: int
    sampler: Sampler

    @property
    def key(self) -> str:
        """Its name within the grid."""
        return f"{self.row}-{self.column}"


@dataclass(eq=False, kw_only=True)
class Cell(Member):
    """A setting of the grid as a run. `sampler`: its knobs."""

    row: int
    column: int
    sampler: Sampler


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
    def cells(self) -> list[Spot]:
        """The settings, row by row."""
        spots = itertools.product(range(len(self.rows.values)), range(1 if self.columns is None else len(self.columns.values)))
        return [Spot(i, j, knobs.build(type(self.sampler), knobs.values(self.sampler) | self.at(i, j))) for i, j in spots]

    def at(self, row: int, column: int) -> dict[str, Any]:
        """The swept knobs of a cell, by their names."""
        return {axis.knob.name: axis.values[k] for axis, k in zip(self.axes, (row, column), strict=False)}


class Sweep(Group[Cell]):
    """A grid on one problem.

    Args:
        picture: what the record holds: the ground truth, or the measurement itself of a problem without one.
        particles: of each cell.
        fitting: how the person's picture became `picture`, for the record.
        seconds_allowed: of the sweep as a whole, on the clock.

    Raises: SamplerError or KnobError, before anything runs.
    """

    what: ClassVar[str] = "sweep"
    together: ClassVar[int] = MOST_PICTURES

    def __init__(
        self,
        picture: Tensor,
        problem: Problem,
        prior: Prior,
        grid: Grid,
        particles: int = 1,
        fitting: Fitting | None = None,
        seconds_allowed: float = float("inf"),
        clock: Callable[[], float] = time.perf_counter,
    ):
        if len(grid.cells) * particles > MOST_PICTURES:
            most = max(1, MOST_PICTURES // len(grid.cells))
            raise KnobError(
                f"{len(grid.cells)} cells of {particles} particles are too many at once; "
                f"take at most {most} particles, or fewer values."
            )
        self.grid, self.particles = grid, particles
        cells = []
        for spot in grid.cells:
            run = Run(picture, problem, prior, spot.sampler, particles, fitting=fitting, filmed=False)
            cells.append(Cell(spot.key, knobs.spec(spot.sampler, grid.sampler), run, **vars(spot)))
        super().__init__(cells, seconds_allowed, clock)

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return self.members
