"""The Particles tab: many answers of one sampler to the measurement of the Restore tab, and what they say together."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import gradio as gr

from redgui import knobs
from redgui.errors import RedguiError
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui import away, components, hosting, particle_board, views
from redgui.ui.actions import SECONDS_ALLOWED, WAITING, Actions
from redgui.ui.line import in_turn
from redgui.ui.outcome import wrong
from redgui.ui.particle_board import ParticleBoard, Particles
from redgui.ui.restore import QUIET, SPOKEN
from redgui.ui.runs import Run, newest
from redgui.ui.sessions import Session

Values = Mapping[Any, Any]
BROKE = "The run broke off on the server. Press Run to start anew."
HZ = 4.0  # updates a second, each with every particle
COUNT = 8, 2, 16  # particles: at first, least, most
SEEKERS = ("reddiff", "vml-map", "sitcom")  # they end at one likely picture each

HINT = """<p class="rg-note">All particles get the <b>same measurement and prior</b>, each its <b>own random numbers</b>; the
sampler's knobs are those of the Restore tab. They go through the network together.</p>"""
KINDS = {
    "independent": "Independent runs of a method that seeks one likely picture: how far they lie apart says how much is due to "
    "chance, not how wide the posterior is.",
    "repulsive": "The particles repel each other with strength γ, a knob of the Restore tab, so as to show several answers.",
    "posterior": "Each particle is meant as a draw from the posterior, so that the spread claims to be its width; the coverage "
    "tests the claim.",
}


def kind(cls: type[Sampler]) -> str:
    """What the particles of a sampler are to each other: "independent", "repulsive" or "posterior"."""
    return "repulsive" if cls.coupled else "independent" if cls.name in SEEKERS else "posterior"


def choices() -> list[tuple[str, str]]:
    """The samplers for a menu, with what their particles are."""
    said = {"independent": "independent", "repulsive": "repulsive", "posterior": "posterior samples"}
    return [(f"{cls.label} ({said[kind(cls)]})", cls.name) for cls in SAMPLERS]


