"""The picture of the Restore tab and the prior for it: a person's own one, an example, a result that is gone on with."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from redgui import bundled, finishing, images
from redgui.errors import RedguiError
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import discard, uploaded
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values, sent_text
from redgui.ui.restore import from_file, given_masks
from redgui.ui.restore.editing import Editing
from redgui.ui.restore.state import Restoring
from redgui.ui.restore.ways import FACES, PHOTOS, offered, usual_way

FORGET = "forget"  # the way of a picture that is to be kept no longer


class Bringing:
    """The handlers of the picture's own events, and of the prior's."""

    def __init__(self, editing: Editing):
        self.editing, self.layout, self.form = editing, editing.layout, editing.form

    def open_picture(self, values: Values, request: gr.Request) -> Updates:
        """A person's own picture; one that cannot be read changes nothing."""
        path = (values[self.form.picture] or {}).get("path")
        if not path:
            return {self.form.picture: gr.skip()}
        session = self._session(request)
        try:
            session.source = images.read(uploaded(path), self.form.host.limits.pixels)
        except RedguiError as error:
            gr.Warning(str(error), title="This picture cannot be read")
            discard(path)
            return {self.form.picture: self.form.file(session)}
        session.file = (path, session.source)
        session.files.add(path)
        session.own = True
        return self.brought(session, values)

    def brought(self, session: Session, values: Values) -> Updates:
        """A person's own picture in the way that suits it, under an empty mask."""
        given_masks.opened(session, self.form.source(session))
        state = session.state(Restoring)
        by_itself = not state.prior_chosen and values[self.form.prior] in (PHOTOS, FACES)
        moved = offered(self.form, session)[0].values(self.form) if by_itself else {}
        return self._taken(session, {**values, **moved}, fresh=True)

    def open_example(self, values: Values, request: gr.Request, event: gr.SelectData) -> Updates:
        """One of the bundled pictures."""
        paths = self.form.host.examples
        return self._example(self._session(request), values, paths[int(event.index) % len(paths)])

    def _example(self, session: Session, values: Values, path: Path) -> Updates:
        moved: Updates = {self.editing.kind: "box"} if session.own else {}  # in place of an empty mask
        if not session.state(Restoring).prior_chosen and values[self.form.prior] in (PHOTOS, FACES):
            moved |= usual_way(self.form, PHOTOS if path.parent == bundled.PHOTOGRAPHS else None).values(self.form)
        session.source, session.own = images.read(path), False
        session.file = (str(path), session.source)
        return {self.form.picture: str(path), **moved, **self._taken(session, {**values, **moved})}

    def adopt_result(self, values: Values, request: gr.Request) -> Updates:
        """The result of the last run becomes the picture; prior and fit stay."""
        session = self._session(request)
        run = session.state(Restoring).played
        if run is None or run.last is None or run.playing:
            return {self.layout.measurement: gr.skip()}
        restored = run.given_back(run.last.estimate)
        picture = run.full() or finishing.fitted(restored, run.source, run.fitting, run.problem.H)
        session.source, session.own = images.read(picture), True
        return {self.form.picture: self.form.file(session), **self._taken(session, values, fresh=True)}

    def take(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """The picture in another way of those that are offered, what was painted stays; or away with it."""
        session, name = self._session(request), sent_text(event, "name")
        if name == FORGET and session.own:
            updates = self._example(session, values, self.form.host.examples[0])
            self.form.host.sessions.empty(session)
            return updates
        way = next((way for way in offered(self.form, session) if way.name == name), None)
        if way is None or not session.own:
            return {self.layout.measurement: gr.skip()}
        return self._taken(session, {**values, **way.values(self.form)})

    def choose_prior(self, values: Values, request: gr.Request) -> Updates:
        """Another diffusion model: loaded (and fetched) now, so that Run starts at once."""
        session = self._session(request)
        state = session.state(Restoring)
        if values[self.form.prior] == state.prior:  # the page itself has set it
            return {self.layout.measurement: gr.skip()}
        try:
            self.form.load_prior(values)
        except RedguiError as error:
            gr.Warning(str(error), title="This prior cannot be used")
            return {self.form.prior: state.prior or self.form.host.prior_name}
        state.prior_chosen = True
        return self._taken(session, {**values, **usual_way(self.form, values[self.form.prior]).values(self.form)})

    # ---- pieces

    def _session(self, request: gr.Request) -> Session:
        return self.form.host.sessions.of(request.session_hash)

    def _taken(self, session: Session, values: Values, fresh: bool = False) -> Updates:
        """The picture by the prior and the fit of the values; `fresh`: another one, under an empty mask."""
        form = self.form
        session.state(Restoring).prior = values[form.prior]
        updates: Updates = {form.prior: values[form.prior]}
        if fresh:
            updates[self.editing.kind] = "mask"
        updates |= from_file.told(form, session, values)
        values = {**values, **updates}
        updates |= self.editing.refitted(session, values, fresh)
        updates |= self.editing.weights(values) | self.editing.retuned(session, values)
        updates |= self.editing.noise.measured(session, values)
        return updates | self.editing.cleared(session)

    def wire(self) -> Dependency:
        """Registers the events; gives that of another prior."""
        form, layout = self.form, self.layout
        inputs: Any = form.inputs
        taken = [form.prior, *layout.refitted, layout.weights, *layout.tuned, *layout.outcome, self.editing.noise.sigma_y]
        taken += from_file.controls_of(form)
        fresh = [form.picture, *taken]
        form.picture.input(self.open_picture, {form.picture, *inputs}, fresh, **WITH_TOASTS)
        layout.examples.select(self.open_example, inputs, fresh, **SILENT)
        layout.result.select(self.adopt_result, inputs, fresh, **SILENT)
        layout.taken.select(self.take, inputs, fresh, **WITH_TOASTS)
        loading: dict[str, Any] = WITH_TOASTS | dict(show_progress="minimal")
        return form.prior.change(self.choose_prior, inputs, taken, **loading)
