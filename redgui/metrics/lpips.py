"""LPIPS v0.1 with AlexNet (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
arXiv 1801.03924), from weights that come along: no download, no torchvision.

    d(x, x0) = sum over five layers of the mean over pixels of w . (f(x) / |f(x)| - f(x0) / |f(x0)|)^2

f are AlexNet's activations after each ReLU, divided by their norm over channels; w are the published heads, none negative.
"""

import functools

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from redgui.bundled import ASSETS

NAME = "AlexNet v0.1"
SIDE = 32  # of the smallest pictures that AlexNet's layers take
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1], as torchvision's networks want them
STRIDES, PADDINGS = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)
POOLED = (1, 2)  # the layers that see the one before pooled


@functools.lru_cache(maxsize=2)
def _weights(device: torch.device) -> dict[str, Tensor]:
    found = load_file(ASSETS / "metrics" / "lpips-alex.safetensors")
    return {name: value.float().to(device) for name, value in found.items()}


@torch.no_grad()
def lpips(x: Tensor, x_true: Tensor) -> Tensor:
    """The distance of each pair, (b,) on the CPU: 0 for equal pictures, less is better.

    Args:
        x, x_true: (b, 1 or 3, h, w) in [-1, 1], clipped to that; sides of at least 32. Grey goes into all three channels.
    """
    w = _weights(x.device)
    total = torch.zeros(len(x), device=x.device)
    a, b = (_normalised(v.to(x.device)) for v in (x, x_true))
    for k, (stride, padding) in enumerate(zip(STRIDES, PADDINGS, strict=True)):
        a, b = (_layer(v, w, k, stride, padding) for v in (a, b))
        difference = (_unit(a) - _unit(b)).square()
        total += F.conv2d(difference, w[f"head.{k}.weight"]).mean((1, 2, 3))
    return total.cpu()


def _normalised(v: Tensor) -> Tensor:
    shift, scale = (torch.tensor(value, device=v.device).view(3, 1, 1) for value in (SHIFT, SCALE))
    return (v.detach().float().clamp(-1, 1).expand(-1, 3, -1, -1) - shift) / scale


def _layer(v: Tensor, w: dict[str, Tensor], k: int, stride: int, padding: int) -> Tensor:
    v = F.max_pool2d(v, 3, 2) if k in POOLED else v
    return F.relu(F.conv2d(v, w[f"conv.{k}.weight"], w[f"conv.{k}.bias"], stride, padding))


def _unit(v: Tensor) -> Tensor:
    return v / (v.norm(dim=1, keepdim=True) + 1e-10)
