"""A small picture, and a network of random weights on a device, for the tests on a pretend GPU."""

import tiny
import torch
from torch import Tensor

from redgui import images
from redgui.priors.network import DiffusersPrior
from redgui.schedule import linear_beta

ALPHA_BAR = 1 / (1 + linear_beta() ** 2)
SIDE = 16


def picture(n: int = 1) -> Tensor:
    x = torch.linspace(-0.9, 0.8, 3 * SIDE * SIDE).view(1, 3, SIDE, SIDE)
    return images.to_tensor(images.to_pil(x.sin())).expand(n, -1, -1, -1).contiguous()


def network(kind: str, **options) -> DiffusersPrior:
    return DiffusersPrior(tiny.unet(sample_size=SIDE), ALPHA_BAR, "epsilon", (3, SIDE, SIDE), device=kind, **options)
