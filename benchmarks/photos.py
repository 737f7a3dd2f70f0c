"""Real damage on photographs at their own scale: samplers beside the classics, PSNR in dB; the last line is one JSON object.

    python benchmarks/photos.py portraits.zip [--tasks text hole ...] [--samplers reddiff classic reddiff:steps=50,lr=0.02 ...]
    python benchmarks/photos.py portraits.zip --tune --side 128 --tasks text --samplers reddiff:sigma_start={0.3,0.6},lr=0.1

The pictures are crops of scikit-image's photographs (at their own scale, and halved) and portraits of a zip, halved: twenty,
and with `--tune` six others, for finding presets. They are damaged by numpy and Pillow, as a file would be, in 8 bits, and
redgui is given the damaged picture. Of inpainting the PSNR is that inside the hole, else of the whole picture. {a,b} in a
sampler stands for each of its values. "as it is" is the damaged picture itself (an enlargement: Pillow's bicubic).
"""

import argparse
import io
import itertools
import json
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import checkout  # noqa: F401
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from redgui import images, operators, presets, priors
from redgui.operators import Inpaint, Operator, masks
from redgui.randomness import Generators
from redgui.runs.stream import stream
from redgui.samplers import Sampler

NOISE = 25.0  # standard deviation, of 255

# Of scikit-image: name, how many times smaller, and the upper left corner of a crop, of its free room.
CROPS = (
    ("astronaut", 2, 0.5, 0.5), ("coffee", 1, 0.2, 0.4), ("chelsea", 1, 0.3, 0.5), ("rocket", 1, 0.7, 0.5),
    ("motorcycle_left", 1, 0.5, 0.4), ("astronaut", 1, 0.0, 0.7), ("coffee", 1, 0.9, 0.9), ("motorcycle_left", 1, 0.9, 0.1),
    ("coffee", 1.5, 0.5, 0.5), ("astronaut", 1, 0.95, 0.9),
)  # fmt: skip
OTHERS = (("astronaut", 1, 0.5, 0.1), ("coffee", 1, 0.6, 0.0), ("motorcycle_left", 1, 0.1, 0.9))  # to tune on


def photographs(portraits: str, side: int, tune: bool) -> list[np.ndarray]:
    """(side, side, 3) in 8 bits: twenty, or six others."""
    from skimage import data

    found = []
    for name, smaller, down, right in OTHERS if tune else CROPS:
        photo = Image.fromarray(np.asarray(getattr(data, name)() if hasattr(data, name) else Image.open(_path(name))))
        photo = photo.resize([round(n / smaller) for n in photo.size], Image.Resampling.LANCZOS)
        x, y = round(right * (photo.width - side)), round(down * (photo.height - side))
        found.append(np.asarray(photo.crop((x, y, x + side, y + side)).convert("RGB")))
    with zipfile.ZipFile(portraits) as pack:
        names = sorted(pack.namelist())
        for name in names[13:16] if tune else names[3:13]:
            photo = Image.open(io.BytesIO(pack.read(name))).convert("RGB").reduce(2)
            x = (photo.width - side) // 2
            found.append(np.asarray(photo.crop((x, x, x + side, x + side))))
    return found


def _path(name: str) -> str:
    from pathlib import Path

    import skimage

    return str(Path(skimage.__file__).parent / "data" / f"{name}.png")


# ---- what befalls them: (damaged picture, operator, sigma_y, hole or None)

Damage = tuple[np.ndarray, Operator, float, np.ndarray | None]


def _holed(photo: np.ndarray, hole: np.ndarray) -> Damage:
    damaged = photo.copy()
    damaged[hole] = 255
    return damaged, Inpaint(kind="mask", painted=masks.encode(hole)), 0.0, hole


def text(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    page = Image.new("L", photo.shape[1::-1])
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=22)
    for top in range(int(rng.integers(5, 20)), photo.shape[0], 45):
        draw.text((int(rng.integers(-30, 10)), top), "All rights reserved  " * 4, fill=255, font=font)
    return _holed(photo, np.asarray(page) > 0)


