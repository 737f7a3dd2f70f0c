"""The form of the Restore tab: what its controls are set to say is what they are read as. Its components are names here."""

import dataclasses
import time

import numpy as np
import pytest
from PIL import Image

from redgui import knobs, presets, windows
from redgui.knobs import KnobError
from redgui.noise import NOISES
from redgui.operators import OPERATORS, Inpaint, build
from redgui.runs.settings import Settings
from redgui.samplers import SAMPLERS, RedDiff, Sampler
from redgui.ui.host import sessions as host_sessions
from redgui.ui.host.host import Host
from redgui.ui.host.sessions import Playing, Session, Sessions
from redgui.ui.parts import components
from redgui.ui.parts.controls import Controls, Named, Setting
from redgui.ui.parts.form import Form


def named(what: str, classes) -> Named:
    found = Named(what)
    for cls in classes:
        found[cls.name] = Controls(cls, {k.name: f"{cls.name}-{k.name}" for k in knobs.knobs(cls) if k.shown})
    return found


@pytest.fixture(scope="module")
def form() -> Form:
    setting = Controls(Setting, {k.name: k.name for k in knobs.knobs(Setting)})
    names = ("picture", "fit", "longest", "operator", "mask", "given", "noise", "sampler", "prior", "exact")
    parts = {"operators": OPERATORS, "samplers": SAMPLERS, "noises": NOISES}
    parts = {name: named(name.removesuffix("s"), classes) for name, classes in parts.items()}
    return Form(Host("gaussian:size=16", "cpu"), setting=setting, **parts, **{name: name for name in names})


@pytest.mark.parametrize("operator", ["inpaint:kind=half", "superres:factor=2", "blur:size=5", "jpeg"])
@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
def test_what_the_controls_show_is_what_they_are_read_as(form: Form, operator: str, cls: type[Sampler]):
    H = build(operator)
    sampler = presets.sampler_for(cls.name, H, 0.1)
    settings = Settings(H=H, sampler=sampler, sigma_y=0.1, seed=7, particles=3, given=True, prior="gaussian:size=24", fit="pad")
    values = form.show(settings)
    assert form.build_operator(values, 16, 16) == H
    assert form.build_sampler(values) == sampler
    assert knobs.values(form.build_setting(values)) == {"sigma_y": 0.1, "seed": 7, "particles": 3}
    assert (values[form.given], values[form.prior], values[form.fit]) == (True, "gaussian:size=24", "pad")
    assert set(values) <= form.inputs
    alone = form.show(sampler)
    assert alone.items() <= values.items()
    assert set(alone) == {form.sampler, *form.samplers[cls.name]} <= form.sampler_inputs


@pytest.mark.parametrize("spec", ["gaussian", "poisson:photons=45", "speckle:looks=4", "outliers:share=0.05,loss=huber"])
def test_the_noise_that_the_controls_show_is_the_noise_that_they_are_read_as(form: Form, spec: str):
    values = form.show(Settings(H=Inpaint(), sampler=RedDiff(), noise=spec))
    assert knobs.spec(form.build_noise(values)) == spec


def test_of_a_large_picture_the_page_too_works_on_the_part_with_the_holes(form: Form, monkeypatch):
    form = dataclasses.replace(form, host=Host("photos", "cpu"))
    monkeypatch.setattr(windows, "SHOWN", 300 * 300)
    hole = np.zeros((304, 408), bool)
    hole[150:160, 200:230] = True
    settings = Settings(H=build("inpaint"), sampler=RedDiff(), prior="photos", fit="native")
    painted = {form.operators["inpaint"].parts["kind"]: "mask", form.mask: components.mask_value(None, hole, 0)}
    session = Session()
    session.source = Image.new("RGB", (408, 304), "teal")
    posed = form.build_problem(session, form.show(settings) | painted)
    assert posed.picture.shape[-1] < 200
    assert posed.fitting.working.endswith("a part of 408x304")
    noisy = dataclasses.replace(settings, sigma_y=0.1)
    assert form.build_problem(session, form.show(noisy) | painted).picture.shape[-2:] == (304, 408)


def test_what_the_controls_cannot_show_says_so(form: Form):
    with pytest.raises(KnobError, match="sigma_y lies in 0 to 1"):
        form.show(Settings(H=Inpaint(), sampler=RedDiff(), sigma_y=1.5))
    with pytest.raises(KnobError, match="there is no sampler 'none'"):
        form.samplers["none"]


def test_the_presets_of_all_samplers_are_told_at_once(form: Form):
    tuned = form.tuned("blur", None, 0.1, "photos")
    assert set(tuned) == set(form.samplers.parts)
    for cls in SAMPLERS:
        sampler = form.samplers[cls.name].build(tuned)
        assert sampler == dataclasses.replace(cls(), **presets.preset(cls.name, "blur", None, 0.1, "photos"))


def test_a_page_that_comes_back_in_time_is_what_it_was_and_nobody_else_gets_it(monkeypatch):
    class Played:
        playing, progress, stopped = True, 0.5, False

        def stop(self):
            self.stopped = True

    monkeypatch.setattr(host_sessions, "RELOAD_SECONDS", 0.3)
    sessions = Sessions()
    session = sessions.of("page")
    state = session.state(Playing)
    state.played = Played()
    assert sessions.reopen("page", "thief") is None  # it is open
    sessions.close("page")
    assert state.interrupted
    assert state.played.stopped
    assert sessions.reopen("pages", "again") is None
    assert sessions.reopen("page", None) is None
    assert sessions.reopen("page", "again") is session
    assert sessions.of("again") is session
    assert not session.gone
    sessions.close("again")
    time.sleep(0.6)
    assert sessions.reopen("again", "late") is None
    sessions.of("idle").state(Playing)
    sessions.close("idle")  # with nothing to come back to
    assert sessions.reopen("idle", "again") is None


def test_a_tabs_state_is_made_on_first_use_and_stops_with_its_page():
    class Other:
        """The state of a tab that plays nothing."""

    session, sessions = Session(), Sessions()
    state = session.state(Playing)
    assert session.state(Playing) is state
    assert isinstance(session.state(Other), Other)
    assert session.players == [state]
    kept = sessions.of("page").state(Playing)
    sessions.drop("page")
    assert kept.stop_wanted
    assert sessions.of("page").states == {}
