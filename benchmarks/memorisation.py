"""Whether a face prior draws its training pictures: how far its samples lie from the nearest of them, beside unseen faces.

    python benchmarks/memorisation.py faces-64.zip [--prior faces-64] [--pictures 64] [--steps 100]

Distances are root mean squares over the pixels, in [-1, 1]. Samples of a prior that remembers would lie nearer than held-out
faces do. The last line is one JSON object.
"""

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "assets" / "examples")]

import torch
from make import draw
from PIL import Image
from torch import Tensor

from redgui import images


def pictures(path: Path, folder: str, most: int | None = None) -> Tensor:
    """Those of a folder of the zip, (n, pixels)."""
    with zipfile.ZipFile(path) as z:
        names = sorted(name for name in z.namelist() if name.startswith(folder) and name.endswith(".jpg"))[:most]
        return torch.cat([images.to_tensor(Image.open(io.BytesIO(z.read(name)))) for name in names]).flatten(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    chosen = parser.parse_args()
    train = pictures(chosen.data, "train/")
    looked_at = {
        "samples": draw(list(range(chosen.pictures)), chosen.steps, chosen.prior).clamp(-1, 1).flatten(1),
        "held_out": pictures(chosen.data, "val/", chosen.pictures),
    }
    found = {"prior": chosen.prior, "pictures": chosen.pictures, "training_pictures": len(train)}
    for name, x in looked_at.items():
        nearest = torch.cdist(x, train).amin(1) / x.shape[1] ** 0.5
        found[name] = {"median": round(float(nearest.median()), 4), "least": round(float(nearest.min()), 4)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
