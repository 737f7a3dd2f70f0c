"""The Restore tab: a picture, a degradation, RED-diff (or another sampler), and the picture forming live.

This file lays out and wires; what happens on an event is in `redgui.ui.restore.handlers`.
"""

from functools import partial

import gradio as gr

from redgui import fitting, knobs, presets, priors
from redgui.operators import OPERATORS, Inpaint
from redgui.runs import zero_gpu
from redgui.samplers import SAMPLERS, RedDiff
from redgui.ui.host.queue import in_turn
from redgui.ui.parts import components, controls
from redgui.ui.parts.controls import SETTING, Controls, Named, Setting
from redgui.ui.parts.wiring import QUIET, RUNNING, SPOKEN
from redgui.ui.restore.handlers import Actions


def restore_tab(actions: Actions) -> None:
    """Builds the tab inside the block that is open."""
    with gr.Row(equal_height=False, elem_classes="rg-columns"):
        with gr.Column(scale=10, min_width=300, elem_classes="rg-left"):
            _problem(actions)
        with gr.Column(scale=8, min_width=260, elem_classes="rg-middle"):
            _sampler(actions)
        with gr.Column(scale=16, min_width=320, elem_classes="rg-right"):
            _outcome(actions)
    _wire(actions)


def _problem(a: Actions) -> None:
    """Left: the picture, the degradation with its knobs and mask, noise, and the measurement."""
    examples = a.examples_paths
    with gr.Group():
        a.picture = gr.Image(
            value=str(examples[0]), type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=170,
            label="Picture", elem_id="picture", buttons=[],
        )  # fmt: skip
        a.examples = gr.Gallery(
            [(str(p), p.stem) for p in examples], columns=len(examples), rows=1, height=64, allow_preview=False,
            show_label=False, interactive=False, buttons=[], elem_id="examples", object_fit="cover", label="Examples",
        )  # fmt: skip
        ways = [(controls.fit_name(way), way) for way in fitting.WAYS]
        usual = fitting.usual(priors.multiple_of(a.prior_name) if a.prior_name in priors.bundled() else 0)
        a.fit = gr.Radio(ways, value=usual, label="Fit", elem_id="fit", visible="hidden")
    a.operator = gr.Dropdown(
        [(o.label, o.name) for o in OPERATORS], value="inpaint", label="Degradation", elem_id="operator", filterable=False
    )
    a.mask = components.mask_editor(elem_id="mask")
    a.operators, a.operator_groups = Named("degradation"), {}
    for cls in OPERATORS:
        with controls.group(cls.name, cls is Inpaint) as group:
            a.operators[cls.name] = Controls(cls, controls.draw(cls, cls.name, {}))
        a.operator_groups[cls.name] = group
    with gr.Group():
        sigma_y = controls.one(SETTING["sigma_y"], "sigma-y", 0.0)
        a.given = gr.Checkbox(
            False, label="My picture is already damaged", elem_id="given",
            info="take it as the measurement itself; there is no original",
        )  # fmt: skip
    a.measurement = components.picture_view("measurement")
    a.setting = Controls(Setting, {"sigma_y": sigma_y})


def _sampler(a: Actions) -> None:
    """Middle: the sampler's knobs and the buttons."""
    with gr.Column(elem_classes="rg-bar-of-actions", min_width=0):
        with gr.Row(elem_classes="rg-actions"):
            a.run = gr.Button("Run", variant="primary", elem_id="run", min_width=90, scale=2)
            a.stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=70, scale=1, interactive=False)
        with gr.Row(elem_classes="rg-actions"):
            a.resume = gr.Button("Continue", elem_id="continue", min_width=110, scale=2, interactive=False)
            a.more = gr.Dropdown(
                [(f"+{n} steps", n) for n in (10, 25, 50, 100, 250, 500)], value=50, label="More steps", show_label=False,
                container=False, elem_id="more", min_width=100, scale=1, filterable=False,
            )  # fmt: skip
    zero_gpu.note()
    several = len(SAMPLERS) > 1
    a.sampler = gr.Dropdown(
        [(s.label, s.name) for s in SAMPLERS], value="reddiff", label="Sampler", elem_id="sampler", visible=several or "hidden",
        filterable=False,
    )  # fmt: skip
    a.weights = components.weights_plot("weights")
    a.samplers, a.sampler_groups = Named("sampler"), {}
    for cls in SAMPLERS:
        with controls.group(cls.name, cls is RedDiff) as group:
            wanted = presets.preset(cls.name, "inpaint", "box")
            parts = controls.draw(cls, cls.name, wanted, advanced=False)
            if any(k.advanced for k in knobs.knobs(cls)):
                with gr.Accordion("Advanced", open=False, elem_id=f"advanced-{cls.name}"):
                    parts |= controls.draw(cls, cls.name, wanted, advanced=True)
            a.samplers[cls.name] = Controls(cls, parts)
        a.sampler_groups[cls.name] = group
    with gr.Group():
        seed = controls.seed_box(SETTING["seed"], "seed", 0)
        particles = controls.one(SETTING["particles"], "particles", 1)
    a.setting = Controls(Setting, {**a.setting.parts, "seed": seed, "particles": particles})
    with gr.Accordion("Prior", open=False):
        names = [card.name for card in priors.PRIORS if card.name != "empirical"]
        a.prior = gr.Dropdown(
            names, value=a.prior_name, label="Diffusion model", allow_custom_value=not a.public, elem_id="prior",
            info="bundled, or fetched once from the Hub" + ("" if a.public else "; a folder or another Hub id may be typed in"),
        )  # fmt: skip


