"""What a text-to-image model is told, on the page: a prompt, a negative prompt and a guidance, which act in mid-run.

They are part of the prior's name, and so of links, records and History. Only such a model shows them; on a public host the
prior is told what it was when the app was started.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import Dependency

from redgui import knobs, priors
from redgui.errors import RedguiError
from redgui.priors.names import TOLD, Conditioned, conditioned, with_texts
from redgui.ui.parts import controls
from redgui.ui.parts.controls import HIDDEN, SHOWN, Control
from redgui.ui.parts.wiring import SILENT, WITH_TOASTS, Updates, Values
from redgui.ui.restore.state import Restoring

if TYPE_CHECKING:
    from redgui.ui.restore.layout import RestoreLayout


@dataclass(frozen=True, eq=False)
class Telling:
    """The group of the texts, and their controls by the names of `Prior.texts`."""

    group: gr.Group
    parts: Mapping[str, Control]

    @property
    def outputs(self) -> list[Any]:
        """What `follow` sets."""
        return [self.group, *self.parts.values()]


def draw() -> Telling:
    """The controls, hidden, inside the block that is open."""
    told = {k.name: k for k in knobs.knobs(Conditioned) if k.name in TOLD}
    with controls.group("told", False) as group:
        parts = {name: controls.one(told[name], f"prior-{name}", told[name].default) for name in TOLD}
    return Telling(group, parts)


def follow(layout: "RestoreLayout", values: Values) -> Updates:
    """The controls as the prior that is chosen is told; hidden where it is told nothing, or may not be by this page."""
    form, told = layout.form, layout.told
    texts: Mapping[str, Any] | None = None
    try:
        name = form.prior_name(values)
        if not (form.host.public or name in priors.bundled() or priors.without_weights(name)):
            texts = form.load_prior(values).texts
    except RedguiError:  # told where the prior is chosen
        texts = None
    if texts is None:
        return {told.group: gr.update(elem_classes=HIDDEN)}
    return {told.group: gr.update(elem_classes=SHOWN), **{told.parts[name]: texts[name] for name in TOLD}}


def tell(layout: "RestoreLayout", values: Values, request: gr.Request) -> Updates:
    """A person has said something else: the prior's name says it, and a run in progress is told with its next iteration."""
    form, told = layout.form, layout.told
    state = form.host.sessions.of(request.session_hash).state(Restoring)
    try:
        name = with_texts(form.prior_name(values), {name: values[told.parts[name]] for name in TOLD})
        prior = form.host.prior_named(name)  # encodes the texts
        run = state.played
        if run is not None and run.playing and conditioned(run.prior.name)[0] == conditioned(name)[0]:
            run.retell(prior)
    except RedguiError as error:
        gr.Warning(str(error), title="This cannot be said")
        return {form.prior: gr.skip()}
    state.prior = name  # so that the page takes it for no other prior
    return {form.prior: name}


def wire(layout: "RestoreLayout", chosen: Dependency) -> None:
    """Registers the events; `chosen`: that of another prior."""
    form, parts = layout.form, layout.told.parts

    def said_so(values: Values, request: gr.Request) -> Updates:
        return tell(layout, values, request)

    chosen.then(partial(follow, layout), {form.prior}, layout.told.outputs, **SILENT)
    said = [event for part in parts.values() if isinstance(part, gr.Textbox) for event in (part.submit, part.blur)]
    said += [part.release for part in parts.values() if isinstance(part, gr.Slider)]
    inputs: Any = {form.prior, *parts.values()}
    gr.on(said, said_so, inputs, form.prior, **WITH_TOASTS, trigger_mode="always_last")
