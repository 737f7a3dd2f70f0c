"""Knobs as controls: one place that turns `knobs(cls)` into gradio components and their values back into an instance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.bundled import ASSETS
from redgui.knobs import Knob, knob
from redgui.ui.parts.components import log_slider

Component = Any


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run has besides its operator and its sampler."""

    name = "run"

    sigma_y: float = knob(0.0, 0.0, 1.0, step=0.005, label="Noise σ_y", help="standard deviation, the picture spanning -1 to 1")
    seed: int = knob(0, 0, 2**31 - 1, help="of the noise and of the sampler: the same seed gives the same pixels")
    particles: int = knob(1, 1, 16, help="independent runs in one batch: their mean and spread")


SETTING = {k.name: k for k in knobs.knobs(Setting)}
SHOWN, HIDDEN = ["rg-knobs"], ["rg-knobs", "rg-off"]


@dataclass(frozen=True)
class Controls:
    """The components of a class with knobs, by the knobs' names."""

    cls: type
    parts: Mapping[str, Component]

    def __iter__(self) -> Iterator[Component]:
        return iter(self.parts.values())

    def build(self, values: Mapping[Component, Any], **fixed: Any) -> Any:
        """An instance from a handler's dict of component -> value. Raises KnobError."""
        given = {name: values[part] for name, part in self.parts.items()}
        return knobs.build(self.cls, {**given, **fixed})

    def shown_with(self, name: str, value: str) -> list[Any]:
        """Updates that show or hide the knobs which depend on the knob `name`, in the order of `parts`."""
        by_name = {k.name: k for k in knobs.knobs(self.cls)}
        return [
            gr.update(visible=value in k.only_with[1] or "hidden") if k.only_with and k.only_with[0] == name else gr.skip()
            for k in (by_name[n] for n in self.parts)
        ]


class Named(dict[Any, Any]):
    """Controls by the names of their classes; a name that there is not, as only a tampered page sends it, is a KnobError."""

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def __getitem__(self, name: Any) -> Any:
        try:
            return super().__getitem__(name)
        except (KeyError, TypeError):  # TypeError: a list has no hash
            listed = ", ".join(self)
            raise knobs.KnobError(f"there is no {self.what} {str(name)[:40]!r}. Choose one of: {listed}.") from None


def set_to(groups: Mapping[str, Controls], thing: Any) -> dict[Component, Any]:
    """The values that make the controls of its class build `thing`."""
    return {part: getattr(thing, name) for name, part in groups[thing.name].parts.items()}


def group(name: str, shown: bool) -> gr.Group:
    """The group around the knobs of one operator or sampler."""
    return gr.Group(elem_id=f"knobs-{name}", elem_classes=SHOWN if shown else HIDDEN)


def one_of(groups: Mapping[str, gr.Group], name: str) -> list[Any]:
    """Updates that show the group `name` alone. By class: with `visible`, all that it holds would be shown with it."""
    return [gr.update(elem_classes=SHOWN if key == name else HIDDEN) for key in groups]


def draw(cls: type, prefix: str, wanted: Mapping[str, Any], *, advanced: bool | None = None) -> dict[str, Component]:
    """Components for the knobs of `cls` inside the block that is open: all, or only the (not) advanced ones."""
    drawn = {}
    shown = {**{k.name: k.default for k in knobs.knobs(cls)}, **wanted}
    for k in knobs.knobs(cls):
        if not k.shown or (advanced is not None and k.advanced != advanced):
            continue
        visible = k.only_with is None or shown[k.only_with[0]] in k.only_with[1] or "hidden"
        if k.name == "seed":
            drawn[k.name] = seed_box(k, f"{prefix}-{k.name}", shown[k.name], visible)
        else:
            drawn[k.name] = one(k, f"{prefix}-{k.name}", shown[k.name], visible)
    return drawn


def one(k: Knob, elem_id: str, value: Any, visible: Any = True) -> Component:
    """The component for a knob."""
    label = k.label.replace("_", " ").capitalize() if k.label.islower() and k.label.isascii() else k.label
    common: dict[str, Any] = dict(label=label, elem_id=elem_id, visible=visible)
    if k.choices:
        choices = [(c.replace("_", " "), c) for c in k.choices]
        return gr.Dropdown(choices, value=value, info=k.help, filterable=False, **common)
    if k.kind is bool:
        return gr.Checkbox(value=value, info=k.help, **common)
    if k.kind is str:
        return gr.Textbox(value=value, info=k.help, max_lines=1, max_length=int(min(k.hi or 80, 2000)), **common)
    if k.log and k.kind is float:
        return log_slider(k.lo or 0.0, k.hi or 1.0, value, label, k.help, elem_id, visible=visible)
    hi, step = (k.hi or 1.0), k.step or (1 if k.kind is int else 0.01)
    if k.name == "steps":
        hi, step = 1000, 1  # more by hand, in the command line: a slider to 5000 cannot be aimed
    return gr.Slider(k.lo, hi, value=value, step=step, info=k.help, buttons=["reset"], **common)


def seed_box(k: Knob, elem_id: str, value: int, visible: Any = True) -> Component:
    """A whole number with a dice beside it."""
    common: dict[str, Any] = dict(label="Seed", info=k.help, elem_id=elem_id, visible=visible)
    with gr.Row(elem_classes="rg-seed"):
        box = gr.Number(value, precision=0, scale=4, min_width=120, **common)
        dice = gr.Button(
            "", icon=str(ASSETS / "dice.svg"), elem_id=f"{elem_id}-dice", elem_classes="rg-dice", scale=0, min_width=42
        )
    js = "() => Math.floor(Math.random() * 2147483647)"  # thrown in the browser
    dice.click(None, None, box, js=js, api_visibility="private", queue=False)
    return box


def fit_name(way: str) -> str:
    """What a way to fit a picture is called on the page."""
    return "Own size" if way == "native" else way.capitalize()


def fit_label(source: Any, h: int, w: int, how: str) -> str:
    """What there is to fit to the prior's h x w, or that it keeps its own size."""
    return f"Fit {source.width}×{source.height}" + ("" if how == "native" else f" to {w}×{h}")
