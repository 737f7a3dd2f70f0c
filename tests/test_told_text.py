"""What a text-to-image model is told in mid-run: on the page, in the run, and in its record."""

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from text_models import make
from tiny import load

from redgui.operators import build as operator
from redgui.priors import GaussianPrior, PriorError
from redgui.priors.names import conditioned, with_texts
from redgui.runs.problem import Problem
from redgui.runs.record import Change, Record
from redgui.runs.run import Run
from redgui.samplers import RedDiff
from redgui.ui import build
from redgui.ui.restore import telling
from redgui.ui.restore.state import Restoring

pytestmark = pytest.mark.usefixtures("forgetful")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("told") / "model"
    make(found)
    return found


def running(name: str, steps: int = 6) -> Run:
    prior = load(name)
    picture = torch.full((1, 3, 32, 32), -1.0)
    picture[..., 8:24, 8:24] = 1.0
    return Run(picture, Problem.simulate(picture, operator("superres:factor=4")), prior, RedDiff(steps=steps, lr=0.1))


def test_a_run_is_told_another_text_and_its_record_tells_it_at_the_same_step(folder):
    name = f"{folder}:prompt=a red cup:guidance=2"
    plain = running(name)
    *_, unchanged = plain.play()
    run = running(name)

    def heard(step) -> None:
        if step.i == 1:
            run.retell(load(with_texts(name, dict(prompt="blur, noise: none", guidance=3.5))))
        if step.i == 3:
            run.tune(RedDiff(steps=6, lr=0.2))
            run.retell(load(with_texts(name, dict(prompt="blur, noise: none", guidance=1.0))))

    run.heard = heard
    list(run.play())
    assert run.changes == [
        Change(1, {"prompt": "blur, noise: none", "guidance": 3.5}), Change(3, {"lr": 0.2, "guidance": 1.0}),
    ]  # fmt: skip
    assert not torch.equal(run.last.x0_hat, unchanged.x0_hat)
    record = Record.from_json(run.record().to_json())
    assert record.settings.prior == name
    *_, last = record.replay(load(name))
    assert record.reproduces(last)
    again = running(name)
    again = Run(again.picture, again.problem, again.prior, again.sampler, replayed=record)
    *_, last = again.play()
    assert record.reproduces(last)
    assert again.changes == run.changes


def test_a_stopped_run_goes_on_with_what_it_is_told_since(folder):
    name = f"{folder}:prompt=a red cup"
    run = running(name)
    run.heard = lambda step: run.stop() if step.i == 2 else None
    list(run.play())
    run.heard = None
    run.retell(load(with_texts(name, dict(prompt=""))))
    run.extend(0)
    list(run.play())
    assert run.changes == [Change(2, {"prompt": ""})]
    *_, last = (record := run.record()).replay(load(name))
    assert record.reproduces(last)


def test_a_prior_that_is_told_nothing_cannot_be_told():
    with pytest.raises(PriorError, match="is no text-to-image model; it is told no guidance"):
        GaussianPrior(size=16).retold({"guidance": 2.0})


def test_texts_in_a_name_take_the_place_of_its_own(folder):
    name = f"{folder}:prompt=a red cup:guidance=2"
    assert with_texts(name, dict(prompt="one, two", guidance=1.0)) == f"{folder}:prompt=one, two"
    assert conditioned(with_texts(name, dict(negative="a: b")))[1].negative == "a: b"
    with pytest.raises(PriorError, match="put a space after it"):
        with_texts(name, dict(prompt="a:guidance=9"))
    with pytest.raises(PriorError, match="guidance lies in 0 to 30"):
        with_texts(name, dict(guidance=31))


def test_the_page_shows_the_texts_of_such_a_model_alone_and_tells_a_run(folder, monkeypatch):
    demo = build(prior="gaussian:size=16", device="cpu")
    layout, form, request = demo.restore.layout, demo.form, SimpleNamespace(session_hash="page")
    told, state = layout.told, demo.host.sessions.of("page").state(Restoring)
    name = f"{folder}:prompt=a red cup:guidance=2"
    assert telling.follow(layout, {form.prior: "gaussian:size=16"})[told.group]["elem_classes"] == ["rg-knobs", "rg-off"]
    shown = telling.follow(layout, {form.prior: name})
    assert shown.pop(told.group)["elem_classes"] == ["rg-knobs"]
    assert {part: shown[told.parts[part]] for part in told.parts} == dict(prompt="a red cup", negative="", guidance=2.0)

    state.played = run = running(name)
    steps = run.play()
    list(islice(steps, 2))
    values = {form.prior: name, told.parts["prompt"]: "a red cup", told.parts["negative"]: "", told.parts["guidance"]: 4.0}
    found = telling.tell(layout, values, request)
    assert found == {form.prior: f"{folder}:prompt=a red cup:guidance=4"}
    assert state.prior == found[form.prior], "the page takes it for no other prior, which would end the run"
    list(steps)
    assert run.changes == [Change(2, {"guidance": 4.0})]

    warned = []
    monkeypatch.setattr(telling.gr, "Warning", lambda message, **_: warned.append(message))
    refused = telling.tell(layout, values | {told.parts["prompt"]: "a:guidance=3"}, request)
    assert refused[form.prior]["__type__"] == "update"
    assert "put a space after it" in warned[0]


def test_on_a_public_host_nobody_tells_the_prior_anything(folder):
    demo = build(prior=f"{folder}:prompt=a red cup", device="cpu", public=True)
    layout = demo.restore.layout
    updates = telling.follow(layout, {demo.form.prior: None})
    assert list(updates) == [layout.told.group]
    assert "rg-off" in updates[layout.told.group]["elem_classes"]
