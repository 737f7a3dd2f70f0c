"""Finds the presets: knobs per (sampler, operator) by a sweep on validation pictures, at an equal budget of the network.

    python benchmarks/tune.py faces-64.zip --out tune [--operators inpaint blur ...] [--samplers dps ...] [--sigma-y 0 0.1]

Each candidate of GRID below is run on the pictures 33 to 35 of the zip's `val/` (the figures in the documentation are those of
the pictures 1 to 32); its budget, forwards + 2 x backwards of the network per picture (and particle), is at most 100. The best
PSNR of each (sampler, operator, sigma_y) is printed beside the preset of today; by eye another one may still be the better
choice. RSD takes RED-diff's knobs. Resumable: what ran is read from --out.
"""

import argparse
import itertools
from typing import Any

import checkout  # noqa: F401
import torch

from redgui import bench, knobs, operators, presets, priors
from redgui.samplers import SAMPLERS

FAMILIES = (
    "denoise", "inpaint", "inpaint:kind=random", "superres", "blur", "blur:kind=motion", "colorize", "compressed-sensing",
    "fourier", "compose", "hdr", "phase", "nonlinear-blur", "jpeg", "quantize",
)  # fmt: skip


def grid(**values: Any) -> list[dict[str, Any]]:
    """All combinations; a value that is no list is the same in all."""
    lists = [value if isinstance(value, list) else [value] for value in values.values()]
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*lists)]


# Per sampler: candidates without noise, and with noise. An empty list: what other sweeps found stays.
KARRAS = dict(steps=100, spacing="karras", sigma_start=5)
POSTERIOR = dict(lam=1.0, weighting="posterior", noise_aware=False, spacing="karras", sigma_end=0.04, init="wiener")
PER_LEVEL = grid(steps=11, inner=3, lr=0.1) + grid(steps=7, inner=5, lr=[0.05, 0.1])
PER_LEVEL += grid(steps=7, inner=5, lr=[0.02, 0.05], sigma_max=[0.2, 0.5, 1])
GRID: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "reddiff": (
        grid(steps=100, spacing="karras", sigma_start=[2, 5], lr=[0.03, 0.1], lam=[0.01, 0.03, 0.1]),
        grid(**KARRAS, lr=[0.03, 0.1], lam=[0.1, 0.25], init="wiener")
        + grid(**POSTERIOR, lr=[0.005, 0.01, 0.03], sigma_start=[3, 10]),
    ),
    "vml-map": (grid(steps=50, sigma_max=80, step=[0.2, 0.3, 0.5, 1]), grid(steps=50, sigma_max=80, step=[0.3, 1])),
    "dps": (
        grid(steps=33, zeta=[0.2, 0.5, 1]) + grid(steps=33, zeta=[0.1, 0.2], sigma_max=[0.3, 2, 5]),
        grid(steps=33, zeta=[0.2, 0.5, 1]) + grid(steps=33, zeta=[0.2, 0.5], sigma_max=2),
    ),
    "mcg": (grid(steps=33, zeta=[0.5, 1]), []),
    "ddnm": (grid(steps=50, eta=[0.85, 1]), grid(steps=50, eta=0.85) + grid(steps=20, eta=1)),
    "daps": (grid(steps=50, ode_steps=2, sigma_y_min=0.002, texture=[0.15, 0.3]), []),
    "repaint": (grid(steps=35, jump=5, repeats=3) + grid(steps=100, repeats=1), []),
    "sitcom": (PER_LEVEL, PER_LEVEL),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--operators", nargs="+", default=list(FAMILIES))
    parser.add_argument("--samplers", nargs="+", default=list(GRID))
    parser.add_argument("--sigma-y", type=float, nargs="+", default=[0.1, 0.0])
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--out", default="tune")
    chosen = parser.parse_args()
    torch.set_grad_enabled(False)
    prior = priors.load(chosen.prior, precision=chosen.precision)
    shown = bench.pictures(chosen.images, *prior.shape[-2:], 32 + chosen.pictures)[32:]
    for sigma_y, spec, name in itertools.product(chosen.sigma_y, chosen.operators, chosen.samplers):
        H = operators.build(spec)
        cls = knobs.find(SAMPLERS, name, "sampler")
        candidates = [cls(**candidate) for candidate in GRID[name][sigma_y > 0]]
        if not candidates or not candidates[0].accepts(H):
            continue
        today = presets.sampler_for(name, H, sigma_y)
        if today.steps <= max(candidate.steps for candidate in candidates):  # within the budget
            candidates.append(today)
        rows = bench.bench(shown, prior, [spec], candidates, sigmas_y=[sigma_y], out=chosen.out)
        good = sorted((row for row in rows if row["psnr"] is not None), key=lambda row: -row["psnr"])
        old = next((row["psnr"] for row in good if row["sampler"] == knobs.spec(today)), float("nan"))
        print(f"\n{name} on {spec}, sigma_y {sigma_y:g}: pseudo-inverse {rows[0]['psnr_measurement']:.2f}, preset {old:.2f}")
        for row in good[:8]:
            print(f"  {row['psnr']:.2f}  ssim {row['ssim']:.3f}  residual {row['residual']:.4f}  {row['sampler']}", flush=True)


if __name__ == "__main__":
    main()
