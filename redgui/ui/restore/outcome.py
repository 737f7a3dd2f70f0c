"""What the buttons and the right side of the Restore tab show: while a run goes on, at its end, and when there is none."""

import time
from typing import Any

import gradio as gr

from redgui.runs.run import Run
from redgui.ui.parts import views
from redgui.ui.parts.board import Files
from redgui.ui.parts.wiring import Updates
from redgui.ui.restore.layout import RestoreLayout


class LiveBoard:
    """A run as the value of the live view, with its speed since now."""

    def __init__(self, run: Run, number: int):
        self.run, self.number = run, number
        self._began, self._before = time.perf_counter(), _made(run)

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of the newest step."""
        made = _made(self.run) - self._before
        rate = made / max(time.perf_counter() - self._began, 1e-6) if made else None
        return views.live(self.run, self.number, status, message, rate)

    def files(self) -> Files:
        """The run as a film."""
        return views.films(self.run)


def _made(run: Run) -> int:
    return run.last.i + 1 if run.last else 0


def buttons(layout: RestoreLayout, run: Run | None) -> Updates:
    """Run, Stop and Continue when nothing is running."""
    more = run is not None and run.last is not None and not run.complete
    label = "Continue" if run is None or run.finished else "Continue (rest)"
    return {
        layout.run: gr.update(interactive=True),
        layout.stop: gr.update(interactive=False),
        layout.resume: gr.update(interactive=more, value=label),
    }


def ended(layout: RestoreLayout, board: LiveBoard, message: str, status: str = "") -> Updates:
    """Everything at the end of a run, or of a part of it."""
    run = board.run
    if run.complete and not message:
        lowest = "ended at its lowest noise level; more steps are for the next Run."
        message = f"{run.sampler.label} {lowest if run.sampler.learned else 'has no further step.'}"
    live = board.value(status or ("done" if run.finished else "stopped"), message)
    return {
        layout.view: live, layout.result: views.result(run, board.number), layout.film: views.film(run),
        **buttons(layout, run),
    }  # fmt: skip


def around(layout: RestoreLayout, busy: bool) -> Updates:
    """Everything but the live view, while a run goes on or waits for its turn, or while there is nothing to show."""
    if not busy:
        return {layout.result: None, layout.film: None, **buttons(layout, None)}
    return {
        layout.result: None, layout.film: None, layout.run: gr.update(interactive=False),
        layout.stop: gr.update(interactive=True), layout.resume: gr.update(interactive=False),
    }  # fmt: skip
