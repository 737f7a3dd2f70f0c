"""One place to compute and many people: whoever asks for a run stands in line, is told where, and can leave at any time.

    a.run.click(...).then(in_turn(line, start, ...), inputs, [*outputs, place])

Gradio's own queue says where somebody stands only in its own overlay, keeps a run that was stopped until its turn would have
come, and guesses by the mean of all runs. So the events of runs pass it at once, and wait here.
"""

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import anyio.to_thread
import gradio as gr
from gradio.utils import SyncToAsyncIterator

from redgui.errors import RedguiError
from redgui.ui.host.limits import HOME
from redgui.ui.host.sessions import Session, Sessions
from redgui.ui.parts.wiring import Values

LOOK = 0.1  # seconds until somebody who waits looks whether it is their turn
TELL = 2.0  # seconds between estimates, as long as the line does not move
RECENT = 8  # turns of a kind whose mean is what the next one is expected to take

Start = Callable[[Values, gr.Request], Iterator[tuple[Any, ...]]]


class LineError(RedguiError):
    """There are too many in line; the message says what to do."""


class Asked(Protocol):
    """What a page has asked for: a session, or what it has on one of its tabs."""

    stop_wanted: bool

    @property
    def progress(self) -> float | None:
        """The share of the run in progress that has been made, 0 to 1; None while nothing is played."""
        ...


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
    """First come, first served, one at a time. From any thread."""

    def __init__(self, most: int = HOME.queue, clock: Callable[[], float] = time.monotonic):
        self.most, self.clock = most, clock
        self._places: list[Place] = []
        self._took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def join(self, kind: str, progress: Callable[[], float | None] = lambda: None) -> Place:
        """A place at the end. Raises LineError where `most` wait already."""
        place = Place(kind, progress)
        with self._lock:
            if len(self._places) > self.most:
                raise LineError(f"{self.most} runs are waiting here already, as many as are let wait. Try again in a minute.")
            self._places.append(place)
            self._next()
        return place

    def leave(self, place: Place) -> None:
        """Away, at the end of the turn or before it. Leaving twice does no harm."""
        with self._lock:
            if place not in self._places:
                return
            self._places.remove(place)
            if place.began is not None:
                self._took[place.kind].append(self.clock() - place.began)
            self._next()

    def ahead(self, place: Place) -> int:
        """How many are served before: 0 when it is its turn."""
        with self._lock:
            return self._places.index(place)

    def seconds(self, place: Place) -> float | None:
        """What is left of the turn in progress, and what those between are expected to take; None where that is not known."""
        with self._lock:
            first, *between = self._places[: self._places.index(place)] or [place]
        if first is place:
            return 0.0
        left = self._left(first)
        took = None if left is None or first.began is None else left + self.clock() - first.began
        waits = [left, *(self._usual(one.kind) or (took if one.kind == first.kind else None) for one in between)]
        known = [wait for wait in waits if wait is not None]
        return sum(known) if len(known) == len(waits) else None

    def told(self, place: Place) -> str:
        """For the person: "3rd in line, about 20 s"; empty when it is their turn."""
        ahead = self.ahead(place)
        if not ahead:
            return ""
        where = "You are next" if ahead == 1 else f"{ordinal(ahead)} in line"
        seconds = self.seconds(place)
        return f"{where}, about {duration(seconds)}" if seconds is not None else where

    def _next(self) -> None:
        if self._places and self._places[0].began is None:
            self._places[0].began = self.clock()

    def _usual(self, kind: str) -> float | None:
        took = self._took[kind]
        return sum(took) / len(took) if took else None

    def _left(self, place: Place) -> float | None:
        """From how fast it has come forward; before that can be seen from what others took."""
        now, made = self.clock(), place.progress()
        if made is not None and place.seen is None:
            place.seen = now, made
        if made is not None and place.seen is not None and made > place.seen[1]:
            since, before = place.seen
            return max(0.0, (1 - made) * (now - since) / (made - before))
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
            except ValueError as error:  # who waited for its step in progress was cancelled, and its thread goes on
                if "already executing" not in str(error):
                    raise
                await asyncio.sleep(LOOK)


def in_turn(
    line: Line,
    start: Start,
    *,
    sessions: Sessions,
    asked: Callable[[Session], Asked],
    refused: Callable[[gr.Request, str], tuple[Any, ...]],
    outputs: Sequence[Any],
) -> Callable[[Values, gr.Request], AsyncIterator[tuple[Any, ...]]]:
    """`start`, a handler that streams, in its turn. It gets one more output at the end, which says where its page stands.

    Args:
        asked: of a session what `start` plays.
        refused: the values of the outputs with a message, where the line is too long.
        outputs: of `start`; the first is the component that shows the run, and its place in line.
    """
    view, skips = outputs[0].elem_id, (gr.skip(),) * len(outputs)

    async def served(values: Values, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        session = sessions.of(request.session_hash)
        wanted = asked(session)
        try:
            place = line.join(view, lambda: wanted.progress)
        except LineError as error:
            yield *refused(request, str(error)), said(view, "")
            return
        try:
            shown, at = "", -TELL
            while line.ahead(place) and not wanted.stop_wanted:
                text, now = line.told(place), line.clock()
                if now - at >= TELL or text.split(",")[0] != shown:
                    # Now and then in any case: only between two of these is it noticed that nobody listens any more.
                    yield *skips, said(view, text)
                    shown, at = text.split(",")[0], now
                await asyncio.sleep(LOOK)
            if session.gone:
                return
            news: Any = said(view, "")
            async with aclosing(threaded(start(values, request))) as items:  # one that was stopped says so, out of turn
                async for item in items:
                    yield *item, news
                    news = gr.skip()
        finally:
            line.leave(place)
            if session.gone:
                sessions.drop(request.session_hash)  # what this event has left behind since

    served.__name__ = getattr(start, "__name__", served.__name__)  # as gradio and its log call it
    return served


def said(view: str, text: str) -> dict[str, str]:
    """The value of the component that passes a place in line on to a view."""
    return {"of": view, "text": text}
