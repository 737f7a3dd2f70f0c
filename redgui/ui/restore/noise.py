"""The noise of the Restore tab: its model, and how much of it there is in a picture that is already damaged."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.ui.host.sessions import Session
from redgui.ui.parts.controls import SETTING, one_of
from redgui.ui.parts.wiring import LATEST, WITH_TOASTS, Updates, Values
from redgui.ui.restore.state import Restoring

if TYPE_CHECKING:
    from redgui.ui.restore.editing import Editing

MEASURED = "measured in your picture; correct it where you know better"


class NoiseEditing:
    """The handlers of sigma_y and of the kind of noise."""

    def __init__(self, editing: "Editing"):
        self.editing, self.form = editing, editing.form
        self.sigma_y = self.form.setting.parts["sigma_y"]

    def measured(self, session: Session, values: Values) -> Updates:
        """sigma_y as it is measured in a picture that is damaged; where it is not, what was measured before is gone again."""
        state = session.state(Restoring)
        found = self.form.measured_noise(session, values) if values[self.form.given] else None
        before, state.measured = state.measured, found
        if found is not None:
            return {self.sigma_y: gr.update(value=found, info=MEASURED)}
        gone = before is not None and values[self.sigma_y] == before
        return {self.sigma_y: gr.update(value=0.0, info=SETTING["sigma_y"].help) if gone else gr.skip()}

    def measure(self, values: Values, request: gr.Request) -> Updates:
        """A person says that the picture is damaged, or fits it in another way."""
        return self.measured(self.form.host.sessions.of(request.session_hash), values)

    def say(self, values: Values, request: gr.Request) -> Updates:
        """A person says how much noise there is, which is then not said to be measured."""
        state = self.form.host.sessions.of(request.session_hash).state(Restoring)
        before, state.measured = state.measured, None
        return {self.sigma_y: gr.skip() if before is None else gr.update(info=SETTING["sigma_y"].help)}

    def take(self, values: Values, request: gr.Request) -> Updates:
        """A person writes the noise in the units of the file: it moves to the slider."""
        part = self.editing.layout.noise_part
        try:
            sigma_y = knobs.coerce(SETTING["sigma_y"], values[part])
        except RedguiError as error:
            gr.Warning(str(error), title="This is no noise")
            return {part: gr.skip()}
        self.form.host.sessions.of(request.session_hash).state(Restoring).measured = None
        return {part: "", self.sigma_y: gr.update(value=sigma_y, info=SETTING["sigma_y"].help)}

    def choose(self, values: Values, request: gr.Request) -> Updates:
        """Another model of the noise: its knobs, its measurement and the presets for its level."""
        groups = one_of(self.editing.layout.noise_groups, values[self.form.noise])
        return groups | self.editing.preview(values, request) | self.editing.retune(values, request)

    def wire(self) -> None:
        """Registers the events."""
        form, layout = self.form, self.editing.layout
        problem: Any = form.problem_inputs
        inputs: Any = form.inputs
        gr.on([form.given.input, form.fit.input], self.measure, problem, self.sigma_y, **LATEST)
        self.sigma_y.input(self.say, {form.given}, self.sigma_y, **LATEST)
        layout.noise_part.submit(self.take, {layout.noise_part}, [layout.noise_part, self.sigma_y], **WITH_TOASTS)
        outputs = [*layout.noise_groups.values(), layout.measurement, *layout.tuned]
        form.noise.change(self.choose, inputs, outputs, **LATEST)
