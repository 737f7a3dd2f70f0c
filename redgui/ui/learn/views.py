"""The components of the Learn tab, and their values."""

import math
from typing import Any

import gradio as gr
from torch import Tensor

from redgui import images, metrics
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.samplers import RedDiff
from redgui.ui.learn import anatomy, texts
from redgui.ui.learn.anatomy import Anatomy
from redgui.ui.parts.components import component

SHOWN = (0.05, 0.2, 0.5, 1.0, 2.5, 6.0, 25.0, 150.0)  # levels at which the picture is shown drowning


def schedule_view(elem_id: str, **options: Any) -> gr.HTML:
    """The noise levels of a run, and a picture at some of them. Event `select` with {"sigma"}.

    Value: {"sigma": [one per iteration], "pictures": [{"sigma", "src"}], "now": sigma} or None.
    """
    return component("schedule", elem_id, options)


def anatomy_view(elem_id: str, **options: Any) -> gr.HTML:
    """One iteration in pictures. A value with a message shows that alone.

    Value: {"rows": [{"title", "pieces": [{"key", "sign", "name", "formula", "text", "of": "" or a colour of its bar}]}],
    "pictures": {key: {"src", "note", "share": 0 to 1 or None}}, "sigma", "seed"}, or {"message"}, or None.
    """
    return component("anatomy", elem_id, options)


def walk_view(elem_id: str = "walk", **options: Any) -> gr.HTML:
    """A plane with its density and its line, and particles that walk on it. Event `select` with {"y"}: the line's new place.

    Value: {"plane": JSON of {"means", "weights", "std", "angle", "y", "sigma_y", "exact": one per mean},
    "walk": JSON of {"label", "sigma": one per step, "points": [[x, y] per particle] per step, "share": [one per mean] per
    step}, "message"}, or None.
    """
    return component("walk", elem_id, options)


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

    weighed = (
        f"after it, {sampler.data_steps} steps at most until it is met"
        if sampler.data_steps
        else f"held back to {held:.0%}, the residual being near σ_y"
        if held < 0.995
        else "full weight"
    )
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


def _short(x: float) -> str:
    return f"{x:.3g}"
