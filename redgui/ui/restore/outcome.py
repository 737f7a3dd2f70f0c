"""What the buttons and the right side of the Restore tab show: before a run, while it goes on, at its end, when it fails.

The tuples are in the order of the components: live, result, film, run, stop, continue, or a part of these.
"""

from typing import Any

import gradio as gr

from redgui.runs.run import Run
from redgui.ui.parts import views


def wrong(error: Exception) -> dict[str, Any]:
    """The measurement's place taken by what is wrong with its knobs."""
    return {"src": None, "caption": str(error), "wrong": True}


def buttons(run: Run | None) -> tuple[Any, Any, Any]:
    """Run, Stop and Continue when nothing is running."""
    more = run is not None and run.last is not None and not run.complete
    label = "Continue" if run is None or run.finished else "Continue (rest)"
    return gr.update(interactive=True), gr.update(interactive=False), gr.update(interactive=more, value=label)


def ended(run: Run, number: int, message: str, rate: float | None = None, status: str = "") -> tuple[Any, ...]:
    """Everything at the end of a run, or of a part of it."""
    if run.complete and not message:
        message = f"{run.sampler.label} ended at its lowest noise level; more steps are for the next Run."
    live = views.live(run, number, status or ("done" if run.finished else "stopped"), message, rate)
    return (live, views.result(run, number), views.film(run), *buttons(run))


def busy() -> tuple[Any, ...]:
    """Everything but the live view while a run goes on or waits for its turn."""
    return None, None, gr.update(interactive=False), gr.update(interactive=True), gr.update(interactive=False)


def idle(run: Run | None = None) -> tuple[Any, ...]:
    """Everything but the live view when nothing is running and there is nothing to show."""
    return (None, None, *buttons(run))
