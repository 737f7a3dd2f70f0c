"""Seconds from the start of a process to the first iteration of RED-diff on the bundled prior; last line one JSON object.

    python benchmarks/cold_start.py [--rounds 3]

Each round starts, in turn, a process that only imports torch and one that goes on to the first iteration: `torch` is when torch
is imported, `imported` the rest that a run needs, `loaded` when the prior's weights are read and the measurement is made,
`first_iterate` when the first Step is there; all since the process was started, medians over rounds. The ratio of the last to a
process that only imports torch is the median over rounds. Files are in the machine's cache after the first, uncounted, round.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
STARTED = "REDGUI_STARTED"  # monotonic seconds, which all processes of a machine share


def child(only_torch: bool) -> None:
    """The process that is timed: prints its times as JSON."""
    began = float(os.environ[STARTED])
    import torch  # noqa: F401

    times = {"torch": time.monotonic() - began}
    if not only_torch:
        import checkout  # noqa: F401

        from redgui import api, images, presets, priors
        from redgui.operators import build
        from redgui.runs.problem import Problem
        from redgui.runs.stream import measured, solve

        times["imported"] = time.monotonic() - began
        prior = priors.load("faces-64")
        picture = images.load(api.resolve("example:face-06"), *prior.picture_shape[-2:])
        problem = Problem.simulate(picture, build("inpaint"))
        times["loaded"] = time.monotonic() - began
        steps = measured(solve(problem, prior, presets.sampler_for("reddiff", problem.H)), problem)
        next(steps)
        times["first_iterate"] = time.monotonic() - began
        steps.close()
    print(json.dumps(times))


def started(*words: str) -> dict[str, float]:
    """The times of one process."""
    command = [sys.executable, __file__, *words]
    environment = os.environ | {STARTED: repr(time.monotonic())}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=("torch", "run"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child == "torch")
        return
    rows = []
    for k in range(chosen.rounds + 1):
        torch_alone, run = started("--child", "torch"), started("--child", "run")
        if k:
            rows.append(run | {"torch_alone": torch_alone["torch"], "over_torch": run["first_iterate"] / torch_alone["torch"]})
            print(", ".join(f"{name} {value:.2f}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({name: round(median(row[name] for row in rows), 3) for name in rows[0]} | {"rounds": chosen.rounds}))


if __name__ == "__main__":
    main()
