"""Iterations a second of RED-diff at batch 1: the automatic setting against eager float32, on the device at hand.

    python benchmarks/speed.py [--prior faces-64] [--steps 100] [--rounds 5] [--device auto]

Both settings run in turn in one process, so that a machine's changing speed meets both alike; the ratio is the median over the
rounds. The automatic setting is what a person gets with nothing chosen: bf16 where the hardware multiplies it and, on CUDA,
graphs of the network's calls. The last line is one JSON object.
"""

import argparse
import json
import time
from statistics import median

import checkout  # noqa: F401
import torch

from redgui import api, images, presets, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve


def rate(prior: priors.Prior, picture: torch.Tensor, steps: int) -> tuple[float, float]:
    """Iterations a second of one run from its first step, and the PSNR that it reaches."""
    problem = Problem.simulate(picture, build("inpaint"))
    counted = Counted(prior)
    sampler = presets.sampler_for(f"reddiff:steps={steps}", problem.H)
    began = time.perf_counter()
    for step in measured(solve(problem, counted, sampler), problem, counted):
        last = step
    if prior.device.type == "cuda":
        torch.cuda.synchronize()
    return steps / (time.perf_counter() - began), float(last.psnr or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    eager, automatic = (priors.load(chosen.prior, chosen.device, precision) for precision in ("fp32", "auto"))
    if eager is automatic:  # a CPU without bf16: one prior in memory for both
        print("the automatic setting is eager fp32 on this machine")
    elif hasattr(eager, "forward"):
        eager.forward.graphs = None
    picture = images.load(api.resolve("example:face-06"), *eager.picture_shape[-2:])
    for prior in (eager, automatic):
        rate(prior, picture, 10)
    rates, ratios = [], []
    for _ in range(chosen.rounds):
        (slow, psnr_slow), (fast, psnr_fast) = (rate(prior, picture, chosen.steps) for prior in (eager, automatic))
        rates.append((slow, fast))
        ratios.append(fast / slow)
        print(f"eager fp32 {slow:.1f} it/s, {automatic.precision} {fast:.1f} it/s, x{ratios[-1]:.2f}")
    found = {
        "device": torch.cuda.get_device_name() if eager.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "prior": chosen.prior,
        "steps": chosen.steps,
        "rounds": chosen.rounds,
        "precision": automatic.precision,
        "graphs": bool(getattr(getattr(automatic, "forward", None), "graphs", None)),
        "eager_fp32_per_second": round(median(slow for slow, _ in rates), 2),
        "automatic_per_second": round(median(fast for _, fast in rates), 2),
        "ratio": round(median(ratios), 3),
        "psnr_eager_fp32": round(psnr_slow, 3),
        "psnr_automatic": round(psnr_fast, 3),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
