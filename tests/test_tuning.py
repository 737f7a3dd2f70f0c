"""A run in progress takes the knob that a person moved, and nothing that the page itself has written."""

from types import SimpleNamespace

from test_views import played

from redgui.samplers import RedDiff
from redgui.ui import build


def test_only_what_a_person_moves_tunes_a_run():
    actions = build(prior="gaussian", device="cpu").actions
    session, parts = actions.sessions.of("page"), actions.samplers["reddiff"].parts
    session.run = run = played()
    run.playing = True
    values = {part: part.value for group in actions.samplers.values() for part in group} | {
        actions.sampler: "reddiff",
        actions.prior: "gaussian",
    }
    values |= {part: getattr(run.now, name) for name, part in parts.items()}
    session.retuned = {parts["lr"]: 0.7}
    values |= {parts["lr"]: 0.7, parts["lam"]: 0.5}
    request = SimpleNamespace(session_hash="page")

    actions.tune(values, request, SimpleNamespace(target=parts["lam"]))
    assert run.wanted() == RedDiff(steps=3, lam=0.5), "the page has set lr, a person lam"
    actions.tune(values, request, SimpleNamespace(target=parts["lr"]))
    assert run.wanted() == RedDiff(steps=3, lam=0.5, lr=0.7), "and now lr, to what it stands at"
    actions.tune(values | {parts["lam"]: -3}, request, SimpleNamespace(target=parts["lam"]))
    assert run.wanted() is None
