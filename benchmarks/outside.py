"""Photographs that were blurred, made smaller or compressed outside of redgui, in 8 bits: does a sampler make any part worse?

    python benchmarks/outside.py [--cases disc ...] [--samplers ddrm ...] [--pictures N] [--pack PICTURES.zip]

A scene goes on beyond its photograph: scipy blurs it, Pillow resizes or compresses it, then a part is cut out and rounded to
8 bits. `redgui.restore` is given that file and the name of what befell it, and sigma_y and all knobs as they come. Beside it
stands the simulation: redgui's own operator on the part alone, which repeats (a blur) or is mirrored (bicubic) beyond its
border, rounded to 8 bits as well. PSNR within and in the ring, the outermost pixels as wide as the kernel (or 8), means over
the pictures; and the least gain over the file in any picture. A line for each case and sampler, and the last line one JSON
object.
"""

import argparse
import io
import json
import time
import zipfile
from typing import NamedTuple

import checkout  # noqa: F401
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import api, files, images, priors
from redgui.metrics import psnr
from redgui.operators import kernels
from redgui.runs.problem import Problem
from redgui.runs.settings import parse_operator
from redgui.samplers import SAMPLERS, SamplerError

SIDE, AROUND, RING = 96, 16, 8  # of the part, of the scene around it, of the ring where there is no kernel
PHOTOS = (("astronaut", 2, 20, 70), ("coffee", 3, 0, 30), ("chelsea", 2, 20, 40))  # name, reduced by, top, left of the scene
KERNELS = {
    "gauss": ("size=9,width=1.5", kernels.gaussian(9, 1.5)),
    "disc": ("kind=disc,size=7", kernels.disc(7)),
    "motion": ("kind=motion,size=9,angle=30", kernels.line(9, 30)),
    "file": ("", kernels.shake(11, 2)),
}
SMALLER = {"area-2": ("mean", Image.Resampling.BOX, 2), "bicubic-2": ("bicubic", Image.Resampling.BICUBIC, 2),
           "area-4": ("mean", Image.Resampling.BOX, 4), "bicubic-4": ("bicubic", Image.Resampling.BICUBIC, 4)}  # fmt: skip
CASES = (*KERNELS, *SMALLER, "jpeg")


class Case(NamedTuple):
    """A damaged photograph.

    Attributes:
        spec: what redgui is told.
        border: a knob more, for the simulation.
        ring: pixels from the border.
        truth: (1, 3, SIDE, SIDE) in [-1, 1].
        file: what redgui is given, a picture or the bytes of one.
        shown: the file at the size of the truth.
        kernel: that goes with `spec`.
    """

    spec: str
    border: str
    ring: int
    truth: Tensor
    file: Image.Image | bytes
    shown: Tensor
    kernel: np.ndarray | None = None


