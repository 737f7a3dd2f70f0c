"""Every way of running on a pretend GPU (`pretend`): nothing meets a tensor of another device, and little travels."""

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from accelerate import PartialState
from on_device import ALPHA_BAR, SIDE, network, picture
from PIL import Image
from pretend import pretend
from test_latent import make as make_latent

from redgui import api, bench, devices, fitting, images, knobs, operators, priors
from redgui.operators import OPERATORS, OperatorError
from redgui.priors import Counted
from redgui.priors.network import DiffusersPrior
from redgui.priors.parametrisation import Discrete
from redgui.runs import remote
from redgui.runs.divergence import Diverged
from redgui.runs.engine import Engine
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.samplers import DPS, SAMPLERS, RedDiff
from redgui.train import measure
from redgui.train import state as state_of_training
from redgui.train.loop import train
from redgui.train.objective import Objective, drawn, shares, tensor, timesteps
from redgui.ui.compare.board import Scoreboard
from redgui.ui.particles.board import ParticleBoard
from redgui.ui.sweep.board import SweepBoard


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save(folder, tiny.unet(sample_size=SIDE))
    return folder


def short(cls: type) -> object:
    """A sampler of two steps, with as little within a step as may be."""
    few = dict(steps=2, inner=2, ode_steps=1, langevin_steps=2, travel=1, repeats=1, jump=1)
    return knobs.build(cls, {k.name: few[k.name] for k in knobs.knobs(cls) if k.kind is int and k.name in few})


# ---- every sampler on every operator

SPECS = [
    "denoise", *(f"inpaint:kind={kind}" for kind in ("box", "half", "outpaint", "random", "stripes", "freeform", "text")),
    "superres:factor=2", "superres:factor=4,kernel=bicubic", "superres:factor=2,kernel=bicubic,border=valid",
    *(f"blur:size=5,kind={kind}" for kind in ("gaussian", "uniform", "anisotropic", "motion", "disc")),
    "blur:size=5,border=valid", "blur:size=5,border=wrap", "blur:kind=blind,size=5", "colorize", "colorize:weights=luma", "hdr",
    "phase", "phase:convention=signed", *(f"nonlinear-blur:size=5,kind={kind}" for kind in ("motion", "disc", "gaussian")),
    "jpeg", "jpeg:subsampling=444", "quantize", "compressed-sensing", "compressed-sensing:signs=none",
    *(f"fourier:pattern={pattern}" for pattern in ("cartesian", "radial", "random")),
    "compose:of=blur(size=5;border=wrap)>superres(factor=2)",
]  # fmt: skip


def test_every_operator_is_among_those_that_are_run():
    assert {spec.partition(":")[0] for spec in SPECS} == {cls.name for cls in OPERATORS}


def on_a_device(prior: DiffusersPrior, spec: str, samplers: tuple[type, ...] = SAMPLERS) -> int:
    """Plays every sampler that fits on a simulated measurement, and where that can be on a given one; how many runs."""
    how = fitting.plan((SIDE, SIDE), (SIDE, SIDE), "crop")
    read = [Settings.read(dict(operator=spec, sigma_y=0.05, given=given)).fitted(how) for given in (False, True)]
    problems = [read[0].problem(picture())]
    with contextlib.suppress(OperatorError):  # what is no picture cannot be given
        problems.append(read[1].problem(picture()))
    count = 0
    for problem in problems:
        for cls in samplers:
            sampler = short(cls)
            if not sampler.fits(problem.likelihood):
                continue
            counted = Counted(prior)
            particles = 2 if cls is RedDiff else 1
            with contextlib.suppress(Diverged):  # the network's weights are random
                for step in measured(solve(problem, counted, sampler, particles), problem, counted):
                    assert step.x0_hat.device.type == prior.device.type, cls.name
            count += counted.forwards > 0
    return count


@pytest.mark.parametrize("spec", SPECS)
def test_every_sampler_runs_on_cuda_with_every_operator(spec):
    with pretend():
        assert on_a_device(network("cuda"), spec) >= 5


@pytest.mark.parametrize("noise", ["poisson:photons=30", "speckle:looks=16", "outliers"])
@pytest.mark.parametrize("spec", ["denoise", "blur:size=5"])
def test_every_model_of_noise(kind, noise, spec):
    prior, settings = network(kind), Settings.read(dict(operator=spec, sigma_y=0.05, noise=noise))
    problem = settings.problem(picture())
    for sampler in (RedDiff(steps=2), DPS(steps=2)):
        assert [*measured(solve(problem, prior, sampler), problem)][-1].x0_hat.device.type == prior.device.type


@pytest.mark.parametrize("spec", ["inpaint", "fourier:pattern=radial", SPECS[-1], "jpeg"])
def test_where_there_is_no_float64_the_network_alone_is_on_the_device(spec):
    with pretend("mps") as traffic:
        prior = network("mps")
        assert (prior.device.type, prior.network_device.type) == ("cpu", "mps")
        assert on_a_device(prior, spec) >= 5
        assert traffic["h2d"] > 0


# ---- every way of running


def test_a_command_from_the_picture_to_the_files_and_its_replay(kind, folder, tmp_path):
    result = api.restore(images.to_pil(picture()), prior=str(folder), sampler="reddiff:steps=4", particles=2, sigma_y=0.05)
    assert result.figures["device"] == kind
    result.save(tmp_path)
    again, same = api.replay(tmp_path / "record.json")
    assert same
    assert again.figures["psnr"] == result.figures["psnr"]


