"""A call of `redgui.api.restore` for an endpoint: its Steps as they come, wherever they are made."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from redgui import api, images, priors
from redgui.runs import zero_gpu
from redgui.runs.remote import HZ, START, gpu_seconds
from redgui.runs.rounds import Job, seconds, turn
from redgui.runs.run import COMPANY
from redgui.runs.settings import Settings
from redgui.runs.shared import Shared
from redgui.runs.stream import Measured
from redgui.runs.watch import told
from redgui.runs.zero_gpu import Heard, HostError
from redgui.ui.host.limits import Limits

WEIGHT = 0.5  # of a call beside what people watch


@dataclass(frozen=True)
class Restoration:
    """A call of `redgui.api.restore`, its words read. Its news: PNG, figures and the record as a dict, None before the end.

    Attributes:
        settings: with the device and precision of the process that plays.
        source: the picture.
        drawn: a mask as it was drawn on it (`redgui.api.settled`).
        raw: the picture at the end is the sampler's estimate as it is.
    """

    settings: Settings
    source: Image.Image
    drawn: np.ndarray | None
    limits: Limits
    raw: bool = False

    @property
    def longest(self) -> float:
        """The seconds that it may take. Raises LimitError for what is more than this host does."""
        return self.limits.run(self.settings.sampler, self.settings.particles)

    @property
    def seconds(self) -> float:
        s = self.settings
        prior = priors.load(s.prior, *zero_gpu.device_here(s.device, s.precision))
        return START + gpu_seconds(s.sampler, s.level, s.particles, prior)

    def news(self, heard: Heard) -> Iterator[tuple[bytes, dict[str, Any], dict[str, Any] | None]]:
        made: list[Any] = []
        longest = self.longest
        allowed = zero_gpu.allowed(self.seconds, longest) if zero_gpu.on_zero_gpu() else longest
        prior = Shared(priors.load(self.settings.prior, self.settings.device, self.settings.precision))
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
            made[:] = [api.perform(self.settings, self.source, self.drawn, prior, watch)]
            return
            yield

        job = Job(turns(), weight=WEIGHT)
        with closing(told(job, HZ)) as looks:
            for _ in looks:
                newest = made[0] if made else None  # read once: the engine goes on meanwhile
                if isinstance(newest, Measured) and newest.i + 1 < newest.n:
                    yield images.encode(images.preview(newest.estimate)), clean(_figures(newest)), None
        result = made.pop()
        picture = result.raw if self.raw else result.full or result.image
        yield images.encode(picture), clean(result.figures), json.loads(result.record.to_json())


def _figures(step: Measured) -> dict[str, Any]:
    figures = {"i": step.i + 1, "n": step.n, "sigma": step.sigma, "psnr": step.psnr, "residual": step.residual}
    return figures | {"seconds": round(step.seconds, 4), "nfe": step.nfe, "backward": step.backward}


def clean(figures: dict[str, Any]) -> dict[str, Any]:
    """As JSON has numbers: None for what is not finite."""
    return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in figures.items()}
