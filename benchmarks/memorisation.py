"""Whether a face prior draws its training pictures: how far its samples lie from the nearest of them, beside unseen faces.

    python benchmarks/memorisation.py faces-64.zip [--prior faces-64] [--pictures 64] [--steps 100]

Distances are root mean squares over the pixels, in [-1, 1]. Samples of a prior that remembers would lie nearer than held-out
faces do. The last line is one JSON object.
"""

import argparse
import itertools
import json

import checkout  # noqa: F401
import torch

from redgui import bench, priors, schedule
from redgui.randomness import Generators
from redgui.train import data
from redgui.train.report import neighbours


@torch.no_grad()
def draw(seeds: list[int], steps: int, name: str) -> torch.Tensor:
    """Samples of a prior, one per seed, by deterministic DDIM (arXiv 2010.02502): x <- D + (s / sigma)(x - D)."""
    prior = priors.load(name, device="cpu")
    levels = [*schedule.uniform(prior.sigmas, steps).tolist(), 0.0]
    x = levels[0] * Generators(seeds).randn(*prior.shape)
    for sigma, s in itertools.pairwise(levels):
        x0_hat = prior.denoise(x, sigma)
        x = x0_hat + s / sigma * (x - x0_hat)
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    chosen = parser.parse_args()
    drawn = draw(list(range(chosen.pictures)), chosen.steps, chosen.prior).clamp(-1, 1)
    side = drawn.shape[-1]
    train, _ = data.find([chosen.data], side, scales=1.0, memory=2**30, held_out=0.0, seed=0)
    unseen = torch.cat([picture.x for picture in bench.pictures(chosen.data, side, side, chosen.pictures)])
    found = {"prior": chosen.prior, "pictures": chosen.pictures, "training_pictures": len(train)}
    for name, x in {"samples": drawn, "held_out": unseen}.items():
        away = (x - neighbours(x, train)).square().flatten(1).mean(1).sqrt()
        found[name] = {"median": round(float(away.median()), 4), "least": round(float(away.min()), 4)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
