"""The checkpoint of a run, DIR/state/checkpoint.pt, apart from the exported prior.

It has the weights, their average, the optimiser, the step, the seconds spent, the settings and the loss curves. There
are no states of random generators to keep: order, crops, noise and dropout of a step are functions of (seed, step).
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.train.recipe import TrainError

VERSION = 1


def save(folder: Path, content: dict[str, Any]) -> None:
    """Writes the checkpoint; one that was there stays whole until the new one is."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "checkpoint.tmp").open("wb") as file:
        torch.save(content | {"version": VERSION}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")


def load(folder: Path) -> dict[str, Any]:
    """The checkpoint, on the CPU. Raises TrainError where there is none or it cannot be read."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        raise TrainError(f"there is no run to resume in {folder.parent}; leave --resume out.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainError(f"the checkpoint {path} cannot be read: {in_short(error)}") from error
    if not isinstance(content, dict):
        raise TrainError(f"the checkpoint {path} holds no state of a run; leave --resume out.")
    if content.get("version") != VERSION:
        raise TrainError(f"the checkpoint {path} is of version {content.get('version')}; this redgui reads {VERSION}.")
    return content


class Average:
    """The exponential moving average of weights, its decay min(decay, (1 + n) / (10 + n)) after n steps.

    The warm-up lets the average forget the first weights: after few steps it spans a tenth of them.
    """

    def __init__(self, net: torch.nn.Module, decay: float):
        self.decay = decay
        self.weights = {key: value.detach().clone() for key, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: torch.nn.Module, step: int) -> None:
        """After step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = net.state_dict()
        named = [current[key] for key in self.weights]
        # One kernel for all weights; torch has it by no public name.
        torch._foreach_lerp_(list(self.weights.values()), named, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def load(self, weights: dict[str, Tensor]) -> None:
        for key, value in self.weights.items():
            value.copy_(weights[key])
