"""Knobs as controls: one place that turns `knobs(cls)` into gradio components and their values back into an instance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.bundled import ASSETS
from redgui.knobs import Knob, KnobError, knob
from redgui.ui.parts.components import component
from redgui.ui.parts.wiring import Updates, Values

Control = gr.Slider | gr.Number | gr.Dropdown | gr.Checkbox | gr.Textbox | gr.HTML  # the component of a knob


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run has besides its operator and its sampler."""

    name = "run"

    sigma_y: float = knob(0.0, 0.0, 1.0, step=0.005, label="Noise σ_y", whole=2.0,
                          help="noise in the picture: its standard deviation, the picture spanning -1 to 1")  # fmt: skip
    seed: int = knob(0, 0, 2**31 - 1, help="of the noise and of the sampler: the same seed gives the same pixels")
    particles: int = knob(1, 1, 16, help="independent runs in one batch: their mean and spread")


SETTING = {k.name: k for k in knobs.knobs(Setting)}
LONGEST_SIDES = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
SHOWN, HIDDEN = ["rg-knobs"], ["rg-knobs", "rg-off"]


@dataclass(frozen=True)
class Controls:
    """The components of a class with knobs, by the knobs' names."""

    cls: type
    parts: Mapping[str, Control]

    def __iter__(self) -> Iterator[Control]:
        return iter(self.parts.values())

    def build(self, values: Values, **fixed: Any) -> Any:
        """An instance from a handler's values. Raises KnobError."""
        return knobs.build(self.cls, {**{name: values[part] for name, part in self.parts.items()}, **fixed})

    def show(self, thing: Any, within: bool = False) -> Updates:
        """The values with which the controls build `thing`.

        Raises:
            KnobError: with `within`, where a value is beyond the ends of its slider.
        """
        for name, part in self.parts.items():
            value = getattr(thing, name)
            if within and isinstance(part, gr.Slider) and not part.minimum <= value <= part.maximum:
                raise KnobError(
                    f"the Restore tab's {name} goes from {part.minimum:g} to {part.maximum:g}; here it is {value:g}. "
                    "Use `python -m redgui replay`."
                )
        return {part: getattr(thing, name) for name, part in self.parts.items()}

    @property
    def switches(self) -> set[str]:
        """The names of the knobs that others depend on."""
        return {k.only_with[0] for k in knobs.knobs(self.cls) if k.only_with}

    def shown_with(self, name: str, value: str) -> Updates:
        """Updates that show or hide the knobs which depend on the knob `name`."""
        dependent = [k for k in knobs.knobs(self.cls) if k.only_with and k.only_with[0] == name and k.name in self.parts]
        return {self.parts[k.name]: gr.update(visible=value in k.only_with[1] or "hidden") for k in dependent if k.only_with}


class Named(dict[str, Controls]):
    """Controls by class name. An unknown name, which only a tampered page sends, raises KnobError."""

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    @property
    def parts(self) -> list[Control]:
        """The components of all of them."""
        return [part for controls in self.values() for part in controls]

    def __getitem__(self, name: Any) -> Controls:
        try:
            return super().__getitem__(name)
        except (KeyError, TypeError):  # TypeError: a list has no hash
            listed = ", ".join(self)
            raise knobs.KnobError(f"there is no {self.what} {str(name)[:40]!r}. Choose one of: {listed}.") from None


def group(name: str, shown: bool) -> gr.Group:
    """The group around the knobs of one operator or sampler."""
    return gr.Group(elem_id=f"knobs-{name}", elem_classes=SHOWN if shown else HIDDEN)


def one_of(groups: Mapping[str, gr.Group], name: str) -> Updates:
    """Updates that show the group `name` alone. By class: with `visible`, all that it holds would be shown with it."""
    return {group: gr.update(elem_classes=SHOWN if key == name else HIDDEN) for key, group in groups.items()}


