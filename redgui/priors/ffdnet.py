"""The beginning of a PyramidDenoiser's training: FFDNet's weights at every level, or at the finest above a trained pyramid.

    python -m redgui.priors.ffdnet ffdnet-color.safetensors init      # then: redgui train DATA --init init --out DIR

The coarse levels cost a third of the finest one. They can be trained by themselves, as a pyramid of a level less, on pictures
made half as large: `--levels 4`, train that, then `--below` it.

The weights are those of the colour FFDNet of KAIR (github.com/cszn/KAIR, MIT; arXiv 1710.04026) as safetensors with the names
conv.0.weight (96, 13, 3, 3) to conv.11.bias (12,), its twelve pixel channels in the order of torch's pixel_unshuffle.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.priors.base import PriorError
from redgui.priors.network import load_unet
from redgui.priors.pyramid import CLASS, Layout, PyramidDenoiser


def begun(ffdnet: dict[str, Tensor], layout: Layout | None = None) -> PyramidDenoiser:
    """The network before its training: FFDNet at every level, and what is new at zero. Raises PriorError."""
    net = PyramidDenoiser(layout or Layout())
    wanted = {f"conv.{k}.{kind}" for k in range(net.layout.depth) for kind in ("weight", "bias")}
    if wanted != set(ffdnet):
        raise PriorError(f"these are not the weights of an FFDNet of {net.layout.depth} convolutions, conv.0.weight and so on.")
    try:
        with torch.no_grad():
            levels: Any = net.level
            for level in levels:
                if level.below is not None:
                    level.below.weight.zero_()
                for k, conv in enumerate(level.conv):
                    given = ffdnet[f"conv.{k}.weight"].float()
                    conv.weight.zero_()[:, : 4 * net.layout.in_channels + 1 if k == 0 else None] = given
                    conv.bias.copy_(ffdnet[f"conv.{k}.bias"])
    except RuntimeError as error:
        raise PriorError(f"the weights do not fit an FFDNet of {net.layout.width} channels: {in_short(error)}") from error
    return net


def above(ffdnet: dict[str, Tensor], coarse: PyramidDenoiser) -> PyramidDenoiser:
    """A pyramid of pictures at half scale with FFDNet as a new finest level, to which what is below is as yet a guess alone."""
    net = begun(ffdnet, dataclasses.replace(coarse.layout, levels=coarse.layout.levels + 1))
    for level, given in zip(net.level[1:], coarse.level, strict=True):
        level.load_state_dict(given.float().state_dict())
    return net


def write(net: PyramidDenoiser, folder: Path) -> None:
    """A prior folder that `redgui.priors.load` reads and from which `redgui train --init` begins."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    net.save_pretrained(folder / "unet")
    of = net.layout
    betas: dict[str, Any] = dict(num_train_timesteps=of.num_train_timesteps, beta_start=of.beta_start, beta_end=of.beta_end)
    DDPMScheduler(**betas, beta_schedule="linear", prediction_type="v_prediction").save_pretrained(folder / "scheduler")


def main() -> None:
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="ffdnet-color.safetensors")
    parser.add_argument("out", type=Path, help="the prior folder to write")
    parser.add_argument("--levels", type=int, default=Layout.levels)
    parser.add_argument("--below", type=Path, help="a prior folder: a pyramid trained on pictures at half scale")
    given = parser.parse_args()
    weights = load_file(given.weights)
    if given.below is None:
        write(begun(weights, Layout(levels=given.levels)), given.out)
    else:
        unet = given.below / "unet"
        net = load_unet(unet)
        if not isinstance(net, PyramidDenoiser):
            raise PriorError(f"{unet} holds no {CLASS}.")
        write(above(weights, net), given.out)


if __name__ == "__main__":
    main()
