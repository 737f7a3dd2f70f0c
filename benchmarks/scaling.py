"""Milliseconds of a RED-diff iteration against the batch and against the size of pictures; last line one JSON object.

    python benchmarks/scaling.py [--batches 1 2 4 8 16] [--sides 64 128 192 256] [--steps 10] [--rounds 3] [--device auto]

Batches are of particles of one 64x64 picture with `faces-64`, sizes of one picture with `photos`, which takes any. Each round
times the bare network and the run at every point, in turn and in one process, so that a machine's changing speed meets all
alike; a ratio is the median over rounds. `per_picture` is an iteration's time over the batch, relative to that of the first
batch: below 1 is what batching gains. `per_pixel` is the same over the pixels, relative to the first side.
"""

import argparse
import json
from statistics import median
from typing import Any

import checkout  # noqa: F401
from timing import bare, face, full

from redgui import priors

Point = tuple[int, int | None]  # batch, side of the picture


def timed(prior: Any, points: list[Point], units: list[int], steps: int, rounds: int, name: str) -> list[dict[str, float]]:
    """A line per point; `units` are the pictures or pixels of each, `name` the column of time per unit."""
    problems = [face(prior, side)[1] for _, side in points]
    for (batch, side), problem in zip(points, problems, strict=True):  # warm
        bare(prior, 2, batch, side), full(prior, problem, 2, batch)
    taken: list[list[tuple[float, float]]] = [[] for _ in points]
    for _ in range(rounds):
        for k, ((batch, side), problem) in enumerate(zip(points, problems, strict=True)):
            taken[k].append((bare(prior, steps, batch, side) / steps, full(prior, problem, steps, batch) / steps))
    lines = []
    for k, unit in enumerate(units):
        network, run = (1000 * median(column) for column in zip(*taken[k], strict=True))
        over = median(b / a for a, b in taken[k])
        relative = median((mine[1] / unit) / (first[1] / units[0]) for mine, first in zip(taken[k], taken[0], strict=True))
        lines.append({"network_ms": round(network, 2), "iteration_ms": round(run, 2), "run_over_network": round(over, 3),
                      name: round(relative, 3)})  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 192, 256])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    small = priors.load("faces-64", chosen.device)
    points: list[Point] = [(batch, None) for batch in chosen.batches]
    found = timed(small, points, chosen.batches, chosen.steps, chosen.rounds, "per_picture")
    batches = [{"batch": batch} | line for batch, line in zip(chosen.batches, found, strict=True)]
    for line in batches:
        print(line, flush=True)
    points = [(1, side) for side in chosen.sides]
    areas = [side * side for side in chosen.sides]
    found = timed(priors.load("photos", chosen.device), points, areas, chosen.steps, chosen.rounds, "per_pixel")
    sides = [{"side": side} | line for side, line in zip(chosen.sides, found, strict=True)]
    for line in sides:
        print(line, flush=True)
    told = {"device": small.device.type, "precision": small.precision, "steps": chosen.steps, "rounds": chosen.rounds}
    print(json.dumps(told | {"batches": batches, "sides": sides}))


if __name__ == "__main__":
    main()
