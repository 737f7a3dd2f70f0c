"""How far runs are from each other that should be the same: in bf16, in a batch, with another number of threads, twice.

    python benchmarks/numerics.py --limit 2

Every sampler with its preset on box inpainting of bundled faces, sigma_y 0.1, with half of its steps, at most 25. For each
pair of runs the largest difference of PSNR in dB and of a pixel in levels of 255, over the pictures; last line one JSON object.
"""

import argparse
import json
import time

import checkout  # noqa: F401
import torch
from torch import Tensor

from redgui import bench, knobs, metrics, operators, presets, priors
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import stream
from redgui.samplers import SAMPLERS, Sampler

SIGMA_Y = 0.1


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--limit", type=int, default=2, help="pictures")
    asked.add_argument("--steps", type=int, default=25, help="most steps of a run")
    asked.add_argument("--device", default="auto")
    chosen = asked.parse_args()
    fp32, bf16 = (priors.load("faces-64", chosen.device, precision) for precision in ("fp32", "bf16"))
    H, began = operators.build("inpaint"), time.perf_counter()
    problems = [
        Problem.simulate(picture.x, H, SIGMA_Y, k).to(fp32.device)
        for k, picture in enumerate(bench.pictures("examples", 64, 64, chosen.limit))
    ]

    def alone(prior: Prior, sampler: Sampler) -> list[Tensor]:
        return [solved(prior, sampler, [problem], [k]) for k, problem in enumerate(problems)]

    def solved(prior: Prior, sampler: Sampler, of: list[Problem], seeds: list[int]) -> Tensor:
        y = torch.cat([problem.y for problem in of])
        *_, last = stream(prior, H, y, SIGMA_Y, sampler, Generators(seeds))
        return last.x0_hat

    found: dict[str, dict[str, tuple[float, float]]] = {}
    threads = torch.get_num_threads()
    for cls in SAMPLERS:
        sampler = presets.sampler_for(cls.name, H, SIGMA_Y)
        sampler = knobs.build(cls, {**knobs.values(sampler), "steps": min(max(sampler.steps // 2, 1), chosen.steps)})
        exact = alone(fp32, sampler)
        pairs = {"twice": alone(fp32, sampler), "bf16": alone(bf16, sampler)}
        if not cls.coupled:
            pairs["batch"] = list(solved(fp32, sampler, problems, list(range(len(problems)))).split(1))
        torch.set_num_threads(1 if threads > 1 else 2)
        pairs["threads"] = alone(fp32, sampler)
        torch.set_num_threads(threads)
        found[cls.name] = {name: apart(exact, other, problems) for name, other in pairs.items()}
        told = "  ".join(f"{name}: {db:.4f} dB, {level:.3f}/255" for name, (db, level) in found[cls.name].items())
        print(f"{cls.name:<10}{told}", flush=True)
    where = {"device": fp32.device.type, "torch": torch.__version__, "threads": threads, "pictures": len(problems)}
    print(json.dumps({"apart": found, **where, "seconds": round(time.perf_counter() - began, 1)}))


def apart(a: list[Tensor], b: list[Tensor], problems: list[Problem]) -> tuple[float, float]:
    """The largest differences over the pictures: of PSNR in dB, and of a pixel in levels of 255."""
    psnr = [
        float((metrics.psnr(u, p.x_true) - metrics.psnr(v, p.x_true)).abs()) for u, v, p in zip(a, b, problems, strict=True)
    ]
    level = [float((u.clamp(-1, 1) - v.clamp(-1, 1)).abs().max()) * 127.5 for u, v in zip(a, b, strict=True)]
    return round(max(psnr), 5), round(max(level), 4)


if __name__ == "__main__":
    main()
