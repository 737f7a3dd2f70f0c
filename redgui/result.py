"""What a restoration gives back, and how it is written to a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import images, saving
from redgui.runs.blind import kernel_picture
from redgui.runs.problem import Problem
from redgui.runs.record import Record


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        raw: (1, c, h, w): the sampler's estimate, the mean over particles when there are several (or the best:
            `Measured.estimate`).
        restored: the same as it is given back (`redgui.finishing`): with the kept pixels of an inpainting without noise exactly
            as they were measured, and grey where the picture is.
        particles: (n, c, h, w).
        figures: psnr, ssim, psnr_measurement, residual, nfe, backward, seconds, steps and what was run. They are of `raw`;
            psnr_restored is that of `restored`.
        film: a few iterates from first to last.
        record: reproduces the run.
        full: the restoration at the picture's own size, with the picture itself outside a crop and outside an inpainted hole;
            None where the picture is of the prior's size, and of a replay, which has only what the prior saw.
        image: `restored` as a picture, with transparency and profile as the picture has them.
        notes: what a person should know about how picture and mask were read.
        kernel: (size, size), that a blind run has found; its `figures` say how many pixels across it is.
    """

    problem: Problem
    picture: Tensor
    restored: Tensor
    particles: Tensor
    figures: dict[str, Any]
    film: list[Tensor]
    record: Record
    raw: Tensor
    image: Image.Image
    full: Image.Image | None = None
    notes: tuple[str, ...] = ()
    kernel: np.ndarray | None = None

    @property
    def differs(self) -> bool:
        """Whether `restored` is another picture than the sampler's estimate."""
        return not np.array_equal(images.to_uint8(self.raw), images.to_uint8(self.restored))

    def save(self, folder: str | Path) -> Path:
        """Writes input, measurement, restored, filmstrip.png and record.json (restored-raw, -full, particles, std, kernel.png;
        and restored-full.jpg where the picture came as a JPEG: with its quality and its EXIF)."""
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        images.to_pil(self.picture).save(out / "input.png")
        images.to_pil(self.problem.H.picture(self.problem.y)).save(out / "measurement.png")
        (out / "restored.png").write_bytes(images.encode(self.image))
        if self.differs:
            (out / "restored-raw.png").write_bytes(images.encode(self.raw))
        images.row(self.film).save(out / "filmstrip.png")
        (out / "record.json").write_text(self.record.to_json())
        if self.kernel is not None:
            (out / "kernel.png").write_bytes(images.encode(kernel_picture(self.kernel)))
        if self.full is not None:
            (out / "restored-full.png").write_bytes(images.encode(self.full))
        if (jpeg := saving.as_it_came(self.image if self.full is None else self.full)) is not None:
            (out / "restored-full.jpg").write_bytes(jpeg)
        if len(self.particles) > 1:
            images.row(list(self.particles.split(1)), per_row=8).save(out / "particles.png")
            images.to_pil(std_picture(self.particles)).save(out / "std.png")
        return out


def std_picture(particles: Tensor) -> Tensor:
    """Pixel-wise standard deviation over particles, mean over channels, (1, 1, h, w) in [-1, 1]: black 0, white 0.5 or more."""
    std = particles.std(0, keepdim=True).mean(1, keepdim=True)
    return (std / 0.5).clamp(0, 1) * 2 - 1
