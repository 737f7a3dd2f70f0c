"""Tiny random networks in `diffusers`' own format, saved as people have them, and small random pictures."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor

from redgui import priors


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


def load(folder: Path | str, **options: Any) -> priors.Prior:
    """The prior of a folder as every machine has it."""
    return priors.load(str(folder), "cpu", "fp32", **options)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pictures(n: int = 1, h: int = 32, w: int = 48, dtype: torch.dtype = torch.float64, spread: float = 0.4) -> Tensor:
    """Smooth pictures with some grain."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.randn(n, 3, 4, 6, generator=generator, dtype=torch.float64)
    x = torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic") * spread
    return (x + 0.05 * torch.randn(n, 3, h, w, generator=generator, dtype=torch.float64)).clamp(-1, 1).to(dtype)
