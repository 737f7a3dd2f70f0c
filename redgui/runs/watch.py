"""Watching what is played: it goes on by itself, and who looks on is told now and then that there is news.

with closing(watch(race, hz=2.5)) as news:
    for _ in news:
        draw(race)
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from threading import Event, Lock
from typing import Any, Protocol, TypeVar

from redgui.runs import remote, zero_gpu
from redgui.runs.engine import engine
from redgui.runs.rounds import Job, played
from redgui.runs.tune import Tuning

T = TypeVar("T")
NEWS = 16.0  # a second, for all who look on together: what a page is told costs the thread that computes its share of the GIL
_looking = 0  # how many look on now
_lock = Lock()


class Playable(Protocol):
    """A run, a race, a sweep, a tuning."""

    @property
    def playing(self) -> bool:
        """Whether it was begun and is not over."""
        ...

    @property
    def progress(self) -> float:
        """The share of its steps that has been made, 0 to 1."""
        ...

    def stop(self) -> None:
        """Ends it within the step in progress. From any thread."""
        ...


def compute(work: Callable[[], T]) -> T:
    """What a page needs computed besides runs, between two rounds of the engine; here and now where GPUs are lent: no fork may
    have an engine."""
    return work() if zero_gpu.on_zero_gpu() else engine().call(work)


def watch(of: Any, hz: float) -> Generator[None, None, None]:
    """Plays a run, a group or all rounds of a tuning to the end, and yields at news, at most `hz` times a second, and after the
    last step.

    Where many look on, each is told less often (`NEWS`).

    Closing this (the page is gone) stops what is played and waits for the step in progress. An error of a run is raised here,
    one of a group's member is told in its message.
    """
    if isinstance(of, Tuning):
        for group in of.deal():
            yield from watch(group, hz)
        return
    if zero_gpu.on_zero_gpu():
        yield from remote.watch(of, hz)
        return
    yield from _told(of.jobs(), hz, of.stop)


def told(job: Job, hz: float) -> Generator[None, None, None]:
    """Plays a job, and yields as `watch` does. In a lent worker, which has the thread to itself, after every turn."""
    if not zero_gpu.on_zero_gpu():
        yield from _told([job], hz, lambda: setattr(job, "leaving", True))
        return
    shown = -math.inf
    for _ in played([job]):
        if job.over.is_set() or time.perf_counter() - shown >= 1 / hz:
            shown = time.perf_counter()
            yield
    if job.error is not None:
        raise job.error


def _told(jobs: Sequence[Job], hz: float, stop: Callable[[], None]) -> Generator[None, None, None]:
    global _looking
    news = Event()
    with _lock:
        _looking += 1
    for job in jobs:
        job.told = news.set
        engine().play(job)
    try:
        while True:
            news.wait()
            news.clear()
            over = all(job.over.is_set() for job in jobs)  # read first: what is the newest after the end is the last
            shown = time.perf_counter()
            yield
            if over:
                break
            shared = _looking / NEWS if _looking > 2 else 0.0
            time.sleep(max(0.0, shown + max(1 / hz, shared) - time.perf_counter()))
    finally:
        with _lock:
            _looking -= 1
        stop()
        for job in jobs:
            job.over.wait()
    for job in jobs:
        if job.error is not None:
            raise job.error
