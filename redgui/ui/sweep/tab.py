"""The Sweep tab: two knobs of a sampler on a grid, on the measurement of the Restore tab, live."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs import tune
from redgui.runs.problem import Problem
from redgui.runs.sweep import Axis, Cell, Grid, Sweep, axis, suggest, sweepable
from redgui.runs.tune import Tuning
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host.sessions import Playing, Session
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_tab import RunningTab, measured, tally
from redgui.ui.parts.wiring import LATEST, SILENT, Updates, Values, sent_text
from redgui.ui.sweep.board import SweepBoard, blank
from redgui.ui.sweep.layout import SIDES, SweepLayout, lay_out, named, usual
from redgui.ui.sweep.tuned import SCORE, TuneBoard, told


@dataclass
class Sweeping(Playing[Sweep | Tuning]):
    """What the server keeps of the tab for each page.

    Attributes:
        suggested: the values that the page itself has put into the boxes, by their side.
        followed: the sampler of the Restore tab when it was last looked at.
        tunes: what is to be played is no grid that a person chose, but a tuning.
    """

    suggested: dict[str, str] = field(default_factory=dict)
    followed: str = ""
    tunes: bool = False


class SweepTab(RunningTab[Sweeping, SweepLayout]):
    """The handlers of the tab."""

    state = Sweeping
    broken = "The sweep broke off on the server. Press Sweep to start anew."
    blank = staticmethod(blank)
    board = staticmethod(lambda played, number: board_of(played, number))

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

    def around(self, busy: bool) -> Updates:
        return {**super().around(busy), **{button: gr.update(interactive=not busy) for button in self.layout.tunes}}

    def get_ready(self, values: Values, request: gr.Request) -> Updates:
        self.session_of(request)[1].tunes = False
        return super().get_ready(values, request)

    def get_ready_to_tune(self, values: Values, request: gr.Request) -> Updates:
        """`get_ready` for a tuning."""
        self.session_of(request)[1].tunes = True
        return super().get_ready(values, request)

    def planned(self, session: Session, state: Sweeping, values: Values, problem: Problem) -> tuple[Any, ...]:
        """The grid, and the figures of a tuning."""
        return (tune.grid(self._sampler(values)), (SCORE,)) if state.tunes else (self._grid(values),)

    def make(self, session: Session, state: Sweeping, values: Values) -> Sweep | Tuning:
        picture, problem, fitted = self.form.build_problem(session, values)
        prior, limits = self.form.load_prior(values), self.page.host.limits
        if state.tunes:
            sampler = self._sampler(values)
            return Tuning(picture, problem, prior, sampler, limits.sweep(tune.grid(sampler)))
        particles, grid = self.form.build_setting(values).particles, self._grid(values)
        return Sweep(picture, problem, prior, grid, particles, fitted, limits.sweep(grid, particles))

    def goes_on(self, state: Sweeping, played: Sweep | Tuning) -> bool:
        return not played.over

    def outcome(self, state: Sweeping, played: Sweep | Tuning) -> tuple[str, str]:
        if isinstance(played, Tuning):
            return told(played)
        statuses = [cell.status for cell in played.cells]
        message = tally(statuses, {"error": "failed; the cells say why", "stopped": "stopped before the end"})
        late = next((cell.message for cell in played.cells if cell.status == "stopped" and cell.message), "")
        message = ". ".join(part for part in (message, late) if part) + ("." if message else "")
        return ("stopped" if "stopped" in statuses else "done" if "done" in statuses else "error"), message

    def come_to_tune(self, values: Values, request: gr.Request) -> Updates:
        """From the Restore tab: this one, at the sampler that is chosen there."""
        sweeping, name = self.session_of(request)[1], str(values[self.form.sampler])
        sweeping.followed = name
        axes = self._axes(sweeping, values, name, usual(_cls(name)))
        return {self.page.tabs: gr.update(selected="sweep"), self.layout.sampler: name, **axes}

    def take_to_restore(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A cell's sampler and knobs into the controls of the Restore tab, and the page to that tab."""
        sweeping, key = self.session_of(request)[1], sent_text(event, "key")
        cells: Sequence[Cell] = sweeping.played.cells if sweeping.played else []
        sampler = next((cell.sampler for cell in cells if cell.key == key), None) or self.picked(request, event)
        if sampler is not None:
            sweeping.followed = sampler.name  # the axes stay as they are when the person comes back
        return self.page.to_restore(sampler)

    # ---- pieces

    def _grid(self, values: Values) -> Grid:
        """The grid that is chosen; with one axis where the sampler has one knob. Raises KnobError or LimitError."""
        cls = _cls(values[self.layout.sampler])
        grid = Grid(self._sampler(values), *(self._axis(values, cls, side) for side in _sides(cls)))
        self.page.host.limits.sweep(grid)
        return grid

    def _sampler(self, values: Values) -> Sampler:
        """The sampler that is chosen here, with its knobs of the Restore tab. Raises KnobError."""
        return self.form.samplers[str(values[self.layout.sampler])].build(values)

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
        here, elsewhere = layout.tunes
        come = elsewhere.click(self.come_to_tune, inputs, [self.page.tabs, layout.sampler, *layout.axes], **SILENT)
        for begin in (here.click, come.then):
            self.follow(begin(self.get_ready_to_tune, inputs, layout.outcome, **SILENT), self.start, inputs)
        layout.view.select(self.take_to_restore, None, self.page.to_restore_outputs, **SILENT)


def board_of(played: Sweep | Tuning, number: int) -> SweepBoard:
    """What is played, as a value of the view."""
    return TuneBoard(played, number) if isinstance(played, Tuning) else SweepBoard(played, number)


def _cls(name: Any) -> type[Sampler]:
    return knobs.find(SAMPLERS, str(name), "sampler")


def _sides(cls: type[Sampler]) -> tuple[str, ...]:
    """The sides of the grid that a sampler has knobs for. Raises KnobError where it has none."""
    if not sweepable(cls):
        raise knobs.KnobError(f"{cls.label} has no knob to sweep; choose another sampler.")
    return SIDES[: len(sweepable(cls))]


def sweep_tab(page: Page) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Sweep", id="sweep") as tab:
        SweepTab(page, lay_out(page.tune)).wire(tab)
