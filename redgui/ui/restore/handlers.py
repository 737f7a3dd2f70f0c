"""What the Restore tab does on an event: from what is chosen to runs and the components' values."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gradio as gr

from redgui import fitting, images, knobs, presets, priors
from redgui.errors import RedguiError
from redgui.operators import Inpaint
from redgui.samplers import RedDiff
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import discard, uploaded
from redgui.ui.parts import components, controls, views
from redgui.ui.parts.controls import SETTING, Controls, Setting, one_of
from redgui.ui.parts.wiring import Values
from redgui.ui.restore.outcome import wrong
from redgui.ui.restore.player import Player


class Actions(Player):
    """The handlers of one app. The components are attributes, set by the layout."""

    picture: Any
    examples: Any
    operator_groups: dict[str, Any]
    measurement: Any
    run: Any
    stop: Any
    resume: Any
    sampler_groups: dict[str, Any]
    weights: Any
    result: Any
    film: Any
    outcome: list[Any]  # what a run shows itself in
    place: Any  # passes a page's place in line on to what waits there
    in_turn: Callable[[Any], Any]  # a handler that streams a run, as it is registered
    over: tuple[Any, ...]  # the events at the end of a run

    # ---- the picture and the degradation

    def leave(self, request: gr.Request) -> None:
        """A page is closed: its run ends and its picture is forgotten."""
        self.sessions.drop(request.session_hash)

    def load_page(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """A page is opened (or opened again): mask, measurement, ways to fit, and weights."""
        return *self._refit(self.sessions.of(request.session_hash), values), self._weights(values)

    def open_picture(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """A person's own picture; one that cannot be read changes nothing."""
        path = (values[self.picture] or {}).get("path")
        if not path:
            return (gr.skip(),) * 4
        session = self.sessions.of(request.session_hash)
        try:
            session.source = images.read(uploaded(path), self.limits.pixels)
        except RedguiError as error:
            gr.Warning(str(error), title="This picture cannot be read")
            discard(path)
            return self.shown(session), *(gr.skip(),) * 3
        session.file = (path, session.source)
        session.files.add(path)
        return gr.skip(), *self._refit(session, values)

    def open_example(self, values: Values, request: gr.Request, event: gr.SelectData) -> tuple[Any, ...]:
        """One of the bundled pictures."""
        session = self.sessions.of(request.session_hash)
        path = self.examples_paths[int(event.index) % len(self.examples_paths)]
        session.source = images.read(path)
        session.file = (str(path), session.source)
        return str(path), *self._refit(session, values)

    def refit(self, values: Values, request: gr.Request) -> tuple[Any, Any, Any]:
        """The picture is to be fitted anew, to another size, in another way, or as the measurement itself."""
        return self._refit(self.sessions.of(request.session_hash), values)

    def choose_prior(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Another diffusion model: loaded (and fetched) now, so that Run starts at once."""
        session = self.sessions.of(request.session_hash)
        try:
            self.load_prior(values)
        except RedguiError as error:
            gr.Warning(str(error), title="This prior cannot be used")
            return self.prior_name, *(gr.skip(),) * 4
        values = {**values, self.fit: fitting.usual(self.multiple(values))}
        return gr.skip(), *self._refit(session, values), self._weights(values)

    def choose_operator(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Another degradation: its knobs, its measurement, and the presets where a person has not chosen otherwise."""
        name = values[self.operator]
        session = self.sessions.of(request.session_hash)
        editor = gr.update(visible=(name == Inpaint.name) or "hidden")
        return (*one_of(self.operator_groups, name), editor, self._preview(session, values), *self._retuned(session, values))

    def retune(self, values: Values, request: gr.Request) -> list[Any]:
        """Another kind of a degradation, or noise, can be another problem, with presets of its own."""
        return self._retuned(self.sessions.of(request.session_hash), values)

    def change_mask(self, values: Values, request: gr.Request) -> tuple[Any, Any]:
        """A generated mask goes to the editor, where it can be painted over."""
        session = self.sessions.of(request.session_hash)
        if values[self.operators["inpaint"].parts["kind"]] == "mask":
            return gr.skip(), self._preview(session, values)
        try:
            mask = components.mask_value(None, self._hole(session, values), session.version)
        except RedguiError as error:
            return gr.skip(), wrong(error)
        return mask, self._preview(session, values)

    def painted(self, values: Values, request: gr.Request) -> tuple[Any, Any]:
        """A stroke: from now on the mask is what was painted."""
        kind = self.operators["inpaint"].parts["kind"]
        return "mask", self._preview(self.sessions.of(request.session_hash), {**values, kind: "mask"})

    def preview(self, values: Values, request: gr.Request) -> Any:
        """The measurement with the knobs as they are."""
        return self._preview(self.sessions.of(request.session_hash), values)

    def shower(self, group: Controls, name: str) -> Any:
        """A handler that shows the knobs which belong to a value of the knob `name`."""
        return lambda value: group.shown_with(name, value)

    # ---- the sampler

    def choose_sampler(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Another sampler: its knobs; the weights belong to RED-diff."""
        particles = self._particles(self.sessions.of(request.session_hash), values)
        return (*one_of(self.sampler_groups, values[self.sampler]), self._weights(values), particles)

    def tune(self, values: Values, request: gr.Request, event: gr.EventData) -> Any:
        """A person moved a knob: the run in progress takes it in its next iteration.

        Knobs that stand as the page itself has set them since the run began, to the presets of another problem, stay as the run
        has them.
        """
        session = self.sessions.of(request.session_hash)
        run, moved = session.run, getattr(event.target, "_id", None)
        with suppress(RedguiError):  # a number that is being typed; one that is left like that is told at the next Run
            if run is not None and run.playing and values[self.sampler] == run.sampler.name:
                own = {
                    part: getattr(run.now, name) for name, part in self.samplers[run.sampler.name].parts.items()
                    if part._id != moved and part in session.retuned and values[part] == session.retuned[part]
                }  # fmt: skip
                run.tune(self.build_sampler({**values, **own}))
        return self.reweigh(values)

    def reweigh(self, values: Values) -> Any:
        """A knob has changed, whoever did it: RED-diff's weights."""
        try:
            return self._weights(values)
        except RedguiError:
            return gr.skip()  # as above

    # ---- pieces

    def _hole(self, session: Session, values: Values) -> Any:
        h, w = self.fitted(session, values).size
        inpaint = self.operators["inpaint"].build(values)
        inpaint.check_size(h, w)
        return inpaint.hole(h, w)

    def _refit(self, session: Session, values: Values) -> tuple[Any, Any, Any]:
        """The editor with the fitted picture and the mask that belongs to it, the measurement, and the ways to fit it."""
        session.version += 1
        ways, values = self._ways(session, values)
        fitted = self.fitted(session, values)
        kind = self.operators["inpaint"].parts["kind"]
        try:
            painted = values[kind] == "mask"  # which stays
            hole = components.mask_bits(values[self.mask], *fitted.size) if painted else self._hole(session, values)
        except RedguiError:
            values = {**values, kind: "box"}
            hole = Inpaint().hole(*fitted.size)
        editor = components.mask_value(fitted.apply(self.source(session)), hole, session.version)
        values = {**values, self.mask: editor}
        return editor, self._preview(session, values), ways

    def _ways(self, session: Session, values: Values) -> tuple[Any, Values]:
        """An update of the choice of fits, shown where they differ, and the values with a fit that this prior takes."""
        (h, w), source, multiple = self.size(values), self.source(session), self.multiple(values)
        choices = [(controls.fit_name(way), way) for way in fitting.WAYS if way != "native" or multiple]
        chosen = values[self.fit] if multiple or values[self.fit] != "native" else "crop"
        differ = source.width * h != source.height * w or bool(multiple and (source.height, source.width) != (h, w))
        label = controls.fit_label(source, h, w, chosen)
        update = gr.update(choices=choices, value=chosen, visible=differ or "hidden", label=label)
        return update, {**values, self.fit: chosen}

    def _retuned(self, session: Session, values: Values) -> list[Any]:
        """Updates of the samplers' knobs to their presets, where a person has not chosen otherwise."""
        operator = values[self.operator]
        kind = self.operators[operator].parts.get("kind")
        try:
            sigma_y = knobs.coerce(SETTING["sigma_y"], values[self.setting.parts["sigma_y"]], Setting.name)
        except RedguiError:
            sigma_y = session.tuned_for[2]  # a number that is being typed
        before, session.tuned_for = session.tuned_for, (operator, kind and values[kind], sigma_y)
        updates = []
        for sampler, group in self.samplers.items():
            defaults = {k.name: k.default for k in knobs.knobs(group.cls)}
            old = {**defaults, **presets.preset(sampler, *before)}
            new = {**defaults, **presets.preset(sampler, *session.tuned_for)}
            changed = {part: new[k] for k, part in group.parts.items() if old[k] != new[k] and values[part] == old[k]}
            session.retuned |= changed
            updates += [changed.get(part, gr.skip()) for part in group]
        return [*updates, self._particles(session, values)]

    def _particles(self, session: Session, values: Values) -> Any:
        """As many particles as suit sampler and operator, where a person has not chosen otherwise."""
        sampler, operator = self.samplers[values[self.sampler]].cls, self.operators[values[self.operator]].cls
        before, session.particles_given = session.particles_given, presets.particles(sampler, operator)
        untouched = values[self.setting.parts["particles"]] == before != session.particles_given
        return session.particles_given if untouched else gr.skip()

    def _preview(self, session: Session, values: Values) -> Any:
        try:
            _, problem, _ = self.build_problem(session, values)
        except RedguiError as error:
            return wrong(error)
        return views.measurement(problem, session.version)

    def _weights(self, values: Values) -> Any:
        chosen = self.build_sampler(values)
        if not isinstance(chosen, RedDiff):
            return None
        return views.weights(chosen, priors.sigmas_of(self.offered(values[self.prior])))
