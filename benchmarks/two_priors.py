"""What two priors are worth to the samplers: PSNR on the same measurements, with the presets; last line one JSON object.

    python benchmarks/two_priors.py faces-64.zip --priors OLD_FOLDER faces-64 [--pictures 8]

The pictures are the first of the zip's `val/`, all of a problem in one batch.
"""

import argparse
import json
from pathlib import Path

import checkout  # noqa: F401
import torch

from redgui import bench, metrics, presets, priors
from redgui.operators import build
from redgui.randomness import Generators
from redgui.runs.stream import stream

PROBLEMS = [("inpaint", 0.0), ("inpaint", 0.1), ("superres", 0.0), ("superres", 0.1), ("blur", 0.1), ("denoise", 0.1),
            ("inpaint:kind=random", 0.1)]  # fmt: skip
FOUR = ("reddiff", "vml-map", "ddrm", "diffpir")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--priors", nargs=2, required=True, metavar="PRIOR")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    pair = [priors.load(name, chosen.device) for name in chosen.priors]
    x = torch.cat([picture.x for picture in bench.pictures(chosen.data, *pair[0].picture_shape[-2:], chosen.pictures)])
    rows = []
    for spec, sigma_y in PROBLEMS:
        H = build(spec)
        y = H(x)
        y = y + sigma_y * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
        for name in FOUR:
            found = []
            for prior in pair:
                at = prior.device
                steps = stream(prior, H, y.to(at), sigma_y, presets.sampler_for(name, H, sigma_y), Generators.of_run(0, len(x)))
                *_, last = steps
                found.append(round(float(metrics.psnr(last.x0_hat, x.to(at)).mean()), 2))
            rows.append({"operator": spec, "sigma_y": sigma_y, "sampler": name, "psnr": found})
            print(f"{spec} {sigma_y:g} {name}: {found[0]:.2f}, {found[1]:.2f} dB ({found[1] - found[0]:+.2f})", flush=True)
    print(json.dumps({"priors": chosen.priors, "pictures": len(x), "rows": rows}))


if __name__ == "__main__":
    main()
