"""What the tabs have in common that run something of their own on the measurement of the Restore tab.

Compare, Sweep and Particles: buttons and measurement at the left, the outcome at the right, and the way of a run from the click
to its end.
"""

import abc
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import gradio as gr

from redgui.errors import RedguiError
from redgui.runs import zero_gpu
from redgui.runs.problem import Problem
from redgui.samplers import Sampler
from redgui.ui.host.queue import in_turn
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components, views
from redgui.ui.parts.controls import set_to
from redgui.ui.parts.wiring import QUIET, RUNNING, Values
from redgui.ui.restore.handlers import Actions
from redgui.ui.restore.outcome import wrong
from redgui.ui.restore.player import WAITING

HZ = 2.5  # news a second, each of many pictures: what a page has to do for one costs the browser as long as several steps take


class RunningTab(abc.ABC):
    """The handlers of such a tab. The components are attributes, set by the layout."""

    name: ClassVar[str]  # in the ids of the components
    kept: ClassVar[str]  # the attribute of a Session that has what the page keeps for the tab
    run_text: ClassVar[str]
    stop_text: ClassVar[str] = "Stop"
    hint: ClassVar[str]
    broken: ClassVar[str]  # what is said when the server failed
    # The view before the first step, of (number, status, message, problem, *planned).
    blank: ClassVar[Callable[..., dict[str, Any]]]

    preview: Any
    run: Any
    stop: Any
    view: Any
    tabs: Any

    def __init__(self, actions: Actions):
        self.actions = actions

    def page(self, request: gr.Request) -> tuple[Session, Any]:
        """The session of a page, and what it keeps for the tab."""
        session = self.actions.sessions.of(request.session_hash)
        return session, getattr(session, self.kept)

    def measured(self, session: Session, values: Values) -> tuple[Any, Problem | None]:
        """The preview of the measurement, and its problem; None where a knob of it is wrong, which the preview then says."""
        try:
            _, problem, _ = self.actions.build_problem(session, values)
        except RedguiError as error:
            return wrong(error), None
        return views.shared(problem, session.version, self.actions.chosen_prior(values)), problem

    # ---- for a tab to say

    @abc.abstractmethod
    def planned(self, kept: Any, values: Values, problem: Problem) -> tuple[Any, ...]:
        """What `blank` needs to have everything in its place, besides the problem. Raises RedguiError."""

    @abc.abstractmethod
    def play(self, session: Session, kept: Any, values: Values) -> Generator[dict[str, Any], None, None]:
        """The run: values of the view, the last with a status other than "waiting" and "running". Raises RedguiError."""

    # ---- the run

    def get_ready(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """At the click, before the queue: all in its place."""
        session, kept = self.page(request)
        kept.stop_wanted = False
        kept.number += 1
        try:
            _, problem, _ = self.actions.build_problem(session, values)
            planned = self.planned(kept, values, problem)
        except RedguiError as error:
            return self.blank(kept.number, "error", str(error)), *_buttons(False)
        return self.blank(kept.number, "waiting", WAITING, problem, *planned), *_buttons(True)

    def start(self, values: Values, request: gr.Request) -> Generator[tuple[Any, ...], None, None]:
        """The run, streamed."""
        session, kept = self.page(request)
        number = kept.number
        if kept.stop_wanted:
            yield self.blank(number, "stopped", "Stopped before it began."), *_buttons(False)
            return
        try:
            with closing(self.play(session, kept, values)) as shown:
                for value in shown:
                    goes_on = value["status"] in ("waiting", "running")
                    yield value, *((gr.skip(), gr.skip()) if goes_on else _buttons(False))
        except RedguiError as error:
            yield self.blank(number, "error", str(error)), *_buttons(False)

    def halt(self, request: gr.Request) -> None:
        """Stop all, within one iteration."""
        self.page(request)[1].stop()

    def broke(self, request: gr.Request, message: str = "") -> tuple[Any, ...]:
        """The server failed, and a toast says how (or it is refused): the page must not stay locked."""
        return self.blank(self.page(request)[1].number, "error", message or self.broken), *_buttons(False)

    def to_restore(self, sampler: Sampler | None) -> dict[Any, Any]:
        """A sampler and its knobs into the controls of the Restore tab, and the page to that tab; nothing for None."""
        if sampler is None:
            return {self.tabs: gr.skip()}
        moved = set_to(self.actions.samplers, sampler)
        return {self.tabs: gr.update(selected="restore"), self.actions.sampler: sampler.name, **moved}

    # ---- layout and wiring

    @contextmanager
    def laid_out(self, view: Callable[[], Any]) -> Iterator[None]:
        """The two columns: the block inside adds the tab's own controls to the left one, `view` makes the right one."""
        with gr.Row(equal_height=False, elem_classes="rg-duel"):
            with gr.Column(scale=0, min_width=300, elem_classes="rg-duel-setup"):
                with gr.Column(elem_classes="rg-bar-of-actions", min_width=0), gr.Row(elem_classes="rg-actions"):
                    self.run = gr.Button(self.run_text, variant="primary", elem_id=f"{self.name}-run", min_width=90, scale=2)
                    self.stop = gr.Button(
                        self.stop_text, variant="stop", elem_id=f"{self.name}-stop", min_width=70, scale=1, interactive=False
                    )
                gr.HTML(self.hint, padding=False)
                zero_gpu.note()
                self.preview = components.picture_view(f"{self.name}-measurement")
                yield
            with gr.Column(scale=1, min_width=320, elem_classes="rg-duel-outcome"):
                self.view = view()

    def wire_run(self, inputs: set[Any]) -> None:
        """Run and Stop."""
        outcome, a = [self.view, self.run, self.stop], self.actions
        kept: Callable[[Session], Any] = lambda session: getattr(session, self.kept)  # noqa: E731
        start = in_turn(a.line, self.start, sessions=a.sessions, asked=kept, refused=self.broke, outputs=outcome)
        ready = self.run.click(self.get_ready, inputs, outcome, **QUIET)
        started = ready.then(start, inputs, [*outcome, a.place], **RUNNING)
        started.failure(self.broke, None, outcome, **QUIET)
        self.stop.click(self.halt, None, None, **QUIET)


def tally(statuses: Sequence[str], words: Mapping[str, str]) -> str:
    """How many of all have one of the statuses that there are words for; no text where none has."""
    counted = Counter(statuses)
    return "; ".join(f"{counted[status]} of {len(statuses)} {text}" for status, text in words.items() if counted[status])


def _buttons(busy: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not busy), gr.update(interactive=busy)
