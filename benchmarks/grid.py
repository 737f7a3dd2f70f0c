"""Seconds of a 3 x 3 grid of settings in lockstep over those of one run of nine particles; last line one JSON object.

    python benchmarks/grid.py [--steps 50] [--rounds 5]

Both are timed in turn in each round, so that a machine's changing speed meets them alike; the ratio is the median over rounds.
"""

import argparse
import itertools
import json
import time
from statistics import median

import checkout  # noqa: F401
from redgui.runs.lockstep import lockstep

from redgui import api, images, presets, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    chosen = parser.parse_args()
    prior = priors.load("faces-64", chosen.device, chosen.precision)
    problem = Problem.simulate(images.load(api.resolve("example:face-06"), *prior.shape[-2:]), build("inpaint"))
    cells = itertools.product((0.03, 0.1, 0.3), (0.05, 0.1, 0.25))
    grid = [presets.sampler_for(f"reddiff:steps={chosen.steps},lr={lr},lam={lam}", problem.H) for lr, lam in cells]

    def start(sampler):
        def of(asking):
            counted = Counted(asking)
            return measured(solve(problem, counted, sampler), problem, counted)

        return of

    def seconds(steps) -> float:
        began = time.perf_counter()
        for _ in steps:
            pass
        return time.perf_counter() - began

    ratios, whole = [], []
    for k in range(chosen.rounds + 1):
        counted = Counted(prior)
        batch = seconds(measured(solve(problem, counted, grid[4], 9), problem, counted))
        cells_seconds = seconds(lockstep(prior, [start(sampler) for sampler in grid]))
        if k:  # the first round warms up
            ratios.append(cells_seconds / batch)
            whole.append(batch)
            print(f"batch of nine {batch:.2f} s, grid x{ratios[-1]:.3f}")
    print(json.dumps({"steps": chosen.steps, "rounds": chosen.rounds, "precision": prior.precision,
                      "batch_seconds": median(whole), "grid_over_batch": median(ratios)}))  # fmt: skip


if __name__ == "__main__":
    main()
