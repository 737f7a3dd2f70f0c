"""Photographs that were damaged elsewhere: RED-diff as it comes beside the classics, PSNR in dB with standard errors.

    python benchmarks/photos.py --out photos.jsonl [--tasks text hole ...] [--limit 5]
    python benchmarks/photos.py --out tune.jsonl --pictures photos-128.zip --side 128 --samplers "reddiff:steps={20,40},lr=0.5"

Twenty crops of 256x256 of the photographs that scikit-image, gradio and matplotlib bring along; presets were found on others
(`--pictures`: a zip, those of its folder val where it has one). numpy and Pillow damage them, and redgui is given files: a PNG
and its mask, or a JPEG. Of inpainting the PSNR is that inside the hole, else of the whole picture. {a,b} in a sampler stands
for each of its values. Every result is a line of `--out`; what is there is not computed again.

The classics: scikit-image's `inpaint_biharmonic` (0.26 reads memory that was never written where a hole meets the border, so of
each picture the better of it and redgui's own counts); its non-local means with the best of several settings for all pictures
of a task; and the JPEG itself.
"""

import argparse
import io
import itertools
import json
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from redgui import api, priors
from redgui.classics import filling

# A file of a package, and the centre of a crop as shares of its free room, down and right.
CROPS = (
    *(("skimage/data/astronaut.png", *at) for at in ((0, 1), (1, 0), (1, 1), (0.2, 0.4))),
    *(("skimage/data/coffee.png", *at) for at in ((0.5, 0.1), (0.5, 0.9))),
    ("skimage/data/chelsea.png", 0.5, 0.5),
    *(("skimage/data/rocket.jpg", *at) for at in ((0.3, 0.4), (1, 0.7))),
    *(("skimage/data/motorcycle_left.png", *at) for at in ((0, 0), (0.6, 0.5), (0.4, 1), (1, 0))),
    *(("matplotlib/mpl-data/sample_data/grace_hopper.jpg", *at) for at in ((0.1, 0.5), (1, 0.5))),
    ("gradio/media_assets/images/cheetah.jpg", 0.5, 0.5),
    ("gradio/test_data/cheetah2.jpg", 0.45, 0.5),
    ("gradio/media_assets/images/lion.jpg", 0, 0),
    *(("gradio/media_assets/images/tower.jpg", *at) for at in ((0.3, 0.5), (1, 0.5))),
)
NLM = tuple(f"nlm:patch={patch},h={h}" for patch in (3, 5, 7) for h in (0.5, 0.6, 0.7, 0.8))


def photographs(zipped: str | None, side: int) -> Iterator[np.ndarray]:
    """(side, side, 3) in 8 bits: the twenty, or the middles of twenty pictures of a zip, evenly."""
    if zipped is None:
        for name, down, right in CROPS:
            package, _, path = name.partition("/")
            [folder] = getattr(find_spec(package), "submodule_search_locations", ())
            yield _crop(Image.open(Path(folder) / path).convert("RGB"), side, down, right)
        return
    with zipfile.ZipFile(zipped) as pack:
        names = sorted(name for name in pack.namelist() if not name.endswith("/"))
        names = [name for name in names if name.startswith("val/")] or names
        for name in names[:: max(1, len(names) // len(CROPS))][: len(CROPS)]:
            yield _crop(Image.open(io.BytesIO(pack.read(name))).convert("RGB"), side, 0.5, 0.5)


def _crop(photo: Image.Image, side: int, down: float, right: float) -> np.ndarray:
    x, y = round(right * (photo.width - side)), round(down * (photo.height - side))
    return np.asarray(photo.crop((x, y, x + side, y + side)))


# ---- what befalls them


@dataclass
class Damage:
    """A damaged picture as a file, and how redgui is told of it.

    Attributes:
        file: with its ending in `ending`.
        operator: that the picture is given as a measurement of.
        sigma_y: of the noise.
        hole: (h, w), or None.
    """

    file: bytes
    operator: str
    ending: str = ".png"
    sigma_y: float | None = None
    hole: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.file)))


def _saved(pixels: np.ndarray, form: str = "PNG", **how: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **how)
    return file.getvalue()


def _holed(photo: np.ndarray, hole: np.ndarray) -> Damage:
    damaged = photo.copy()
    damaged[hole] = 255
    return Damage(_saved(damaged), "given:of=inpaint", hole=hole)


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


def _noisy(sigma_y: float) -> "Damaging":
    def noise(photo: np.ndarray, rng: np.random.Generator) -> Damage:
        damaged = (photo + 127.5 * sigma_y * rng.standard_normal(photo.shape)).round().clip(0, 255)
        return Damage(_saved(damaged.astype(np.uint8)), "given:of=denoise", sigma_y=sigma_y)

    return noise


def jpeg(photo: np.ndarray, rng: np.random.Generator) -> Damage:
    return Damage(_saved(photo, "JPEG", quality=20), "given:of=jpeg", ".jpg")


Damaging = Callable[[np.ndarray, np.random.Generator], Damage]
TASKS: dict[str, Damaging] = {f.__name__: f for f in (text, scratches, missing, hole)}
TASKS |= {"noise-0.1": _noisy(0.1), "noise-0.2": _noisy(0.2), "jpeg": jpeg}
GOALS = {"text": 0.5, "scratches": 0.5, "missing": 0.5, "hole": 0.0, "noise-0.1": 1.0, "noise-0.2": 1.0, "jpeg": 0.5}  # dB

