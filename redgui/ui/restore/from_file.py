"""What a damaged picture tells of its degradation, on the page: how a JPEG was made, which tones are left.

The knobs go to the controls, where a person can correct them.
"""

from typing import TYPE_CHECKING, Any

import gradio as gr

from redgui import files
from redgui.operators import JPEG
from redgui.ui.host.sessions import Session
from redgui.ui.parts.controls import Control
from redgui.ui.parts.form import Form
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values

if TYPE_CHECKING:
    from redgui.ui.restore.editing import Editing


def draw(parts: dict[str, Control]) -> dict[str, Control]:
    """The control of a JPEG's own tables, which nobody sees, in the block that is open; a quality that is chosen ends them."""
    tables = gr.Textbox("", visible="hidden", elem_id="jpeg-tables")
    quality: Any = parts["quality"]
    gr.on([quality.input, quality.release], lambda: "", None, tables, **SILENT)
    return {"tables": tables}


def told(form: Form, session: Session, values: Values) -> Updates:
    """The knobs of the degradation as the file tells them; a toast where it should and does not."""
    controls = form.operators[values[form.operator]]
    if controls.cls not in files.OF_PICTURES.values() or not form.is_given(session, values):
        return {}
    found = files.tells(controls.cls, form.source(session))
    if found is None:
        gr.Warning(files.untold(controls.cls))
        return {}
    found = {"tables": "", **found} if controls.cls is JPEG else found
    return {controls.parts[name]: value for name, value in found.items()}


def controls_of(form: Form) -> list[Control]:
    """All controls that a file can set."""
    return [part for name in files.OF_PICTURES for part in form.operators[name]]


def wire(editing: "Editing") -> None:
    """Registers the events."""
    form = editing.form

    def ask(values: Values, request: gr.Request) -> Updates:
        found = told(form, form.host.sessions.of(request.session_hash), values)
        return found or {form.operators[JPEG.name].parts["quality"]: gr.skip()}

    inputs: Any = form.problem_inputs
    gr.on([form.given.input, form.operator.input], ask, inputs, controls_of(form), **WITH_TOASTS)
