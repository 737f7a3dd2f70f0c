"""Phase retrieval: y = |F pad(x)|, the magnitudes of a Fourier transform without the phases, each channel for itself.

x is padded with p = (oversample / 8) side zeros on each side, so that oversample 2 makes 384 of 256 pixels and m / n = 2.25;
F is orthonormal. sqrt(|.|^2 + 1e-12) keeps the gradient finite where a magnitude is 0.

positive   the transform of (x + 1) / 2, as light has it and DAPS: black is 0, and so is the padding
signed     of x itself (DPS, RED-diff, SITCOM); then -x has the same magnitudes too

x turned by 180 degrees has the magnitudes of x, and so has a picture shifted within an empty surround. Which one a run finds is
chance and no error: figures are those of the best of upright and turned (and of both signs), and the app says so. Nor does a
run always find one, so several are made (particles) and the one of least residual is kept.

f+(y) does not exist: |y| with phases of zero is no picture. `start` is a random one, uniform in [-1, 1], a function of `seed`
and the same for every y; a sampler that begins with noise of its own (RED-diff: init=noise) makes runs that differ more.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.knobs import knob
from redgui.operators.base import Operator


@final
@dataclass(frozen=True, kw_only=True)
class PhaseRetrieval(Operator):
    """y = |F pad(x)|, (b, c, h + 2 p_h, w + 2 p_w)."""

    name = "phase"
    label = "Phase retrieval"
    about = "Only the magnitudes of the Fourier transform are measured, as a detector in a diffraction experiment has them."
    pictorial: ClassVar[bool] = False
    ambiguous: ClassVar[bool] = True

    oversample: float = knob(
        2.0, 0.0, 8.0, step=0.25, help="zeros around the picture, in eighths of its side on each side; 2 is what papers have"
    )
    convention: Literal["positive", "signed"] = knob(
        "positive", help="what is transformed: light from 0 to 1 (DAPS), or values from -1 to 1 (DPS), whose sign is lost too"
    )
    seed: int = knob(0, 0, 2**31 - 1, help="draws the random picture to start from; the measurement does not depend on it")

    def __call__(self, x: Tensor) -> Tensor:
        ph, pw = (self.padded(n) - n for n in x.shape[-2:])
        light = (x + 1) / 2 if self.convention == "positive" else x
        spectrum = torch.fft.fft2(F.pad(light, (pw // 2, pw // 2, ph // 2, ph // 2)), norm="ortho")
        return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()

    def padded(self, n: int) -> int:
        """The side of the padded picture whose side is n."""
        return n + 2 * round(self.oversample / 8 * n)

    def start(self, y: Tensor) -> Tensor:
        h, w = (next(n for n in range(m + 1) if self.padded(n) == m) for m in y.shape[-2:])
        noise = torch.rand(1, y.shape[1], h, w, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        return (2 * noise - 1).to(y).repeat(len(y), 1, 1, 1)

    def measurement_of(self, picture: Tensor) -> Tensor:
        return self(picture)  # a person has a picture, not its magnitudes

    def picture(self, y: Tensor) -> Tensor:
        """Logarithms of the magnitudes over four decades, the lowest frequency in the middle."""
        y = torch.fft.fftshift(y.clamp(min=0), dim=(-2, -1))
        brightest = y.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        return 1 + (y / brightest).clamp(min=1e-4).log10() / 2

    def aligned(self, x: Tensor, x_true: Tensor) -> Tensor:
        """The nearest to x_true of x, x turned by 180 degrees and, in the signed convention, both with the other sign."""
        found = [x, x.flip(-2, -1)]
        if self.convention == "signed":
            found += [-x, -x.flip(-2, -1)]
        every = torch.stack(found)
        nearest = (every - x_true).square().flatten(2).mean(2).argmin(0)
        return every[nearest, torch.arange(len(x), device=x.device)]
