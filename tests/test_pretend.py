"""The pretend GPU itself: which mistakes it catches, what travels to it, and which device and precision are chosen."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from on_device import network, picture
from pretend import MixedDevices, Pretend, pretend

from redgui import devices, operators
from redgui.devices import DeviceError, device_of, has_bf16, precision_of
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.samplers import RedDiff


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
