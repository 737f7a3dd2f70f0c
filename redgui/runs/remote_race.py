"""A race on a GPU that is lent: `race` is to a page what `Race.play` is elsewhere (see `redgui.runs.remote`)."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from redgui import priors
from redgui.runs import zero_gpu
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race, Turn
from redgui.runs.remote import HZ, PATIENCE, START, RunNews, Teller, gpu_seconds
from redgui.runs.run import Run
from redgui.runs.zero_gpu import Heard, Wishes
from redgui.samplers import Sampler


@dataclass(frozen=True)
class ContestantNews:
    """What has happened to a Contestant since the news before."""

    key: str
    status: str
    message: str
    seconds: float
    memory: int | None
    curve: list[tuple[float, int, float | None]]  # new points
    run: RunNews | None

    def tell(self, contestant: Contestant) -> None:
        if self.run is not None:
            self.run.tell(contestant.run)
        contestant.curve.extend(self.curve)
        contestant.seconds, contestant.memory = self.seconds, self.memory
        contestant.message, contestant.status = self.message, self.status  # the status last: it says that all is there


@dataclass(frozen=True)
class RaceJob:
    """A Race to be played. `entries`: key, label, sampler, particles, budget and plan of each contestant."""

    picture: Tensor
    problem: Problem
    prior: str
    entries: Sequence[tuple[str, str, Sampler, int, int | None, tuple[int, ...]]]
    seconds: float
    allowed: float

    def news(self, heard: Heard) -> Iterator[list[ContestantNews] | None]:
        prior = priors.load(self.prior)
        race = Race(
            [Contestant(key, label, Run(self.picture, self.problem, prior, sampler, particles), budget, plan)
             for key, label, sampler, particles, budget, plan in self.entries],
            self.allowed,
        )  # fmt: skip
        tellers, seen = {c.key: Teller(c.run) for c in race.contestants}, dict.fromkeys((c.key for c in race.contestants), 0)
        states: dict[str, Any] = {}

        def changed() -> list[ContestantNews]:
            found = []
            for c in race.contestants:
                if states.get(c.key) == (state := (c.status, len(c.curve))):
                    continue
                curve, states[c.key] = c.curve[seen[c.key] :], state
                seen[c.key] += len(curve)
                found.append(ContestantNews(c.key, c.status, c.message, c.seconds, c.memory, curve, tellers[c.key]()))
            return found

        shown = -math.inf
        with closing(race.play()) as turns:  # type: ignore[type-var]
            for _ in turns:
                for key in heard() or ():
                    race.stop(key)
                if time.perf_counter() - shown >= 1 / HZ:
                    yield changed()
                    shown = time.perf_counter()
        yield changed()


def race(of: Race) -> Iterator[Turn]:
    """`Race.play`, wherever the steps are made."""
    return _race(of) if zero_gpu.on_zero_gpu() else of.play()


def _race(of: Race) -> Generator[Turn, None, None]:
    first = of.contestants[0].run
    needed = START + sum(
        gpu_seconds(c.run.sampler, first.problem.sigma_y, c.run.particles, first.prior) for c in of.contestants
    )
    entries = [(c.key, c.label, c.run.sampler, c.run.particles, c.budget, c.plan) for c in of.contestants]
    allowed = zero_gpu.allowed(needed, of.seconds_allowed)
    job = RaceJob(first.picture, first.problem, first.prior.name, entries, needed, allowed)
    wishes, told, late, began = Wishes.taken(), frozenset[str](), 0, time.perf_counter()
    of.playing = True
    try:
        with closing(zero_gpu.stream(job, wishes)) as items:
            for news in items:
                for one in news:
                    one.tell(of[one.key])
                wanted = frozenset(c.key for c in of.contestants if c.told_to_stop.is_set())
                if wanted != told:
                    wishes.post(wanted)
                    told = wanted
                late += len(told) == len(of.contestants)
                for one in news:
                    yield Turn(one.key)
                if late > PATIENCE * len(of.contestants):
                    return
    finally:
        for c in of.contestants:
            if not c.over:
                c.end("stopped")
        of.playing = False
        of.elapsed += time.perf_counter() - began
        wishes.free()
