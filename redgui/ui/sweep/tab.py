"""The Sweep tab: two knobs of a sampler on a grid, on the measurement of the Restore tab, live."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs.problem import Problem
from redgui.runs.sweep import Axis, Grid, Sweep, axis, suggest, sweepable
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host.sessions import Playing, Session
from redgui.ui.parts import components
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_tab import RunningTab, SideLayout, head, measured, outcome_column, setup_column, tally, two_columns
from redgui.ui.parts.wiring import LATEST, SILENT, Updates, Values, sent_text
from redgui.ui.sweep.board import SweepBoard, blank

SIDES = ("rows", "columns")
ABLATION = ("lr", "lam")  # of the paper, on a 3 x 3 grid
WEIGHTINGS = ("weighting", "lam")

HINT = """<p class="rg-note">All cells get the <b>same measurement, seed and prior</b>, and the sampler's <b>other knobs</b> as
they stand in the Restore tab. All go through the network together.</p>"""


@dataclass
class Sweeping(Playing[Sweep]):
    """What the server keeps of the tab for each page.

    Attributes:
        suggested: the values that the page itself has put into the boxes, by their side.
        followed: the sampler of the Restore tab when it was last looked at.
    """

    suggested: dict[str, str] = field(default_factory=dict)
    followed: str = ""


@dataclass(frozen=True, eq=False)
class SweepLayout(SideLayout):
    """The components of the tab.

    Attributes:
        known: buttons of grids from the literature, and their knobs.
        knob, values: of the axes, by their side.
    """

    known: Mapping[gr.Button, tuple[str, str]]
    sampler: gr.Dropdown
    knob: Mapping[str, gr.Dropdown]
    values: Mapping[str, gr.Textbox]
    note: gr.HTML

    @property
    def axes(self) -> list[Any]:
        """The components of the axes."""
        return [*self.knob.values(), *self.values.values()]


def lay_out() -> SweepLayout:
    """Lays the tab out inside the block that is open."""
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
    return SweepLayout(run, stop, view, preview, known, sampler, knob, values, note)


class SweepTab(RunningTab[Sweeping, SweepLayout]):
    """The handlers of the tab."""

    state = Sweeping
    broken = "The sweep broke off on the server. Press Sweep to start anew."
    blank = staticmethod(blank)
    board = SweepBoard

    # ---- what is swept

    def open_tab(self, values: Values, request: gr.Request) -> Updates:
        """The tab is opened: the measurement as it is now, the sampler of the Restore tab if another was chosen there."""
        session, sweeping = self.session_of(request)
        preview, _ = measured(self.page, session, values)
        shown = {self.layout.preview: preview, **self.opened(sweeping)}
        before, sweeping.followed = sweeping.followed, str(values[self.form.sampler])
        if before != sweeping.followed:
            axes = self._axes(sweeping, values, sweeping.followed, usual(_cls(sweeping.followed)))
            return {**shown, self.layout.sampler: sweeping.followed, **axes}
        return {**shown, **self._around(sweeping, values)}

    def choose_sampler(self, values: Values, request: gr.Request) -> Updates:
        """Another sampler: its knobs, with values around where they stand in the Restore tab."""
        name = str(values[self.layout.sampler])
        return self._axes(self.session_of(request)[1], values, name, usual(_cls(name)))

    def choose_knob(self, side: str) -> Callable[[Values, gr.Request], Updates]:
        """A handler for another knob on one side: values around where it stands."""

        def chosen(values: Values, request: gr.Request) -> Updates:
            cls, sweeping = _cls(values[self.layout.sampler]), self.session_of(request)[1]
            sweeping.suggested[side] = self._suggested(values, cls, str(values[self.layout.knob[side]]))
            return {self.layout.values[side]: sweeping.suggested[side]}

        return chosen

    def choose_preset(self, names: tuple[str, str]) -> Callable[[Values, gr.Request], Updates]:
        """A handler for a grid of RED-diff's that is known from the literature."""

        def chosen(values: Values, request: gr.Request) -> Updates:
            axes = self._axes(self.session_of(request)[1], values, RedDiff.name, names)
            return {self.layout.sampler: RedDiff.name, **axes}

        return chosen

    def describe(self, values: Values) -> Updates:
        """The size of the grid, or what is wrong with it, while it is being typed."""
        try:
            grid = self._grid(values)
        except RedguiError as error:
            wrong = f'<p class="rg-note rg-sweep-note rg-wrong" role="alert">{html.escape(str(error))}</p>'
            return {self.layout.note: wrong}
        steps = getattr(grid.sampler, "steps", None)
        swept = "steps" in [each.knob.name for each in grid.axes]
        about = f", {steps} steps each" if steps and not swept else ""
        size = " × ".join(str(len(each.values)) for each in grid.axes)
        cells = f"{size} = <b>{len(grid.cells)} cells</b>" if len(grid.axes) > 1 else f"<b>{len(grid.cells)} cells</b>"
        return {self.layout.note: f'<p class="rg-note rg-sweep-note">{cells}{about}</p>'}

    # ---- the sweep

    def planned(self, state: Sweeping, values: Values, problem: Problem) -> tuple[Any, ...]:
        """The grid."""
        return (self._grid(values),)

    def make(self, session: Session, state: Sweeping, values: Values) -> Sweep:
        picture, problem, fitted = self.form.build_problem(session, values)
        particles = self.form.build_setting(values).particles
        prior, grid = self.form.load_prior(values), self._grid(values)
        allowed = self.page.host.limits.sweep(grid, particles)
        return Sweep(picture, problem, prior, grid, particles, fitted, allowed)

    def goes_on(self, state: Sweeping, played: Sweep) -> bool:
        return not played.over

    def outcome(self, state: Sweeping, played: Sweep) -> tuple[str, str]:
        statuses = [cell.status for cell in played.cells]
        message = tally(statuses, {"error": "failed; the cells say why", "stopped": "stopped before the end"})
        late = next((cell.message for cell in played.cells if cell.status == "stopped" and cell.message), "")
        message = ". ".join(part for part in (message, late) if part) + ("." if message else "")
        return ("stopped" if "stopped" in statuses else "done" if "done" in statuses else "error"), message

    def take_to_restore(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A cell's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        sweeping, key = self.session_of(request)[1], sent_text(event, "key")
        cells = sweeping.played.cells if sweeping.played else []
        sampler = next((cell.sampler for cell in cells if cell.key == key), None) or self.picked(request, event)
        if sampler is not None:
            sweeping.followed = sampler.name  # the axes stay as they are when the person comes back
        return self.page.to_restore(sampler)

    # ---- pieces

    def _grid(self, values: Values) -> Grid:
        """The grid that is chosen; with one axis where the sampler has one knob. Raises KnobError or LimitError."""
        cls = _cls(values[self.layout.sampler])
        grid = Grid(self.form.samplers[cls.name].build(values), *(self._axis(values, cls, side) for side in _sides(cls)))
        self.page.host.limits.sweep(grid)
        return grid

    def _axis(self, values: Values, cls: type[Sampler], side: str) -> Axis:
        return axis(cls, str(values[self.layout.knob[side]]), str(values[self.layout.values[side]] or ""))

    def _suggested(self, values: Values, cls: type[Sampler], name: str) -> str:
        """Values around where a knob stands in the Restore tab."""
        k = next((k for k in sweepable(cls) if k.name == name), None)
        if k is None:
            return ""
        try:
            return suggest(k, getattr(self.form.samplers[cls.name].build(values), name))
        except RedguiError:  # a knob of the Restore tab is being typed
            return suggest(k, k.default)

    def _axes(self, sweeping: Sweeping, values: Values, sampler: str, names: tuple[str, ...]) -> Updates:
        """Both axes at knobs of a sampler, or without one where it has too few."""
        cls, updates = _cls(sampler), {}
        for k, side in enumerate(SIDES):
            name = names[k] if k < len(names) else None
            sweeping.suggested[side] = "" if name is None else self._suggested(values, cls, name)
            updates[self.layout.knob[side]] = gr.update(choices=named(cls), value=name, interactive=name is not None)
            updates[self.layout.values[side]] = gr.update(value=sweeping.suggested[side], interactive=name is not None)
        return updates

    def _around(self, sweeping: Sweeping, values: Values) -> Updates:
        """Values around the knobs as they are now, where a person has not typed any."""
        cls, updates = _cls(values[self.layout.sampler]), {}
        for side, box in self.layout.values.items():
            suggested = self._suggested(values, cls, str(values[self.layout.knob[side]]))
            if values[box] == sweeping.suggested.get(side) != suggested:
                updates[box] = sweeping.suggested[side] = suggested
        return updates

    # ---- wiring

    def wire(self, tab: gr.Tab) -> None:
        """Registers all events of the tab."""
        layout = self.layout
        inputs = {*self.form.inputs, layout.sampler, *layout.axes}
        events = [
            tab.select(self.open_tab, inputs, [layout.preview, layout.view, layout.sampler, *layout.axes], **SILENT),
            layout.sampler.input(self.choose_sampler, inputs, layout.axes, **SILENT),
        ]
        for button, names in layout.known.items():
            events.append(button.click(self.choose_preset(names), inputs, [layout.sampler, *layout.axes], **SILENT))
        for side in SIDES:
            events.append(layout.knob[side].input(self.choose_knob(side), inputs, layout.values[side], **SILENT))
        for event in events:
            event.then(self.describe, inputs, layout.note, **SILENT)
        for box in layout.values.values():  # `input` misses a text pasted over the page's own
            box.change(self.describe, inputs, layout.note, **LATEST)
        self.wire_run(inputs)
        layout.view.select(self.take_to_restore, None, self.page.to_restore_outputs, **SILENT)


def _cls(name: Any) -> type[Sampler]:
    return knobs.find(SAMPLERS, str(name), "sampler")


def _sides(cls: type[Sampler]) -> tuple[str, ...]:
    """The sides of the grid that a sampler has knobs for. Raises KnobError where it has none."""
    if not sweepable(cls):
        raise knobs.KnobError(f"{cls.label} has no knob to sweep; choose another sampler.")
    return SIDES[: len(sweepable(cls))]


def named(cls: type[Sampler]) -> list[tuple[str, str]]:
    """The knobs that can be swept, for a menu: what people call them, and their names."""
    return [(k.label.replace("_", " "), k.name) for k in sweepable(cls)]


def usual(cls: type[Sampler]) -> tuple[str, ...]:
    """The axes at first: the paper's for RED-diff, else the first two knobs, or as many as there are; `steps` comes last."""
    ordered = sorted(sweepable(cls), key=lambda k: (k.only_with is not None, k.name == "steps"))
    names = tuple(k.name for k in ordered)
    return ABLATION if set(ABLATION) <= set(names) else names[:2]


def sweep_tab(page: Page) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Sweep", id="sweep") as tab:
        SweepTab(page, lay_out()).wire(tab)
