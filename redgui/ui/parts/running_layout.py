"""What every tab that plays something has: its buttons, its view, and two columns for them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui.runs import zero_gpu
from redgui.ui.parts import components


@dataclass(frozen=True, eq=False)
class RunningLayout:
    """The components that every such tab has: its buttons, and the view that shows the run."""

    run: gr.Button
    stop: gr.Button
    view: gr.HTML

    @property
    def outcome(self) -> list[Any]:
        """The components that show a run."""
        return [self.view, self.run, self.stop]

    @property
    def offers(self) -> gr.HTML:
        """The component that offers files to take away."""
        return self.view


@dataclass(frozen=True, eq=False)
class SideLayout(RunningLayout):
    """Those of a tab that takes the measurement of the Restore tab, and shows it as `preview`."""

    preview: gr.HTML


def two_columns() -> gr.Row:
    """The row of a tab: what is set up at the left, the outcome at the right."""
    return gr.Row(equal_height=False, elem_classes="rg-duel")


def setup_column() -> gr.Column:
    """Its left column."""
    return gr.Column(scale=0, min_width=300, elem_classes="rg-duel-setup rg-left rg-settings")


def outcome_column() -> gr.Column:
    """Its right column."""
    return gr.Column(scale=1, min_width=320, elem_classes="rg-duel-outcome")


def head(name: str, run: str, hint: str, stop: str = "Stop") -> tuple[gr.Button, gr.Button, gr.HTML]:
    """The top of the left column: Run, Stop, a hint, and the measurement. `name`: in the ids of the components."""
    with gr.Column(elem_classes="rg-bar-of-actions", min_width=0), gr.Row(elem_classes="rg-actions"):
        runs = gr.Button(run, variant="primary", elem_id=f"{name}-run", min_width=90, scale=2)
        stops = gr.Button(stop, variant="stop", elem_id=f"{name}-stop", min_width=70, scale=1, interactive=False)
    gr.HTML(hint, padding=False)
    zero_gpu.note()
    return runs, stops, components.picture_view(f"{name}-measurement")
