"""The part of the Learn tab where samplers walk on a plane (`redgui.ui.learn.plane`): its controls, handlers and value."""

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.samplers import Sampler
from redgui.ui.learn import plane
from redgui.ui.learn.plane import Plane, Walk
from redgui.ui.learn.views import walk_view
from redgui.ui.parts import controls
from redgui.ui.parts.controls import Control, Controls, Named
from redgui.ui.parts.form import Page
from redgui.ui.parts.wiring import LATEST, WITH_TOASTS, Updates, Values, sent

TELLING = ("steps", "lr", "lam", "weighting", "exponent", "zeta", "eta", "inner", "gamma")  # knobs that are offered


@dataclass(frozen=True, eq=False)
class WalkLayout:
    """The components. `groups`: around the knobs of each sampler."""

    plane: Controls
    sampler: gr.Dropdown
    samplers: Named
    groups: dict[str, gr.Group]
    open: gr.Button
    view: gr.HTML

    @property
    def inputs(self) -> set[Any]:
        """All that decides on the walk."""
        return {*self.plane, self.sampler, *self.samplers.parts}


def lay_out() -> WalkLayout:
    """Lays it out inside the block that is open."""
    with gr.Row(elem_classes="rg-learn-walk"):
        with gr.Column(min_width=220, scale=1, elem_classes="rg-left rg-settings"):
            walkers = {type(sampler).name: sampler for sampler in plane.WALKERS}
            choices = [(sampler.label, name) for name, sampler in walkers.items()]
            first = choices[0][1]
            chosen = gr.Dropdown(choices, value=first, label="Sampler", filterable=False, elem_id="walk-sampler")
            samplers, groups = Named("sampler"), {}
            for name, sampler in walkers.items():
                with controls.group(f"walk-{name}", name == first) as groups[name]:
                    offered = [k for k in knobs.knobs(type(sampler)) if k.name in TELLING]
                    drawn = {k.name: controls.one(k, f"walk-{name}-{k.name}", getattr(sampler, k.name)) for k in offered}
                samplers[name] = Controls(type(sampler), drawn)
            back = gr.Button("Open in Restore", elem_id="walk-open")
        with gr.Column(min_width=280, scale=2):
            view = walk_view()
        with gr.Column(min_width=220, scale=1, elem_classes="rg-left rg-settings"), gr.Group():
            parts = controls.draw(Plane, "walk", {})
    return WalkLayout(Controls(Plane, parts), chosen, samplers, groups, back, view)


class Walking:
    """The handlers."""

    def __init__(self, page: Page, layout: WalkLayout):
        self.page, self.layout = page, layout

    def redraw(self, values: Values) -> Updates:
        """Another walk."""
        return {self.layout.view: self.value(values)}

    def choose_sampler(self, values: Values) -> Updates:
        """Another sampler: its knobs, and its walk."""
        chosen = str(values[self.layout.sampler])
        return {**controls.one_of(self.layout.groups, chosen), **self.redraw(values)}

    def move_line(self, values: Values, event: gr.EventData) -> Updates:
        """The line is dragged."""
        y, part = sent(event).get("y"), self.layout.plane.parts["y"]
        if isinstance(y, bool) or not isinstance(y, (int, float)) or not -1 <= y <= 1:
            return {part: gr.skip()}
        return {part: round(y, 2), **self.redraw({**values, part: round(y, 2)})}

    def open_in_restore(self, values: Values) -> Updates:
        """The sampler with its knobs of here into the Restore tab."""
        try:
            return self.page.to_restore(self._sampler(values))
        except RedguiError as error:
            gr.Warning(str(error))
            return self.page.to_restore(None)

    def value(self, values: Values) -> dict[str, Any]:
        """The view's value."""
        try:
            on = self.layout.plane.build(values)
            sampler = self._sampler(values)
            found = plane.walk(on, sampler)
        except RedguiError as error:
            return {"message": str(error)}
        message = "" if found.whole else f"Ended after {len(found.sigma)} steps, since it took too long: choose fewer."
        return {"plane": json.dumps(drawn_plane(on)), "walk": json.dumps(drawn_walk(found, sampler)), "message": message}

    def _sampler(self, values: Values) -> Sampler:
        """The chosen sampler, with what has no control as `plane.WALKERS` has it."""
        group = self.layout.samplers[values[self.layout.sampler]]
        usual = next(sampler for sampler in plane.WALKERS if type(sampler) is group.cls)
        fixed = {name: value for name, value in knobs.values(usual).items() if name not in group.parts}
        return group.build(values, **fixed)

    def wire(self) -> None:
        """Registers all events but that of the tab."""
        layout = self.layout
        layout.sampler.input(self.choose_sampler, layout.inputs, [layout.view, *layout.groups.values()], **LATEST)
        others: list[Control] = [*layout.plane, *layout.samplers.parts]
        # the dice change a number without an input
        triggers = [part.change if isinstance(part, gr.Number) else part.input for part in others]
        gr.on(triggers, self.redraw, layout.inputs, layout.view, **LATEST)
        layout.open.click(self.open_in_restore, layout.inputs, self.page.to_restore_outputs, **WITH_TOASTS)
        layout.view.select(self.move_line, layout.inputs, [layout.view, layout.plane.parts["y"]], **LATEST)


def drawn_plane(on: Plane) -> dict[str, Any]:
    """The plane for the view."""
    prior = on.mixture()
    return {
        "means": _rounded(prior.means.flatten(1)), "weights": _rounded(prior.weights), "std": prior.std,
        "angle": on.angle, "y": on.y, "sigma_y": on.sigma_y, "exact": _rounded(on.posterior_weights()),
    }  # fmt: skip


def drawn_walk(found: Walk, sampler: Sampler) -> dict[str, Any]:
    """A walk for the view; a diverged particle is where nobody sees it."""
    points = found.points.nan_to_num(1e3, 1e3, -1e3).clamp(-1e3, 1e3)
    return {
        "label": sampler.label, "sigma": [float(f"{s:.3g}") for s in found.sigma], "points": _rounded(points),
        "share": _rounded(found.share.nan_to_num(0)),
    }  # fmt: skip


def _rounded(x: Any) -> Any:
    """A tensor as lists of numbers with three digits after the point."""
    return [_rounded(row) for row in x] if x.ndim > 1 else [round(v, 3) for v in x.tolist()]