def test_a_photo_larger_than_the_network_was_trained_on(kind, folder):
    photo = torch.nn.functional.interpolate(picture(), (72, 64))
    said = dict(fit="native", operator="superres:factor=2", sampler="ddrm:steps=2")
    result = api.restore(images.to_pil(photo), prior=str(folder), **said)
    assert (result.figures["size"], result.figures["device"]) == ("64x72", kind)


def test_runs_races_and_sweeps_that_an_engine_plays_together(kind, folder):
    prior = priors.load(str(folder))
    problem = Problem.simulate(picture(), operators.build("inpaint"), 0.05)
    run = Run(picture(), problem, prior, RedDiff(steps=4), particles=2)
    race = Race([Contestant(cls.name, cls.label, Run(picture(), problem, prior, short(cls))) for cls in (RedDiff, DPS)])
    grid = Grid(RedDiff(steps=2), axis(RedDiff, "lr", "0.03, 0.1"), axis(RedDiff, "lam", "0.1"))
    sweep = Sweep(picture(), problem, prior, grid)
    playing, jobs = Engine(together=4), [*run.jobs(), *race.jobs(), *sweep.jobs()]
    for job in jobs:
        playing.play(job)
    for job in jobs:
        assert job.over.wait(60)
        assert job.error is None
    assert Scoreboard(race, 1).value("done")["order"]
    assert SweepBoard(sweep, 1).value("done")["cells"]
    assert ParticleBoard(run, 1).value("done")
    record = Record.from_json(run.record().to_json())
    assert record.settings.device == kind
    assert record.reproduces(list(record.replay(prior))[-1])


def test_a_lent_worker_sends_what_a_process_without_the_device_can_read(kind, folder):
    run = Run(picture(), Problem.simulate(picture(), operators.build("inpaint")), priors.load(str(folder)), RedDiff(steps=4))
    states = [*remote.PlayJob(pickle.dumps(run), 1.0, 60.0).news(lambda: None)]
    state = pickle.loads(pickle.dumps(states[-1]))
    assert (state["device"], state["last"].i, state["last"].x0_hat.device.type) == (kind, 3, "cpu")


def test_a_benchmark(kind, folder, tmp_path):
    shown = [bench.Picture("one", picture())]
    prior = priors.load(str(folder))
    rows = bench.bench(shown, prior, ["inpaint", "blur:size=5"], ["reddiff:steps=2", "ddrm:steps=2"], out=tmp_path)
    assert len(rows) == 4
    assert {row["device"] for row in rows} == {kind}
    assert not any("error" in row for row in rows)


@pytest.mark.parametrize("weighting", ["plain", "min-snr", "even"])
def test_a_step_of_training_and_the_losses_of_held_out_pictures(kind, weighting):
    where = torch.device(kind)
    net = tiny.unet(sample_size=SIDE).train().to(where)
    aim = Objective(Discrete(ALPHA_BAR, "v_prediction"), weighting)
    average = state_of_training.Average(net, 0.9)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    pixels = (torch.rand(4, SIDE, SIDE, 3) * 255).to(torch.uint8).numpy()
    generator = drawn(0, 0, 0, devices.home(where))
    t = timesteps(4, shares(ALPHA_BAR, 0.5), generator).to(where)
    noise = torch.randn((4, 3, SIDE, SIDE), generator=generator, device=generator.device).to(where)
    before = float(aim.losses(net, tensor(pixels, where), t, noise).detach().mean())
    for _ in range(3):
        loss = aim.losses(net, tensor(pixels, where), t, noise).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(net, 1)
    assert float(loss.detach()) < before
    assert len(measure.losses(net, aim, pixels, where, False)) == measure.LEVELS


def test_training_from_pictures_to_a_prior_and_on_from_its_checkpoint(kind, tmp_path, monkeypatch):
    for k in range(10):
        folder = tmp_path / "pictures" / ("val" if k < 2 else "train")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.random.default_rng(k).random((SIDE, SIDE, 3)) * 255).astype(np.uint8)).save(folder / f"{k}.png")
    small = dict(channels="8,16", size=SIDE, attention="none", batch=4, warmup=1, heldout_pictures=2, with_report=False)
    monkeypatch.setattr(PartialState, "_shared_state", {})  # accelerate knows one device for a process
    data, out = [str(tmp_path / "pictures")], str(tmp_path / "out")
    first = train(data, out, device=kind, steps=2, **small)
    assert (torch.device(first["device"]).type, first["precision"]) == (kind, "bf16" if kind == "cuda" else "fp32")
    assert train(data, out, device=kind, steps=3, resume=True, with_report=False)["steps"] == 3
    assert priors.load(out).network_device.type == kind


def test_closed_form_and_latent_priors(kind, tmp_path):
    empirical = priors.load("empirical:size=16")
    assert empirical.denoise(picture().to(empirical.device), 0.5).device.type == empirical.device.type
    latent = priors.load(str(make_latent(tmp_path)))
    x = torch.zeros(1, *latent.shape, device=latent.device)
    assert latent.decode(latent.denoise(x, 0.5)).device.type == latent.device.type
    assert latent.encode(torch.zeros(1, *latent.picture_shape, device=latent.device)).device.type == latent.device.type
