"""Figures on pictures that were not trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redgui import randomness
from redgui.priors.base import Prior
from redgui.train.data import HELD_OUT
from redgui.train.objective import Objective, tensor

SIGMAS = (0.342, 1.24, 3.44, 12.0, 60.8, 157.0)
LEVELS = 10  # parts of [0, T) for which the held-out loss is given apart


@torch.no_grad()
def heldout(
    prior: Prior, pictures: np.ndarray | Tensor, sigmas: Sequence[float] = SIGMAS, *, seed: int = 0, batch: int = 50
) -> list[float]:
    """The root-mean-square error of D(x0 + sigma eps, sigma) against x0 at every sigma, with noise fixed by the seed.

    Args:
        pictures: (n, h, w, 3) uint8, or (n, c, h, w) float32 in [-1, 1].
    """
    rmse = []
    for k, sigma in enumerate(sigmas):
        generator = torch.Generator().manual_seed(randomness.stream_seed(seed, HELD_OUT, k))
        squares, count = 0.0, 0
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            x0 = tensor(part) if isinstance(part, np.ndarray) else part.cpu()
            x = x0 + sigma * torch.randn(x0.shape, generator=generator)
            error = prior.denoise(x.to(prior.device), sigma).cpu() - x0
            squares += error.double().square().sum().item()
            count += error.numel()
        rmse.append((squares / max(count, 1)) ** 0.5)
    return rmse


@torch.no_grad()
def losses(
    net: torch.nn.Module,
    objective: Objective,
    pictures: np.ndarray,
    device: torch.device,
    autocast: bool,
    *,
    seed: int = 0,
    batch: int = 50,
) -> list[float]:
    """The training loss of a network in evaluation mode in LEVELS equal parts of [0, T), its mean over pictures and noise.

    Every picture is seen once, at a timestep and with noise that the seed fixes.
    """
    generator = torch.Generator().manual_seed(randomness.stream_seed(seed, HELD_OUT, 1000))
    levels, n = len(objective.parametrisation.sigmas), len(pictures)
    # Neighbours differ much in t, so that a batch and each part have a mix of pictures.
    t = ((torch.randperm(n, generator=generator) + 0.5) * levels / max(n, 1)).long()
    each = torch.empty(n)
    for start in range(0, n, batch):
        x0 = tensor(pictures[start : start + batch])
        noise = torch.randn(x0.shape, generator=generator)
        here = slice(start, start + len(x0))
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            each[here] = objective.losses(net, x0.to(device), t[here].to(device), noise.to(device)).cpu()
    part = t * LEVELS // levels
    return [each[part == k].mean().item() if (part == k).any() else float("nan") for k in range(LEVELS)]
