"""The beginning of a PyramidDenoiser's training: FFDNet's weights at every level.

    python -m redgui.priors.ffdnet ffdnet-color.safetensors init      # then: redgui train DATA --init init --out DIR

The weights are those of the colour FFDNet of KAIR (github.com/cszn/KAIR, MIT; arXiv 1710.04026) as safetensors with the names
conv.0.weight (96, 13, 3, 3) to conv.11.bias (12,), its twelve pixel channels in the order of torch's pixel_unshuffle.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.priors.base import PriorError
from redgui.priors.pyramid import Layout, PyramidDenoiser


def begun(ffdnet: dict[str, Tensor], layout: Layout | None = None) -> PyramidDenoiser:
    """The network before its training: FFDNet at every level, and what is new at zero. Raises PriorError."""
    net = PyramidDenoiser(layout or Layout())
    wanted = {f"conv.{k}.{kind}" for k in range(net.layout.depth) for kind in ("weight", "bias")}
    if wanted != set(ffdnet):
        raise PriorError(f"these are not the weights of an FFDNet of {net.layout.depth} convolutions, conv.0.weight and so on.")
    try:
        with torch.no_grad():
            for level in net.level:
                if level.below is not None:
                    level.below.weight.zero_()
                for k, conv in enumerate(level.conv):
                    given = ffdnet[f"conv.{k}.weight"].float()
                    conv.weight.zero_()[:, : 4 * net.layout.in_channels + 1 if k == 0 else None] = given
                    conv.bias.copy_(ffdnet[f"conv.{k}.bias"])
    except RuntimeError as error:
        raise PriorError(f"the weights do not fit an FFDNet of {net.layout.width} channels: {in_short(error)}") from error
    return net


def write(net: PyramidDenoiser, folder: Path) -> None:
    """A prior folder that `redgui.priors.load` reads and from which `redgui train --init` begins."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    net.save_pretrained(folder / "unet")
    of = net.layout
    betas = dict(num_train_timesteps=of.num_train_timesteps, beta_start=of.beta_start, beta_end=of.beta_end)
    DDPMScheduler(**betas, beta_schedule="linear", prediction_type="v_prediction").save_pretrained(folder / "scheduler")


if __name__ == "__main__":
    from safetensors.torch import load_file

    if len(sys.argv) != 3:
        sys.exit("usage: python -m redgui.priors.ffdnet WEIGHTS.safetensors FOLDER")
    write(begun(load_file(sys.argv[1])), Path(sys.argv[2]))