# ---- what is made of it


def psnr(found: np.ndarray, clean: np.ndarray, hole: np.ndarray | None) -> float:
    error = (found.astype(float) - clean.astype(float)) ** 2
    return float(10 * np.log10(255**2 / max((error if hole is None else error[hole]).mean(), 1e-9)))


def classics_for(damage: Damage) -> tuple[str, ...]:
    """The names of the references of a damage."""
    if damage.hole is not None:
        return ("biharmonic",)
    return ("as it is",) if damage.sigma_y is None else NLM


def classic(name: str, damage: Damage) -> list[np.ndarray]:
    """What a reference makes of a damage, in 8 bits; of several the best counts."""
    from skimage.restoration import denoise_nl_means, inpaint_biharmonic

    light = damage.pixels / 255
    if name == "biharmonic":
        found = [filling.biharmonic(light, damage.hole)]
        try:
            found.append(inpaint_biharmonic(light, damage.hole, channel_axis=-1))
        except (ValueError, RuntimeError) as error:
            print(f"inpaint_biharmonic: {error}", file=sys.stderr)
    elif name == "as it is":
        found = [light]
    else:
        patch, h = (float(number) for number in re.findall(r"[\d.]+", name))
        sigma = damage.sigma_y / 2
        how = dict(patch_size=int(patch), patch_distance=6, fast_mode=True, channel_axis=-1)
        found = [denoise_nl_means(light, h=h * sigma, sigma=sigma, **how)]
    return [(255 * picture).round().clip(0, 255).astype(np.uint8) for picture in found]


def restored(prior: priors.Prior, sampler: str, damage: Damage, seed: int, folder: Path) -> np.ndarray:
    """What redgui makes of the file, in 8 bits."""
    (file := folder / f"damaged{damage.ending}").write_bytes(damage.file)
    mask = None
    if damage.hole is not None:
        Image.fromarray(damage.hole).save(mask := folder / "mask.png")
    told = dict(operator=damage.operator, mask=mask, sigma_y=damage.sigma_y)
    return np.asarray(api.restore(file, **told, prior=prior, sampler=sampler, seed=seed).image.convert("RGB"))


def every(spec: str) -> Iterator[str]:
    """The specs of one with {a,b} in it."""
    parts = re.split(r"\{([^}]*)\}", spec)
    for values in itertools.product(*(part.split(",") for part in parts[1::2])):
        yield "".join(itertools.chain(*itertools.zip_longest(parts[::2], values, fillvalue="")))


Scores = dict[str, dict[str, dict[int, float]]]  # task -> method -> picture -> dB


def table(scores: Scores) -> list[str]:
    """For each task the best reference, and every sampler with its gain over it, mean and standard error over pictures."""
    lines = ["| damage | pictures | reference | dB | sampler | dB | gain | goal |", "|" + "---|" * 8]
    for task, methods in scores.items():
        samplers = [name for name in methods if name.startswith("reddiff")]
        common = set.intersection(*map(set, methods.values()))
        names = [name for name in methods if name not in samplers]
        if not common or not names or not samplers:
            continue
        means = {name: np.mean([found[k] for k in common]) for name, found in methods.items()}
        best = max(names, key=lambda name: means[name])
        for name in sorted(samplers, key=lambda name: -means[name]):
            gains = [methods[name][k] - methods[best][k] for k in common]
            error = np.std(gains, ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.nan
            told = f"{np.mean(gains):+.2f} ± {error:.2f}"
            line = task, len(common), best, f"{means[best]:.2f}", name, f"{means[name]:.2f}", told, f"{GOALS[task]:+.1f}"
            lines.append("| " + " | ".join(map(str, line)) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a file of JSON lines that is gone on with")
    parser.add_argument("--pictures", help="a zip of other pictures")
    parser.add_argument("--prior", default="photos")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--limit", type=int, default=len(CROPS), help="so many of them, evenly")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--samplers", nargs="+", default=["reddiff"])
    chosen = parser.parse_args()
    photos = list(enumerate(photographs(chosen.pictures, chosen.side)))
    photos = photos[:: max(1, len(photos) // chosen.limit)][: chosen.limit]
    prior, scores = priors.load(chosen.prior), Scores()
    if chosen.out.exists():
        for line in map(json.loads, chosen.out.read_text().splitlines()):
            scores.setdefault(line["task"], {}).setdefault(line["method"], {})[line["picture"]] = line["psnr"]
    samplers = list(itertools.chain(*map(every, chosen.samplers)))
    with chosen.out.open("a") as out, tempfile.TemporaryDirectory() as folder:
        for task, (k, photo) in itertools.product(chosen.tasks, photos):
            damage = TASKS[task](photo, np.random.default_rng(k))
            for method in (*classics_for(damage), *samplers):
                found = scores.setdefault(task, {}).setdefault(method, {})
                if k in found:
                    continue
                began = time.process_time()
                solved = method in samplers
                made = [restored(prior, method, damage, k, Path(folder))] if solved else classic(method, damage)
                seconds = round(time.process_time() - began, 2)
                found[k] = max(psnr(picture, photo, damage.hole) for picture in made)
                line = dict(task=task, method=method, picture=k, psnr=round(found[k], 3), cpu_seconds=seconds)
                print(json.dumps(line), file=out, flush=True)
    print("\n".join(table({task: scores[task] for task in chosen.tasks if task in scores})))


if __name__ == "__main__":
    main()
