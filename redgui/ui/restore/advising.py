"""What is to be known before Run: what the prior is good for, and whether the hole is too wide for it."""

from contextlib import suppress
from typing import Any

import gradio as gr

from redgui.advice import advice
from redgui.errors import RedguiError
from redgui.operators import Inpaint
from redgui.ui.parts.wiring import LATEST, Updates, Values
from redgui.ui.restore.layout import RestoreLayout, advice_text


def wire(layout: RestoreLayout) -> None:
    """Has the note follow the prior, the degradation, the picture and the mask."""
    form = layout.form

    def advise(values: Values, request: gr.Request) -> Updates:
        session, known = form.host.sessions.of(request.session_hash), advice(str(values[form.prior]))
        with suppress(RedguiError):  # what is wrong stands where the measurement does
            fitted = form.fitted(session, values)
            H = form.build_operator(values, *fitted.size)
            known = advice(str(values[form.prior]), H, *form.fitted(session, values, H).solved)
        return {layout.advice: advice_text(str(values[form.prior]), known)}

    changed, by_hand = (form.prior, form.operator, form.given), (form.picture, form.fit, form.mask)
    asked = [*(part.change for part in changed), *(part.input for part in by_hand)]
    asked += [part.change for part in form.operators[Inpaint.name]]
    inputs: Any = form.problem_inputs
    gr.on(asked, advise, inputs, layout.advice, **LATEST)
