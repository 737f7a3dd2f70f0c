"""The Restore tab: Run, Continue and Stop on top of what all tabs have that play something."""

from collections.abc import Generator
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.ui.host.host import Host
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import same
from redgui.ui.parts import views
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_tab import UNBEGUN, WAITING, RunningTab
from redgui.ui.parts.wiring import SILENT, Updates, Values
from redgui.ui.restore import cards, outcome, telling
from redgui.ui.restore.bringing import Bringing
from redgui.ui.restore.editing import Editing
from redgui.ui.restore.layout import RestoreLayout, lay_out
from redgui.ui.restore.outcome import LiveBoard
from redgui.ui.restore.state import Restoring


def _blank(number: int, status: str, message: str, problem: Problem | None = None) -> dict[str, Any]:
    return views.blank(number, status, message, None if problem is None else problem.start())


class RestoreTab(RunningTab[Restoring, RestoreLayout]):
    """The handlers of a run."""

    state = Restoring
    hz = 6.0  # pictures a second: more costs the solver time and the eye nothing
    broken = "The run broke off on the server. Press Run to start anew."
    blank = staticmethod(_blank)
    board = LiveBoard

    def __init__(self, page: Page, layout: RestoreLayout):
        super().__init__(page, layout)
        self.editing = Editing(layout)
        self.over: list[Any] = []  # the events at the end of a run, for who looks after the runs

    # ---- a new run

    def get_ready(self, values: Values, request: gr.Request) -> Updates:
        """At the click, before the queue: the measurement's start is shown at once."""
        self.session_of(request)[1].superseded = False
        return super().get_ready(values, request)

    def make(self, session: Session, state: Restoring, values: Values, replayed: Record | None = None) -> Run:
        """A new run; with `replayed`, where the settings are its own, one that changes and ends as it did."""
        picture, problem, fitted = self.form.build_problem(session, values)
        sampler, particles = self.form.build_sampler(values), self.form.build_setting(values).particles
        if replayed is not None and not replayed.begins_with(problem, sampler, particles):
            replayed = None
        state.retuned.clear()
        return Run(
            picture, problem, self.form.load_prior(values), sampler, particles,
            seconds_allowed=self.page.host.limits.run(sampler, particles), fitting=fitted, source=self.form.source(session),
            replayed=replayed, exact=bool(values[self.form.exact]),
        )  # fmt: skip

    def replay(self, values: Values, request: gr.Request, record: Record | None) -> Generator[Updates, None, None]:
        """`start`, for a run that repeats a record."""
        session, state = self.session_of(request)
        yield from self.begin(session, state, values, lambda: self.make(session, state, values, record))

    # ---- going on with a run

    def get_ready_again(self, request: gr.Request) -> Updates:
        """Prepares the page for Continue; the current picture stays on screen."""
        _, state = self.session_of(request)
        state.stop_wanted, state.superseded, run = False, False, state.played
        if run is None:
            return {self.layout.view: self.blank(state.number, "waiting", WAITING), **self.around(True)}
        return {self.layout.view: views.live(run, state.number, "waiting", WAITING), **self.around(True)}

    def go_on(self, values: Values, request: gr.Request) -> Generator[Updates, None, None]:
        """More steps of the run that was stopped or has ended, with the knobs as they are now."""
        session, state = self.session_of(request)
        run = state.played
        if run is None or run.last is None:
            yield self.told(state, "error", "There is no run to go on with; press Run.")
            return
        board = LiveBoard(run, state.number)
        if not same(run.source, self.form.source(session)):
            updates = self.ended(state, board, "", "The picture is another one now; press Run to restore it.")
            yield updates | {self.layout.resume: gr.update(interactive=False)}
            return
        try:
            sampler = self.form.build_sampler(values)
            if type(sampler) is type(run.sampler):
                steps = getattr(run.now, "steps", None)
                planned = {"steps": steps} if steps else {}
                run.tune(knobs.build(type(sampler), {**knobs.values(sampler), **planned}))
        except RedguiError as error:
            gr.Warning(str(error))
        try:
            run.extend(self.page.host.limits.more(run.last.n - run.last.before, values[self.layout.more] or 50, run.finished))
        except RedguiError as error:
            yield self.ended(state, board, "", str(error))
            return
        if state.stop_wanted:
            yield self.ended(state, board, "", UNBEGUN)
            return
        yield from self.stream(state)

    # ---- what is shown

    def goes_on(self, state: Restoring, played: Run) -> bool:
        return not played.finished and not state.superseded

    def outcome(self, state: Restoring, played: Run) -> tuple[str, str]:
        return ("done", "") if played.finished else ("stopped", "Stopped. Continue makes the remaining steps.")

    def around(self, busy: bool) -> Updates:
        return outcome.around(self.layout, busy)

    def ended(self, state: Restoring, board: LiveBoard, status: str, message: str) -> Updates:
        """Everything at the end of a run; the buttons alone where another picture, prior or task has taken its place."""
        if not state.superseded:
            return outcome.ended(self.layout, board, message, status)
        state.played = None
        return outcome.buttons(self.layout, None)

    def unbegun(self, session: Session, state: Restoring, values: Values) -> Updates:
        if state.superseded:
            state.played = None
            return outcome.buttons(self.layout, None)
        problem = self.form.build_problem(session, values).problem
        state.played = None
        return {self.layout.view: self.blank(state.number, "stopped", UNBEGUN, problem), **self.around(False)}

    # ---- wiring

    def wire(self) -> None:
        """Registers all events of the tab."""
        self.editing.wire()
        telling.wire(self.layout, Bringing(self.editing).wire())
        inputs = self.form.inputs | {self.layout.more}
        ready = self.layout.resume.click(self.get_ready_again, None, self.layout.outcome, **SILENT)
        self.over = [self.wire_run(inputs), self.follow(ready, self.go_on, inputs)]


def restore_tab(host: Host, tabs: gr.Tabs, place: gr.HTML) -> RestoreTab:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Restore", id="restore"):
        strip = cards.task_strip()
        layout = lay_out(host)
        restore = RestoreTab(Page(layout.form, tabs, place, layout.tune), layout)
        restore.wire()
        cards.wire(strip, restore.editing)
        cards.show_first(restore.editing)
    return restore
