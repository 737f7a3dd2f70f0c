"""Tiny random networks in `diffusers`' own format, saved as people have them."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel


def unet(channels: int = 3, **options: Any) -> UNet2DModel:
    """A UNet2DModel of 8x8 pictures with random weights, the same every time."""
    torch.manual_seed(0)
    usual: dict[str, Any] = dict(sample_size=8, in_channels=channels, out_channels=channels, block_out_channels=(8,),
                                 layers_per_block=1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
                                 norm_num_groups=4, add_attention=False)  # fmt: skip
    return UNet2DModel(**(usual | options)).eval()


def save(
    folder: Path, net: UNet2DModel | None = None, scheduler: Any = None, within: str = "unet", **options: Any
) -> UNet2DModel:
    """Writes a prior folder and returns its network. `options` are those of save_pretrained, such as variant="fp16"."""
    net = unet() if net is None else net
    net.save_pretrained(folder / within, **options)
    (DDPMScheduler() if scheduler is None else scheduler).save_pretrained(folder / "scheduler")
    return net