def draw(cls: type, prefix: str, values: Mapping[str, Any], *, advanced: bool | None = None) -> dict[str, Control]:
    """Components for the knobs of `cls` inside the block that is open: all, or only the (not) advanced ones."""
    drawn = {}
    now = {**{k.name: k.default for k in knobs.knobs(cls)}, **values}
    for k in knobs.knobs(cls):
        if not k.shown or (advanced is not None and k.advanced != advanced):
            continue
        visible = k.only_with is None or now[k.only_with[0]] in k.only_with[1] or "hidden"
        if k.name == "seed":
            drawn[k.name] = seed_box(k, f"{prefix}-{k.name}", now[k.name], visible, label="Seed of the damage")
        else:
            drawn[k.name] = one(k, f"{prefix}-{k.name}", now[k.name], visible)
    return drawn


def one(k: Knob, elem_id: str, value: Any, visible: Any = True) -> Control:
    """The component for a knob."""
    label = k.label.replace("_", " ") if k.label.isascii() else k.label
    label = label[:1].upper() + label[1:] if k.label.isascii() or " " in label else label  # r² and λ remain as they are
    common: dict[str, Any] = dict(label=label, elem_id=elem_id, visible=visible)
    if k.choices:
        choices = [(c.replace("_", " "), c) for c in k.choices]
        return gr.Dropdown(choices, value=value, info=k.help, filterable=False, **common)
    if k.kind is bool:
        return gr.Checkbox(value=value, info=k.help, **common)
    if k.kind is str:
        return gr.Textbox(value=value, info=k.help, max_lines=1, max_length=int(min(k.hi or 80, 2000)), **common)
    if k.log and k.kind is float:
        words = {"label": "How strongly", "symbol": "λ"} if k.name == "lam" else {"label": label, "symbol": ""}
        return log_slider(k.lo or 0.0, k.hi or 1.0, value, help=k.help, elem_id=elem_id, visible=visible, **words)
    hi, step = (k.hi or 1.0), k.step or (1 if k.kind is int else 0.01)
    if k.name == "steps":
        hi, step = 1000, 1  # more by hand, in the command line: a slider to 5000 cannot be aimed
    return gr.Slider(k.lo or 0.0, hi, value=value, step=step, info=k.help, buttons=["reset"], **common)


def log_slider(
    lo: float, hi: float, value: float, *, label: str, symbol: str, help: str, elem_id: str, **options: Any
) -> gr.HTML:
    """A slider that moves in factors, with a box for exact numbers. The value is a number; lo = 0 is the leftmost position.
    The symbol stands behind the label for experts."""
    zero = lo == 0
    props = {"lo": hi / 1e4 if zero else lo, "hi": hi, "zero": zero, "label": label, "symbol": symbol, "help": help}
    return component("slider", elem_id, {"value": value, **props, **options})


def seed_box(k: Knob, elem_id: str, value: int, visible: Any = True, label: str = "Seed") -> Control:
    """A whole number with a dice beside it."""
    common: dict[str, Any] = dict(label=label, info=k.help, elem_id=elem_id, visible=visible)
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
    return {"native": "Own size", "face": "Face"}.get(way, way.capitalize())


def sizes(source: Any, most: int, chosen: Any) -> list[tuple[str, int]]:
    """What the longest side may be of a picture that is worked on: its own (0) up to `most`, or less."""
    own = max(source.size)
    whole = f"its own, {own} pixels" if own <= most else f"the largest, {most} of its {own} pixels"
    less = sorted({n for n in (*LONGEST_SIDES, chosen or 0) if type(n) is int and 0 < n < min(own, most)}, reverse=True)
    return [(whole, 0), *((f"{n} pixels", n) for n in less)]


def fit_label(source: Any, h: int, w: int, how: str) -> str:
    """What there is to fit to the prior's h x w, or that it keeps its own size."""
    return f"Fit {source.width}×{source.height}" + ("" if how == "native" else f" to {w}×{h}")
