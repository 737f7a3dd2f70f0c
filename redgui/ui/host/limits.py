"""How much one host does for one person: `HOME` on a person's own machine, `PUBLIC` where strangers come.

Every run, race, sweep and call is admitted here and nowhere else: the seconds that it may take are what `run`, `race` or
`sweep` gives, so that nothing gets its time without having been looked at. `show` puts the same bounds on the page's sliders.
"""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redgui import images, knobs
from redgui.errors import RedguiError
from redgui.knobs import knob
from redgui.priors.base import LARGEST
from redgui.runs.record import Record, Tuner
from redgui.runs.sweep import Grid
from redgui.samplers import Sampler


class LimitError(RedguiError):
    """More than this host does for one person; the message says how much it does."""


@dataclass(frozen=True, kw_only=True)
class More:
    """What a person asks of Continue."""

    name = "more"

    steps: int = knob(50, 1, 5000, help="so many more steps")


@dataclass(frozen=True)
class Limits:
    """Bounds of a host, all inclusive.

    Attributes:
        pixels: of a picture that is read, by its header, before any is decoded.
        side: longest side of the picture that a sampler works on.
        steps: of a run, with those that Continue adds.
        cost: of one step, in calls of the network (forwards + 2 x backwards); time is looked at between steps alone.
        particles: of a run.
        cells, contestants: runs of a sweep, and of a race: samplers x pictures x seeds.
        together: pictures that go through the network at once: cells x particles.
        seconds: of one run, race, sweep or call.
        places: how many are served at once.
        queue: how many may wait for their turn.
        pages: open at once whose picture is kept.
        file_mb: of an uploaded file.
        body_mb: of all that a request may carry.
        uploads_mb: of all uploaded files that lie on the disk.
    """

    pixels: int
    side: int
    steps: int
    cost: float
    particles: int
    cells: int
    contestants: int
    together: int
    seconds: float
    places: int
    queue: int
    pages: int
    file_mb: int
    body_mb: int
    uploads_mb: float

    def run(self, sampler: Sampler, particles: int = 1) -> float:
        """The seconds that a run may take. Raises LimitError."""
        self.sampler(sampler)
        self._most("particles", particles, self.particles, "Ask for fewer")
        return self.seconds

    def race(self, contestants: Iterable[tuple[Sampler, int]]) -> float:
        """The seconds of a race of samplers with their particles, one for each run. Raises LimitError."""
        contestants = list(contestants)
        what = "runs in a comparison, samplers × pictures × seeds"
        self._most(what, len(contestants), self.contestants, "Untick samplers or pictures, or take fewer seeds")
        for sampler, particles in contestants:
            self.run(sampler, particles)
        return self.seconds

    def sweep(self, grid: Grid, particles: int = 1) -> float:
        """The seconds of a sweep. Raises LimitError."""
        cells = grid.cells
        self._most("cells of a sweep", len(cells), self.cells, "Leave some values out")
        self._most("pictures at once (cells times particles)", len(cells) * particles, self.together, "Take fewer of either")
        for cell in cells:
            self.run(cell.sampler, particles)
        return self.seconds

    def sampler(self, sampler: Sampler) -> Sampler:
        """The sampler itself, where its steps are not too many and none is too dear. Raises LimitError."""
        self._most("steps", getattr(sampler, "steps", 1), self.steps, "Ask for fewer")
        if math.isfinite(self.cost):
            self._most(f"calls of the network in a step of {sampler.label}", _cost(sampler), self.cost, "Lower its inner steps")
        return sampler

    def more(self, planned: int, asked: Any, finished: bool) -> int:
        """The steps that Continue adds to those of a run that is finished; `asked` is any JSON. Raises RedguiError."""
        steps = knobs.build(More, {"steps": asked}).steps
        if finished:
            self._most("steps", planned + 1, self.steps, "Press Run to start anew")
        return min(steps, max(1, self.steps - planned))

    def size(self, longest: int) -> int:
        """A longest side itself. Raises LimitError."""
        self._most("pixels along a side", longest, self.side, "Choose a smaller size")
        return longest

    def record(self, record: Record) -> Record:
        """The record itself, where this host can play it: its picture, particles, and samplers from first to last change.

        Raises RedguiError.
        """
        self.size(max(record.picture().shape[-2:]))
        begun = record.settings.sampler
        for sampler in (begun, *Tuner(begun, record.changes).after.values()):
            self.run(sampler, record.settings.particles)
        self._most("steps", record.steps, self.steps, "Replay it on a machine of your own")
        return record

    def show(self, blocks: Iterable[Any]) -> None:
        """Has the sliders of steps and particles end where this host does."""
        for block in blocks:
            name, top = str(getattr(block, "elem_id", "")), getattr(block, "maximum", None)
            if top is None:
                continue
            if name.endswith("-steps"):
                block.maximum = min(top, self.steps)
            elif name in ("particles", "particles-count"):
                block.maximum = min(top, self.particles)
                block.value = min(block.value, block.maximum)

    def _most(self, what: str, got: float, most: float, do: str) -> None:
        if got > most:
            raise LimitError(
                f"this host takes at most {most:g} {what}; got {got:g}. {do}, or run redgui on a machine of your own."
            )


# What the knobs, the tabs and the machine allow is the limit at home; these are the ends of the knobs.
HOME = Limits(
    pixels=images.MAX_PIXELS, side=LARGEST, steps=5000, cost=math.inf, particles=64, cells=25, contestants=160, together=100,
    seconds=3600.0, places=8, queue=64, pages=2000, file_mb=40, body_mb=64, uploads_mb=math.inf,
)  # fmt: skip

# For two cores or a GPU that is lent. Every preset is within them, and so is a race of all samplers.
PUBLIC = Limits(
    pixels=16_000_000, side=512, steps=1000, cost=40, particles=8, cells=16, contestants=13, together=32,
    seconds=120.0, places=8, queue=16, pages=100, file_mb=12, body_mb=24, uploads_mb=2000,
)  # fmt: skip


def limits_of(public: bool) -> Limits:
    """The limits of a public host, or of a private one."""
    return PUBLIC if public else HOME


@lru_cache(maxsize=256)
def _cost(sampler: Sampler) -> float:
    """Calls of the network that a step costs, counted in a short run on a tiny closed-form prior."""
    from redgui.runs.budget import spent

    steps = getattr(sampler, "steps", None)
    few = sampler if steps is None else dataclasses.replace(sampler, steps=min(2, steps))
    used = spent(few, 0.0, 4000)
    return round(used[-1] / len(used), 1)
