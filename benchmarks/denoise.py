"""A prior as a plain Gaussian denoiser, beside scikit-image's non-local means and total variation, each tuned.

    python benchmarks/denoise.py photos-128.zip --prior photos [--pictures 100] [--tune 10] [--sigmas 0.1 0.2 0.4]

D(x, sigma) of `x = x0 + sigma * eps`, pictures in [-1, 1], on the validation pictures of the data at their own size. The peers
get the same noisy picture and the true sigma; their strength (and the patch size of non-local means) is the best of a grid on
`--tune` other validation pictures, for each sigma. PSNR in dB after clipping, as everywhere. The last line is one JSON object.
"""

import argparse
import itertools
import json
from collections.abc import Callable

import checkout  # noqa: F401
import numpy as np
import torch

from redgui import priors
from redgui.train.data import Source

Denoiser = Callable[[np.ndarray, float], np.ndarray]


def pictures(path: str, count: int) -> np.ndarray:
    """The first validation pictures by name, (n, h, w, 3) in [-1, 1]."""
    source = Source(path)
    names = source.split(0.05, 0)[1][:count]
    return np.stack([source.read(name) for name in names]).astype(np.float32) / 127.5 - 1


def noisy(clean: np.ndarray, sigma: float) -> np.ndarray:
    """The same noise for everybody."""
    return clean + sigma * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)


def psnr(found: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Per picture, dB."""
    error = ((np.clip(found, -1, 1) - clean) ** 2).mean((1, 2, 3)) / 4
    return -10 * np.log10(error)


def nlm(h: float, patch: int) -> Denoiser:
    """Non-local means, its strength a multiple h of the noise."""
    from skimage.restoration import denoise_nl_means

    size = dict(patch_size=patch, patch_distance=6, fast_mode=True, channel_axis=-1)
    return lambda x, sigma: denoise_nl_means(x, h=h * sigma, sigma=sigma, **size)


def tv(weight: float) -> Denoiser:
    """Total variation (Chambolle), its weight a multiple of the noise."""
    from skimage.restoration import denoise_tv_chambolle

    return lambda x, sigma: denoise_tv_chambolle(x, weight=weight * sigma, channel_axis=-1, max_num_iter=300, eps=1e-4)


STRENGTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.95)
GRIDS: dict[str, list[tuple[str, Denoiser]]] = {
    "non-local means": [
        (f"h={h}, patch={p}", nlm(h, p)) for h, p in itertools.product((0.4, 0.5, 0.6, 0.7, 0.8, 0.95), (3, 5, 7))
    ],
    "total variation": [(f"weight={w}", tv(w)) for w in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--prior", default="photos")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--tune", type=int, default=10)
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.1, 0.2, 0.4])
    chosen = parser.parse_args()
    prior = priors.load(chosen.prior)
    every = pictures(chosen.data, chosen.pictures + chosen.tune)
    clean, others = every[: chosen.pictures], every[chosen.pictures :]

    def network(x: np.ndarray, sigma: float) -> np.ndarray:
        with torch.no_grad():
            batch = torch.from_numpy(x).permute(2, 0, 1)[None].to(prior.device)
            return prior.denoise(batch, sigma)[0].permute(1, 2, 0).cpu().numpy()

    def reached(denoise: Denoiser, of: np.ndarray, sigma: float) -> float:
        return float(psnr(np.stack([denoise(x, sigma) for x in noisy(of, sigma)]), of).mean())

    rows = []
    for sigma in chosen.sigmas:
        row = {"sigma": sigma, "noisy": round(float(psnr(noisy(clean, sigma), clean).mean()), 2)}
        for name, grid in GRIDS.items():
            _, setting, best = max((reached(denoise, others, sigma), setting, i) for i, (setting, denoise) in enumerate(grid))
            row |= {name: round(reached(grid[best][1], clean, sigma), 2), f"{name} at": setting}
        row[chosen.prior] = round(reached(network, clean, sigma), 2)
        row["gain"] = round(row[chosen.prior] - max(row[name] for name in GRIDS), 2)
        print(row, flush=True)
        rows.append(row)
    print(json.dumps({"prior": chosen.prior, "precision": prior.precision, "pictures": len(clean), "rows": rows}))


if __name__ == "__main__":
    main()
