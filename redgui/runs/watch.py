"""Watching what is played: a run, a race or a sweep goes on, and who looks on is told now and then that there is news.

    with closing(watch(race, hz=2.5)) as news:
        for _ in news:
            draw(race)
"""

import contextvars
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Protocol, TypeVar

from redgui.runs import remote, remote_race, remote_sweep
from redgui.runs.race import Race
from redgui.runs.run import Run
from redgui.runs.teams import take_team

T = TypeVar("T")


class Playable(Protocol):
    """A run, a race, a sweep."""

    playing: bool

    @property
    def progress(self) -> float:
        """The share of its steps that has been made, 0 to 1."""
        ...

    def stop(self) -> None:
        """Ends it after the step in progress. From any thread."""
        ...


def watch(played: Any, hz: float) -> Generator[None, None, None]:
    """Plays a Run, a Race or a Sweep to its end and yields at news, at most `hz` times a second, and after the last step.

    Closing this (the page is gone) stops what is played and waits for the step in progress. An error of a Run is raised here.
    """
    with closing(newest(_steps(played, hz), played.stop)) as news:
        for _ in news:
            shown = time.perf_counter()
            yield
            time.sleep(max(0.0, shown + 1 / hz - time.perf_counter()))


def _steps(played: Any, hz: float) -> Iterator[Any]:
    if isinstance(played, Run):
        return remote.play(played, hz)
    return remote_race.race(played) if isinstance(played, Race) else remote_sweep.sweep(played)


def newest(stream: Iterator[T], stop: Callable[[], None]) -> Generator[T, None, None]:
    """Runs a stream in a thread of its own and yields its newest Step: the solver does not wait for who looks on.

    Closing this calls `stop` and waits for the thread, so for the iteration in progress.
    """
    latest: list[T] = []
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
