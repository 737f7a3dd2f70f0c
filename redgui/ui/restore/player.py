"""Run, Continue and Stop on the Restore tab: from what is chosen to a run, and its news as the components' values."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs import remote
from redgui.runs.record import Record
from redgui.runs.run import Run, newest
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import same
from redgui.ui.parts import views
from redgui.ui.parts.form import Choices
from redgui.ui.parts.wiring import Values
from redgui.ui.restore.outcome import busy, buttons, ended, idle

HZ = 6.0  # pictures a second: more costs the solver time and the eye nothing
WAITING = "Waiting for a free place…"
BROKE = "The run broke off on the server. Press Run to start anew."


class Player(Choices):
    """The handlers of a run. The components are attributes, set by the layout."""

    live: Any
    more: Any

    def get_ready(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """At the click, before the queue: the measurement's start is shown at once."""
        session = self.sessions.of(request.session_hash)
        session.stop_wanted, session.task = False, None
        session.runs += 1
        try:
            _, problem, _ = self.build_problem(session, values)
        except RedguiError as error:
            return (views.blank(session.runs, "error", str(error)), *idle())
        return (views.blank(session.runs, "waiting", WAITING, problem.start()), *busy())

    def get_ready_again(self, request: gr.Request) -> tuple[Any, ...]:
        """The same for going on with a run: its picture stays."""
        session = self.sessions.of(request.session_hash)
        session.stop_wanted, session.task = False, None
        if session.run is None:
            return (views.blank(session.runs, "waiting", WAITING), *busy())
        return (views.live(session.run, session.runs, "waiting", WAITING), *busy())

    def start(self, values: Values, request: gr.Request, replayed: Record | None = None) -> Iterator[tuple[Any, ...]]:
        """A new run, streamed; with `replayed`, where the settings are its own, one that changes and ends as it did."""
        session = self.sessions.of(request.session_hash)
        try:
            picture, problem, fitted = self.build_problem(session, values)
            sampler, particles = self.build_sampler(values), self.build_setting(values).particles
            session.retuned.clear()
            if replayed is not None and not replayed.begins_with(problem, sampler, particles):
                replayed = None
            session.run = Run(
                picture, problem, self.load_prior(values), sampler, particles,
                seconds_allowed=self.limits.run(sampler, particles), fitting=fitted, source=self.source(session),
                replayed=replayed,
            )  # fmt: skip
        except RedguiError as error:
            yield (views.blank(session.runs, "error", str(error)), *idle())
            return
        yield from self._play(session)

    def go_on(self, values: Values, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """More steps of the run that was stopped or has ended, with the knobs as they are now."""
        session = self.sessions.of(request.session_hash)
        if session.run is None or session.run.last is None:
            yield (views.blank(session.runs, "error", "There is no run to go on with; press Run."), *idle())
            return
        if not same(session.run.source, self.source(session)):
            shown = ended(session.run, session.runs, "The picture is another one now; press Run to restore it.")
            yield (*shown[:-1], gr.update(interactive=False))
            return
        try:
            sampler = self.build_sampler(values)
            if type(sampler) is type(session.run.sampler):
                steps = getattr(session.run.now, "steps", None)
                kept = {"steps": steps} if steps else {}
                session.run.tune(knobs.build(type(sampler), {**knobs.values(sampler), **kept}))
        except RedguiError as error:
            gr.Warning(str(error))
        try:
            session.run.extend(self.limits.more(session.run.last.n, values[self.more] or 50, session.run.finished))
        except RedguiError as error:
            yield self._ended(session, session.run, session.runs, str(error))
            return
        yield from self._play(session)

    def halt(self, request: gr.Request) -> None:
        """Stop, within one iteration."""
        self.sessions.of(request.session_hash).stop()

    def broke(self, request: gr.Request, message: str = BROKE) -> tuple[Any, ...]:
        """The server failed, and a toast says how (or the run is refused): the page must not stay locked."""
        session = self.sessions.of(request.session_hash)
        return (views.blank(session.runs, "error", message), *idle())

    def _play(self, session: Session) -> Iterator[tuple[Any, ...]]:
        run, number = session.run, session.runs
        assert run is not None
        if session.stop_wanted:
            yield self._ended(session, run, number, "Stopped before it began.")
            return
        yield (views.live(run, number, "running"), *busy())
        began, before = time.perf_counter(), (run.last.i + 1 if run.last else 0)
        skip = (gr.skip(),) * 5
        rate: float | None = None
        try:
            with closing(newest(remote.play(run, HZ), run.stop)) as steps:  # the page is gone: nobody goes on computing for it
                for step in steps:
                    rate = (step.i + 1 - before) / max(time.perf_counter() - began, 1e-6)
                    if not run.finished and session.task is None:
                        yield (views.live(run, number, "running", rate=rate), *skip)
        except RedguiError as error:
            yield self._ended(session, run, number, str(error), rate, "error")
            return
        yield self._ended(session, run, number, "" if run.finished else "Stopped. Continue makes the remaining steps.", rate)

    def _ended(self, session: Session, run: Run, *what: Any) -> tuple[Any, ...]:
        """Everything at the end of a run; the buttons alone where a task's finished result has taken its place."""
        if session.task is None:
            return ended(run, *what)
        session.run = None
        return (gr.skip(),) * 3 + buttons(None)
