"""Every way of running on a pretend GPU (`pretend`): nothing meets a tensor of another device, and little travels."""

import contextlib
import dataclasses
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from pretend import CAPTURE, MixedDevices, Pretend, current_stream, on, pretend
from torch import Tensor

from redgui import api, bench, devices, fitting, knobs, operators, priors
from redgui.devices import DeviceError, device_of, has_bf16, precision_of
from redgui.errors import out_of_memory
from redgui.operators import OPERATORS, OperatorError
from redgui.priors import Counted, PriorError
from redgui.priors import graphs as module
from redgui.priors.network import DiffusersPrior
from redgui.runs import remote
from redgui.runs.engine import Engine
from redgui.runs.problem import Problem
from redgui.runs.race import Race
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve
from redgui.samplers import SAMPLERS, RedDiff
from redgui.schedule import linear_beta

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
    return x.sin().expand(n, -1, -1, -1).contiguous()


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
    *(f"fourier:pattern={pattern}" for pattern in ("cartesian", "radial", "random")), "compose:of=blur(size=5)>superres(factor=2)",
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
    played = 0
    for problem in problems:
        for cls in samplers:
            sampler = short(cls)
            if not sampler.fits(problem.likelihood):
                continue
            counted = Counted(prior)
            particles = 2 if cls is RedDiff else 1
            last = [*measured(solve(problem, counted, sampler, particles), problem, counted)][-1]
            assert last.x0_hat.device.type == prior.device.type, cls.name
            played += 1
    return played


@pytest.mark.parametrize("spec", SPECS)
def test_every_sampler_runs_on_cuda_with_every_operator(spec):
    with pretend():
        assert on_a_device(network("cuda"), spec) >= 5


@pytest.mark.parametrize("spec", ["inpaint", "fourier:pattern=radial", "compose:of=blur(size=5)>superres(factor=2)", "jpeg"])
def test_where_there_is_no_float64_the_network_alone_is_on_the_device(spec):
    with pretend("mps") as traffic:
        prior = network("mps")
        assert (prior.device.type, prior.network_device.type) == ("cpu", "mps")
        assert on_a_device(prior, spec) >= 5
        assert traffic["h2d"] > 0