def scenes(number: int, pack: str | None) -> list[np.ndarray]:
    """(SIDE + 2 AROUND, SIDE + 2 AROUND, 3) in 8 bits: scikit-image's photographs, then those of a zip file, evenly."""
    from skimage import data

    whole = SIDE + 2 * AROUND
    found = [np.asarray(Image.fromarray(getattr(data, name)()).reduce(by))[top : top + whole, left : left + whole]
             for name, by, top, left in PHOTOS[:number]]  # fmt: skip
    if pack is not None and number > len(found):
        with zipfile.ZipFile(pack) as held:
            names = sorted(n for n in held.namelist() if n.endswith((".png", ".jpg")))
            names = [n for n in names if n.startswith("val/")] or names
            for name in names[:: len(names) // (number - len(found))][: number - len(found)]:
                found.append(np.asarray(Image.open(io.BytesIO(held.read(name))).convert("RGB"))[:whole, :whole])
    assert all(scene.shape == (whole, whole, 3) for scene in found)
    return found


def case(name: str, scene: np.ndarray) -> Case:
    """A scene as the photograph of a case."""
    from scipy import ndimage

    part = np.s_[AROUND : AROUND + SIDE, AROUND : AROUND + SIDE]
    photo = Image.fromarray(scene[part])
    truth = images.to_tensor(photo)
    if name in KERNELS:
        said, kernel = KERNELS[name]
        after = np.stack([ndimage.convolve(scene[..., c].astype(float), kernel, mode="mirror") for c in range(3)], -1)
        file = Image.fromarray(after[part].round().clip(0, 255).astype(np.uint8))
        own = None if said else kernel
        return Case(f"given:of=blur,{said}".rstrip(","), ",border=wrap", len(kernel), truth, file, images.to_tensor(file), own)
    if name in SMALLER:
        kind, how, k = SMALLER[name]
        small = Image.fromarray(scene).resize((scene.shape[1] // k, scene.shape[0] // k), how)
        file = small.crop((AROUND // k, AROUND // k, (AROUND + SIDE) // k, (AROUND + SIDE) // k))
        shown = images.to_tensor(file.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        border = ",border=mirror" if kind == "bicubic" else ""
        return Case(f"given:of=superres,factor={k},kernel={kind}", border, max(RING, 4 * k), truth, file, shown)
    held = io.BytesIO()
    photo.save(held, "JPEG", quality=20, subsampling=2)
    shown = images.to_tensor(Image.open(held))
    return Case("given:of=jpeg,quality=20,subsampling=420", "", RING, truth, held.getvalue(), shown)


def simulated(one: Case) -> Image.Image:
    """What redgui makes of the part alone, as a file of 8 bits."""
    H = parse_operator(str(files.told(one.spec + one.border, one.kernel)))[0]
    return images.to_pil(Problem.simulate(one.truth, H).y)


def within_and_ring(x: Tensor, one: Case) -> np.ndarray:
    """PSNR in dB within the ring and in it."""
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[one.ring : -one.ring, one.ring : -one.ring] = True
    return np.array([float(psnr(x[..., at][..., None], one.truth[..., at][..., None])) for at in (inside, ~inside)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--samplers", nargs="+", default=[s.name for s in SAMPLERS])
    parser.add_argument("--prior", default="photos")
    parser.add_argument("--pictures", type=int, default=len(PHOTOS))
    parser.add_argument("--pack", help="a zip file of pictures of at least 128x128, for more than three")
    parser.add_argument("--alone", action="store_true", help="without the simulation")
    chosen = parser.parse_args()
    prior = priors.load(chosen.prior)
    photos = scenes(chosen.pictures, chosen.pack)
    rows = []
    for name in chosen.cases:
        cases = [case(name, scene) for scene in photos]
        before = np.array([within_and_ring(one.shown, one) for one in cases])
        for sampler in chosen.samplers:
            began = time.process_time()

            def run(one: Case, file: Image.Image | bytes, border: str = "", sampler: str = sampler) -> np.ndarray:
                operator = one.spec + border
                found = api.restore(file, operator=operator, kernel=one.kernel, sampler=sampler, prior=prior, fit="native")
                return within_and_ring(found.restored, one)

            try:
                after = np.array([run(one, one.file) for one in cases])
            except SamplerError:  # it is for other operators
                continue
            row = {"case": name, "sampler": sampler, "file": before.mean(0), "result": after.mean(0),
                   "least_gain": (after - before).min(0)}  # fmt: skip
            if not chosen.alone:
                row["simulated"] = np.array([run(one, simulated(one), one.border) for one in cases]).mean(0)[:1]
                row["behind"] = row["simulated"] - row["result"][:1]
            row["seconds"] = time.process_time() - began
            rows.append({key: v if isinstance(v, str) else np.round(v, 2).tolist() for key, v in row.items()})
            print("  ".join(f"{key} {v}" if key not in ("case", "sampler") else v for key, v in rows[-1].items()), flush=True)
    worse = sum(min(row["least_gain"]) < 0 for row in rows)
    behind = sum(row["behind"][0] > 0.5 for row in rows if "behind" in row)
    print(json.dumps({"pictures": len(photos), "rows": rows, "worse_somewhere": worse, "behind_the_simulation": behind}))


if __name__ == "__main__":
    main()
