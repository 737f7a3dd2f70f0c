"""Faces at 128x128 of the two bundled priors together, with no weights of their own: what docs/photos.md says of it.

    python benchmarks/faces128.py portraits.zip [--pictures 4] [--png faces128.png]

The pictures are those of a zip, each with one face, every second one first, aligned as the fit `face` does it. It prints the
root-mean-square error of D on twenty of them at the most, then PSNR in dB, LPIPS and the processor's seconds of 100 steps of
RED-diff without noise, on the first `--pictures` in one batch. About six minutes of one core.
"""

import argparse
import io
import time
import zipfile
from pathlib import Path

import checkout  # noqa: F401
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from redgui import fitting, images, metrics, presets, priors
from redgui.metrics.lpips import lpips
from redgui.operators import Inpaint, build
from redgui.priors.base import Sigma, Wrapped
from redgui.priors.network import DiffusersPrior
from redgui.priors.pyramid import PyramidDenoiser
from redgui.randomness import Generators
from redgui.runs.stream import stream

SIGMAS = (0.2, 0.68, 2.5, 6.9, 24.0, 120.0)
SHARES = 0, 0.5, 1


class Faces128(Wrapped):
    """The finest level of `photos` above the answer of `faces-64` to the means over 2x2, whose noise is sigma / 2.

    Args:
        share: of the difference between that answer and the means of the finest level's, which is added to the latter.
    """

    def __init__(self, share: float):
        photos = priors.load("photos", "cpu", "fp32")
        assert isinstance(photos, DiffusersPrior)
        assert isinstance(photos.net, PyramidDenoiser)
        super().__init__(photos)
        self.net, self.coarse, self.share = photos.net, priors.load("faces-64", "cpu", "fp32"), share
        self.name, self.shape, self.sigmas, self.multiple = "faces-128", (3, 128, 128), self.coarse.sigmas, 0

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1).expand(len(x), 1, 1, 1)
        answer = self.coarse.denoise(F.avg_pool2d(x, 2), s.flatten() / 2)
        u, limit = enlarged(answer, "bilinear"), self.net.layout.limit
        c = (limit / s).clamp(max=1)
        mixed = torch.where(c < 1, u + c * (x - u), x)
        D = self.net.level[0](mixed, c * s, (s / limit).log().clamp(min=0), u, None, finest=True)[0]
        return D + self.share * enlarged(answer - F.avg_pool2d(D, 2), "bilinear") if self.share else D


def enlarged(x: Tensor, mode: str = "bicubic") -> Tensor:
    """x at twice its sides."""
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)


def aligned(pack: Path, side: int) -> Tensor:
    """The faces of a zip, (b, 3, side, side), at most twenty."""
    with zipfile.ZipFile(pack) as files:
        names = sorted(name for name in files.namelist() if images.is_picture(name))
        found = [Image.open(io.BytesIO(files.read(name))).convert("RGB") for name in (names[::2] + names[1::2])[:20]]
    fitted = (fitting.for_picture(picture, (side, side), "face").apply(picture) for picture in found)
    return torch.cat([images.to_tensor(picture) for picture in fitted])


def errors(x: Tensor) -> None:
    """Prints the table of RMSE at 128, and of `faces-64` at 64."""
    ways = {"photos": priors.load("photos", "cpu", "fp32"), **{f"both, share {k:g}": Faces128(k) for k in SHARES}}
    small, faces = F.avg_pool2d(x, 2), priors.load("faces-64", "cpu", "fp32")
    for sigma in SIGMAS:
        noisy = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        D = faces.denoise(F.avg_pool2d(noisy, 2), sigma / 2)
        answers = {"faces-64 at 64": (D, small), "faces-64 enlarged": (enlarged(D), x)}
        answers |= {name: (prior.denoise(noisy, sigma), x) for name, prior in ways.items()}
        row = ", ".join(f"{name} {(D - of).square().mean().sqrt():.4f}" for name, (D, of) in answers.items())
        print(f"sigma {sigma:g}: {row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--png", type=Path, help="the restored pictures, a row for each line, below the truth")
    chosen = parser.parse_args()
    x, x64 = aligned(chosen.data, 128), aligned(chosen.data, 64)
    with torch.inference_mode():
        errors(x)
    x, x64 = x[: chosen.pictures], x64[: chosen.pictures]
    faces, photos = (priors.load(name, "cpu", "fp32") for name in ("faces-64", "photos"))
    box, fourth = Inpaint(), build("superres:factor=4")
    hole, rows = torch.from_numpy(box.hole(128, 128).copy()), [x]
    for H, H64, knobs in ((box, box, "sigma_start=4,sigma_end=0.2"), (fourth, build("superres:factor=2"), "lam=0.3")):
        y = H(x)
        y64 = H64(x64) if H is box else y  # of 32x32 pixels, which are the smaller problem's as well
        ways = {"faces-64 enlarged": (faces, "reddiff"), "classic": (photos, "classic"), "photos": (photos, "reddiff")}
        ways |= {f"both, share {share:g}": (Faces128(share), f"reddiff:{knobs}") for share in SHARES}
        for name, (prior, sampler) in ways.items():
            begun = time.process_time()
            problem = (H64, y64) if prior is faces else (H, y)
            *_, s = stream(prior, *problem, 0.0, presets.sampler_for(sampler, H, 0.0, prior.name), Generators.of_run(0, len(x)))
            r = enlarged(s.x0_hat) if prior is faces else s.x0_hat
            r = torch.where(hole, r, x) if H is box else r  # what is known stays, as in a photo
            rows.append(r.clamp(-1, 1))
            psnr, distance = metrics.psnr(rows[-1], x).mean(), lpips(rows[-1], x).mean()
            print(f"{H.name}, {name}: {psnr:.2f} dB, LPIPS {distance:.3f}, {time.process_time() - begun:.0f} s", flush=True)
    if chosen.png:
        images.to_pil(torch.cat([torch.cat(list(row), 2)[None] for row in rows], 2)).save(chosen.png)


if __name__ == "__main__":
    main()
