"""The Particles tab: many answers of one sampler to the measurement of the Restore tab, and what they say together."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.watch import watch
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host.kept import Particles
from redgui.ui.host.sessions import Session
from redgui.ui.particles.board import ParticleBoard, blank
from redgui.ui.parts import components
from redgui.ui.parts.running_tab import RunningTab
from redgui.ui.parts.wiring import QUIET, Values
from redgui.ui.restore.handlers import Actions

HZ = 4.0  # updates a second, each with every particle
COUNT = 8, 2, 16  # particles: at first, least, most

HINT = """<p class="rg-note">All particles get the <b>same measurement and prior</b>, each its <b>own random numbers</b>; the
sampler's knobs are those of the Restore tab. They go through the network together.</p>"""
KINDS = {
    "independent": "Independent runs of a method that seeks one likely picture: how far they lie apart says how much is due to "
    "chance, not how wide the posterior is.",
    "repulsive": "The particles repel each other with strength γ, a knob of the Restore tab, so as to show several answers.",
    "posterior": "Each particle is meant as a draw from the posterior, so that the spread claims to be its width; the coverage "
    "tests the claim.",
    "unknown": "Independent runs of one sampler: how far they lie apart says how much is due to chance.",
}


def kind(cls: type[Sampler]) -> str:
    """What the particles of a sampler are to each other: "independent", "repulsive", "posterior" or "unknown"."""
    return "repulsive" if cls.coupled else {True: "independent", False: "posterior", None: "unknown"}[cls.seeks_mode]


def choices() -> list[tuple[str, str]]:
    """The samplers for a menu, with what their particles are."""
    said = {
        "independent": "independent",
        "repulsive": "repulsive",
        "posterior": "posterior samples",
        "unknown": "independent runs",
    }
    return [(f"{cls.label} ({said[kind(cls)]})", cls.name) for cls in SAMPLERS]


class ParticlesTab(RunningTab):
    """The handlers of the tab."""

    name, kept = "particles", "particles"
    run_text, hint = "Run particles", HINT
    broken = "The run broke off on the server. Press Run to start anew."
    blank = staticmethod(blank)

    sampler: Any
    note: Any
    count: Any

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, Any, Any]:
        """The tab is opened: the measurement as it is now, the sampler of the Restore tab if another was chosen there."""
        session, particles = self.page(request)
        preview, _ = self.measured(session, values)
        before, particles.followed = particles.followed, str(values[self.actions.sampler])
        name = particles.followed if before != particles.followed else str(values[self.sampler])
        return preview, name, self.describe(name)

    def describe(self, name: str) -> str:
        """What the particles of a sampler are."""
        return f'<p class="rg-note rg-particles-note">{KINDS[kind(knobs.find(SAMPLERS, str(name), "sampler"))]}</p>'

    # ---- the run

    def planned(self, kept: Particles, values: Values, problem: Problem) -> tuple[Any, ...]:
        """How many particles."""
        return (self._count(values),)

    def play(self, session: Session, kept: Particles, values: Values) -> Generator[dict[str, Any], None, None]:
        """The run."""
        picture, problem, fitted = self.actions.build_problem(session, values)
        sampler = self.actions.samplers[str(values[self.sampler])].build(values)
        prior, count = self.actions.load_prior(values), self._count(values)
        allowed = self.actions.limits.run(sampler, count)
        kept.run = run = Run(picture, problem, prior, sampler, count, seconds_allowed=allowed, fitting=fitted)
        board = ParticleBoard(run, kept.number)
        try:
            with closing(watch(run, HZ)) as steps:  # the page is gone: nobody goes on computing for it
                for _ in steps:
                    if not run.finished:
                        yield board.value("running")
        except RedguiError as error:
            yield board.value("error", str(error))
            return
        finally:
            run.close()
        status, message = ("done", "") if run.finished else ("stopped", "Stopped before the end.")
        yield board.value(status, message)

    def _count(self, values: Values) -> int:
        """How many particles. Raises RedguiError."""
        wanted, (_, least, most) = values[self.count], COUNT
        whole = isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and wanted == wanted // 1
        if not whole or not least <= wanted <= most:
            raise RedguiError(f"Particles: a whole number from {least} to {most}; got {str(wanted)[:20]}.")
        return int(wanted)


def particles_tab(actions: Actions, tab: gr.Tab, everything: set[Any]) -> ParticlesTab:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    p = ParticlesTab(actions)
    with p.laid_out(lambda: components.particles_view("ensemble")):
        with gr.Group():
            p.sampler = gr.Dropdown(
                choices(), value=RedDiff.name, label="Sampler", elem_id="particles-sampler", filterable=False
            )
            p.count = gr.Slider(
                COUNT[1], COUNT[2], value=COUNT[0], step=1, label="Particles", elem_id="particles-count", buttons=["reset"],
                info="each costs what a run of its own does",
            )  # fmt: skip
        p.note = gr.HTML(p.describe(RedDiff.name), padding=False)
    inputs = {*everything, p.sampler, p.count}
    tab.select(p.open_tab, inputs, [p.preview, p.sampler, p.note], **QUIET)
    p.sampler.input(p.describe, p.sampler, p.note, **QUIET)
    p.wire_run(inputs)
    return p
