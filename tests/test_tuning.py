"""A run in progress takes the knob that a person moved, and nothing that the page itself has written."""

from types import SimpleNamespace

from test_views import played

from redgui.samplers import RedDiff
from redgui.ui import build
from redgui.ui.restore.state import Restoring


def test_only_what_a_person_moves_tunes_a_run():
    demo = build(prior="gaussian", device="cpu")
    state, form, editing = demo.host.sessions.of("page").state(Restoring), demo.form, demo.restore.editing
    parts = form.samplers["reddiff"].parts
    state.played = run = played()
    run.playing = True
    values = {part: part.value for part in form.samplers.parts} | {form.sampler: "reddiff", form.prior: "gaussian"}
    values |= {part: getattr(run.now, name) for name, part in parts.items()}
    values |= {editing.noise.sigma_y: 0.0, form.noise: "gaussian"}
    state.retuned = {parts["lr"]: 0.7}
    values |= {parts["lr"]: 0.7, parts["lam"]: 0.5}
    request = SimpleNamespace(session_hash="page")

    editing.tune(values, request, SimpleNamespace(target=parts["lam"]))
    assert run.wanted() == RedDiff(steps=3, lam=0.5), "the page has set lr, a person lam"
    editing.tune(values, request, SimpleNamespace(target=parts["lr"]))
    assert run.wanted() == RedDiff(steps=3, lam=0.5, lr=0.7), "and now lr, to what it stands at"
    editing.tune(values | {parts["lam"]: -3}, request, SimpleNamespace(target=parts["lam"]))
    assert run.wanted() is None