def _outcome(a: Actions) -> None:
    """Right: the picture forming, then the result and the filmstrip."""
    a.live = components.live_view("live")
    a.result = components.result_view("result")
    a.film = components.film_strip("film")


def _wire(a: Actions) -> None:
    problem = {a.operator, a.mask, a.given, a.prior, a.fit, *a.setting, *(p for c in a.operators.values() for p in c)}
    solver = {a.sampler, a.more, *(p for c in a.samplers.values() for p in c)}
    everything = problem | solver
    page = [a.mask, a.measurement]
    refitted = [*page, a.fit]
    tuned = [*(part for group in a.samplers.values() for part in group), a.setting.parts["particles"]]

    # the picture
    a.picture.input(a.open_picture, {a.picture, *problem}, [a.picture, *refitted], **SPOKEN)
    a.examples.select(a.open_example, problem, [a.picture, *refitted], **QUIET)
    a.fit.input(a.refit, problem, refitted, trigger_mode="always_last", **QUIET)

    # the degradation: every change shows in the measurement at once
    outputs = [*a.operator_groups.values(), *page, *tuned]
    a.operator.change(a.choose_operator, everything, outputs, trigger_mode="always_last", **QUIET)
    drawn, simulated, kinds = [], [a.setting.parts["sigma_y"], a.setting.parts["seed"]], [a.setting.parts["sigma_y"]]
    for name, group in a.operators.items():
        (drawn if name == Inpaint.name else simulated).extend(group)
        kinds += [part for knob_name, part in group.parts.items() if knob_name == "kind"]
        _show_with(a, group)
    gr.on([part.change for part in kinds], a.retune, everything, tuned, trigger_mode="always_last", **QUIET)
    gr.on([part.change for part in drawn], a.change_mask, problem, page, trigger_mode="always_last", **QUIET)
    gr.on([part.change for part in simulated], a.preview, problem, a.measurement, trigger_mode="always_last", **QUIET)
    a.mask.input(a.painted, problem, [a.operators["inpaint"].parts["kind"], a.measurement], trigger_mode="always_last", **QUIET)
    a.given.change(a.refit, problem, refitted, **QUIET)
    a.prior.change(a.choose_prior, everything, [a.prior, *refitted, a.weights], **SPOKEN | dict(show_progress="minimal"))

    # the sampler: its knobs act on the very next iteration of a run
    a.sampler.change(
        a.choose_sampler, everything, [*a.sampler_groups.values(), a.weights, a.setting.parts["particles"]], **QUIET
    )
    knobs_of_samplers = [part for group in a.samplers.values() for part in group]
    for group in a.samplers.values():
        _show_with(a, group)
    # A run takes what a person moves, not what the page itself writes. A slider's reset button tells of a release alone.
    moved = [part.input for part in knobs_of_samplers]
    moved += [part.release for part in knobs_of_samplers if isinstance(part, gr.Slider)]
    gr.on(moved, a.tune, solver | {a.prior}, a.weights, trigger_mode="always_last", **QUIET)
    # A gr.HTML is left out: it tells of a change at every news of a stream, whether there is one or not.
    weighted = [part.change for part in a.samplers[RedDiff.name] if not isinstance(part, gr.HTML)]
    gr.on(weighted, a.reweigh, solver | {a.prior}, a.weights, trigger_mode="always_last", **QUIET)

    # the run
    outcome = [a.live, a.result, a.film, a.run, a.stop, a.resume]
    a.in_turn = partial(in_turn, a.line, sessions=a.sessions, asked=lambda session: session, refused=a.broke, outputs=outcome)
    told = [*outcome, a.place]
    started = a.run.click(a.get_ready, everything, outcome, **QUIET).then(a.in_turn(a.start), everything, told, **RUNNING)
    went_on = a.resume.click(a.get_ready_again, None, outcome, **QUIET).then(a.in_turn(a.go_on), everything, told, **RUNNING)
    for event in (started, went_on):
        event.failure(a.broke, None, outcome, **QUIET)
    a.outcome, a.over = outcome, (started, went_on)  # for who starts runs from elsewhere, or looks after them
    a.stop.click(a.halt, None, None, **QUIET)


def _show_with(a: Actions, group: Controls) -> None:
    """Knobs that belong to a value of another knob of the group come and go with it."""
    for name in {k.only_with[0] for k in knobs.knobs(group.cls) if k.only_with}:
        part = group.parts[name]
        part.change(a.shower(group, name), part, list(group), **QUIET)
