"""The components of the Restore tab: a picture, a degradation, a sampler, and the picture forming live."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from redgui import fitting, knobs, presets, priors
from redgui.advice import Advice, advice
from redgui.noise import NOISES
from redgui.operators import JPEG, OPERATORS, Blur, Inpaint
from redgui.priors.catalogue import card_of
from redgui.runs import zero_gpu
from redgui.samplers import SAMPLERS, RedDiff
from redgui.ui.host.host import Host
from redgui.ui.parts import components, controls
from redgui.ui.parts.controls import SETTING, Control, Controls, Named, Setting
from redgui.ui.parts.form import Form
from redgui.ui.parts.running_layout import RunningLayout
from redgui.ui.restore import from_file, own_kernel, telling
from redgui.ui.restore.telling import Telling

BEGINNING = ("inpaint", "box", 0.0)  # operator, its kind and sigma_y of a new page


@dataclass(frozen=True, eq=False)
class RestoreLayout(RunningLayout):
    """The components of the tab; `view` shows the picture as it forms, and those of the form are in `form`."""

    form: Form
    examples: gr.Gallery
    taken: gr.HTML
    operator_groups: Mapping[str, gr.Group]
    noise_groups: Mapping[str, gr.Group]
    noise_part: gr.Textbox
    measurement: gr.HTML
    resume: gr.Button
    more: gr.Dropdown
    weights: gr.HTML
    tune: gr.Button
    sampler_groups: Mapping[str, gr.Group]
    advice: gr.HTML
    told: Telling
    result: gr.HTML
    film: gr.HTML

    @property
    def outcome(self) -> list[Any]:
        return [self.view, self.result, self.film, self.run, self.stop, self.resume]

    @property
    def offers(self) -> gr.HTML:
        return self.result

    @property
    def refitted(self) -> list[Any]:
        """The components that follow the picture and how it is fitted."""
        form = self.form
        return [form.mask, form.operators["inpaint"].parts["kind"], self.measurement, form.fit, form.longest, self.taken]

    @property
    def tuned(self) -> list[Control]:
        """The components that follow the degradation, where a person has not chosen otherwise."""
        return [*self.form.samplers.parts, self.form.setting.parts["particles"]]


def lay_out(host: Host) -> RestoreLayout:
    """Lays the tab out inside the block that is open."""
    with gr.Row(equal_height=False, elem_classes="rg-columns"):
        with gr.Column(scale=0, min_width=280, elem_classes="rg-left"):
            run, stop, resume, more = _buttons()
            with gr.Column(elem_classes="rg-source", min_width=0), gr.Group():
                picture, examples, taken, fit, longest = _picture(host)
            with gr.Column(elem_classes="rg-settings", min_width=0):
                with gr.Group():
                    operator = gr.Dropdown(
                        [(o.label, o.name) for o in OPERATORS], value="inpaint", label="Degradation", elem_id="operator",
                        info="what happened to the picture, and is to be undone", filterable=False,
                    )  # fmt: skip
                    given = gr.Checkbox(
                        False, label="My picture is already damaged", elem_id="given",
                        info="take it as the measurement itself; there is no original",
                    )  # fmt: skip
                advised = gr.HTML(advice_text(host.prior_name, advice(host.prior_name)), padding=False, elem_id="advice")
                zero_gpu.note()
                samplers, sampler_groups = _samplers(host.prior_name)
                components.component("mode", "mode", {"container": False, "padding": False})
                with gr.Column(elem_classes="rg-expert", min_width=0):
                    tune = gr.Button("Tune these knobs without the truth", size="sm", elem_id="tune")
                    operators, operator_groups = _operators()
                    with gr.Group():
                        sigma_y = controls.one(SETTING["sigma_y"], "sigma-y", 0.0)
                        noise_part = gr.Textbox(
                            label="Noise in other units", elem_id="sigma-y-part", placeholder="12.75/255", max_lines=1,
                            max_length=40, info="a/b, where the picture spans 0 to b: Enter makes σ_y of it",
                        )  # fmt: skip
                        noise = gr.Dropdown(
                            [(n.label, n.name) for n in NOISES], value=NOISES[0].name, label="Kind of noise", elem_id="noise",
                            info="Gaussian is the same everywhere; cameras, radar and dead pixels differ", filterable=False,
                        )  # fmt: skip
                    noises, noise_groups = _noises()
                    with gr.Group():
                        sampler = gr.Dropdown(
                            [(s.label, s.name) for s in SAMPLERS], value="reddiff", label="Sampler", elem_id="sampler",
                            info="the method that restores", visible=len(SAMPLERS) > 1 or "hidden", filterable=False,
                        )  # fmt: skip
                        seed = controls.seed_box(SETTING["seed"], "seed", 0, label="Seed of the run")
                        particles = controls.one(SETTING["particles"], "particles", 1)
                        prior = _prior(host)
                        exact = gr.Checkbox(
                            False, label="Exact", elem_id="exact", visible=not host.public or "hidden",
                            info="share no network call with other runs: the bits of a run alone, without a record saying how",
                        )  # fmt: skip
                    told = telling.draw()
                    weights = components.weights_plot("weights")
        with gr.Row(equal_height=False, elem_classes="rg-canvas"):
            with gr.Column(min_width=0, elem_classes="rg-stage"):
                components.component("canvasbar", "canvas-bar", {})
                mask = components.mask_editor(elem_id="mask")
                film = components.film_strip("film")
                measurement = components.picture_view("measurement")
            with gr.Column(min_width=0, elem_classes="rg-side"):
                view = components.live_view("live")
                result = components.result_view("result")
    form = Form(
        host, picture=picture, fit=fit, longest=longest, operator=operator, operators=operators, mask=mask, given=given,
        noise=noise, noises=noises, sampler=sampler, samplers=samplers, prior=prior, exact=exact,
        setting=Controls(Setting, {"sigma_y": sigma_y, "seed": seed, "particles": particles}),
    )  # fmt: skip
    return RestoreLayout(
        run, stop, view, form=form, examples=examples, taken=taken, operator_groups=operator_groups,
        noise_groups=noise_groups, noise_part=noise_part, measurement=measurement, resume=resume, more=more, weights=weights,
        tune=tune, sampler_groups=sampler_groups, advice=advised, told=told, result=result, film=film,
    )  # fmt: skip


def advice_text(prior: str, known: Advice) -> str:
    """What the prior is, and what is to be known before Run, as a note; empty where nothing is known."""
    card = card_of(prior)
    if card is None:
        return ""
    warning = f' <b class="rg-warning">{html.escape(known.warning)}</b>' if known.warning else ""
    weight = f"{card.megabytes} MB, {html.escape(card.terms)}" if card.megabytes else "no weights"
    facts = f"<b>{html.escape(card.name)}</b>: pixels {html.escape(card.size)}, {weight}"
    facts += " (gated: accept its terms on the Hub)" if card.gated else ""
    return f'<p class="rg-note">{facts}. Good for {html.escape(known.good_for)}{warning}</p>'


def _picture(host: Host) -> tuple[gr.Image, gr.Gallery, gr.HTML, gr.Radio, gr.Dropdown]:
    """The picture, the examples to choose from, how an own one is taken, and how it is fitted."""
    picture = gr.Image(
        value=str(host.examples[0]), type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], height=132,
        label="Picture", elem_id="picture", buttons=[],
    )  # fmt: skip
    examples = gr.Gallery(
        [(str(p), p.stem) for p in host.examples], columns=len(host.examples), rows=1, height=52, allow_preview=False,
        show_label=False, interactive=False, buttons=[], elem_id="examples", object_fit="cover", label="Examples",
    )  # fmt: skip
    ways = [(controls.fit_name(way), way) for way in fitting.WAYS]
    usual = fitting.usual(priors.multiple_of(host.prior_name) if host.prior_name in priors.bundled() else 0)
    taken = components.picture_ways("taken")
    fit = gr.Radio(ways, value=usual, label="Fit", elem_id="fit", visible="hidden")
    longest = gr.Dropdown(
        [("its own", 0)], value=0, label="Longest side", elem_id="longest", visible="hidden", filterable=False,
        info="of the picture that is worked on; less is quicker",
    )  # fmt: skip
    return picture, examples, taken, fit, longest


def _operators() -> tuple[Named, dict[str, gr.Group]]:
    """The knobs of all degradations, each in a group of its own."""
    operators, groups = Named("degradation"), {}
    for cls in OPERATORS:
        with controls.group(cls.name, cls is Inpaint) as groups[cls.name]:
            parts = controls.draw(cls, cls.name, {})
            more = {Blur: own_kernel.draw, JPEG: from_file.draw}.get(cls)
            operators[cls.name] = Controls(cls, parts | more(parts) if more else parts)
    return operators, groups


def _noises() -> tuple[Named, dict[str, gr.Group]]:
    """The knobs of all models of noise, each in a group of its own."""
    noises, groups = Named("noise"), {}
    for cls in NOISES:
        with controls.group(cls.name, False) as groups[cls.name]:
            noises[cls.name] = Controls(cls, controls.draw(cls, cls.name, {}))
    return noises, groups


def _buttons() -> tuple[gr.Button, gr.Button, gr.Button, gr.Dropdown]:
    """Run, Stop, Continue, and how many steps more."""
    with gr.Column(elem_classes="rg-bar-of-actions", min_width=0):
        with gr.Row(elem_classes="rg-actions"):
            run = gr.Button("Run", variant="primary", elem_id="run", min_width=90, scale=2)
            stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=70, scale=1, interactive=False)
        with gr.Row(elem_classes="rg-actions"):
            resume = gr.Button("Continue", elem_id="continue", min_width=110, scale=2, interactive=False)
            more = gr.Dropdown(
                [(f"+{n} steps", n) for n in (10, 25, 50, 100, 250, 500)], value=50, label="More steps", show_label=False,
                container=False, elem_id="more", min_width=100, scale=1, filterable=False,
            )  # fmt: skip
    return run, stop, resume, more


def _samplers(prior: str) -> tuple[Named, dict[str, gr.Group]]:
    """The knobs of all samplers, each in a group of its own, at their presets for what the page begins with."""
    samplers, groups = Named("sampler"), {}
    for cls in SAMPLERS:
        with controls.group(cls.name, cls is RedDiff) as groups[cls.name]:
            tuned = presets.preset(cls.name, *BEGINNING, prior)
            parts = controls.draw(cls, cls.name, tuned, advanced=False)
            if any(k.advanced for k in knobs.knobs(cls)):
                with gr.Accordion("Advanced", open=False, elem_id=f"advanced-{cls.name}"):
                    parts |= controls.draw(cls, cls.name, tuned, advanced=True)
            samplers[cls.name] = Controls(cls, parts)
    return samplers, groups


def _prior(host: Host) -> gr.Dropdown:
    names = [card.name for card in priors.PRIORS if card.name != "empirical"]
    return gr.Dropdown(
        names, value=host.prior_name, label="Prior", allow_custom_value=not host.public, elem_id="prior",
        info="the diffusion model, which knows what pictures look like"
        + ("" if host.public else "; another folder or Hub id may be typed in"),
    )  # fmt: skip
