"""What the Restore tab does when a person changes the degradation or the sampler (`bringing`: the picture and the prior)."""

from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from redgui import faces, fitting, knobs, presets, priors
from redgui.errors import RedguiError
from redgui.fitting import Fitting, Way
from redgui.operators import Inpaint
from redgui.priors.base import LARGEST
from redgui.samplers import RedDiff
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components, controls, views
from redgui.ui.parts.controls import SETTING, Controls, Setting, one_of
from redgui.ui.parts.form import NothingPainted
from redgui.ui.parts.views import wrong
from redgui.ui.parts.wiring import LATEST, SILENT, Updates, Values
from redgui.ui.restore import advising, from_file, given_masks
from redgui.ui.restore.layout import BEGINNING, RestoreLayout
from redgui.ui.restore.noise import NoiseEditing
from redgui.ui.restore.outcome import around
from redgui.ui.restore.state import Restoring
from redgui.ui.restore.ways import shown


class Editing:
    """The handlers of the form's own events."""

    def __init__(self, layout: RestoreLayout):
        self.layout, self.form = layout, layout.form
        self.kind = self.form.operators["inpaint"].parts["kind"]
        self.noise = NoiseEditing(self)

    # ---- the picture and the degradation

    def load_page(self, values: Values, request: gr.Request) -> Updates:
        """A page is opened (or opened again): mask, measurement, ways to fit, and weights."""
        session = self._session(request)
        session.state(Restoring).prior = self.form.prior_name(values)
        return self.refitted(session, values) | self.weights(values)

    def clear(self, request: gr.Request) -> Updates:
        """Another degradation was chosen: what another one gave goes. A run in progress goes on, the choice is for the next."""
        session = self._session(request)
        if session.state(Restoring).progress is not None:
            return {self.layout.view: gr.skip()}
        return self.cleared(session)

    def refit(self, values: Values, request: gr.Request) -> Updates:
        """The picture is to be fitted anew, to another size, in another way, or as the measurement itself."""
        try:
            return self.refitted(self._session(request), values)
        except RedguiError as error:
            return {self.layout.measurement: wrong(error)}

    def choose_operator(self, values: Values, request: gr.Request) -> Updates:
        """Another degradation: its knobs, its measurement, and the presets where a person has not chosen otherwise."""
        name, session = values[self.form.operator], self._session(request)
        return {
            **one_of(self.layout.operator_groups, name),
            self.form.mask: gr.update(visible=(name == Inpaint.name) or "hidden"),
            **self._preview(session, values),
            **self.retuned(session, values),
        }

    def retune(self, values: Values, request: gr.Request) -> Updates:
        """Another kind of a degradation, or noise, can be another problem, with presets of its own."""
        return self.retuned(self._session(request), values)

    def change_mask(self, values: Values, request: gr.Request) -> Updates:
        """A generated mask goes to the editor, where it can be painted over."""
        session = self._session(request)
        if values[self.kind] == "mask":
            return self._preview(session, values)
        try:
            mask = components.mask_value(None, self._hole(session, values), session.version)
        except RedguiError as error:
            return {self.layout.measurement: wrong(error)}
        return {self.form.mask: mask, **self._preview(session, values)}

    def painted(self, values: Values, request: gr.Request) -> Updates:
        """A stroke: from now on the mask is what was painted."""
        return {self.kind: "mask", **self._preview(self._session(request), {**values, self.kind: "mask"})}

    def preview(self, values: Values, request: gr.Request) -> Updates:
        """The measurement with the knobs as they are."""
        return self._preview(self._session(request), values)

    # ---- the sampler

    def choose_sampler(self, values: Values, request: gr.Request) -> Updates:
        """Another sampler: its knobs; the weights belong to RED-diff."""
        groups = one_of(self.layout.sampler_groups, values[self.form.sampler])
        return {**groups, **self.weights(values), **self._particles(self._session(request), values)}

    def tune(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """A person moved a knob: the run in progress takes it in its next iteration.

        Knobs that stand as the page itself has set them since the run began, to the presets of another problem, stay as the run
        has them.
        """
        state = self._session(request).state(Restoring)
        run, retuned, moved = state.played, state.retuned, getattr(event.target, "_id", None)
        with suppress(RedguiError):  # a number that is being typed; one that is left like that is told at the next Run
            if run is not None and run.playing and values[self.form.sampler] == run.sampler.name:
                own = {
                    part: getattr(run.now, name) for name, part in self.form.samplers[run.sampler.name].parts.items()
                    if part._id != moved and part in retuned and values[part] == retuned[part]
                }  # fmt: skip
                run.tune(self.form.build_sampler({**values, **own}))
        return self.reweigh(values)

    def reweigh(self, values: Values) -> Updates:
        """RED-diff's knobs have changed, whoever did it: its weights."""
        try:
            return self.weights(values)
        except RedguiError:
            return {self.layout.weights: gr.skip()}  # as above

    # ---- pieces, which `cards` and History take as well

    def refitted(self, session: Session, values: Values, fresh: bool = False) -> Updates:
        """The editor with the fitted picture and the mask that belongs to it, the measurement, and the ways to fit it.

        Args:
            fresh: another picture, of which nothing is painted over yet.
        """
        session.version += 1
        state, kind = session.state(Restoring), values[self.kind]
        ways, values = self._ways(session, values)
        fitted = self.form.fitted(session, values)
        if fresh:
            state.shown.clear()
            values, (hole, said) = {**values, self.kind: "mask"}, given_masks.fresh(session, fitted)
        else:
            (values, hole), said = self._carried(session, values, fitted), {}
        state.shown[session.version] = fitted
        editor = components.mask_value(fitted.apply(self.form.source(session)), hole, session.version) | said
        values = {**values, self.form.mask: editor}
        updates: Updates = {self.form.mask: editor, **self._preview(session, values), **ways}
        updates |= {self.kind: values[self.kind]} if values[self.kind] != kind else {}
        return updates | {self.layout.taken: shown(self.form, session, values, fitted)}

    def cleared(self, session: Session) -> Updates:
        """No result, and no run: another picture, prior or task takes its place."""
        state = session.state(Restoring)
        state.superseded = True  # first, so that a run in progress shows nothing more
        state.stop()
        state.played = None
        state.number += 1
        return {self.layout.view: views.blank(state.number, "idle"), **around(self.layout, False)}

    def retuned(self, session: Session, values: Values) -> Updates:
        """The samplers' knobs at their presets, where a person has not chosen otherwise."""
        operator, state = values[self.form.operator], session.state(Restoring)
        kind = self.form.operators[operator].parts.get("kind")
        before = state.tuned_for or (*BEGINNING, self.form.host.prior_name)
        try:
            level = self._level(values)
        except RedguiError:
            level = before[2]  # a number that is being typed
        old = self.form.tuned(*before)
        state.tuned_for = (operator, values[kind] if kind else None, level, str(values[self.form.prior]))
        new = self.form.tuned(*state.tuned_for)
        changed = {part: new[part] for part in new if old[part] != new[part] and values[part] == old[part]}
        state.retuned |= changed
        return changed | self._particles(session, values)

    def _session(self, request: gr.Request) -> Session:
        return self.form.host.sessions.of(request.session_hash)

    def _hole(self, session: Session, values: Values) -> np.ndarray:
        h, w = self.form.fitted(session, values).size
        inpaint = self.form.operators["inpaint"].build(values)
        inpaint.check_size(h, w)
        return inpaint.drawn(h, w)

    def _carried(self, session: Session, values: Values, fitted: Fitting) -> tuple[Values, np.ndarray]:
        """The mask on the fitted picture: generated, or what was painted, carried over from another fit of the picture."""
        value = values[self.form.mask]
        version = value.get("version") if isinstance(value, dict) else None  # what was painted on, which may have been replaced
        before = session.state(Restoring).shown.get(version) if type(version) is int else None
        try:
            if values[self.kind] != "mask":
                return values, self._hole(session, values)
            if (given := given_masks.refitted(session, value, fitted)) is not None:
                return values, given
            if before is not None and before != fitted and before.original == fitted.original:
                return values, fitted.hole(before.hole_of_picture(components.mask_bits(value, *before.size)))
            return values, components.mask_bits(value, *fitted.size)
        except RedguiError:
            if session.own:
                return {**values, self.kind: "mask"}, np.zeros(fitted.size, bool)
            return {**values, self.kind: "box"}, Inpaint().hole(*fitted.size)

    def _ways(self, session: Session, values: Values) -> tuple[Updates, Values]:
        """Updates of the choices of fit and size, shown where they differ, and the values with a fit that this prior takes."""
        form = self.form
        (h, w), source, multiple = form.size(values), form.source(session), form.multiple(values)
        ways: list[Way] = [way for way in fitting.WAYS if way != "native" or multiple]
        if session.own and h == w and faces.find(source) is not None:
            ways.append("face")
        chosen = values[form.fit]
        if chosen not in ways and not (chosen == "face" and source.size == (w, h)):
            chosen = "crop"
        differ = source.width * h != source.height * w or bool(multiple and (source.height, source.width) != (h, w))
        choices = [(controls.fit_name(way), way) for way in ways]
        label = controls.fit_label(source, h, w, chosen)
        sizes = controls.sizes(source, min(LARGEST, form.host.limits.side), values[form.longest])
        side, sized = values[form.longest] or 0, chosen == "native" and len(sizes) > 1
        updates = {
            form.fit: gr.update(choices=choices, value=chosen, visible=(differ or session.own) or "hidden", label=label),
            form.longest: gr.update(choices=sizes, value=side, visible=sized or "hidden"),
        }
        return updates, {**values, form.fit: chosen}

    def _particles(self, session: Session, values: Values) -> Updates:
        """As many particles as suit sampler and operator, where a person has not chosen otherwise."""
        form, state = self.form, session.state(Restoring)
        sampler, operator = form.samplers[values[form.sampler]].cls, form.operators[values[form.operator]].cls
        part = form.setting.parts["particles"]
        before, state.particles_given = state.particles_given, presets.particles(sampler, operator)
        return {part: state.particles_given if values[part] == before != state.particles_given else gr.skip()}

    def _preview(self, session: Session, values: Values) -> Updates:
        try:
            problem = self.form.build_problem(session, values).problem
        except NothingPainted:
            picture = self.form.fitted(session, values).apply(self.form.source(session))
            return {self.layout.measurement: views.unpainted(picture, session.version)}
        except RedguiError as error:
            return {self.layout.measurement: wrong(error)}
        return {self.layout.measurement: views.measurement(problem, session.version)}

    def weights(self, values: Values) -> Updates:
        chosen = self.form.build_sampler(values)
        if not isinstance(chosen, RedDiff):
            return {self.layout.weights: None}
        name = self.form.prior_name(values)
        sigmas, errors = priors.sigmas_of(name), priors.errors_of(name)
        return {self.layout.weights: views.weights(chosen, sigmas, self._level(values), errors=errors)}

    def _level(self, values: Values) -> float:
        """sigma_y of the noise, whatever its kind. Raises RedguiError where it is a number that is being typed."""
        sigma_y = knobs.coerce(SETTING["sigma_y"], values[self.noise.sigma_y], Setting.name)
        return self.form.build_noise(values).level(sigma_y)

    # ---- wiring

    def wire(self) -> None:
        """Registers the events of the form."""
        form, layout = self.form, self.layout
        inputs: Any = form.inputs
        problem: Any = form.problem_inputs
        page = [form.mask, layout.measurement]
        gr.on([form.fit.input, form.longest.input], self.refit, problem, layout.refitted, **LATEST)

        # the degradation: every change shows in the measurement at once
        outputs = [*layout.operator_groups.values(), *page, *layout.tuned]
        form.operator.change(self.choose_operator, inputs, outputs, **LATEST)
        form.operator.input(self.clear, None, layout.outcome, **SILENT)
        self.noise.wire()
        kinds = [self.noise.sigma_y, *form.noises.parts]
        simulated = [*kinds, form.setting.parts["seed"]]
        for name, group in form.operators.items():
            simulated += [] if name == Inpaint.name else group
            kinds += [part for knob_name, part in group.parts.items() if knob_name == "kind"]
            self._wire_switches(group)
        gr.on([part.change for part in kinds], self.retune, inputs, layout.tuned, **LATEST)
        gr.on([part.change for part in form.operators[Inpaint.name]], self.change_mask, problem, page, **LATEST)
        gr.on([part.change for part in simulated], self.preview, problem, layout.measurement, **LATEST)
        form.mask.input(self.painted, problem, [self.kind, layout.measurement], **LATEST)
        given_masks.wire(self)
        from_file.wire(self)
        form.given.change(self.refit, problem, layout.refitted, **SILENT)
        advising.wire(layout)

        # the sampler: its knobs act on the very next iteration of a run
        outputs = [*layout.sampler_groups.values(), layout.weights, form.setting.parts["particles"]]
        form.sampler.change(self.choose_sampler, inputs, outputs, **SILENT)
        for group in form.samplers.values():
            self._wire_switches(group)
        # A run takes what a person moves, not what the page itself writes. A slider's reset button tells of a release alone.
        moved = [part.input for part in form.samplers.parts]
        moved += [part.release for part in form.samplers.parts if isinstance(part, gr.Slider)]
        solver: Any = form.sampler_inputs | {form.prior, form.noise, self.noise.sigma_y, *form.noises.parts}
        gr.on(moved, self.tune, solver, layout.weights, **LATEST)
        # A gr.HTML is left out: it tells of a change at every news of a stream, whether there is one or not.
        weighted = [part.change for part in form.samplers[RedDiff.name] if not isinstance(part, gr.HTML)]
        gr.on(weighted, self.reweigh, solver, layout.weights, **LATEST)

    def _wire_switches(self, group: Controls) -> None:
        """Knobs that belong to a value of another knob of the group come and go with it."""
        for name in group.switches:
            group.parts[name].change(partial(group.shown_with, name), group.parts[name], list(group), **SILENT)
