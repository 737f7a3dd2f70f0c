"""The Learn tab: what RED-diff does, on the person's own picture of the Restore tab."""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
from torch import Tensor

from redgui import images, knobs, metrics, priors
from redgui.errors import RedguiError
from redgui.knobs import knob
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import with_room
from redgui.runs.watch import compute
from redgui.samplers import RedDiff
from redgui.ui.host.sessions import Session
from redgui.ui.learn import anatomy, texts
from redgui.ui.learn.anatomy import Anatomy
from redgui.ui.parts import components, controls, views
from redgui.ui.parts.controls import SETTING, Controls
from redgui.ui.parts.form import Page
from redgui.ui.parts.wiring import LATEST, SILENT, Updates, Values, sent
from redgui.ui.restore.state import Restoring

SHOWN = (0.05, 0.2, 0.5, 1.0, 2.5, 6.0, 25.0, 150.0)  # levels at which the picture is shown drowning
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
    seed: int = knob(0, 0, 2**31 - 1, help=SETTING["seed"].help)


@dataclass(frozen=True, eq=False)
class LearnLayout:
    """The components of the tab."""

    schedule: gr.HTML
    weights: gr.HTML
    look: Controls
    start: gr.Radio
    view: gr.HTML


def lay_out() -> LearnLayout:
    """Lays the tab out inside the block that is open."""
    with gr.Column(elem_classes="rg-learn"):
        gr.Markdown(texts.IDEA, latex_delimiters=LATEX, elem_id="learn-idea")
        with gr.Row(elem_classes="rg-learn-plots"):
            with gr.Column(min_width=280):
                schedule = components.schedule_view("schedule")
            with gr.Column(min_width=280):
                weights = components.weights_plot("learn-weights")
                gr.Markdown(texts.WEIGHTS, latex_delimiters=LATEX)
        gr.Markdown(texts.ITERATION, latex_delimiters=LATEX)
        with gr.Row(elem_classes="rg-learn-controls"):
            level, seed = knobs.knobs(Look)
            with gr.Column(min_width=260):
                sigma = controls.one(level, "learn-sigma", level.default)
            with gr.Column(min_width=220):
                start = gr.Radio(list(STARTS), value="start", label="μ is", elem_id="learn-start")
            with gr.Column(min_width=200):
                box = controls.seed_box(seed, "learn-seed", seed.default)
        view = components.anatomy_view("anatomy")
        gr.Markdown(texts.REFERENCES, elem_id="learn-references")
        with gr.Accordion("BibTeX", open=False):
            gr.Code(texts.BIBTEX, language=None, label="RED-diff", interactive=False, elem_id="learn-bibtex")
    return LearnLayout(schedule, weights, Controls(Look, {"sigma": sigma, "seed": box}), start, view)


class LearnTab:
    """The handlers of the tab."""

    def __init__(self, page: Page, layout: LearnLayout):
        self.page, self.form, self.layout = page, page.form, layout

    def open_tab(self, values: Values, request: gr.Request) -> Updates:
        """The tab is opened: schedule, weights and anatomy with the settings of the Restore tab as they are now."""
        session = self._session(request)
        try:
            sampler, prior = self._sampler(values), self.form.load_prior(values)
            picture, problem, _ = self.form.build_problem(session, values)
            now = anatomy.nearest_level(prior.sigmas, self.layout.look.build(values).sigma)
            schedule = drowning(prior, sampler.begun(problem.H, problem.y, problem.sigma_y), picture, now)
        except RedguiError:
            schedule = None  # the anatomy says what is wrong
        return {self.layout.schedule: schedule, **self._redrawn(session, values)}

    def redraw(self, values: Values, request: gr.Request) -> Updates:
        """Another level, seed or start."""
        return self._redrawn(self._session(request), values)

    def choose_level(self, values: Values, request: gr.Request, event: gr.EventData) -> Updates:
        """A click on one of the drowning pictures."""
        part, level, sigma = self.layout.look.parts["sigma"], knobs.knobs(Look)[0], sent(event).get("sigma")
        least, most = level.lo or 0.0, level.hi or math.inf
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not least / 2 <= sigma <= 2 * most:
            return {part: gr.skip()}
        sigma = min(max(float(f"{sigma:.3g}"), least), most)
        return {part: sigma, **self._redrawn(self._session(request), {**values, part: sigma})}

    # ---- pieces

    def _session(self, request: gr.Request) -> Session:
        return self.page.host.sessions.of(request.session_hash)

    def _sampler(self, values: Values) -> RedDiff:
        """RED-diff with its knobs of the Restore tab, whichever sampler is chosen there."""
        return self.form.samplers[RedDiff.name].build(values)

    def _redrawn(self, session: Session, values: Values) -> Updates:
        """The weights and the anatomy."""
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
            own = run.now if isinstance(run.now, RedDiff) else sampler
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
        inputs = {*self.form.inputs, *layout.look, layout.start}
        tab.select(self.open_tab, inputs, [layout.schedule, layout.weights, layout.view], **SILENT)
        for event in (layout.look.parts["sigma"].input, layout.look.parts["seed"].change, layout.start.input):
            event(self.redraw, inputs, [layout.weights, layout.view], **LATEST)
        outputs = [layout.look.parts["sigma"], layout.weights, layout.view]
        layout.schedule.select(self.choose_level, inputs, outputs, **SILENT)


