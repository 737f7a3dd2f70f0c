"""Masks that a person gives the Restore tab instead of painting them: a file, or what is transparent in the picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from redgui import fitting, reading
from redgui.errors import RedguiError
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import data_of
from redgui.ui.parts import components
from redgui.ui.parts.wiring import WITH_TOASTS, Updates, Values, sent

if TYPE_CHECKING:
    from redgui.ui.restore.editing import Editing


@dataclass
class Given:
    """The mask that a page was given last.

    Attributes:
        drawn: (h, w) of its own size.
        source: the picture that it belongs to.
        shown: what the editor showed of it, as text: another mask there was painted since.
    """

    drawn: np.ndarray | None = None
    source: Image.Image | None = None
    shown: str = ""

    def fitted(self, fitted: fitting.Fitting) -> np.ndarray:
        """The mask on the fitted picture, which is now what the editor shows. Raises ImageError."""
        assert self.drawn is not None
        hole, _ = fitting.read_mask(self.drawn, fitted)
        self.shown = components.mask_value(None, hole, 0)["mask"]
        return hole


def refitted(session: Session, value: Any, fitted: fitting.Fitting) -> np.ndarray | None:
    """The mask that was given, which follows its picture into another fit; None where the editor shows another one."""
    given = session.state(Given)
    if given.drawn is None or given.source is not session.source or not isinstance(value, dict):
        return None
    return given.fitted(fitted) if value.get("mask") == given.shown else None


def uploaded_mask(editing: "Editing", values: Values, request: gr.Request, event: gr.EventData) -> Updates:
    """A mask from a file, read as every other way in reads it, and shown; one that cannot be read changes nothing."""
    form, session = editing.form, editing.form.host.sessions.of(request.session_hash)
    try:
        drawn = reading.read_hole(data_of(sent(event).get("file")), most=form.host.limits.pixels)
        given = Given(drawn, form.source(session))
        hole = given.fitted(form.fitted(session, values))
    except RedguiError as error:
        gr.Warning(str(error), title="This mask cannot be read")
        return {form.mask: gr.skip()}
    session.states[Given] = given
    said = _sentence(reading.share(hole))
    if not hole.any() or hole.all():
        gr.Warning(said)
    mask = components.mask_value(None, hole, session.version)
    return {form.mask: {**mask, "said": said}, **editing.painted({**values, form.mask: mask}, request)}


def opened(session: Session, source: Image.Image) -> None:
    """A picture that was just read: what is transparent in it is the hole of an inpainting."""
    for note in reading.origin(source).notes:
        gr.Info(_sentence(note), title="How the picture was read")
    session.states[Given] = Given(reading.transparent(source), source)


def fresh(session: Session, fitted: fitting.Fitting) -> tuple[np.ndarray, dict[str, str]]:
    """The mask of a picture of which nothing is painted yet: empty, unless it is transparent; and what is said of it."""
    given = session.state(Given)
    if given.drawn is None or given.source is not session.source:
        return np.zeros(fitted.size, bool), {}
    hole = given.fitted(fitted)
    return hole, {"said": "What is transparent is to be filled in. " + _sentence(reading.share(hole))}


def wire(editing: "Editing") -> None:
    """Registers the event of a mask's file."""
    form, layout = editing.form, editing.layout

    def upload_mask(values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        return uploaded_mask(editing, values, request, event)

    inputs: Any = form.problem_inputs
    form.mask.upload(upload_mask, inputs, [editing.kind, form.mask, layout.measurement], **WITH_TOASTS)


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + "."
