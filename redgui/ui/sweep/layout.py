"""The components of the Sweep tab, and what they begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui.runs.sweep import sweepable
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.parts import components
from redgui.ui.parts.running_layout import SideLayout, head, outcome_column, setup_column, two_columns

SIDES = ("rows", "columns")
ABLATION = ("lr", "lam")  # of the paper, on a 3 x 3 grid
WEIGHTINGS = ("weighting", "lam")

HINT = """<p class="rg-note">All cells get the <b>same measurement, seed and prior</b>, and the sampler's <b>other knobs</b> as
they stand in the Restore tab. All go through the network together. <b>Tune</b> chooses knobs and values itself and needs no
original: what is best is judged by measured values that were hidden.</p>"""


@dataclass(frozen=True, eq=False)
class SweepLayout(SideLayout):
    """The components of the tab.

    Attributes:
        known: buttons of grids from the literature, and their knobs.
        knob, values: of the axes, by their side.
        tunes: buttons that find the knobs without the truth: here, and in the Restore tab.
    """

    known: Mapping[gr.Button, tuple[str, str]]
    sampler: gr.Dropdown
    knob: Mapping[str, gr.Dropdown]
    values: Mapping[str, gr.Textbox]
    note: gr.HTML
    tunes: tuple[gr.Button, ...]

    @property
    def outcome(self) -> list[Any]:
        return [*super().outcome, *self.tunes]

    @property
    def axes(self) -> list[Any]:
        """The components of the axes."""
        return [*self.knob.values(), *self.values.values()]


def lay_out(elsewhere: gr.Button) -> SweepLayout:
    """Lays the tab out inside the block that is open; `elsewhere`: the button of the Restore tab that tunes."""
    knob, values = {}, {}
    with two_columns():
        with setup_column():
            run, stop, preview = head("sweep", "Sweep", HINT)
            with gr.Row(elem_classes="rg-actions"):
                ablation = gr.Button("Learning rate × λ", size="sm", elem_id="sweep-ablation", min_width=0)
                weightings = gr.Button("Weightings × λ", size="sm", elem_id="sweep-weightings", min_width=0)
            sampler = gr.Dropdown(
                [(cls.label, cls.name) for cls in SAMPLERS], value="reddiff", label="Sampler", elem_id="sweep-sampler",
                filterable=False,
            )  # fmt: skip
            tune = gr.Button("Tune without the truth", size="sm", elem_id="sweep-tune")
            for side, name in zip(SIDES, ABLATION, strict=True):
                with gr.Group():
                    knob[side] = gr.Dropdown(
                        named(RedDiff), value=name, label=side.capitalize(), elem_id=f"sweep-{side}-knob", filterable=False
                    )
                    values[side] = gr.Textbox(
                        label=f"{side.capitalize()}: values", elem_id=f"sweep-{side}-values", max_lines=1, max_length=400,
                        info="separated by commas", placeholder="0.03, 0.1, 0.3",
                    )  # fmt: skip
            note = gr.HTML("", padding=False)
        with outcome_column():
            view = components.sweep_view("sweep")
    known = {ablation: ABLATION, weightings: WEIGHTINGS}
    return SweepLayout(run, stop, view, preview, known, sampler, knob, values, note, (tune, elsewhere))


def named(cls: type[Sampler]) -> list[tuple[str, str]]:
    """The knobs that can be swept, for a menu: what people call them, and their names."""
    return [(k.label.replace("_", " "), k.name) for k in sweepable(cls)]


def usual(cls: type[Sampler]) -> tuple[str, ...]:
    """The axes at first: the paper's for RED-diff, else the first two knobs, or as many as there are; `steps` comes last."""
    ordered = sorted(sweepable(cls), key=lambda k: (k.only_with is not None, k.name == "steps"))
    names = tuple(k.name for k in ordered)
    return ABLATION if set(ABLATION) <= set(names) else names[:2]
