"""The Learn tab: what RED-diff does, on the person's own picture of the Restore tab."""

import math
from typing import Any

import gradio as gr
from torch import Tensor

from redgui import images, metrics
from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.watch import compute
from redgui.samplers import RedDiff
from redgui.ui.host.sessions import Session
from redgui.ui.learn import anatomy, texts
from redgui.ui.learn.anatomy import Anatomy
from redgui.ui.parts import components, views
from redgui.ui.parts.controls import SETTING, seed_box
from redgui.ui.parts.wiring import QUIET, Values, sent
from redgui.ui.restore.handlers import Actions

SIGMA = 0.01, 1.0, 160.0  # least, first and most of the slider; the prior's nearest level is taken
SHOWN = (0.05, 0.2, 0.5, 1.0, 2.5, 6.0, 25.0, 150.0)  # levels at which the picture is shown drowning
STARTS = (
    ("Pseudo-inverse of the measurement", "start"),
    ("Last iterate of the run on Restore", "last"),
    ("Ground truth", "truth"),
)
LATEX = [{"left": "$$", "right": "$$", "display": True}, {"left": "$", "right": "$", "display": False}]


class LearnActions:
    """The handlers of the tab. The components are attributes, set by the layout."""

    schedule: Any
    weights: Any
    sigma: Any
    seed: Any
    start: Any
    view: Any

    def __init__(self, actions: Actions):
        self.actions = actions

    def open_tab(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """The tab is opened: schedule, weights and anatomy with the settings of the Restore tab as they are now."""
        session = self.actions.sessions.of(request.session_hash)
        try:
            sampler, prior = self._sampler(values), self.actions.load_prior(values)
            picture, _, _ = self.actions.build_problem(session, values)
            schedule = drowning(prior, sampler, picture, _level(prior, values[self.sigma]))
        except RedguiError:
            schedule = None  # the anatomy says what is wrong
        return schedule, *self._redrawn(session, values)

    def redraw(self, values: Values, request: gr.Request) -> tuple[Any, Any]:
        """Another level, seed or start."""
        return self._redrawn(self.actions.sessions.of(request.session_hash), values)

    def choose_level(self, values: Values, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        """A click on one of the drowning pictures."""
        sigma = sent(event).get("sigma")
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not SIGMA[0] / 2 <= sigma <= 2 * SIGMA[2]:
            return (gr.skip(),) * 3
        sigma = float(f"{sigma:.3g}")
        return sigma, *self._redrawn(self.actions.sessions.of(request.session_hash), {**values, self.sigma: sigma})

    # ---- pieces

    def _sampler(self, values: Values) -> RedDiff:
        """RED-diff with its knobs of the Restore tab, whichever sampler is chosen there."""
        return self.actions.samplers[RedDiff.name].build(values)

    def _redrawn(self, session: Session, values: Values) -> tuple[Any, Any]:
        try:
            sampler, prior = self._sampler(values), self.actions.load_prior(values)
            sigma, seed = _level(prior, values[self.sigma]), _seed(values[self.seed])
            problem, mu, sampler = self._begin(session, values, prior, sampler)
            generator = Generators.of_run(seed, 1)
            found = compute(
                lambda: anatomy.dissect(
                    prior, problem.H, problem.y, problem.sigma_y, sampler, mu, sigma, generator=generator
                )
            )
        except RedguiError as error:
            return gr.skip(), {"message": str(error)}
        return views.weights(sampler, prior.sigmas, sigma), {**drawn(found, problem, sampler), "seed": seed}

    def _begin(self, session: Session, values: Values, prior: Prior, sampler: RedDiff) -> tuple[Problem, Tensor, RedDiff]:
        """The problem, mu (1, c, h, w) and RED-diff as it acts on it. Raises RedguiError."""
        if prior.picture_shape != prior.shape:
            raise RedguiError(
                f"The prior {prior.name} works on latents, which are no pictures; choose one of pixels on the Restore tab."
            )
        if values[self.start] == "last":
            run = session.run
            if run is None or run.last is None:
                raise RedguiError(
                    "There is no run yet to take the last iterate from; press Run on the Restore tab, or choose another start."
                )
            own = run.now if isinstance(run.now, RedDiff) else sampler
            return run.problem.to(prior.device), run.last.x0_hat[:1].to(prior.device), own
        _, problem, _ = self.actions.build_problem(session, values)
        problem = problem.to(prior.device)
        if values[self.start] == "truth":
            if problem.x_true is None:
                raise RedguiError("A picture that is already damaged has no ground truth; choose another start.")
            return problem, problem.x_true, sampler
        return problem, problem.start().clone(), sampler


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
    found = sorted({anatomy.nearest_level(prior.sigmas, sigma) for sigma in SHOWN}, reverse=True)
    shown = [{"sigma": s, "src": images.data_url(anatomy.drowned(picture.cpu(), s, eps), "jpeg", quality=85)} for s in found]
    return {"sigma": [float(f"{s:.4g}") for s in plan], "pictures": shown, "now": now}


def learn_tab(actions: Actions, tab: gr.Tab, everything: set[Any]) -> LearnActions:
    """Builds the tab inside the block that is open. `everything`: the components whose values make problem and sampler."""
    a = LearnActions(actions)
    with gr.Column(elem_classes="rg-learn"):
        gr.Markdown(texts.IDEA, latex_delimiters=LATEX, elem_id="learn-idea")
        with gr.Row(elem_classes="rg-learn-plots"):
            with gr.Column(min_width=280):
                a.schedule = components.schedule_view("schedule")
            with gr.Column(min_width=280):
                a.weights = components.weights_plot("learn-weights")
                gr.Markdown(texts.WEIGHTS, latex_delimiters=LATEX)
        gr.Markdown(texts.ITERATION, latex_delimiters=LATEX)
        with gr.Row(elem_classes="rg-learn-controls"):
            with gr.Column(min_width=260):
                lo, first, hi = SIGMA
                help = "of this iteration: the nearest that the prior was trained on"
                a.sigma = components.log_slider(lo, hi, first, "Noise level σ", help, "learn-sigma")
            with gr.Column(min_width=220):
                a.start = gr.Radio(list(STARTS), value="start", label="μ is", elem_id="learn-start")
            with gr.Column(min_width=200):
                a.seed = seed_box(SETTING["seed"], "learn-seed", 0)
        a.view = components.anatomy_view("anatomy")
        gr.Markdown(texts.REFERENCES, elem_id="learn-references")
        with gr.Accordion("BibTeX", open=False):
            gr.Code(texts.BIBTEX, language=None, label="RED-diff", interactive=False, elem_id="learn-bibtex")
    inputs = {*everything, a.sigma, a.seed, a.start}
    tab.select(a.open_tab, inputs, [a.schedule, a.weights, a.view], **QUIET)
    again: dict[str, Any] = QUIET | dict(trigger_mode="always_last")
    for event in (a.sigma.input, a.seed.change, a.start.input):
        event(a.redraw, inputs, [a.weights, a.view], **again)
    a.schedule.select(a.choose_level, inputs, [a.sigma, a.weights, a.view], **QUIET)
    return a


def _level(prior: Prior, wanted: Any) -> float:
    """The prior's level nearest to what the slider says. Raises RedguiError."""
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or not 0 < wanted < math.inf:
        raise RedguiError(f"The noise level σ is a number above 0; got {str(wanted)[:20]}.")
    return anatomy.nearest_level(prior.sigmas, float(wanted))


def _seed(wanted: Any) -> int:
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or not 0 <= wanted < 2**31:
        raise RedguiError(f"The seed lies in 0 to {2**31 - 1}; got {str(wanted)[:20]}.")
    return int(wanted)


def _short(x: float) -> str:
    return f"{x:.3g}"
