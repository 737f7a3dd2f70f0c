"""How well the noise in a picture is known from the picture alone, beside scikit-image's `estimate_sigma`.

    python benchmarks/noise.py photos-clean-128.zip [--pictures 60]

White Gaussian noise of six levels (in [-1, 1] units) is added to photographs of the zip's `train/` outside of redgui, and the
sum rounded to the 256 levels of a file. Clean photographs: the noise that a picture has of its own would count as error. For
each level: the share within 10 % of the truth, the median of the relative error and its 90th percentile. The last line is JSON.
"""

import argparse
import io
import json
import zipfile
from collections.abc import Callable

import checkout  # noqa: F401
import numpy as np
import torch
from PIL import Image

from redgui.noise.estimate import noise_level

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


def ours(file: np.ndarray) -> float:
    return noise_level(torch.from_numpy(file / 127.5 - 1).permute(2, 0, 1)[None])


def theirs(file: np.ndarray) -> float:
    from skimage.restoration import estimate_sigma

    return float(estimate_sigma(file / 127.5 - 1, average_sigmas=True, channel_axis=-1))


def photographs(zipped: str, count: int) -> list[np.ndarray]:
    """(h, w, 3) in 8 bits, evenly from the zip."""
    with zipfile.ZipFile(zipped) as pack:
        names = sorted(name for name in pack.namelist() if name.startswith("train/") and name.endswith(".jpg"))
        chosen = names[:: max(1, len(names) // count)][:count]
        return [np.asarray(Image.open(io.BytesIO(pack.read(name))).convert("RGB")) for name in chosen]


def errors(photos: list[np.ndarray], level: float, method: Callable[[np.ndarray], float]) -> np.ndarray:
    """The relative error for each photograph."""
    found = []
    for seed, photo in enumerate(photos):
        noise = np.random.default_rng(seed).standard_normal(photo.shape)
        file = (photo + 127.5 * level * noise).round().clip(0, 255).astype(np.uint8)
        found.append(method(file) / level - 1)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--pictures", type=int, default=60)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    photos = photographs(chosen.images, chosen.pictures)
    methods = {"redgui": ours} | ({"scikit-image": theirs} if _has_wavelets() else {})
    figures: dict[str, dict[str, list[float]]] = {}
    for name, method in methods.items():
        figures[name] = {}
        for level in LEVELS:
            off = np.abs(errors(photos, level, method))
            figures[name][str(level)] = [
                round(float(v), 3) for v in (np.mean(off < 0.1), np.median(off), np.quantile(off, 0.9))
            ]
            print(f"{name:13} {level:5g}: {figures[name][str(level)]}", flush=True)
    print(json.dumps({"pictures": len(photos), "within 10 %, median, 90th percentile": figures}))


def _has_wavelets() -> bool:
    """Whether PyWavelets is there, which `estimate_sigma` needs."""
    from importlib.util import find_spec

    return find_spec("pywt") is not None


if __name__ == "__main__":
    main()
