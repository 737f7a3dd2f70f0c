"""A call of `redgui.api.restore` for an endpoint: its Steps as they come, wherever they are made."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from redgui import api, images, presets, priors
from redgui.runs import zero_gpu
from redgui.runs.remote import HZ, START, gpu_seconds
from redgui.runs.rounds import Job, Shared, seconds, turn
from redgui.runs.run import COMPANY
from redgui.runs.stream import Measured
from redgui.runs.watch import told
from redgui.runs.zero_gpu import Heard, HostError
from redgui.samplers import Sampler
from redgui.ui.host.limits import Limits

WEIGHT = 0.5  # of a call beside what people watch


@dataclass(frozen=True)
class Restoration:
    """A call of `redgui.api.restore`. Its news: PNG, figures and the record as a dict, None before the end."""

    wanted: dict[str, Any]  # its arguments, but for prior, device and precision
    prior: str
    device: str
    precision: str
    limits: Limits

    @property
    def longest(self) -> float:
        """The seconds that it may take. Raises RedguiError for wrong specs, and for what is more than this host does."""
        return self.limits.run(*self.asked())

    def asked(self) -> tuple[Sampler, int]:
        """Sampler and particles. Raises RedguiError."""
        masked = self.wanted.get("mask") is not None
        H, _ = api.parse_operator("inpaint" if masked else self.wanted["operator"])
        sampler = presets.sampler_for(self.wanted["sampler"], H, self.wanted["sigma_y"])
        return sampler, self.wanted["particles"] or presets.particles(sampler, H)

    @property
    def seconds(self) -> float:
        """Wrong specs are told here, before a GPU is asked for."""
        sampler, many = self.asked()
        self.limits.run(sampler, many)
        prior = priors.load(self.prior, *zero_gpu.device_here(self.device, self.precision))
        return START + gpu_seconds(sampler, self.wanted["sigma_y"], many, prior)

    def news(self, heard: Heard) -> Iterator[tuple[bytes, dict[str, Any], dict[str, Any] | None]]:
        made: list[Any] = []
        longest = self.longest
        allowed = zero_gpu.allowed(self.seconds, longest) if zero_gpu.on_zero_gpu() else longest
        prior = Shared(priors.load(self.prior, self.device, self.precision))
        began, clock = None, time.perf_counter()

        def watch(step: Measured) -> None:
            nonlocal began
            began = seconds() if began is None else began
            if seconds() - began > allowed or time.perf_counter() - clock > COMPANY * allowed:
                raise HostError(
                    f"the run takes longer than the {allowed:.0f} seconds that this host allows; ask for fewer steps."
                )
            made[:] = [step]
            turn()

        def turns() -> Iterator[None]:
            made[:] = [api.restore(**self.wanted, prior=prior, watch=watch)]
            return
            yield

        job = Job(turns(), weight=WEIGHT)
        with closing(told(job, HZ)) as looks:
            for _ in looks:
                if made and isinstance(made[0], Measured) and made[0].i + 1 < made[0].n:
                    yield images.encode(made[0].estimate), clean(_figures(made[0])), None
        result = made[0]
        yield images.encode(result.full or result.restored), clean(result.figures), json.loads(result.record.to_json())


def _figures(step: Measured) -> dict[str, Any]:
    figures = {"i": step.i + 1, "n": step.n, "sigma": step.sigma, "psnr": step.psnr, "residual": step.residual}
    return figures | {"seconds": round(step.seconds, 4), "nfe": step.nfe, "backward": step.backward}


def clean(figures: dict[str, Any]) -> dict[str, Any]:
    """As JSON has numbers: None for what is not finite."""
    return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in figures.items()}
