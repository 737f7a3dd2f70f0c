"""What a run shows on the page: every scalar of its Steps, one mark for one movement of a hand, and what is given back."""

import base64
import json

import pytest
import racing
import sweeping
import torch

from redgui import images, knobs
from redgui.operators import Inpaint, build
from redgui.priors import GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.race import Race
from redgui.runs.record import Change
from redgui.runs.run import Run
from redgui.samplers import SAMPLERS
from redgui.ui.compare.board import Scoreboard
from redgui.ui.particles.board import ParticleBoard
from redgui.ui.parts import views
from redgui.ui.sweep.board import SweepBoard

SPOKEN = {"reddiff": "weight", "rsd": "repulsion", "daps": "spread", "vml-map": "share", "diffpir": "rho", "sitcom": "inner"}


def played(sampler: str = "reddiff", steps: int = 3) -> Run:
    prior = GaussianPrior(size=16)
    picture = images.to_tensor(images.to_pil(prior.sample(1, torch.Generator().manual_seed(3))))
    cls = knobs.find(SAMPLERS, sampler, "sampler")
    run = Run(picture, Problem.simulate(picture, build("inpaint"), 0.1, seed=2), prior, cls(steps=steps), particles=2)
    list(run.play())
    return run


@pytest.mark.parametrize(("sampler", "scalar"), SPOKEN.items())
def test_what_a_sampler_says_of_its_steps_reaches_the_live_view(sampler, scalar):
    run = played(sampler)
    series = json.loads(views.live(run, 1, "done")["series"])
    assert series["i"] == [1, 2, 3]
    assert all(isinstance(value, int | float) for value in series[scalar])
    assert series[scalar][-1] == pytest.approx(
        float(torch.as_tensor(run.last.scalars[scalar], dtype=torch.float64).mean()), rel=1e-4
    )


def test_a_scalar_that_comes_later_has_no_value_before():
    run = played()
    run.rows[2]["late"] = 4.0
    assert run.series["late"] == [None, None, 4.0]


def test_one_drag_is_one_mark():
    run = played(steps=9)
    run.changes = [
        Change(0, {"lr": 0.1}),
        Change(1, {"lr": 0.2}),
        Change(2, {"lr": 0.4}),
        Change(4, {"lam": 0.5}),
        Change(6, {"lam": 0.7}),
    ]
    for row, at in zip(run.rows, (0, 1.9, 3.7, 4, 4.1, 4.2, 9, 9.1, 9.2), strict=True):
        row["at"] = at
    assert views.live(run, 1, "done")["marks"] == [
        {"i": 1, "text": "lr 0.1 → 0.4"}, {"i": 5, "text": "λ 0.5"}, {"i": 7, "text": "λ 0.7"},
    ]  # fmt: skip


def frames(tab: str) -> list[str]:
    """The pictures of a run without noise at its end, as a tab shows them."""
    if tab == "compare":
        race = Race([racing.contestant(f"{name}:steps=3", sigma_y=0.0) for name in ("reddiff", "dps")])
        list(race.play())
        return list(Scoreboard(race, 1).value("done")["frames"].values())
    if tab == "sweep":
        return list(SweepBoard(sweeping.played(sweeping.sweep(sigma_y=0.0)), 1).value("done")["frames"].values())
    run = Run(racing.PICTURE, racing.problem(0.0), racing.PRIOR, SAMPLERS[0](steps=3), particles=2)
    list(run.play())
    if tab == "particles":
        shown = ParticleBoard(run, 1).value("done")["frames"]
        return [shown[key] for key in ("mean", "p0", "p1")]
    shown = views.result(run, 1)
    assert shown is not None
    return [shown["after"]["src"], *(entry["src"] for entry in shown["gallery"] if entry["name"] != "spread (std)")]


@pytest.mark.parametrize("tab", ["restore", "compare", "sweep", "particles"])
def test_every_tab_shows_the_measured_pixels_exactly_at_the_end(tab):
    kept = Inpaint().keep(16, 16)
    for frame in frames(tab):
        found = images.to_tensor(images.read(base64.b64decode(frame.partition(",")[2])))
        torch.testing.assert_close(found[..., kept], racing.PICTURE[..., kept], atol=0, rtol=0)
        assert not torch.equal(found[..., ~kept], racing.PICTURE[..., ~kept])