def drawn(a: Anatomy, problem: Problem, sampler: RedDiff) -> dict[str, Any]:
    """The anatomy's value: every piece as a picture with its figures."""
    alpha = 1 / math.sqrt(1 + a.sigma**2)
    longest = max(anatomy.rms(a.data), anatomy.rms(a.prior), anatomy.rms(a.gradient), 1e-12)
    held = float(a.data_weight.mean())
    moved = float(a.step.abs().max())

    def picture(x: Tensor, note: str = "") -> dict[str, Any]:
        quality = None if problem.x_true is None else float(metrics.psnr(problem.aligned(x), problem.x_true))
        return {
            "src": images.data_url(x, "jpeg", quality=92),
            "note": note or ("" if quality is None else f"PSNR {quality:.2f} dB"),
        }

    def around_grey(v: Tensor, note: str = "", *, bar: bool = False) -> dict[str, Any]:
        shown, scale = anatomy.signed(v)
        size = anatomy.rms(v)
        text = f"rms {_short(size)}, white is +{_short(scale)}" if scale > 0 else "zero"
        text += f"; {note}" if note else ""
        return {"src": images.data_url(shown, "jpeg", quality=92), "note": text, "share": size / longest if bar else None}

    weighed = f"held back to {held:.0%}, the residual being near σ_y" if held < 0.995 else "full weight"
    return {
        "sigma": a.sigma,
        "rows": texts.ROWS,
        "pictures": {
            "mu": picture(a.mu),
            "eps": {"src": images.data_url((a.eps / 3).clamp(-1, 1), "jpeg", quality=92), "note": "white is +3"},
            "x": picture(alpha * a.x, f"αₜ = {_short(alpha)}, σₜ = {_short(alpha * a.sigma)}, σ = {_short(a.sigma)}"),
            "x0_hat": picture(a.x0_hat),
            "error": around_grey(a.error),
            "data": around_grey(a.data, weighed, bar=True),
            "prior": around_grey(a.prior, f"weight w = {_short(a.weight)} ({sampler.weighting})", bar=True),
            "gradient": around_grey(a.gradient, bar=True),
            "step": around_grey(a.step, f"{sampler.optimizer}, learning rate {sampler.lr:g}, largest {_short(moved)}"),
            "after": picture(a.after),
        },
    }


def drowning(prior: Prior, sampler: RedDiff, picture: Tensor, now: float) -> dict[str, Any]:
    """The schedule's value: sigma of every iteration, and the picture (1, c, h, w) under the same noise at some levels."""
    plan = anatomy.levels(prior, sampler)
    eps = Generators.of_run(0, 1).randn_like(picture.cpu())
    levels = sorted({anatomy.nearest_level(prior.sigmas, sigma) for sigma in SHOWN}, reverse=True)
    noisy = {sigma: anatomy.drowned(picture.cpu(), sigma, eps) for sigma in levels}
    pictures = [{"sigma": sigma, "src": images.data_url(x, "jpeg", quality=85)} for sigma, x in noisy.items()]
    return {"sigma": [float(f"{s:.4g}") for s in plan], "pictures": pictures, "now": now}


def learn_tab(page: Page) -> None:
    """Builds the tab inside the tabs that are open."""
    with gr.Tab("Learn", id="learn") as tab:
        LearnTab(page, lay_out()).wire(tab)


def _short(x: float) -> str:
    return f"{x:.3g}"
