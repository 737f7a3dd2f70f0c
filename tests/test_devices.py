"""Every way of running on a pretend GPU (`pretend`): nothing meets a tensor of another device, and little travels."""

import contextlib
import dataclasses
import logging
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from accelerate import PartialState
from PIL import Image
from pretend import CAPTURE, MixedDevices, Pretend, current_stream, pretend
from test_latent import make as make_latent
from torch import Tensor

from redgui import api, bench, devices, fitting, images, knobs, operators, priors
from redgui.devices import DeviceError, device_of, has_bf16, precision_of
from redgui.errors import out_of_memory
from redgui.operators import OPERATORS, OperatorError
from redgui.priors import Counted
from redgui.priors import graphs as module
from redgui.priors.forward import Forward
from redgui.priors.graphs import Graphs
from redgui.priors.network import DiffusersPrior
from redgui.priors.parametrisation import Discrete
from redgui.runs import remote
from redgui.runs.divergence import Diverged
from redgui.runs.engine import Engine
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.rounds import played
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.samplers import DPS, SAMPLERS, RedDiff
from redgui.schedule import linear_beta
from redgui.train import measure
from redgui.train import state as state_of_training
from redgui.train.loop import train
from redgui.train.objective import Objective, drawn, shares, tensor, timesteps
from redgui.ui.compare.board import Scoreboard
from redgui.ui.particles.board import ParticleBoard
from redgui.ui.sweep.board import SweepBoard

ALPHA_BAR = 1 / (1 + linear_beta() ** 2)
SIDE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save(folder, tiny.unet(sample_size=SIDE))
    return folder


@pytest.fixture(params=["cuda", "mps"])
def kind(request) -> Iterator[str]:
    """A machine with a device of a kind; nothing that was loaded for another is left."""
    priors._load.cache_clear()
    devices.agrees.cache_clear()
    with pretend(request.param):
        yield request.param
    priors._load.cache_clear()
    devices.agrees.cache_clear()


def picture(n: int = 1) -> Tensor:
    x = torch.linspace(-0.9, 0.8, 3 * SIDE * SIDE).view(1, 3, SIDE, SIDE)
    return images.to_tensor(images.to_pil(x.sin())).expand(n, -1, -1, -1).contiguous()


def network(kind: str, **options) -> DiffusersPrior:
    return DiffusersPrior(tiny.unet(sample_size=SIDE), ALPHA_BAR, "epsilon", (3, SIDE, SIDE), device=kind, **options)


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


# ---- what the pretend device catches


def planted() -> dict[str, tuple[str, object]]:
    """Mistakes, by what they are: the kind of device, and the mistake as a function of a tensor of it (3,)."""
    return {
        "a tensor of the CPU in an operation": ("cuda", lambda v: v + torch.ones(3)),
        "a tensor of the CPU in a matrix product": ("cuda", lambda v: torch.ones(2, 3) @ v),
        "a tensor of the CPU that is written into": ("cuda", lambda v: torch.zeros(3).add_(v)),
        "a tensor of the CPU among those that are put together": ("cuda", lambda v: torch.cat([v, torch.ones(3)])),
        "a mask of the device for a tensor of the CPU": ("cuda", lambda v: torch.ones(3)[v > 0]),
        "an array of it": ("cuda", lambda v: np.asarray(v)),
        "numpy of it": ("cuda", lambda v: v.numpy()),
        "a generator of the CPU for numbers of the device": (
            "cuda", lambda v: torch.randn(3, generator=torch.Generator(), device="cuda")),
        "a pickle of it": ("cuda", lambda v: pickle.dumps(v)),
        "a weight that was left on the CPU": ("cuda", lambda v: torch.nn.Linear(3, 2)(v)),
        "float64": ("mps", lambda v: v.double()),
        "float64 before it is brought to the CPU": ("mps", lambda v: v.double().cpu()),
        "a constant of float64": ("mps", lambda v: v * torch.linspace(0, 1, 3, dtype=torch.float64, device="mps")),
        "float64 that is copied there": ("mps", lambda v: torch.ones(3, dtype=torch.float64).to("mps")),
        "complex numbers": ("mps", lambda v: torch.fft.fft(v)),
    }  # fmt: skip


@pytest.mark.parametrize("what", planted())
def test_a_mistake_that_is_planted_raises(what):
    kind, mistake = planted()[what]
    with pretend(kind):
        v = torch.ones(3, device=kind)
        with pytest.raises((MixedDevices, TypeError, RuntimeError)):
            mistake(v)  # pyright: ignore


