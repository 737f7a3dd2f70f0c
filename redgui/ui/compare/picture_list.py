"""The list of the Compare tab from which more pictures are ticked, and the button that adds a person's own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from redgui.ui.compare import pictures
from redgui.ui.compare.pictures import Chosen, Own
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components
from redgui.ui.parts.form import Form, Posed
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values, sent_text

TITLE = "More pictures"


@dataclass
class Added:
    """The pictures that a page has added to its list."""

    own: list[Own] = field(default_factory=list)


def draw() -> tuple[gr.HTML, gr.UploadButton]:
    """The list and the button, inside the block that is open."""
    view = components.contestant_list("compare-pictures", value={"title": TITLE, "rows": [], "ticked": []})
    return view, gr.UploadButton(
        "Add pictures of your own", file_count="multiple", file_types=["image"], size="sm", elem_id="compare-upload"
    )


class PictureList:
    """The handlers of the list."""

    def __init__(self, form: Form, view: gr.HTML, upload: gr.UploadButton):
        self.form, self.view, self.upload = form, view, upload

    def shown(self, session: Session, values: Values, ticked: set[str] | None = None) -> Updates:
        """The list as it is now, those of it ticked that were, or these."""
        rows = pictures.rows(self.form, session, session.state(Added).own)
        ticked = ticked_in(values[self.view]) if ticked is None else ticked
        kept = [row["key"] for row in rows if row["key"] in ticked]
        return {self.view: {"title": TITLE, "rows": rows, "ticked": kept}}

    def others(self, session: Session, values: Values) -> list[Chosen]:
        """The pictures that are ticked, besides that of the Restore tab."""
        return pictures.chosen(self.form, session, session.state(Added).own, ticked_in(values[self.view]))

    def posed(self, session: Session, values: Values, seeds: int) -> Iterator[tuple[str, Posed]]:
        """Every picture with `seeds` seeds, the picture of the Restore tab first: its name and its problem.

        Raises:
            RedguiError: one cannot be read, or does not go with the degradation.
        """
        seed, first = self.form.setting.parts["seed"], self.form.build_setting(values).seed
        numbered = [{**values, seed: first + k} for k in range(seeds)]
        others = self.others(session, values)
        name = pictures.first_name(self.form, session, {name for name, _ in others})
        for said in numbered:
            yield name, self.form.build_problem(session, said)
        for other in others:
            for said in numbered:
                yield other[0], pictures.posed(self.form, session, said, other)

    def add_pictures(self, values: Values, request: gr.Request) -> Updates:
        """A person's own files; those that cannot be read are one toast and change nothing."""
        session = self.form.host.sessions.of(request.session_hash)
        added = session.state(Added)
        found, wrong = pictures.opened(values[self.upload], added.own, session, self.form)
        if wrong:
            gr.Warning(wrong, title="Not all pictures can be read" if found else "This picture cannot be read")
        added.own = [*added.own, *found]
        return self.shown(session, values, {*ticked_in(values[self.view]), *(one.path for one in found)})

    def remove_picture(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """Takes a picture off the list that the person has added."""
        session, removed = self.form.host.sessions.of(request.session_hash), sent_text(event, "key")
        added = session.state(Added)
        added.own = [one for one in added.own if one.path != removed]
        return self.shown(session, values)

    def wire(self) -> None:
        """Registers the events."""
        inputs: Any = {self.view}
        self.upload.upload(self.add_pictures, inputs | {self.upload}, self.view, **WITH_TOASTS)
        self.view.delete(self.remove_picture, inputs, self.view, **SILENT)


def ticked_in(value: Any) -> set[str]:
    """The keys in a value of a list with boxes to tick, which may be any JSON."""
    keys = value.get("ticked") if isinstance(value, dict) else None
    return {key for key in keys if isinstance(key, str)} if isinstance(keys, list) else set()
