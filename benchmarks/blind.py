"""Blind deblurring of photographs that were blurred outside of redgui: how near the kernel comes, what the picture gains, and
the seconds of both; a line for each of 20 cases, and the last line one JSON object.

    python benchmarks/blind.py [--sampler ddrm] [--prior photos] [--cases N ...] [--kernels-only]

The photographs are scikit-image's own, 288 pixels along the shorter side. They are blurred by straight motions and by shaking
hands, a part of 256x256 is cut out and rounded to 8 bits, and redgui is told a size 4 pixels larger than the true one.
A kernel and a picture are found up to a shift: both are compared at the best one, in fractions of pixels. PSNR is that of the
interior, 16 pixels from the border, beside that of the blurred picture at its own best shift.
"""

import argparse
import json
import time
from typing import NamedTuple

import checkout  # noqa: F401
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import api, images, metrics
from redgui.operators import kernel_search, kernels
from redgui.operators.blind import offset, shifted

PHOTOS = ("camera", "astronaut", "coffee", "chelsea", "rocket")
KERNELS = (("line", 9, 0), ("line", 15, 30), ("line", 11, 90), ("line", 21, -45), ("line", 13, 120),
           ("shake", 11, 1), ("shake", 15, 2), ("shake", 21, 3), ("shake", 17, 4), ("shake", 25, 5))  # fmt: skip
SHORT, SIDE, EDGE = 288, 256, 16


class Case(NamedTuple):
    """A blurred photograph.

    Attributes:
        name: of photograph and kernel.
        kernel: the true one.
        truth: (1, c, 256, 256) in [-1, 1].
        file: the blurred picture of 8 bits.
    """

    name: str
    kernel: np.ndarray
    truth: Tensor
    file: Image.Image


def case(k: int) -> Case:
    """The k-th of 20: every photograph with four kernels, every kernel with two photographs."""
    from scipy.ndimage import convolve
    from skimage import data

    photo, (kind, size, of) = PHOTOS[k % 5], KERNELS[(3 * k + k // 10) % 10]
    image = Image.fromarray(getattr(data, photo)()).convert("RGB")
    scale = SHORT / min(image.size)
    scene = np.asarray(image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS), float)
    kernel = kernels.shake(size, of) if kind == "shake" else kernels.line(size, of)
    blurred = np.stack([convolve(channel, kernel, mode="mirror") for channel in scene.transpose(2, 0, 1)], -1)
    top, left = ((n - SIDE) // 2 for n in scene.shape[:2])
    truth, seen = (v[top : top + SIDE, left : left + SIDE] for v in (scene, blurred))
    file = Image.fromarray(seen.round().clip(0, 255).astype(np.uint8))
    name = f"{photo}, {kind} of {size}" + (f" at {of} degrees" if kind == "line" else f", seed {of}")
    return Case(name, kernel, torch.from_numpy(truth / 127.5 - 1).float().permute(2, 0, 1)[None], file)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The largest normalised correlation of two kernels over all shifts, eighths of pixels included."""
    n, fine = 64, 8
    F = [np.fft.fftshift(np.fft.fft2(k / np.linalg.norm(k), (n, n))) for k in (one, other)]
    whole = np.pad(F[0] * F[1].conj(), n * (fine - 1) // 2)
    return float(np.fft.ifft2(np.fft.ifftshift(whole)).real.max() * fine**2)


def psnr(x: Tensor, truth: Tensor) -> float:
    """dB in the interior, at the best shift."""
    x = shifted(x, *offset(x, truth, 15))
    return float(metrics.psnr(*(v[..., EDGE:-EDGE, EDGE:-EDGE] for v in (x, truth))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sampler", default="ddrm")
    parser.add_argument("--prior", default="photos")
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--kernels-only", action="store_true")
    chosen = parser.parse_args()
    rows = []
    for k in chosen.cases:
        one = case(k)
        size = min(len(one.kernel) + 4, 31)
        began = time.process_time()
        if chosen.kernels_only:
            grey = np.asarray(one.file, float).mean(-1) / 255
            kernel, gain = [found.kernel for found in kernel_search.search(grey, size)][-1], None
        else:
            spent: list[float] = []
            result = api.restore(one.file, operator=f"given:of=blur,kind=blind,size={size}", sampler=chosen.sampler,
                                 prior=chosen.prior, fit="native",
                                 watch=lambda step, at=spent, began=began: at.append(time.process_time() - began))  # fmt: skip
            kernel, gain = result.kernel, psnr(result.restored, one.truth) - psnr(images.to_tensor(one.file), one.truth)
        assert kernel is not None
        row = {"case": one.name, "correlation": correlation(kernel, one.kernel), "gain": gain,
               "seconds": time.process_time() - began}  # fmt: skip
        if gain is not None:
            row["seconds_kernel"] = spent[kernel_search.turns(size) - 1]
        rows.append(row)
        print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}), flush=True)
    found = np.array([row["correlation"] for row in rows])
    summary = {"cases": len(rows), "median_correlation": float(np.median(found)), "above_0.9": int((found > 0.9).sum())}
    if not chosen.kernels_only:
        gains = np.array([row["gain"] for row in rows])
        summary |= {"gained": int((gains > 0).sum()), "median_gain": float(np.median(gains))}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
