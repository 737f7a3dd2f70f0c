"""Draws the example faces: samples of the bundled prior, so that no person is shown and nothing needs a licence.

    python -m assets.examples.make SEED [SEED ...]      writes face-SEED.png beside this file

Those that are here are of its first weights, from before it was trained further: its own samples would be too easy for it.

Deterministic DDIM (arXiv 2010.02502) over 250 levels from pure noise: x <- D + (s / sigma)(x - D).
"""

import itertools
import sys
from pathlib import Path

import torch

from redgui import images, priors, schedule
from redgui.randomness import Generators


@torch.no_grad()
def draw(seeds: list[int], steps: int = 250, name: str = "faces-64") -> torch.Tensor:
    """Samples of a prior of faces, one per seed."""
    prior = priors.load(name, device="cpu")
    levels = [*schedule.uniform(prior.sigmas, steps).tolist(), 0.0]
    x = levels[0] * Generators(seeds).randn(*prior.shape)
    for sigma, s in itertools.pairwise(levels):
        x0_hat = prior.denoise(x, sigma)
        x = x0_hat + s / sigma * (x - x0_hat)
    return x


if __name__ == "__main__":
    chosen = [int(text) for text in sys.argv[1:]]
    for seed, face in zip(chosen, draw(chosen).split(1), strict=True):
        images.to_pil(face).save(Path(__file__).parent / f"face-{seed:02d}.png")