def test_what_a_device_does_is_no_mistake():
    with pretend():
        v = torch.ones(3, device="cuda")
        assert float((v * torch.tensor(2.0) + 1).sum()) == 9  # a number of the CPU goes along
        assert v[torch.tensor([0, 2])].shape == (2,)
        assert v.double().cpu().tolist() == [1, 1, 1]
        assert isinstance(torch.zeros_like(v), Pretend)
    with pretend("mps"):
        assert torch.ones(3, device="mps").cpu().double().dtype == torch.float64
        assert torch.ones(3, dtype=torch.float64).to("mps", torch.float32).dtype == torch.float32


# ---- what travels


@pytest.mark.parametrize("truth", [True, False])
def test_an_iteration_of_reddiff_brings_its_noise_and_waits_once(truth):
    with pretend() as traffic:
        H = operators.build("inpaint")
        problem = Problem.simulate(picture(), H, 0.05)
        problem = problem if truth else dataclasses.replace(problem, x_true=None)
        run = Run(picture(), problem, network("cuda"), RedDiff(steps=12), filmed=False)
        counts = []
        for _ in run.play():
            counts.append((traffic["h2d"], traffic["waits"]))
            traffic.clear()
        assert set(counts[4:]) == {(1, 1)}  # before there are the measurement, and a graph


# ---- CUDA graphs


class Net(torch.nn.Module):
    """A network of one operation; `fault` is raised by calls of more than `most` pictures while a graph is held."""

    def __init__(self, fault: Exception | None = None, most: int = 99):
        super().__init__()
        self.fault, self.most, self.graphs, self.sizes = fault, most, None, []

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None, return_dict: bool = True) -> tuple[Tensor]:
        self.sizes.append(len(x))
        if self.fault and len(x) > self.most and self.graphs is not None and self.graphs.captured:
            raise self.fault
        return (torch.tanh(x) * (1 + t[:, None, None, None]),)


def asked(graphs: Graphs, value: float = 0.5, n: int = 1) -> Tensor:
    return graphs(torch.full((n, 3, 8, 8), value, device="cuda"), torch.zeros(n, device="cuda"), None)


def test_a_graph_answers_what_the_network_does():
    with pretend() as traffic:
        graphs = Graphs(Net())
        for k in range(8):
            assert torch.equal(asked(graphs, k / 8).cpu(), torch.full((1, 3, 8, 8), k / 8).tanh())
        assert (traffic["captures"], traffic["replays"]) == (1, 7)  # the first is compared with the eager call


@pytest.mark.parametrize("shapes", [5, 6, 9])
def test_shapes_that_come_in_turn_are_captured_once_and_one_that_stays_away_makes_room(shapes):
    with pretend() as traffic:
        graphs = Graphs(Net())
        for k in range(20 * shapes):
            asked(graphs, n=1 + k % shapes)
        assert traffic["captures"] == module.GRAPHS
        for _ in range(module.IDLE + module.EAGER_FIRST + 1):
            asked(graphs, n=40)
        assert traffic["captures"] == module.GRAPHS + 1
        assert set(graphs.used) == set(graphs.captured) <= set(graphs.calls)


def test_the_counts_of_shapes_have_an_end():
    with pretend():
        graphs = Graphs(Net())
        for n in range(1, 2 * module.COUNTED):
            asked(graphs, n=n)
        assert len(graphs.calls) <= module.COUNTED


def test_numbers_that_are_not_finite_turn_no_graphs_off(caplog):
    with pretend() as traffic:
        graphs = Graphs(Net())
        for value in (0.1, 0.2, float("nan"), 0.3, 0.4, 0.5, 0.6):
            asked(graphs, value)
        assert traffic["captures"] == 1
        assert not caplog.records


