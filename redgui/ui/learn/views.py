"""The components of the Learn tab; what they have in common with those of the other tabs is in `redgui.ui.parts.components`."""

from typing import Any

import gradio as gr

from redgui.ui.parts.components import component


def schedule_view(elem_id: str, **options: Any) -> gr.HTML:
    """The noise levels of a run, and a picture at some of them. Event `select` with {"sigma"}.

    Value: {"sigma": [one per iteration], "pictures": [{"sigma", "src"}], "now": sigma} or None.
    """
    return component("schedule", elem_id, options)


def anatomy_view(elem_id: str, **options: Any) -> gr.HTML:
    """One iteration in pictures. A value with a message shows that alone.

    Value: {"rows": [{"title", "pieces": [{"key", "sign", "name", "formula", "text", "of": "" or a colour of its bar}]}],
    "pictures": {key: {"src", "note", "share": 0 to 1 or None}}, "sigma", "seed"}, or {"message"}, or None.
    """
    return component("anatomy", elem_id, options)


def walk_view(elem_id: str = "walk", **options: Any) -> gr.HTML:
    """A plane with its density and its line, and particles that walk on it. Event `select` with {"y"}: the line's new place.

    Value: {"plane": JSON of {"means", "weights", "std", "angle", "y", "sigma_y", "exact": one per mean},
    "walk": JSON of {"label", "sigma": one per step, "points": [[x, y] per particle] per step, "share": [one per mean] per
    step}, "message"}, or None.
    """
    return component("walk", elem_id, options)
