"""Small pictures to train on, the settings of a small training, and what two trainings are compared by."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from redgui.train import state
from redgui.train.loop import train

TINY = dict(
    channels="8,16", size=16, attention="none", batch=8, lr=2e-3, warmup=5, device="cpu", precision="fp32", heldout_pictures=16
)


def made(n: int, seed: int, side: int = 16) -> list[np.ndarray]:
    """Smooth pictures: a bright disc somewhere on a dark ground."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[0:side, 0:side]
    found = []
    for cy, cx, r in rng.uniform(side / 4, 3 * side / 4, (n, 3)):
        disc = 255 / (1 + np.exp(np.minimum((y - cy) ** 2 + (x - cx) ** 2 - r, 50)))
        found.append(np.stack([disc, 0.5 * disc, 255 - disc], -1).round().astype(np.uint8))
    return found


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[key][name], b[key][name]) for key in ("weights", "average") for name in a[key])


def interrupted(paths: list[str], out: Path, after: int, **options: object) -> dict:
    """A run that gets a SIGTERM in its step `after`."""
    update, options = state.Average.update, dict(options)

    def watch(self, net, step):
        update(self, net, step)
        if step == after:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state.Average, "update", watch)
        return train(paths, str(out), with_report=False, **options)
