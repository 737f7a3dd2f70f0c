"""The Particles tab: many answers of one sampler to the measurement of the Restore tab, and what they say together."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.knobs import knob
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host.sessions import Playing, Session
from redgui.ui.particles.board import ParticleBoard, blank
from redgui.ui.parts import components, controls
from redgui.ui.parts.controls import Controls
from redgui.ui.parts.form import Page
from redgui.ui.parts.running_layout import SideLayout, head, outcome_column, setup_column, two_columns
from redgui.ui.parts.running_tab import RunningTab, measured
from redgui.ui.parts.wiring import SILENT, Updates, Values

HINT = """<p class="rg-note">All particles get the <b>same measurement and prior</b>, each its <b>own random numbers</b>; the
sampler's knobs are those of the Restore tab. They go through the network together.</p>"""
KINDS = {
    "independent": "Independent runs of a method that seeks one likely picture: how far they lie apart says how much is due to "
    "chance, not how wide the posterior is.",
    "repulsive": "The particles repel each other with strength γ, a knob of the Restore tab, so as to show several answers.",
    "posterior": "Each particle is meant as a draw from the posterior, so that the spread claims to be its width; the coverage "
    "tests the claim.",
    "unknown": "Independent runs of one sampler: how far they lie apart says how much is due to chance.",
    "one": "Chance has no part in it: all particles are the same picture.",
}
SHORT = {
    "independent": "independent", "repulsive": "repulsive", "posterior": "posterior samples", "unknown": "independent runs",
    "one": "all the same",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many particles there are."""

    name = "particles"

    particles: int = knob(8, 2, 16, label="Particles", help="each costs what a run of its own does")


@dataclass
class Particles(Playing[Run]):
    """What the server keeps of the tab for each page. `followed`: the sampler of the Restore tab when it was last looked at."""

    followed: str = ""


@dataclass(frozen=True, eq=False)
class ParticlesLayout(SideLayout):
    """The components of the tab."""

    sampler: gr.Dropdown
    count: Controls
    note: gr.HTML


def lay_out() -> ParticlesLayout:
    """Lays the tab out inside the block that is open."""
    with two_columns():
        with setup_column():
            run, stop, preview = head("particles", "Run particles", HINT)
            with gr.Group():
                sampler = gr.Dropdown(
                    choices(), value=RedDiff.name, label="Sampler", elem_id="particles-sampler", filterable=False
                )
                (k,) = knobs.knobs(Count)
                count = Controls(Count, {k.name: controls.one(k, "particles-count", k.default)})
            note = gr.HTML(described(RedDiff), padding=False)
        with outcome_column():
            view = components.particles_view("ensemble")
    return ParticlesLayout(run, stop, view, preview, sampler, count, note)


def kind(cls: type[Sampler]) -> str:
    """What the particles of a sampler are to each other, a key of KINDS; "unknown" where it does not say."""
    if not cls.learned:
        return "one"
    return "repulsive" if cls.coupled else {True: "independent", False: "posterior", None: "unknown"}[cls.seeks_mode]


def choices() -> list[tuple[str, str]]:
    """The samplers for a menu, with what their particles are."""
    return [(f"{cls.label} ({SHORT[kind(cls)]})", cls.name) for cls in SAMPLERS]


def described(cls: type[Sampler]) -> str:
    """What the particles of a sampler are, as a note on the page."""
    return f'<p class="rg-note rg-particles-note">{KINDS[kind(cls)]}</p>'


class ParticlesTab(RunningTab[Particles, ParticlesLayout]):
    """The handlers of the tab."""

    state = Particles
    hz = 4.0  # updates a second, each with every particle
    broken = "The run broke off on the server. Press Run to start anew."
    blank = staticmethod(blank)
    board = ParticleBoard

    def open_tab(self, values: Values, request: gr.Request) -> Updates:
        """The tab is opened: the measurement as it is now, the sampler of the Restore tab if another was chosen there."""
        session, particles = self.session_of(request)
        preview, _ = measured(self.page, session, values)
        before, particles.followed = particles.followed, str(values[self.form.sampler])
        name = particles.followed if before != particles.followed else str(values[self.layout.sampler])
        return {self.layout.preview: preview, self.layout.sampler: name, **self.describe(name), **self.opened(particles)}

    def describe(self, name: str) -> Updates:
        """What the particles of a sampler are."""
        return {self.layout.note: described(knobs.find(SAMPLERS, str(name), "sampler"))}

    # ---- the run

    def planned(self, session: Session, state: Particles, values: Values, problem: Problem) -> tuple[Any, ...]:
        """How many particles."""
        return (self.layout.count.build(values).particles,)

    def make(self, session: Session, state: Particles, values: Values) -> Run:
        picture, problem, fitted = self.form.build_problem(session, values)
        sampler = self.form.samplers[values[self.layout.sampler]].build(values)
        prior, count = self.form.load_prior(values), self.layout.count.build(values).particles
        allowed = self.page.host.limits.run(sampler, count)
        return Run(picture, problem, prior, sampler, count, seconds_allowed=allowed, fitting=fitted)

    def goes_on(self, state: Particles, played: Run) -> bool:
        return not played.finished

    def outcome(self, state: Particles, played: Run) -> tuple[str, str]:
        return ("done", "") if played.finished else ("stopped", "Stopped before the end.")

    def ended(self, state: Particles, board: ParticleBoard, status: str, message: str) -> Updates:
        board.run.close()
        return super().ended(state, board, status, message)

    # ---- wiring

    def wire(self, tab: gr.Tab) -> None:
        """Registers all events of the tab."""
        layout = self.layout
        inputs = {*self.form.inputs, layout.sampler, *layout.count}
        tab.select(self.open_tab, inputs, [layout.preview, layout.sampler, layout.note, layout.view], **SILENT)
        layout.sampler.input(self.describe, layout.sampler, layout.note, **SILENT)
        self.wire_run(inputs)


def particles_tab(page: Page) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Particles", id="particles") as tab:
        ParticlesTab(page, lay_out()).wire(tab)
