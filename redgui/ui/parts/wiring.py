"""How the handlers of events are registered, and what a handler may read of an event."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

Values = Mapping[Any, Any]  # what a handler is given: the value of each component

# Events that only look after the page. Values come as the browser sent them: gradio's own checks of numbers and pictures
# fail unseen outside of its queue, those of `knobs` and `images` say what is wrong. Progress is shown on no component: "hidden"
# alone leaves the work, and at each news of a stream the page would walk through all outputs of all events so far, on the cores
# that the solver needs.
QUIET: dict[str, Any] = dict(
    queue=False, show_progress="hidden", show_progress_on=[], api_visibility="private", preprocess=False
)
# Those that may warn: a toast comes through the queue alone.
SPOKEN: dict[str, Any] = QUIET | dict(queue=True, concurrency_limit=None)
# Those that call a network, each in its turn (`redgui.ui.host.queue`).
RUNNING: dict[str, Any] = SPOKEN | dict(trigger_mode="once")


def sent(event: gr.EventData) -> dict[str, Any]:
    """What a component of the page sent with its event: any JSON, so that its values are not to be trusted."""
    return event._data if isinstance(event._data, dict) else {}


def sent_text(event: gr.EventData, name: str) -> str | None:
    """A text in what was sent; None where there is none of that name."""
    found = sent(event).get(name)
    return found if isinstance(found, str) else None
