"""The Sweep tab: two knobs of a sampler on a grid, on the measurement of the Restore tab, live."""

import html
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs.problem import Problem
from redgui.runs.sweep import Grid, Sweep, axis, suggest, sweepable
from redgui.runs.watch import watch
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host.kept import Sweeping
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components
from redgui.ui.parts.running_tab import HZ, RunningTab, tally
from redgui.ui.parts.wiring import QUIET, Values, sent_text
from redgui.ui.restore.handlers import Actions
from redgui.ui.sweep.board import SweepBoard, blank

SIDES = ("rows", "columns")
ABLATION = ("lr", "lam")  # of the paper, on a 3 x 3 grid
WEIGHTINGS = ("weighting", "lam")

HINT = """<p class="rg-note">All cells get the <b>same measurement, seed and prior</b>, and the sampler's <b>other knobs</b> as
they stand in the Restore tab. All go through the network together.</p>"""


class SweepTab(RunningTab):
    """The handlers of the tab. The components of the axes are by their side."""

    name, kept = "sweep", "sweeping"
    run_text, hint = "Sweep", HINT
    broken = "The sweep broke off on the server. Press Sweep to start anew."
    blank = staticmethod(blank)

    sampler: Any
    knob: dict[str, Any]
    values: dict[str, Any]
    note: Any

    def __init__(self, actions: Actions):
        super().__init__(actions)
        self.knob, self.values = {}, {}

    @property
    def axes(self) -> list[Any]:
        """The components of the axes: knob and values of the rows, knob and values of the columns."""
        return [part for side in SIDES for part in (self.knob[side], self.values[side])]

    # ---- what is swept

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """The tab is opened: the measurement as it is now, the sampler of the Restore tab if another was chosen there."""
        session, sweeping = self.page(request)
        preview, _ = self.measured(session, values)
        before, sweeping.followed = sweeping.followed, str(values[self.actions.sampler])
        if before != sweeping.followed:
            name = sweeping.followed
            return preview, name, *self._axes(sweeping, values, name, usual(self._cls(name)))
        return preview, gr.skip(), *self._followed(sweeping, values)

    def choose_sampler(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Another sampler: its knobs, with values around where they stand in the Restore tab."""
        name = str(values[self.sampler])
        return self._axes(self.page(request)[1], values, name, usual(self._cls(name)))

    def choose_knob(self, side: str) -> Any:
        """A handler for another knob on one side: values around where it stands."""

        def of(values: Values, request: gr.Request) -> str:
            cls, sweeping = self._cls(str(values[self.sampler])), self.page(request)[1]
            name = str(values[self.knob[side]])
            sweeping.suggested[side] = self._suggested(values, cls, name)
            return sweeping.suggested[side]

        return of

    def choose_preset(self, names: tuple[str, str]) -> Any:
        """A handler for a grid of RED-diff's that is known from the literature."""

        def of(values: Values, request: gr.Request) -> tuple[Any, ...]:
            return RedDiff.name, *self._axes(self.page(request)[1], values, RedDiff.name, names)

        return of

    def describe(self, values: Values) -> str:
        """The size of the grid, or what is wrong with it, while it is being typed."""
        try:
            grid = self._grid(values)
        except RedguiError as error:
            return f'<p class="rg-note rg-sweep-note rg-wrong" role="alert">{html.escape(str(error))}</p>'
        rows, columns = len(grid.rows.values), len(grid.columns.values)
        steps = getattr(grid.sampler, "steps", None)
        swept = "steps" in (grid.rows.knob.name, grid.columns.knob.name)
        about = f", {steps} steps each" if steps and not swept else ""
        return f'<p class="rg-note rg-sweep-note">{rows} × {columns} = <b>{rows * columns} cells</b>{about}</p>'

    # ---- the sweep

    def planned(self, kept: Sweeping, values: Values, problem: Problem) -> tuple[Any, ...]:
        """The grid."""
        return (self._grid(values),)

    def play(self, session: Session, kept: Sweeping, values: Values) -> Generator[dict[str, Any], None, None]:
        """The sweep."""
        picture, problem, fitted = self.actions.build_problem(session, values)
        particles = self.actions.build_setting(values).particles
        prior, grid = self.actions.load_prior(values), self._grid(values)
        allowed = self.actions.limits.sweep(grid, particles)
        kept.sweep = sweep = Sweep(picture, problem, prior, grid, particles, fitted, allowed)
        board = SweepBoard(sweep, kept.number)
        with closing(watch(sweep, HZ)) as news:
            for _ in news:
                if not all(cell.over for cell in sweep.cells):
                    yield board.value("running")
        yield board.value(*_outcome(sweep))

    def take_to_restore(self, request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
        """A cell's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        sweeping = self.page(request)[1]
        key = sent_text(event, "key")
        found = [cell.sampler for cell in sweeping.sweep.cells if cell.key == key] if sweeping.sweep else []
        if found:
            sweeping.followed = found[0].name  # the axes stay as they are when the person comes back
        return self.to_restore(found[0] if found else None)

    # ---- pieces

    def _cls(self, name: str) -> type[Sampler]:
        return knobs.find(SAMPLERS, name, "sampler")

    def _sampler(self, values: Values, cls: type[Sampler]) -> Sampler:
        return self.actions.samplers[cls.name].build(values)

    def _grid(self, values: Values) -> Grid:
        """The grid that is chosen. Raises KnobError or LimitError."""
        cls = self._cls(str(values[self.sampler]))
        rows, columns = (axis(cls, str(values[self.knob[s]]), str(values[self.values[s]] or "")) for s in SIDES)
        grid = Grid(self._sampler(values, cls), rows, columns)
        self.actions.limits.sweep(grid)
        return grid

    def _suggested(self, values: Values, cls: type[Sampler], name: str) -> str:
        k = next((k for k in sweepable(cls) if k.name == name), None)
        if k is None:
            return ""
        try:
            return suggest(k, getattr(self._sampler(values, cls), name))
        except RedguiError:  # a knob of the Restore tab is being typed
            return suggest(k, k.default)

    def _axes(self, sweeping: Sweeping, values: Values, sampler: str, names: tuple[str, str]) -> tuple[Any, ...]:
        """Updates of both axes to two knobs of a sampler."""
        cls, updates = self._cls(sampler), []
        for side, name in zip(SIDES, names, strict=True):
            sweeping.suggested[side] = self._suggested(values, cls, name)
            updates += [gr.update(choices=named(cls), value=name), sweeping.suggested[side]]
        return tuple(updates)

    def _followed(self, sweeping: Sweeping, values: Values) -> tuple[Any, ...]:
        """The axes with values around the knobs as they are now, where a person has not typed any."""
        cls, updates = self._cls(str(values[self.sampler])), []
        for side in SIDES:
            now = values[self.values[side]]
            wanted = self._suggested(values, cls, str(values[self.knob[side]]))
            untouched = now == sweeping.suggested.get(side) != wanted
            if untouched:
                sweeping.suggested[side] = wanted
            updates += [gr.skip(), wanted if untouched else gr.skip()]
        return tuple(updates)


def named(cls: type[Sampler]) -> list[tuple[str, str]]:
    """The knobs that can be swept, for a menu: what people call them, and their names."""
    return [(k.label.replace("_", " "), k.name) for k in sweepable(cls)]


def usual(cls: type[Sampler]) -> tuple[str, str]:
    """The axes at first: the paper's for RED-diff, else the first knobs but the number of steps, which is the last resort."""
    names = [k.name for k in sweepable(cls) if k.only_with is None]
    if set(ABLATION) <= set(names):
        return ABLATION
    ordered = sorted(names, key=lambda name: name == "steps")
    return ordered[0], ordered[1]


def _outcome(sweep: Sweep) -> tuple[str, str]:
    """Status and message of a sweep that is over."""
    of = [cell.status for cell in sweep.cells]
    message = tally(of, {"error": "failed; the cells say why", "stopped": "stopped before the end"})
    late = next((cell.message for cell in sweep.cells if cell.status == "stopped" and cell.message), "")
    message = ". ".join(part for part in (message, late) if part) + ("." if message else "")
    return ("stopped" if "stopped" in of else "done" if "done" in of else "error"), message


def sweep_tab(actions: Actions, tab: gr.Tab, tabs: gr.Tabs, everything: set[Any]) -> SweepTab:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    s = SweepTab(actions)
    s.tabs = tabs
    with s.laid_out(lambda: components.sweep_view("sweep")):
        with gr.Row(elem_classes="rg-actions"):
            ablation = gr.Button("Learning rate × λ", size="sm", elem_id="sweep-ablation", min_width=0)
            weightings = gr.Button("Weightings × λ", size="sm", elem_id="sweep-weightings", min_width=0)
        s.sampler = gr.Dropdown(
            [(cls.label, cls.name) for cls in SAMPLERS],
            value="reddiff",
            label="Sampler",
            elem_id="sweep-sampler",
            filterable=False,
        )
        for side, name, said in zip(SIDES, ABLATION, ("Rows", "Columns"), strict=True):
            with gr.Group():
                s.knob[side] = gr.Dropdown(
                    named(RedDiff), value=name, label=said, elem_id=f"sweep-{side}-knob", filterable=False
                )
                s.values[side] = gr.Textbox(
                    label=f"{said}: values", elem_id=f"sweep-{side}-values", max_lines=1, max_length=400,
                    info="separated by commas", placeholder="0.03, 0.1, 0.3",
                )  # fmt: skip
        s.note = gr.HTML("", padding=False)
    _wire(s, tab, everything, {ablation: ABLATION, weightings: WEIGHTINGS})
    return s


def _wire(s: SweepTab, tab: gr.Tab, everything: set[Any], presets: Mapping[Any, tuple[str, str]]) -> None:
    inputs = {*everything, s.sampler, *s.axes}
    describing: dict[str, Any] = QUIET | dict(trigger_mode="always_last")
    events = [
        tab.select(s.open_tab, inputs, [s.preview, s.sampler, *s.axes], **QUIET),
        s.sampler.input(s.choose_sampler, inputs, s.axes, **QUIET),
    ]
    events += [button.click(s.choose_preset(names), inputs, [s.sampler, *s.axes], **QUIET) for button, names in presets.items()]
    events += [s.knob[side].input(s.choose_knob(side), inputs, s.values[side], **QUIET) for side in SIDES]
    for event in events:
        event.then(s.describe, inputs, s.note, **QUIET)
    for side in SIDES:
        s.values[side].change(s.describe, inputs, s.note, **describing)  # `input` misses a text pasted over the page's own
    s.wire_run(inputs)
    tuned = [part for group in s.actions.samplers.values() for part in group]
    s.view.select(s.take_to_restore, None, [s.tabs, s.actions.sampler, *tuned], **QUIET)
