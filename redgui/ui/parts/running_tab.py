"""The way of a run from the click to its end, on every tab that plays something: Restore, Compare, Sweep and Particles."""

import abc
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import gradio as gr
from gradio.blocks import Block

from redgui.errors import RedguiError
from redgui.runs.problem import Problem
from redgui.runs.watch import watch
from redgui.samplers import Sampler
from redgui.ui.host import queue
from redgui.ui.host.queue import LineError, threaded
from redgui.ui.host.sessions import Playing, Session
from redgui.ui.parts import views
from redgui.ui.parts.board import Files, made
from redgui.ui.parts.finished import Example, example
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_layout import RunningLayout
from redgui.ui.parts.wiring import FILES, QUEUED, SILENT, Updates, Values, sent_text

HZ = 2.5  # news a second, each of many pictures: what a page has to do for one costs the browser as long as several steps take
TELL = 2.0  # seconds between estimates, as long as the line does not move
WAITING = "Waiting for a free place…"
UNBEGUN = "Stopped before it began."

S = TypeVar("S", bound=Playing[Any])
L = TypeVar("L", bound=RunningLayout)
Start = Callable[[Values, gr.Request], Iterator[Updates]]


class Board(Protocol):
    """What is played as the value of a view."""

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of now."""
        ...

    def files(self) -> Files:
        """What can be taken away."""
        ...


class RunningTab(abc.ABC, Generic[S, L]):
    """The handlers of such a tab."""

    state: ClassVar[type[Playing[Any]]]  # what a session keeps for the tab
    broken: ClassVar[str]  # what is said when the server failed
    hz: ClassVar[float] = HZ
    # The view before the first step, of (number, status, message, problem, *planned), and while something is played.
    blank: ClassVar[Callable[..., dict[str, Any]]]
    board: ClassVar[Callable[..., Board]]  # of (what is played, its number)

    def __init__(self, page: Page, layout: L):
        self.page, self.form, self.layout = page, page.form, layout

    # ---- for a tab to say

    def planned(self, session: Session, state: S, values: Values, problem: Problem) -> tuple[Any, ...]:
        """What `blank` needs to have everything in its place, besides the problem. Raises RedguiError."""
        return ()

    def preparing(self, session: Session, state: S, values: Values) -> dict[str, Any] | None:
        """The view's value while `make` works, where that takes its time. Raises RedguiError."""
        return None

    @abc.abstractmethod
    def make(self, session: Session, state: S, values: Values) -> Any:
        """A new Run, Race or Sweep. Raises RedguiError."""

    @abc.abstractmethod
    def goes_on(self, state: S, played: Any) -> bool:
        """Whether more steps follow, so that the newest is to be shown; what comes last is shown by `ended`."""

    @abc.abstractmethod
    def outcome(self, state: S, played: Any) -> tuple[str, str]:
        """Status and message at the end."""

    def around(self, busy: bool) -> Updates:
        """All outputs but the view, while something is played or waits for its turn, or while nothing is."""
        return {self.layout.run: gr.update(interactive=not busy), self.layout.stop: gr.update(interactive=busy)}

    def ended(self, state: S, board: Any, status: str, message: str) -> Updates:
        """All outputs at the end."""
        return {self.layout.view: board.value(status, message), **self.around(False)}

    def unbegun(self, session: Session, state: S, values: Values) -> Updates:
        """All outputs where it was stopped before its turn. Raises RedguiError."""
        return self.told(state, "stopped", UNBEGUN)

    def files(self, board: Any, event: gr.EventData) -> Files:
        """What can be taken away, by what the page sent with its question."""
        return board.files()

    # ---- before anything has run

    @property
    def example(self) -> Example | None:
        """A finished run of the prior that the page begins with; None for one that there is none of."""
        found = example(str(self.layout.view.elem_id))
        return found if found.prior == self.page.host.prior_name else None

    def opened(self, state: S) -> Updates:
        """The view of a tab that is opened: the finished run as long as there is no other."""
        shown = self.example if state.number == 0 else None
        return {} if shown is None else {self.layout.view: shown.value}

    def picked(self, request: gr.Request, event: gr.EventData) -> Sampler | None:
        """The sampler of the finished run that a person picks, where there is no other run."""
        shown = self.example if self.session_of(request)[1].number == 0 else None
        return shown and shown.sampler(sent_text(event, "key"))

    # ---- the run

    def session_of(self, request: gr.Request) -> tuple[Session, S]:
        """The session of a page, and the tab's state in it."""
        session = self.page.host.sessions.of(request.session_hash)
        return session, session.state(self.state)  # type: ignore[return-value]

    def told(self, state: S, status: str, message: str) -> Updates:
        """All outputs where there is nothing to show but a message."""
        return {self.layout.view: self.blank(state.number, status, message), **self.around(False)}

    def get_ready(self, values: Values, request: gr.Request) -> Updates:
        """At the click, before the queue: all in its place."""
        session, state = self.session_of(request)
        state.stop_wanted = False
        state.number += 1
        try:
            problem = self.form.build_problem(session, values).problem
            opening = self.blank(state.number, "waiting", WAITING, problem, *self.planned(session, state, values, problem))
        except RedguiError as error:
            return self.told(state, "error", str(error))
        return {self.layout.view: opening, **self.around(True)}

    def start(self, values: Values, request: gr.Request) -> Generator[Updates, None, None]:
        """A new run, streamed."""
        session, state = self.session_of(request)
        yield from self.begin(session, state, values, lambda: self.make(session, state, values))

    def begin(self, session: Session, state: S, values: Values, make: Callable[[], Any]) -> Generator[Updates, None, None]:
        """Plays what `make` makes, unless it is stopped already."""
        try:
            if state.stop_wanted:
                yield self.unbegun(session, state, values)
                return
            waiting = self.preparing(session, state, values)
            if waiting is not None:
                yield {self.layout.view: waiting}
            state.played = make()
        except RedguiError as error:
            yield self.told(state, "error", str(error))
            return
        yield from self.stream(state)

    def stream(self, state: S) -> Generator[Updates, None, None]:
        """Plays what the state holds, and shows it: the one loop of all tabs."""
        played: Any = state.played
        board = state.board = self.board(played, state.number)
        try:
            with self.page.host.feeds.open() as feed:
                yield {self.layout.view: board.value("running") | {"feed": feed.name}, **self.around(True)}
                with closing(watch(played, self.hz)) as news:  # the page is gone: nobody goes on computing for it
                    for _ in news:
                        if self.goes_on(state, played) and feed.show(value := board.value("running")):
                            yield {self.layout.view: value | {"feed": feed.name}}
            status, message = self.outcome(state, played)
        except RedguiError as error:
            status, message = "error", str(error)
        yield self.ended(state, board, status, message)

    def halt(self, request: gr.Request) -> None:
        """Stop all, within one iteration."""
        self.session_of(request)[1].stop()

    def take_away(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A person has clicked on a file: it is made now, and the page downloads it."""
        board = self.session_of(request)[1].board
        file, wrong = made(self.files(board, event) if board is not None else {}, sent_text(event, "name") or "")
        if wrong:
            gr.Warning(wrong, title="No file")
        return {self.page.place: {"of": str(self.layout.offers.elem_id), "text": "", "file": file, "at": time.monotonic_ns()}}

    def broke(self, request: gr.Request, message: str = "") -> Updates:
        """The server failed, and a toast says how (or the run is refused): the page must not stay locked."""
        return self.told(self.session_of(request)[1], "error", message or self.broken)

    def in_turn(self, start: Start) -> Callable[[Values, gr.Request], AsyncIterator[Updates]]:
        """`start`, a handler that streams, in its turn. One more output tells the page where it stands."""
        line, place_teller, view = self.page.host.queue, self.page.place, str(self.layout.view.elem_id)

        async def served(values: Values, request: gr.Request) -> AsyncIterator[Updates]:
            session, state = self.session_of(request)
            try:
                place = line.join(view, lambda: state.progress)
            except LineError as error:
                yield {**self.broke(request, str(error)), place_teller: said(view, "")}
                return
            try:
                where, at = "", -TELL
                while line.ahead(place) and not state.stop_wanted:
                    text, now = line.told(place), line.clock()
                    if now - at >= TELL or text.split(",")[0] != where:
                        # Now and then in any case: only between two of these is it noticed that nobody listens any more.
                        yield {place_teller: said(view, text)}
                        where, at = text.split(",")[0], now
                    await asyncio.sleep(queue.LOOK)
                if session.gone:
                    return
                turn = {place_teller: said(view, "")}
                async with aclosing(threaded(start(values, request))) as items:  # one that was stopped says so, out of turn
                    async for item in items:
                        line.look(place)
                        yield item | turn
                        turn = {}
            finally:
                line.leave(place)
                if session.gone:
                    self.page.host.sessions.drop(request.session_hash)  # what this event has left behind since

        served.__name__ = getattr(start, "__name__", served.__name__)  # as gradio and its log call it
        return served

    # ---- wiring

    def follow(self, ready: Any, start: Start, inputs: set[Block]) -> Any:
        """Has `start` stream in its turn after the event `ready`; the event at its end."""
        ended = ready.then(self.in_turn(start), inputs, [*self.layout.outcome, self.page.place], **QUEUED)
        ended.failure(self.broke, None, self.layout.outcome, **SILENT)
        return ended

    def wire_run(self, inputs: set[Block]) -> Any:
        """Run and Stop; the event at the end of a run."""
        self.layout.stop.click(self.halt, None, None, **SILENT)
        self.layout.offers.download(self.take_away, None, self.page.place, **FILES)
        ready = self.layout.run.click(self.get_ready, inputs, self.layout.outcome, **SILENT)
        return self.follow(ready, self.start, inputs)


def said(view: str, text: str) -> dict[str, str]:
    """The value of the component that passes a place in line on to a view."""
    return {"of": view, "text": text}


def measured(page: Page, session: Session, values: Values) -> tuple[dict[str, Any], Problem | None]:
    """The preview of the measurement, and its problem; None where a knob of it is wrong, which the preview then says."""
    try:
        problem = page.form.build_problem(session, values).problem
    except RedguiError as error:
        return views.wrong(error), None
    return views.shared(problem, session.version, page.form.prior_name(values)), problem


def tally(statuses: Sequence[str], words: Mapping[str, str]) -> str:
    """How many of all have one of the statuses that there are words for; no text where none has."""
    counted = Counter(statuses)
    return "; ".join(f"{counted[status]} of {len(statuses)} {text}" for status, text in words.items() if counted[status])
