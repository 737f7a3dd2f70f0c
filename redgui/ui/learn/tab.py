"""The Learn tab: what RED-diff does, on the person's own picture of the Restore tab."""

import math
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from torch import Tensor

from redgui import knobs, priors
from redgui.errors import RedguiError
from redgui.knobs import knob
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import with_room
from redgui.runs.watch import compute
from redgui.samplers import RedDiff
from redgui.ui.host.sessions import Session
from redgui.ui.learn import anatomy, texts, walking
from redgui.ui.learn.anatomy import Loop
from redgui.ui.learn.views import anatomy_view, drawn, drowning, schedule_view
from redgui.ui.learn.walking import Walking, WalkLayout
from redgui.ui.parts import components, controls, views
from redgui.ui.parts.controls import SETTING, Controls
from redgui.ui.parts.form import Page
from redgui.ui.parts.wiring import LATEST, SILENT, WITH_TOASTS, Updates, Values, sent
from redgui.ui.restore.state import Restoring

STARTS = (
    ("Pseudo-inverse of the measurement", "start"),
    ("Last iterate of the run on Restore", "last"),
    ("Ground truth", "truth"),
)
LATEX = [{"left": "$$", "right": "$$", "display": True}, {"left": "$", "right": "$", "display": False}]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is looked at: a noise level and a seed."""

    name = "learn"

    sigma: float = knob(
        1.0, 0.01, 160.0, log=True, label="Noise level σ", help="of this iteration: the nearest that the prior was trained on"
    )
    lam: float = knob(0.25, 0.0, 10.0, label="λ", log=True, help="weight of the prior against the measurement")
    seed: int = knob(0, 0, 2**31 - 1, help=SETTING["seed"].help)


@dataclass
class Learning:
    """What the server keeps of the tab for each page: the loop that is stepped through, None before its first iteration."""

    loop: Loop | None = None


@dataclass(frozen=True, eq=False)
class LearnLayout:
    """The components of the tab."""

    schedule: gr.HTML
    weights: gr.HTML
    look: Controls
    start: gr.Radio
    step: gr.Button
    open: gr.Button
    view: gr.HTML
    walk: WalkLayout


def lay_out() -> LearnLayout:
    """Lays the tab out inside the block that is open."""
    with gr.Column(elem_classes="rg-learn"):
        gr.Markdown(texts.ITERATION, latex_delimiters=LATEX)
        level, weight, seed = knobs.knobs(Look)
        with gr.Row(elem_classes="rg-learn-controls rg-left rg-settings"):
            sigma = controls.one(level, "learn-sigma", level.default)
            lam = controls.one(weight, "learn-lam", weight.default)
            with gr.Group():
                box = controls.seed_box(seed, "learn-seed", seed.default)
        with gr.Row(elem_classes="rg-learn-controls rg-left rg-settings"):
            start = gr.Radio(list(STARTS), value="start", label="μ is", elem_id="learn-start", scale=3)
            step = gr.Button("Next iteration", variant="primary", elem_id="learn-step", scale=1, min_width=160)
            back = gr.Button("Open in Restore", elem_id="learn-open", scale=1, min_width=160)
        view = anatomy_view("anatomy")
        gr.Markdown(texts.PLANE, latex_delimiters=LATEX)
        walk = walking.lay_out()
        gr.Markdown(texts.IDEA, latex_delimiters=LATEX, elem_id="learn-idea")
        with gr.Row(elem_classes="rg-learn-plots"):
            with gr.Column(min_width=280):
                schedule = schedule_view("schedule")
            with gr.Column(min_width=280):
                weights = components.weights_plot("learn-weights")
                gr.Markdown(texts.WEIGHTS, latex_delimiters=LATEX)
        gr.Markdown(texts.REFERENCES, elem_id="learn-references")
        with gr.Accordion("BibTeX", open=False):
            gr.Code(texts.BIBTEX, language=None, label="RED-diff", interactive=False, elem_id="learn-bibtex")
    return LearnLayout(
        schedule, weights, Controls(Look, {"sigma": sigma, "lam": lam, "seed": box}), start, step, back, view, walk
    )


class LearnTab:
    """The handlers of the tab."""

    def __init__(self, page: Page, layout: LearnLayout):
        self.page, self.form, self.layout = page, page.form, layout
        self.walking = Walking(page, layout.walk)

    def open_tab(self, values: Values, request: gr.Request) -> Updates:
        """The tab is opened: schedule, weights and anatomy with the settings of the Restore tab as they are now."""
        session, lam = self._session(request), self.layout.look.parts["lam"]
        values = {**values, lam: values[self.form.samplers[RedDiff.name].parts["lam"]]}
        try:
            sampler, prior = self._sampler(values), self.form.load_prior(values)
            picture, problem, _ = self.form.build_problem(session, values)
            now = anatomy.nearest_level(prior.sigmas, self.layout.look.build(values).sigma)
            schedule = drowning(prior, sampler.begun(problem.H, problem.y, problem.sigma_y), picture, now)
        except RedguiError:
            schedule = None  # the anatomy says what is wrong
        return {self.layout.schedule: schedule, lam: values[lam], **self._redrawn(session, values)}

    def redraw(self, values: Values, request: gr.Request) -> Updates:
        """Another level, weight, seed or start."""
        return self._redrawn(self._session(request), values)

    def choose_level(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """A click on one of the drowning pictures."""
        part, level, sigma = self.layout.look.parts["sigma"], knobs.knobs(Look)[0], sent(event).get("sigma")
        least, most = level.lo or 0.0, level.hi or math.inf
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not least / 2 <= sigma <= 2 * most:
            return {part: gr.skip()}
        sigma = min(max(float(f"{sigma:.3g}"), least), most)
        return {part: sigma, **self._redrawn(self._session(request), {**values, part: sigma})}

    def next_iteration(self, values: Values, request: gr.Request) -> Updates:
        """The loop from its start, an iteration further at every click; at its end from the start again."""
        session, sigma = self._session(request), self.layout.look.parts["sigma"]
        state = session.state(Learning)
        try:
            sampler, prior, look = self._sampler(values), self.form.load_prior(values), self.layout.look.build(values)
            problem, _, sampler = self._begin(session, {**values, self.layout.start: "start"}, prior, sampler)
            if state.loop is None or state.loop.i == state.loop.n:
                given = with_room(prior, problem.H, problem.y), problem.likelihood, problem.y, problem.level, sampler
                state.loop = compute(lambda: Loop(*given, generator=Generators.of_run(look.seed, 1)))
            loop = state.loop
            pieces = compute(loop.step)
        except RedguiError as error:
            return {self.layout.view: {"message": str(error)}}
        shown = drawn(pieces, problem, sampler)
        mu = shown["pictures"]["mu"]
        mu["note"] = ", ".join(filter(None, (f"iteration {loop.i} of {loop.n}", mu["note"])))
        return {
            self.layout.weights: views.weights(sampler, prior.sigmas, problem.level, pieces.sigma),
            self.layout.view: {**shown, "seed": look.seed}, sigma: float(f"{pieces.sigma:.3g}"),
        }  # fmt: skip

    def open_in_restore(self, values: Values) -> Updates:
        """RED-diff with the λ of here into the Restore tab."""
        try:
            return self.page.to_restore(self._sampler(values))
        except RedguiError as error:
            gr.Warning(str(error))
            return self.page.to_restore(None)

    # ---- pieces

    def _session(self, request: gr.Request) -> Session:
        return self.page.host.sessions.of(request.session_hash)

    def _sampler(self, values: Values) -> RedDiff:
        """RED-diff with its knobs of the Restore tab, whichever sampler is chosen there, and the λ of here."""
        return replace(self.form.samplers[RedDiff.name].build(values), lam=self.layout.look.build(values).lam)

    def _redrawn(self, session: Session, values: Values) -> Updates:
        """The weights and the anatomy; a loop that was stepped through is left."""
        session.state(Learning).loop = None
        try:
            sampler, prior, look = self._sampler(values), self.form.load_prior(values), self.layout.look.build(values)
            sigma = anatomy.nearest_level(prior.sigmas, look.sigma)
            problem, mu, sampler = self._begin(session, values, prior, sampler)
            generator = Generators.of_run(look.seed, 1)
            given = with_room(prior, problem.H, problem.y), problem.likelihood, problem.y, problem.level, sampler, mu, sigma
            pieces = compute(lambda: anatomy.dissect(*given, generator=generator))
        except RedguiError as error:
            return {self.layout.view: {"message": str(error)}}
        return {
            self.layout.weights: views.weights(sampler, prior.sigmas, problem.level, sigma, priors.errors_of(prior.name)),
            self.layout.view: {**drawn(pieces, problem, sampler), "seed": look.seed},
        }

    def _begin(self, session: Session, values: Values, prior: Prior, sampler: RedDiff) -> tuple[Problem, Tensor, RedDiff]:
        """The problem, mu (1, c, h, w) and RED-diff as it acts on it. Raises RedguiError."""
        if prior.picture_shape != prior.shape:
            raise RedguiError(
                f"The prior {prior.name} works on latents, which are no pictures; choose one of pixels on the Restore tab."
            )
        if values[self.layout.start] == "last":
            run = session.state(Restoring).played
            if run is None or run.last is None:
                raise RedguiError(
                    "There is no run yet to take the last iterate from; press Run on the Restore tab, or choose another start."
                )
            own = replace(run.now, lam=sampler.lam) if isinstance(run.now, RedDiff) else sampler
            return run.problem.to(prior.device), run.last.state[:1].to(prior.device), own
        problem = self.form.build_problem(session, values).problem.to(prior.device)
        if values[self.layout.start] == "truth":
            if problem.x_true is None:
                raise RedguiError("A picture that is already damaged has no ground truth; choose another start.")
            return problem, problem.x_true, sampler
        return problem, problem.H.start(problem.y).clone(), sampler

    # ---- wiring

    def wire(self, tab: gr.Tab) -> None:
        """Registers all events of the tab."""
        layout = self.layout
        inputs = self.inputs
        sigma, lam, seed = (layout.look.parts[name] for name in ("sigma", "lam", "seed"))
        tab.select(self.open_tab, inputs, self.opened, **SILENT)
        tab.select(self.walking.redraw, layout.walk.inputs, layout.walk.view, **SILENT)
        self.walking.wire()
        triggers = [sigma.input, lam.input, seed.change, layout.start.input]
        gr.on(triggers, self.redraw, inputs, [layout.weights, layout.view], **LATEST)
        outputs = [sigma, layout.weights, layout.view]
        layout.schedule.select(self.choose_level, inputs, outputs, **SILENT)
        layout.step.click(self.next_iteration, inputs, outputs, **SILENT)
        layout.open.click(self.open_in_restore, inputs, self.page.to_restore_outputs, **WITH_TOASTS)

    @property
    def inputs(self) -> set[Any]:
        """What a handler of the tab is given."""
        return {*self.form.inputs, *self.layout.look, self.layout.start}

    @property
    def opened(self) -> list[Any]:
        """The outputs of `open_tab`."""
        layout = self.layout
        return [layout.schedule, layout.look.parts["lam"], layout.weights, layout.view]


def learn_tab(page: Page) -> LearnTab:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Learn", id="learn") as tab:
        learn = LearnTab(page, lay_out())
        learn.wire(tab)
    return learn