def scratches(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    page = Image.new("L", photo.shape[1::-1])
    draw = ImageDraw.Draw(page)
    for _ in range(12):
        ends = rng.integers(0, photo.shape[0], 4).tolist()
        draw.line(ends, fill=255, width=int(rng.integers(2, 5)))
    return _holed(photo, np.asarray(page) > 0)


def missing(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    return _holed(photo, rng.random(photo.shape[:2]) < 0.3)


def hole(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    n = photo.shape[0]
    side = round(0.05**0.5 * n)
    top, left = rng.integers(n // 8, n - n // 8 - side, 2)
    gone = np.zeros((n, n), bool)
    gone[top : top + side, left : left + side] = True
    return _holed(photo, gone)


def noise(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    damaged = (photo + NOISE * rng.standard_normal(photo.shape)).round().clip(0, 255)
    return damaged.astype(np.uint8), operators.build("denoise"), NOISE / 127.5, None


def jpeg(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=20)
    return np.asarray(Image.open(file)), operators.build("jpeg:quality=20"), 0.0, None


def enlarge(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    return np.asarray(Image.fromarray(photo).reduce(4)), operators.build("superres:factor=4"), 0.0, None


def blur(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    """Circular, by numpy, and a little noise."""
    H = operators.build("blur:size=13,width=2")
    kernel = np.zeros(photo.shape[:2])
    kernel[:13, :13] = H.kernel()
    gain = np.fft.fft2(np.roll(kernel, (-6, -6), (0, 1)))[..., None]
    soft = np.fft.ifft2(gain * np.fft.fft2(photo, axes=(0, 1)), axes=(0, 1)).real
    return (soft + 2.55 * rng.standard_normal(photo.shape)).round().clip(0, 255).astype(np.uint8), H, 0.02, None


TASKS: dict[str, Callable[[np.ndarray, np.random.Generator], Damage]] = {
    f.__name__: f for f in (text, scratches, missing, hole, noise, jpeg, enlarge, blur)
}


@dataclass
class Score:
    """PSNR of each picture and all seconds."""

    psnr: list[float]
    seconds: float


def psnr(found: np.ndarray, clean: np.ndarray, hole: np.ndarray | None) -> float:
    error = (found.astype(float) - clean.astype(float)) ** 2
    return float(10 * np.log10(255**2 / max((error if hole is None else error[hole]).mean(), 1e-9)))


def solved(prior: priors.Prior, sampler: Sampler, damage: Damage, seed: int) -> np.ndarray:
    damaged, H, sigma_y, _ = damage
    y = H.measurement_of(images.to_tensor(Image.fromarray(damaged)))
    *_, last = stream(prior, H, y, sigma_y, sampler, Generators.of_run(seed, 1))
    return images.to_uint8(last.x0_hat)


def every(spec: str) -> Iterator[str]:
    """The specs of one with {a,b} in it."""
    parts = re.split(r"\{([^}]*)\}", spec)
    for values in itertools.product(*(part.split(",") for part in parts[1::2])):
        yield "".join(itertools.chain(*itertools.zip_longest(parts[::2], values, fillvalue="")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits")
    parser.add_argument("--prior", default="photos")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--limit", type=int, help="so many of them, evenly")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--samplers", nargs="+", default=["classic", "reddiff"])
    chosen = parser.parse_args()
    torch.set_grad_enabled(False)
    prior = priors.load(chosen.prior)
    photos = photographs(chosen.portraits, chosen.side, chosen.tune)
    if chosen.limit is not None:
        photos = photos[:: max(1, len(photos) // chosen.limit)][: chosen.limit]
    found: dict[str, dict[str, float]] = {}
    for task in chosen.tasks:
        damages = [TASKS[task](photo, np.random.default_rng(k)) for k, photo in enumerate(photos)]
        H, sigma_y = damages[0][1:3]
        scores = {"as it is": Score([], 0.0)}
        for photo, damage in zip(photos, damages, strict=True):
            seen = damage[0]
            if seen.shape != photo.shape:
                seen = np.asarray(Image.fromarray(seen).resize(photo.shape[1::-1], Image.Resampling.BICUBIC))
            scores["as it is"].psnr.append(psnr(seen, photo, damage[3]))
        for spec in itertools.chain(*map(every, chosen.samplers)):
            sampler = presets.sampler_for(spec, H, sigma_y, chosen.prior)
            if not sampler.fits(H):
                continue
            began = time.perf_counter()
            results = [solved(prior, sampler, damage, k) for k, damage in enumerate(damages)]
            seconds = time.perf_counter() - began
            each = [psnr(r, photo, d[3]) for r, photo, d in zip(results, photos, damages, strict=True)]
            scores[spec] = Score(each, seconds)
            print(f"{task}: {np.mean(each):.2f} dB of {len(each)}, {spec}", file=sys.stderr, flush=True)
        print(f"\n{task}, {len(photos)} pictures of {chosen.side}x{chosen.side}")
        for spec, score in sorted(scores.items(), key=lambda entry: -np.mean(entry[1].psnr)):
            print(f"  {np.mean(score.psnr):6.2f}  {score.seconds / len(photos):6.2f} s  {spec}", flush=True)
        found[task] = {spec: round(float(np.mean(score.psnr)), 3) for spec, score in scores.items()}
    print(json.dumps({"prior": chosen.prior, "side": chosen.side, "pictures": len(photos), "psnr": found}))


if __name__ == "__main__":
    main()
