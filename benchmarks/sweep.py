"""Seconds of a 3x3 sweep of RED-diff (lr x lambda) over those of one run on a batch of nine; last line one JSON object.

    python benchmarks/sweep.py [--rounds 5] [--steps 40] [--prior faces-64] [--operator inpaint] [--pause 0]

Each round times, in turn and in one process: a batch of nine particles with nobody looking on, the same batch with metrics
after every step, the sweep, and the sweep watched as the app watches it, with its pictures encoded. The ratios are medians over
rounds. Those named cpu_ are of the process's own seconds: on a busy machine they are the ones to read,
with OMP_NUM_THREADS=1, since threads that wait for each other count, too.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from statistics import median

import checkout  # noqa: F401

from redgui import api, images, presets, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.runs import cores
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.runs.watch import compute, watch
from redgui.samplers import RedDiff
from redgui.ui.parts.running_tab import HZ
from redgui.ui.sweep.board import SweepBoard

LR, LAM = "0.03, 0.1, 0.3", "0.03, 0.1, 0.25"


class Timed(Counted):
    """A prior that knows how long it has taken."""

    def __init__(self, inner: priors.Prior):
        super().__init__(inner)
        self.seconds = 0.0

    def denoise(self, x, sigma):
        began = time.perf_counter()
        try:
            return super().denoise(x, sigma)
        finally:
            self.seconds += time.perf_counter() - began


def timed(prior: priors.Prior, work: Callable[[priors.Prior], object]) -> tuple[float, float, float]:
    """Seconds of the work, of the network in it, and of the process."""
    counted = Timed(prior)
    began, spent = time.perf_counter(), time.process_time()
    work(counted)
    return time.perf_counter() - began, counted.seconds, time.process_time() - spent


def exhaust(stream: Iterator[object]) -> None:
    for _ in stream:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--operator", default="inpaint")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds of rest before each timing, for a laptop that heats up"
    )
    chosen = parser.parse_args()
    cores.share_out(left=1)  # as the app does at home: the engine computes, whoever looks on works alone
    prior = priors.load(chosen.prior)
    picture = images.load(api.resolve("example:face-06"), *prior.picture_shape[-2:])
    problem = Problem.simulate(picture, build(chosen.operator))
    sampler = presets.sampler_for(f"reddiff:steps={chosen.steps}", problem.H)
    grid = Grid(sampler, axis(RedDiff, "lr", LR), axis(RedDiff, "lam", LAM))

    def sweep(counted: priors.Prior) -> Sweep:
        return Sweep(picture, problem, counted, grid)

    def watched(counted: priors.Prior) -> None:
        one = sweep(counted)
        board = SweepBoard(one, 1)
        for _ in watch(one, HZ):
            board.value("running")

    ways: dict[str, Callable[[priors.Prior], object]] = {
        "batch": lambda counted: compute(lambda: exhaust(solve(problem, counted, sampler, 9))),
        "measured": lambda counted: compute(lambda: exhaust(measured(solve(problem, counted, sampler, 9), problem, None))),
        "sweep": lambda counted: compute(lambda: exhaust(sweep(counted).play())),
        "watched": watched,
    }
    for way in ways.values():  # warm
        timed(prior, way)
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            time.sleep(chosen.pause)
            taken[name].append(timed(prior, way))
        line = ", ".join("{} {:.2f} s (network {:.2f}, CPU {:.2f})".format(name, *taken[name][-1]) for name in ways)
        print(line, flush=True)

    def ratio(of: str, to: str = "batch", column: int = 0) -> float:
        return round(median(a[column] / b[column] for a, b in zip(taken[of], taken[to], strict=True)), 4)

    found = {"cells": 9, "steps": chosen.steps, "rounds": chosen.rounds, "prior": chosen.prior, "operator": chosen.operator}
    found |= {"batch_seconds": round(median(s for s, _, _ in taken["batch"]), 3), "sweep_over_batch": ratio("sweep")}
    found |= {"sweep_over_measured_batch": ratio("sweep", "measured"), "watched_over_batch": ratio("watched")}
    found |= {"cpu_sweep_over_batch": ratio("sweep", column=2), "cpu_watched_over_batch": ratio("watched", column=2)}
    print(json.dumps(found | {"device": prior.device.type, "precision": prior.precision}))


if __name__ == "__main__":
    main()