class ParticleActions:
    """The handlers of the tab. The components are attributes, set by the layout."""

    preview: Any
    sampler: Any
    note: Any
    count: Any
    run: Any
    stop: Any
    view: Any

    def __init__(self, actions: Actions):
        self.actions = actions

    def page(self, request: gr.Request) -> tuple[Session, Particles]:
        """The session of a page, and its particles."""
        session = self.actions.sessions.of(request.session_hash)
        return session, session.particles

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, Any, Any]:
        """The tab is opened: the measurement as it is now, the sampler of the Restore tab if another was chosen there."""
        session, particles = self.page(request)
        try:
            _, problem, _ = self.actions.build_problem(session, values)
            preview: Any = views.shared(problem, session.version, self.actions.chosen_prior(values))
        except RedguiError as error:
            preview = wrong(error)
        before, particles.followed = particles.followed, str(values[self.actions.sampler])
        name = particles.followed if before != particles.followed else str(values[self.sampler])
        return preview, name, self.describe(name)

    def describe(self, name: str) -> str:
        """What the particles of a sampler are."""
        return f'<p class="rg-note rg-particles-note">{KINDS[kind(knobs.find(SAMPLERS, str(name), "sampler"))]}</p>'

    # ---- the run

    def get_ready(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """At the click, before the queue: all tiles in their places."""
        session, particles = self.page(request)
        particles.stop_wanted = False
        particles.number += 1
        try:
            _, problem, _ = self.actions.build_problem(session, values)
            shown = particle_board.blank(particles.number, "waiting", WAITING, problem, self._count(values))
        except RedguiError as error:
            return particle_board.blank(particles.number, "error", str(error)), *_buttons(False)
        return shown, *_buttons(True)

    def start(self, values: Values, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The run, streamed."""
        session, particles = self.page(request)
        number = particles.number
        if particles.stop_wanted:
            yield particle_board.blank(number, "stopped", "Stopped before it began."), *_buttons(False)
            return
        try:
            picture, problem, fitted = self.actions.build_problem(session, values)
            sampler = self.actions.samplers[str(values[self.sampler])].build(values)
            prior, count = self.actions.load_prior(values), self._count(values)
            allowed = SECONDS_ALLOWED
            particles.run = run = Run(picture, problem, prior, sampler, count, seconds_allowed=allowed, fitting=fitted)
        except RedguiError as error:
            yield particle_board.blank(number, "error", str(error)), *_buttons(False)
            return
        board = ParticleBoard(run, number)
        try:
            with closing(newest(away.play(run, HZ), run.stop)) as steps:  # the page is gone: nobody goes on computing for it
                for _ in steps:
                    if not run.finished:
                        yield board.value("running"), gr.skip(), gr.skip()
        except RedguiError as error:
            yield board.value("error", str(error)), *_buttons(False)
            return
        finally:
            run.close()
        status, message = ("done", "") if run.finished else ("stopped", "Stopped before the end.")
        yield board.value(status, message), *_buttons(False)

    def halt(self, request: gr.Request) -> None:
        """Stop, within one iteration."""
        self.page(request)[1].stop()

    def broke(self, request: gr.Request, message: str = BROKE) -> tuple[Any, ...]:
        """The server failed, and a toast says how (or it is refused): the page must not stay locked."""
        return particle_board.blank(self.page(request)[1].number, "error", message), *_buttons(False)

    def _count(self, values: Values) -> int:
        """How many particles. Raises RedguiError."""
        wanted, (_, least, most) = values[self.count], COUNT
        whole = isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and wanted == wanted // 1
        if not whole or not least <= wanted <= most:
            raise RedguiError(f"Particles: a whole number from {least} to {most}; got {str(wanted)[:20]}.")
        return int(wanted)


def _buttons(busy: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not busy), gr.update(interactive=busy)


def particles_tab(actions: Actions, tab: gr.Tab, everything: set[Any]) -> ParticleActions:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    p = ParticleActions(actions)
    with gr.Row(equal_height=False, elem_classes="rg-duel"):
        with gr.Column(scale=0, min_width=300, elem_classes="rg-duel-setup"):
            with gr.Column(elem_classes="rg-bar-of-actions", min_width=0), gr.Row(elem_classes="rg-actions"):
                p.run = gr.Button("Run particles", variant="primary", elem_id="particles-run", min_width=90, scale=2)
                p.stop = gr.Button("Stop", variant="stop", elem_id="particles-stop", min_width=70, scale=1, interactive=False)
            gr.HTML(HINT, padding=False)
            hosting.note()
            p.preview = components.picture_view("particles-measurement")
            with gr.Group():
                p.sampler = gr.Dropdown(
                    choices(), value=RedDiff.name, label="Sampler", elem_id="particles-sampler", filterable=False
                )
                p.count = gr.Slider(
                    COUNT[1], COUNT[2], value=COUNT[0], step=1, label="Particles", elem_id="particles-count", buttons=["reset"],
                    info="each costs what a run of its own does",
                )  # fmt: skip
            p.note = gr.HTML(p.describe(RedDiff.name), padding=False)
        with gr.Column(scale=1, min_width=320, elem_classes="rg-duel-outcome"):
            p.view = components.particles_view("ensemble")
    inputs = {*everything, p.sampler, p.count}
    tab.select(p.open_tab, inputs, [p.preview, p.sampler, p.note], **QUIET)
    p.sampler.input(p.describe, p.sampler, p.note, **QUIET)
    outcome = [p.view, p.run, p.stop]
    running: dict[str, Any] = SPOKEN | dict(outputs=[*outcome, actions.place], trigger_mode="once")
    asked: dict[str, Any] = dict(asked=lambda session: session.particles, refused=p.broke, outputs=outcome)
    start = in_turn(actions.line, p.start, sessions=actions.sessions, **asked)
    started = p.run.click(p.get_ready, inputs, outcome, **QUIET).then(start, inputs, **running)
    started.failure(p.broke, None, outcome, **QUIET)
    p.stop.click(p.halt, None, None, **QUIET)
    return p