@pytest.mark.parametrize("where", ["begin", "within"])
def test_a_capture_that_fails_is_told_once_tried_no_more_and_leaves_its_threads_stream(caplog, where):
    class Reads(Net):
        def forward(self, x: Tensor, *rest, **named) -> tuple[Tensor]:
            return super().forward(x * float(x.mean() >= -9), *rest, **named)

    with pretend(fail_capture=where == "begin") as traffic:
        graphs = Graphs(Net() if where == "begin" else Reads())
        before = current_stream()
        for n in (1, 2) * 6:
            asked(graphs, n=n)
        assert current_stream() is before is not CAPTURE
        assert traffic["captures"] <= 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_two_networks_are_captured_one_after_the_other():
    class Slow(Net):
        def forward(self, *given, **named) -> tuple[Tensor]:
            time.sleep(0.05)
            return super().forward(*given, **named)

    with pretend() as traffic:
        both = [Graphs(Slow()), Graphs(Slow())]
        threads = [threading.Thread(target=lambda g=g: [asked(g) for _ in range(module.EAGER_FIRST + 1)]) for g in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert traffic["captures"] == 2
        assert [(len(graphs.captured), graphs.off) for graphs in both] == [(1, False)] * 2


def test_memory_that_graphs_hold_is_given_back_before_a_batch_is_halved(caplog):
    net = Net(torch.OutOfMemoryError("CUDA out of memory."), most=1)
    with pretend():
        forward = Forward(net, torch.device("cuda"))
        net.graphs = forward.graphs
        call = lambda n: forward(torch.ones(n, 3, 8, 8, device="cuda"), torch.zeros(n, device="cuda"))  # noqa: E731
        with torch.no_grad():
            for _ in range(4):
                call(1)
            assert forward.graphs.captured
            net.sizes.clear()
            assert call(6).shape[0] == 6
        assert (net.sizes, forward.most) == ([6, 6], {})  # asked again whole, and it fits
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        with torch.no_grad():
            for _ in range(9):
                call(1)
        assert not forward.graphs.captured  # memory is short: no more of them


def test_the_memory_of_other_networks_graphs_is_given_back_too_and_for_a_call_with_gradients():
    net = Net(torch.OutOfMemoryError("CUDA out of memory."), most=1)
    with pretend():
        net.graphs = Graphs(Net())
        for _ in range(4):
            asked(net.graphs)
        x = torch.ones(2, 3, 8, 8, device="cuda").requires_grad_()
        assert Forward(net, torch.device("cuda"))(x, torch.zeros(2, device="cuda")).requires_grad


def test_nobody_is_charged_for_a_capture(monkeypatch):
    def slow(*given):
        time.sleep(0.2)
        return real(*given)

    real = module.captured
    monkeypatch.setattr(module, "captured", slow)
    with pretend() as traffic:
        problem = Problem.simulate(picture(), operators.build("denoise"), 0.05)
        runs = [Run(picture(), problem, network("cuda"), RedDiff(steps=5)) for _ in range(2)]
        jobs = [job for run in runs for job in run.jobs()]
        began = time.perf_counter()
        list(played(jobs))
        took = time.perf_counter() - began
        assert traffic["captures"] == 2
        assert sum(job.seconds for job in jobs) < took - 0.4 + 0.05
        assert all(run.last.seconds <= job.seconds + 0.05 for run, job in zip(runs, jobs, strict=True))


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("Unable to find a valid cuDNN algorithm to run convolution", True),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", True),
        ("MPS backend out of memory (MPS allocated: 9 GB)", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_memory_that_ran_out_is_known_in_disguise(said, short):
    assert out_of_memory(RuntimeError(said)) is short


# ---- which device, and at which precision


@pytest.mark.parametrize(("major", "bf16"), [(7, False), (8, True), (9, True)])
def test_cards_without_bf16_of_their_own_get_fp16_and_train_in_fp32(major, bf16):
    with pretend(major=major):
        assert torch.cuda.is_bf16_supported()  # as torch has it, emulation included
        assert has_bf16(torch.device("cuda")) is bf16
        assert precision_of("auto", torch.device("cuda")) == ("bf16" if bf16 else "fp16")


def test_devices_by_their_names(kind, monkeypatch):
    assert device_of("auto").type == device_of(kind).type == kind
    assert device_of("cpu").type == "cpu"
    other = "mps" if kind == "cuda" else "cuda"
    for vain in (other, "xpu", "cuda:1", "cuda:0" if kind == "mps" else "cuda:7"):
        with pytest.raises(DeviceError, match="torch sees"):
            device_of(vain)
    for name in ("gpu", "cuda:", "cuda:x", "cuda:0 ", "mps:0", "", 3, None):
        with pytest.raises(DeviceError, match="is one of auto, cpu, cuda, cuda:N, mps, xpu"):
            device_of(name)  # pyright: ignore
    if kind == "cuda":
        assert device_of("cuda:0") == torch.device("cuda", 0)


def test_auto_leaves_a_device_aside_that_has_other_numbers(caplog, monkeypatch):
    with pretend("mps"):
        devices.agrees.cache_clear()
        monkeypatch.setattr(torch.nn.functional, "silu", lambda v: v * (0.5 if isinstance(v, Pretend) else 1))
        assert device_of("auto").type == "cpu"
        assert device_of("mps").type == "mps"
        assert "left aside" in caplog.text
        devices.agrees.cache_clear()
