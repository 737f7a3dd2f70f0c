"""How the handlers of events are registered, and what a handler may read of an event."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block

Values = Mapping[Any, Any]  # what a handler is given: the value of each component
Updates = dict[Block, Any]  # what a handler gives: new values of some of its outputs, or updates of what they look like

# Events that only look after the page. Values come as the browser sent them: gradio's own checks of numbers and pictures
# fail unseen outside of its queue, those of `knobs` and `images` say what is wrong. Progress is shown on no component: "hidden"
# alone leaves the work, and at each news of a stream the page would walk through all outputs of all events so far, on the cores
# that the solver needs.
SILENT: dict[str, Any] = dict(
    queue=False, show_progress="hidden", show_progress_on=[], api_visibility="private", preprocess=False
)
# Of several of these at once the last one counts.
LATEST: dict[str, Any] = SILENT | dict(trigger_mode="always_last")
# Those that may warn: a toast comes through the queue alone.
WITH_TOASTS: dict[str, Any] = SILENT | dict(queue=True, concurrency_limit=None)
# Those that make a file, one at a time: a figure or a film is a second's work.
FILES: dict[str, Any] = WITH_TOASTS | dict(concurrency_limit=1, concurrency_id="files")
# Those that call a network, each in its turn (`redgui.ui.host.queue`).
QUEUED: dict[str, Any] = WITH_TOASTS | dict(trigger_mode="once")


def sent(event: gr.EventData) -> dict[str, Any]:
    """What a component of the page sent with its event: any JSON, so that its values are not to be trusted."""
    return event._data if isinstance(event._data, dict) else {}


def sent_text(event: gr.EventData, name: str) -> str | None:
    """A text in what was sent; None where there is none of that name."""
    text = sent(event).get(name)
    return text if isinstance(text, str) else None
