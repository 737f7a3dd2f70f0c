"""What is trained: the network, its noise schedule and the loss.

x = x0 + s eps on the noise levels of a Parametrisation; the network is to answer what makes D(x, s) = x0. It predicts
v (arXiv 2202.00512) on DDPM's 1000 levels (arXiv 2006.11239, linear beta) unless told otherwise, because a small network has
small errors but never none: the error in x0 of one that predicts epsilon is its own error times s, 157 times at the highest
noise, while that of v is its error times s / sqrt(1 + s^2) < 1.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from redgui import randomness
from redgui.priors import schedulers
from redgui.priors.parametrisation import Discrete, Parametrisation
from redgui.train.data import NOISE
from redgui.train.recipe import Recipe, TrainError

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

_BETAS = dict(_class_name="DDPMScheduler", num_train_timesteps=1000, beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
SCHEDULES: dict[str, dict[str, Any]] = {  # a scheduler's configuration for each --prediction
    "v": _BETAS | dict(prediction_type="v_prediction"),
    "epsilon": _BETAS | dict(prediction_type="epsilon"),
    "sample": _BETAS | dict(prediction_type="sample"),
    "flow": dict(_class_name="FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=1.0),
    "edm": dict(_class_name="EDMEulerScheduler", num_train_timesteps=1000, sigma_min=0.002, sigma_max=80.0, sigma_data=0.5,
                prediction_type="epsilon"),
}  # fmt: skip
SCHEDULES["v_prediction"] = SCHEDULES["v"]


@dataclass(frozen=True)
class Objective:
    """The loss of a network over noise levels.

    Args:
        parametrisation: what the network predicts, and the noise levels.
        whole: the network's times are int64.
        weighting: plain; min-snr: the loss on x0 weighted by min(SNR, 5) (arXiv 2303.09556); or even: by 1 + 10 SNR^0.6, about
            one over a photo's own squared error in x0, so that every noise level counts alike. (EDM2, arXiv 2312.02696, learns
            such weights. Those of v are three times smaller at sigma 0.4 to 3 than at 0.03 or 30, seen so.)
    """

    parametrisation: Parametrisation
    weighting: str = "plain"
    whole: bool = False

    @cached_property
    def grid(self) -> tuple[Tensor, Tensor]:
        """The noise levels (T,) and the network's times at them (T,), float32, or int64 where they are whole."""
        times = self.parametrisation.times
        return self.parametrisation.sigmas.float(), times.round().long() if self.whole else times.float()

    def losses(self, net: Any, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The loss of every picture, (b,): mean squared error of the prediction, weighted.

        Args:
            x0, noise: (b, c, h, w).
            t: (b,) int64, which of the noise levels.
        """
        sigmas, times = (values.to(x0.device)[t] for values in self.grid)
        s = sigmas.reshape(-1, 1, 1, 1)
        scaled = self.parametrisation.scaled(x0 + s * noise, s).contiguous(memory_format=torch.channels_last)
        out = net(scaled, times, return_dict=False)[0].float()
        losses = (out - self.parametrisation.target(x0, noise, s)).square().mean((1, 2, 3))
        if self.weighting != "plain":
            snr = sigmas**-2
            # The loss is the squared error of x0 over out^2: v has SNR + 1, epsilon SNR, x0 1 of it.
            own = torch.as_tensor(self.parametrisation.scaling(s).out, device=x0.device).flatten() ** 2
            losses = losses * (snr.clamp(max=5) if self.weighting == "min-snr" else 1 + 10 * snr**0.6) * own
        return losses


def shares(alphas_cumprod: Tensor, lognormal: float, least: float = 0.0) -> Tensor:
    """The part of the training that each noise level gets, (T,) float64, sums to one.

    A share `lognormal` of it goes by ln sigma ~ N(-1.2, 1.2^2), as EDM's (arXiv 2206.00364, Table 1), the rest is even over
    the timesteps. DDPM's even timesteps spend less than a tenth of the training between sigma 0.1 and 0.4,
    where a restoration gets its details, and four tenths above sigma 5. Levels below the sigma `least` get nothing.
    """
    abar = alphas_cumprod.double()
    log_sigma = (1 / abar - 1).log() / 2
    width = torch.gradient(log_sigma)[0]
    normal = width * (-0.5 * ((log_sigma + 1.2) / 1.2) ** 2).exp()
    found = (1 - lognormal) / len(abar) + lognormal * normal / normal.sum()
    if least:
        found = torch.where(log_sigma.exp() < least, 0.0, found)
        found = found / found.sum()
    return found


def timesteps(batch: int, levels: Tensor, generator: torch.Generator, rank: int = 0, world: int = 1) -> Tensor:
    """Process `rank`'s timesteps, (batch // world,) int64: a draw in each of `batch` slices of equal shares of the levels.

    So each step sees all noise levels, and the loss varies less from step to step than with independent draws.

    Args:
        levels: (T,) float64, the `shares` of the noise levels.
    """
    slices = torch.arange(rank, batch, world, device=generator.device)
    u = torch.rand(len(slices), generator=generator, device=generator.device, dtype=torch.float64)
    edges = levels.to(generator.device).cumsum(0)
    return torch.searchsorted(edges, (slices + u) * (edges[-1] / batch), right=True).clamp(max=len(levels) - 1)


def drawn(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """The generator of timesteps and noise of one step on one process."""
    return torch.Generator(device).manual_seed(randomness.stream_seed(seed, NOISE, step * 4096 + rank))


def tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Pictures (n, h, w, 3) uint8 as (n, 3, h, w) float32 in [-1, 1]; bytes travel to the device, not floats."""
    moved = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return moved.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def network(recipe: Recipe) -> tuple["UNet2DModel", dict[str, Any], int]:
    """The network before its first step, its scheduler's config and the side of its pictures.

    Raises:
        TrainError, PriorError: `init` is no prior folder, or one whose network cannot be trained further.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    from redgui.priors.network import load_unet
    from redgui.priors.pyramid import PyramidDenoiser

    if recipe.init:
        own = {field.name: field.default for field in dataclasses.fields(Recipe)}
        if ignored := [f"--{name}" for name in ("channels", "layers", "attention") if getattr(recipe, name) != own[name]]:
            raise TrainError(f"--init brings its own architecture; leave {', '.join(ignored)} out.")
        folder = Path(recipe.init)
        if not (folder / "unet").is_dir() or not (folder / "scheduler" / "scheduler_config.json").is_file():
            raise TrainError(f"--init needs a prior folder with unet/ and scheduler/; {folder} is none.")
        read = load_unet(folder / "unet")
        if not isinstance(read, (UNet2DModel, PyramidDenoiser)):
            raise TrainError(f"{folder} has a network of guided-diffusion, which cannot be trained further here.")
        config: dict[str, Any] = {**read.config}
        if config["in_channels"] != 3:
            raise TrainError(f"{folder} has {config['in_channels']} channel(s); what is trained further here has 3.")
        if config["out_channels"] != config["in_channels"]:
            raise TrainError(f"{folder} has a learned variance (twice the channels), which cannot be trained further here.")
        schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        net: Any = type(read).from_config(config | {"dropout": recipe.dropout})
        net.load_state_dict(read.float().state_dict())
        if recipe.prediction != "as-init":
            wanted = SCHEDULES[recipe.prediction]
            betas = wanted["_class_name"] == _BETAS["_class_name"] and isinstance(schedulers.read(schedule), Discrete)
            schedule = schedule | {"prediction_type": wanted["prediction_type"]} if betas else wanted
        if isinstance(read, PyramidDenoiser) and not isinstance(schedulers.read(schedule), Discrete):
            raise TrainError(f"{folder} has a pyramid, which knows the levels of betas alone; leave --prediction out.")
        return net, schedule, recipe.size or config["sample_size"]
    size = recipe.size or 64
    widths = recipe.widths()
    attended = recipe.attended(len(widths))
    if size % 2 ** (len(widths) - 1):
        raise TrainError(
            f"{len(widths)} levels halve the side {len(widths) - 1} times; --size {size} cannot be halved so often."
        )
    common = math.gcd(*widths)
    with torch.random.fork_rng():
        torch.manual_seed(randomness.stream_seed(recipe.seed, 0))
        net = UNet2DModel(
            sample_size=size,
            block_out_channels=widths,
            layers_per_block=recipe.layers,
            down_block_types=tuple("AttnDownBlock2D" if k in attended else "DownBlock2D" for k in range(len(widths))),
            up_block_types=tuple("AttnUpBlock2D" if k in attended else "UpBlock2D" for k in reversed(range(len(widths)))),
            add_attention=bool(attended),
            attention_head_dim=math.gcd(32, common),
            norm_num_groups=math.gcd(16, common),
            dropout=recipe.dropout,
        )
    return net, SCHEDULES["v" if recipe.prediction == "as-init" else recipe.prediction], size
