"""A call of `redgui.api.restore` for an endpoint: its Steps as they come, wherever they are made."""

import json
import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from redgui import api, images, priors
from redgui.runs import zero_gpu
from redgui.runs.remote import HZ, START, gpu_seconds
from redgui.runs.settings import Settings
from redgui.runs.stream import Measured
from redgui.runs.teams import take_team
from redgui.runs.zero_gpu import Heard, HostError
from redgui.ui.host.limits import Limits


class _Left(Exception):
    """Nobody waits for the result any more."""


@dataclass(frozen=True)
class Restoration:
    """A call of `redgui.api.restore`, its words read. Its news: PNG, figures and the record as a dict, None before the end.

    Attributes:
        settings: with the device and precision of the process that plays.
        source: the picture.
        drawn: a mask as it was drawn on it (`redgui.api.settled`).
    """

    settings: Settings
    source: Image.Image
    drawn: np.ndarray | None
    limits: Limits

    @property
    def longest(self) -> float:
        """The seconds that it may take. Raises LimitError for what is more than this host does."""
        return self.limits.run(self.settings.sampler, self.settings.particles)

    @property
    def seconds(self) -> float:
        s = self.settings
        prior = priors.load(s.prior, *zero_gpu.device_here(s.device, s.precision))
        return START + gpu_seconds(s.sampler, s.sigma_y, s.particles, prior)

    def news(self, heard: Heard) -> Iterator[tuple[bytes, dict[str, Any], dict[str, Any] | None]]:
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        left, began, shown = threading.Event(), time.perf_counter(), -math.inf
        longest = self.longest
        allowed = zero_gpu.allowed(self.seconds, longest) if zero_gpu.on_zero_gpu() else longest

        def watch(step: Measured) -> None:
            nonlocal shown
            now = time.perf_counter()
            if left.is_set():
                raise _Left
            if now - began > allowed:
                raise HostError(
                    f"the run takes longer than the {allowed:.0f} seconds that this host allows; ask for fewer steps."
                )
            if now - shown >= 1 / HZ and step.i + 1 < step.n:
                shown = now
                found.put(step)

        def work() -> None:
            try:
                take_team()
                prior = priors.load(self.settings.prior, self.settings.device, self.settings.precision)
                found.put(api.perform(self.settings, self.source, self.drawn, prior, watch))
            except BaseException as error:
                found.put(error)

        thread = threading.Thread(target=work, daemon=True, name="restoration")
        thread.start()
        try:
            while not isinstance(item := found.get(), api.Result):
                if isinstance(item, BaseException):
                    raise item
                yield images.encode(item.estimate), clean(_figures(item)), None
            yield images.encode(item.full or item.restored), clean(item.figures), json.loads(item.record.to_json())
        finally:
            left.set()
            thread.join()


def _figures(step: Measured) -> dict[str, Any]:
    figures = {"i": step.i + 1, "n": step.n, "sigma": step.sigma, "psnr": step.psnr, "residual": step.residual}
    return figures | {"seconds": round(step.seconds, 4), "nfe": step.nfe, "backward": step.backward}


def clean(figures: dict[str, Any]) -> dict[str, Any]:
    """As JSON has numbers: None for what is not finite."""
    return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in figures.items()}
