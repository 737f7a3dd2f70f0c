"""What is played on a GPU that is lent: one job for a run, a race or a sweep.

The object of the serving process is what is shown, stopped, tuned and recorded. A copy of it goes to a worker, which plays it
and sends its whole state a few times a second; wishes go the other way.
"""

import dataclasses
import pickle
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.priors.base import PriorError, Sigma
from redgui.runs import zero_gpu
from redgui.runs.budget import spent
from redgui.runs.group import Group
from redgui.runs.run import Run
from redgui.runs.zero_gpu import Heard, Wishes
from redgui.samplers import Sampler

HZ = 6.0  # states a second
PATIENCE = 3  # states after a wish to stop, before the job is closed
START = 8.0  # seconds until a worker has its process, CUDA and the weights
# A pass through the network: what its launch costs, and what 256x256 pixels cost; generous, since a run that is given too few
# seconds is cut off.
PASS, PASS_256 = 0.02, 0.04


def gpu_seconds(sampler: Sampler, sigma_y: float, particles: int, prior: Prior) -> float:
    """Seconds of a GPU that a run is expected to take, from its steps and what a step costs."""
    steps = getattr(sampler, "steps", 100)
    few = dataclasses.replace(sampler, steps=min(4, steps)) if hasattr(sampler, "steps") else sampler  # type: ignore[call-arg]
    used = spent(few, sigma_y, 10**9)
    _, h, w = prior.picture_shape
    return steps * used[-1] / len(used) * (PASS + PASS_256 * particles * h * w / 256**2)


@final
class RemotePrior(Prior):
    """A prior that a worker runs: what a record says of it, and no network."""

    def __init__(self, prior: Prior, device: str, precision: str):
        self.name, self.shape, self.sigmas, self.multiple = prior.name, prior.shape, prior.sigmas, prior.multiple
        self.device, self.precision = torch.device(device), precision
        self._picture_shape = prior.picture_shape

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self._picture_shape

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        raise PriorError(f"{self.name} runs in a worker that has ended; play the run anew.")


@dataclass(frozen=True)
class PlayJob:
    """A run or a group, pickled, to be played by a copy; `allowed` seconds on the clock."""

    played: bytes
    seconds: float
    allowed: float

    def news(self, heard: Heard) -> Iterator[Any]:
        played = pickle.loads(self.played)
        played.seconds_allowed = min(played.seconds_allowed, self.allowed)
        wish, shown = None, time.perf_counter()
        try:
            for _ in played.play():
                before, wish = wish, heard() or wish
                if wish != before:
                    played.grant(wish)
                if time.perf_counter() - shown >= 1 / HZ:
                    yield played.state()
                    shown = time.perf_counter()
        except RedguiError:
            yield played.state()  # what was made since the state before
            raise
        yield played.state()


def watch(played: Any, hz: float) -> Generator[None, None, None]:
    """`redgui.runs.watch.watch` where GPUs are lent."""
    runs = [member.run for member in played.members] if isinstance(played, Group) else [played]
    needed = START + sum(gpu_seconds(run.now, run.problem.level, run.particles, run.prior) for run in runs)
    job = PlayJob(pickle.dumps(played), needed, zero_gpu.allowed(needed, played.seconds_allowed))
    wishes, posted, late = Wishes.taken(), played.wishes(), 0
    played.begun()
    try:
        with closing(zero_gpu.stream(job, wishes)) as states:
            for state in states:
                played.take(state)
                if (wanted := played.wishes()) != posted:
                    wishes.post(wanted)
                    posted = wanted
                late += played.stopping
                yield
                if late > PATIENCE:
                    break
    except RedguiError:
        if isinstance(played, Run):
            played.broken = True
        raise
    finally:
        played.ended()
        wishes.free()
