"""Classic: what restores without a network, as a contestant beside those that have one (`redgui.classics`).

    biharmonic        Hoang, Damelin, "On surface completion and image inpainting by biharmonic functions", arXiv 1707.06567
    harmonic          the membrane through the rim: Laplace's equation
    patches           Wexler, Shechtman, Irani, "Space-time completion of video", PAMI 2007
    mixed             the mean of the three
    nlm               Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005
    tv                Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 1992
    wiener            the linear estimate under white pixels (Wiener 1949)
    richardson-lucy   Richardson 1972, Lucy 1974
    bicubic           Keys, "Cubic convolution interpolation for digital image processing", 1981

One step, with the same picture for every seed. Cost: no call of the network.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from redgui import classics
from redgui.knobs import knob
from redgui.operators.base import Operator
from redgui.priors.base import Prior
from redgui.randomness import Generators
from redgui.samplers.base import Sampler, SamplerError, Step, Steps, misfit


@final
@dataclass(frozen=True, kw_only=True)
class Classic(Sampler):
    """Restoration without a network."""

    name = "classic"
    label = "Classic"
    paper = "arXiv 1707.06567 and others"
    about = "no network: biharmonic or patch inpainting, non-local means, total variation, Wiener, bicubic"
    grid = ()
    seeks_mode = True
    gradient = False
    learned = False

    method: classics.Method = knob("auto", live=False, help="auto: what suits the degradation, its noise and its hole")

    @classmethod
    def accepts(cls, H: Operator) -> bool:
        return bool(classics.methods(H, 0.0))

    def fits(self, H: Operator) -> bool:
        return self.accepts(H) and self.method in ("auto", *classics.methods(H, 0.0))

    def check_fit(self, H: Operator, samplers: tuple[type[Sampler], ...] = ()) -> None:
        found = classics.methods(H, 0.0)
        if not found:
            others = ", ".join(s.label for s in samplers if s.accepts(H))
            remedy = f"another degradation{f', or one of: {others}' if others else ''}"
            raise SamplerError(f"Classic has no method for {H.label}. Choose {remedy}.")
        if not self.fits(H):
            raise SamplerError(f"Classic: {self.method} is no method for {H.label}. Choose one of: auto, {', '.join(found)}.")

    @torch.no_grad()
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        x0_hat = classics.restored(H, y, sigma_y, self.method)
        yield Step(0, 1, 0.0, x0_hat.clone(), misfit(H, x0_hat, y))
