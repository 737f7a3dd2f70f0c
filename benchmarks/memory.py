"""Peak memory of a RED-diff run against a bare forward of the network at the same batch: no graph is kept through it.

    python benchmarks/memory.py [--prior faces-64] [--batches 1 4 16] [--device auto] [--precision fp32]

On CUDA the peak is that of torch's allocator (max_memory_allocated). On a CPU it is the highest resident size of a process of
its own for every figure, less that of a process which has loaded the prior and called nothing; it holds what the allocator has
kept besides what is in use, so it scatters by some megabytes. The last line is one JSON object; sizes are in MiB.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import checkout  # noqa: F401
import torch

from redgui import api, devices, images, presets, priors
from redgui.operators import build
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve

WHAT = ("loaded", "forward", "run")


def peak() -> float:
    """The highest resident size of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what: str, name: str, batch: int, device: str, precision: str) -> float:
    """MiB at the peak of one of WHAT, in this process."""
    prior = priors.load(name, device, precision)
    picture = images.load(api.resolve("example:face-06"), *prior.picture_shape[-2:])
    problem = Problem.simulate(picture, build("inpaint"))
    cuda = prior.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    if what == "forward":
        x = torch.randn(batch, *prior.shape, device=prior.device)
        with torch.no_grad():
            for _ in range(5):
                prior.denoise(x, 1.0)
    elif what == "run":
        for _ in measured(solve(problem, prior, presets.sampler_for("reddiff:steps=5", problem.H), batch), problem):
            pass
    return torch.cuda.max_memory_allocated() / 2**20 if cuda else peak()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "BATCH"), help=argparse.SUPPRESS)  # in a process of its own
    chosen = parser.parse_args()
    if chosen.one:
        print(measure(chosen.one[0], chosen.prior, int(chosen.one[1]), chosen.device, chosen.precision))
        return
    prior = priors.load(chosen.prior, "cpu", chosen.precision)
    weights = sum(p.numel() * p.element_size() for p in prior.net.parameters()) / 2**20  # type: ignore[attr-defined]
    same = ["--prior", chosen.prior, "--device", chosen.device, "--precision", chosen.precision]
    rows = []
    for batch in chosen.batches:
        found = {}
        for what in WHAT:
            command = [sys.executable, __file__, *same, "--one", what, str(batch)]
            found[what] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        forward, run = found["forward"] - found["loaded"], found["run"] - found["loaded"]
        rows.append(dict(batch=batch, loaded=round(found["loaded"], 1), forward=round(forward, 1), run=round(run, 1),
                         run_over_forward=round((weights + run) / (weights + forward), 3)))  # fmt: skip
        print(f"batch {batch}: weights {weights:.1f} MiB, forward +{forward:.1f}, RED-diff +{run:.1f}")
    print(json.dumps({"prior": chosen.prior, "precision": chosen.precision, "device": str(devices.device_of(chosen.device)),
                      "weights": round(weights, 1), "rows": rows}))  # fmt: skip


if __name__ == "__main__":
    main()
