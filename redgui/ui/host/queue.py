"""One place to compute and many people: whoever asks for a run stands in line, is told where, and can leave at any time.

Gradio's own queue says where somebody stands only in its own overlay, keeps a run that was stopped until its turn would have
come, and guesses by the mean of all runs. So the events of runs pass it at once, and wait here
(`redgui.ui.parts.running_tab.RunningTab.in_turn`).
"""

import asyncio
import heapq
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from gradio.utils import SyncToAsyncIterator

from redgui.errors import RedguiError
from redgui.ui.host.limits import HOME

LOOK = 0.1  # seconds until somebody who waits looks whether it is their turn
RECENT = 8  # turns of a kind whose mean is what the next one is expected to take


class LineError(RedguiError):
    """There are too many in line; the message says what to do."""


@dataclass(eq=False)
class Place:
    """Somebody's place in line.

    Attributes:
        kind: runs of one kind are expected to take as long as each other.
        progress: of the run, once it is its turn.
        began: when its turn came.
        seen: when the progress was seen first, and what it was.
    """

    kind: str
    progress: Callable[[], float | None] = lambda: None
    began: float | None = None
    seen: tuple[float, float] | None = None


class Line:
    """First come, first served. From any thread.

    Args:
        most: how many may wait.
        places: how many are served at once: they share the solver, which is the business of the engine.
    """

    def __init__(self, most: int = HOME.queue, clock: Callable[[], float] = time.monotonic, places: int = 1):
        self.most, self.clock, self.places = most, clock, places
        self._places: list[Place] = []
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def join(self, kind: str, progress: Callable[[], float | None] = lambda: None) -> Place:
        """A place at the end. Raises LineError where `most` wait already."""
        place = Place(kind, progress)
        with self._lock:
            if len(self._places) >= self.most + self.places:
                raise LineError(f"{self.most} runs are waiting here already, as many as are let wait. Try again in a minute.")
            self._places.append(place)
            self._next()
        return place

    def leave(self, place: Place) -> None:
        """Gives up the place, during the turn or before it. Safe to call twice."""
        with self._lock:
            if place not in self._places:
                return
            self._places.remove(place)
            if place.began is not None:
                self._took[place.kind].append(self.clock() - place.began)
            self._next()

    def ahead(self, place: Place) -> int:
        """How many have to leave before: 0 when it is its turn."""
        with self._lock:
            return max(0, self._places.index(place) + 1 - self.places)

    def seconds(self, place: Place) -> float | None:
        """Until its turn: those before take the places as they become free, each for as long as its kind takes.

        None where what is left of the turns in progress is not known.
        """
        with self._lock:
            before = self._places[: self._places.index(place)]
        served, waiting = before[: self.places], before[self.places :]
        if len(served) < self.places:
            return 0.0
        took: dict[str, float] = {}
        free: list[float] = []  # when each place becomes free
        for one, left in [(one, self._left(one)) for one in served]:  # every one is looked at, each time
            if left is None or one.began is None:
                return None
            took.setdefault(one.kind, left + self.clock() - one.began)
            heapq.heappush(free, left)
        for one in waiting:
            usual = self._usual(one.kind) or took.get(one.kind)
            if usual is None:
                return None
            heapq.heappush(free, heapq.heappop(free) + usual)
        return free[0]

    def look(self, place: Place) -> None:
        """Notes the progress of a turn as soon as there is some: how fast it goes is then known before anybody asks."""
        made = place.progress()
        if made is not None and place.seen is None:
            place.seen = self.clock(), made

    def told(self, place: Place) -> str:
        """For the person: "3rd in line, about 20 s"; empty when it is their turn."""
        ahead = self.ahead(place)
        if not ahead:
            return ""
        where = "You are next" if ahead == 1 else f"{ordinal(ahead)} in line"
        seconds = self.seconds(place)
        return f"{where}, about {duration(seconds)}" if seconds is not None else where

    def _next(self) -> None:
        for place in self._places[: self.places]:
            if place.began is None:
                place.began = self.clock()

    def _usual(self, kind: str) -> float | None:
        took = self._took[kind]
        return sum(took) / len(took) if took else None

    def _left(self, place: Place) -> float | None:
        """The seconds left of a turn, by how fast it has come forward so far; before its first step, by what others took."""
        self.look(place)
        now, made = self.clock(), place.progress()
        if made is not None and place.seen is not None:
            since, before = place.seen
            return max(0.0, (1 - made) * (now - since) / (made - before)) if made > before else None
        usual, began = self._usual(place.kind), now if place.began is None else place.began
        left = None if usual is None else usual - (now - began)
        return left if left is not None and left > 0 else None


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    return f"{n}{'th' if n % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def duration(seconds: float) -> str:
    """An estimate with no more digits than it deserves."""
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{max(1, round(seconds)) if seconds < 10 else 5 * round(seconds / 5)} s"


async def threaded(steps: Iterator[Any]) -> AsyncGenerator[Any, None]:
    """A generator whose items are made in threads, the one that closes it included, which waits for its step in progress."""
    try:
        async for item in SyncToAsyncIterator(steps, None):
            yield item
    finally:
        while True:
            try:
                await anyio.to_thread.run_sync(steps.close)  # type: ignore[attr-defined]
                break
            except ValueError as error:  # the task that awaited this step was cancelled; its thread is still running
                if "already executing" not in str(error):
                    raise
                await asyncio.sleep(LOOK)
