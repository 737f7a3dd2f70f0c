"""A race: several samplers on the same measurements, each with its own random numbers and optimiser.

Each of them restores every picture with every seed. At every moment all have had the same seconds, and at the end of a budget
of network calls each has taken what it needs.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from redgui.runs.budget import cost, with_steps
from redgui.runs.group import Group, Member
from redgui.runs.stream import Measured


@dataclass(eq=False)
class Contestant(Member):
    """One sampler of a race on one picture with one seed, and what it has used.

    Attributes:
        of: the key of the contestant that it repeats with another picture or seed; empty for one that repeats none.
        picture: the name of its picture; no other picture of the race has it.
        plan: the budget that it should have used after each step; empty without a budget.
        costs: of each step, forwards + 2 x backwards.
        curve: (seconds, forwards + 2 x backwards, PSNR) after each step.
    """

    of: str = field(default="", kw_only=True)
    picture: str = field(default="", kw_only=True)
    budget: int | None = None
    plan: tuple[int, ...] = ()
    costs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run.heard = self._keep_to_budget

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()

    @property
    def used(self) -> int:
        """forwards + 2 x backwards so far."""
        return cost(self.last) if self.last else 0

    @property
    def curve(self) -> list[tuple[float, int, float | None]]:
        """Seconds, budget and PSNR after each step."""
        return [(row["seconds"], row["nfe"] + 2 * row["backward"], row["psnr"]) for row in list(self.run.rows)]

    def stepped(self, step: Measured) -> str | None:
        """Ends it where the budget does not pay for a step like the last one."""
        if self.budget is None or self.run.finished or self._planned(step) or self.budget - self.used >= self.costs[-1]:
            return None
        return f"budget reached at step {step.i + 1} of {step.n}"

    def _planned(self, step: Measured) -> bool:
        own = step.i - step.before
        return own < 0 or self.plan[own : own + 1] == (cost(step),)  # what finds the operator asks no network

    def _keep_to_budget(self, step: Measured) -> None:
        """What a step costs can depend on the picture: a run that has left its plan gets as many steps as can still be paid."""
        self.costs.append(cost(step) - sum(self.costs))
        if self.budget is None or self._planned(step):
            return
        recent = self.costs[-4:]  # later levels are cheaper or dearer than the first
        affordable = int((self.budget - cost(step)) / max(sum(recent) / len(recent), 1))
        if affordable and step.i + 1 + affordable != step.n:
            self.run.tune(with_steps(self.run.now, step.i + 1 - step.before + affordable))


class Race(Group[Contestant]):
    """Contestants on the same problems, kept at equal seconds; `problem` is the first picture's with the first seed."""

    what: ClassVar[str] = "comparison"
    paced: ClassVar[bool] = True

    @property
    def contestants(self) -> Sequence[Contestant]:
        """All that take part, each with its first picture and seed."""
        return [member for member in self.members if not member.of]

    @property
    def pictures(self) -> Sequence[str]:
        """The names of the pictures, each once."""
        return list(dict.fromkeys(member.picture for member in self.members))

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds, each once."""
        return list(dict.fromkeys(member.run.problem.seed for member in self.members))

    @property
    def units(self) -> str:
        """What a standard error is over: pictures, or seeds where there is one picture (`sample`)."""
        return "pictures" if len(self.pictures) > 1 else "seeds"

    def runs(self, key: str) -> Sequence[Contestant]:
        """A contestant with all of its pictures and seeds."""
        return [member for member in self.members if key in (member.key, member.of)]

    def sample(self, key: str, figure: Callable[[Contestant], float | None]) -> dict[str | int, float]:
        """A figure of a contestant by what its standard error is over.

        With several pictures that is the picture, with the mean over its seeds: seeds of one picture tell nothing of another.
        With one picture it is the seed. Runs that failed, or that the figure is None of, are left out.
        """
        several = self.units == "pictures"
        found: dict[str | int, list[float]] = {}
        for member in self.runs(key):
            if member.status != "error" and (value := figure(member)) is not None:
                found.setdefault(member.picture if several else member.run.problem.seed, []).append(value)
        return {unit: statistics.fmean(values) for unit, values in found.items()}

    def stop(self, key: str | None = None) -> None:
        """Ends one with all of its runs, or all. From any thread."""
        for member in self.members:
            if key in (None, member.key, member.of):
                member.stop()
