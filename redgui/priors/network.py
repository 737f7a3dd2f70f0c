"""A `diffusers` UNet2DModel with its scheduler's betas, as a denoiser D(x, sigma).

The network was trained on x_vp = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps at t = 0 .. T-1. With
sigma = sqrt((1 - alpha_bar) / alpha_bar) and x = x_vp / sqrt(alpha_bar), its output gives
    epsilon       D = x - sigma eps_hat
    v_prediction  D = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) v_hat
    sample        D = x0_hat
A network with a learned variance has twice the channels; the second half is not used.
"""

import contextlib
import io
import json
import logging
import math
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from redgui.errors import in_short, out_of_memory
from redgui.priors import adm_network, pyramid
from redgui.priors.base import Prior, PriorError, Sigma, per_image
from redgui.priors.forward import Forward
from redgui.schedule import sigma_of

OWN = {module.CLASS: module for module in (adm_network, pyramid)}  # networks of our own, by the _class_name of their folders
ATTENTIVE = ("AttnDownBlock2D",)  # among the blocks of a UNet2DModel whose configuration does not name them
LARGEST_SIDE = 4096
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@final
class DiffusersPrior(Prior):
    """D(x, sigma) of a UNet2DModel.

    Args:
        net: called as `net(x_vp, t)` or returning an object with `.sample`; out channels c or 2c.
        alphas_cumprod: (T,) of the schedule that it was trained with.
        prediction: epsilon, v_prediction or sample.
        shape: (c, h, w) of the pictures that it was trained on.
        label: the class of a class-conditional network.
        multiple: of which the sides of pictures must be, where it takes any size; 0 where it does not.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        alphas_cumprod: Tensor,
        prediction: str,
        shape: tuple[int, int, int],
        *,
        name: str = "network",
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        label: int | None = None,
        multiple: int = 0,
    ):
        if prediction not in ("epsilon", "v_prediction", "sample"):
            raise PriorError(
                f"the scheduler's prediction_type is {prediction!r}; redgui reads epsilon, v_prediction and sample."
            )
        self.name, self.prediction, self.shape, self.precision = name, prediction, shape, precision
        self.device = torch.device(device)
        self.label, self.multiple = label, multiple
        self.dtype = DTYPES[precision]
        # channels_last halves the time of a small UNet on a CPU and suits the tensor cores of a GPU.
        frozen: Any = net.eval().requires_grad_(False)
        self.net: torch.nn.Module = frozen.to(self.device, self.dtype, memory_format=torch.channels_last)
        # A pyramid takes tiles by itself.
        self.forward = Forward(self.net, self.device, 0 if isinstance(net, pyramid.PyramidDenoiser) else multiple)
        sigmas = sigma_of(alphas_cumprod.double().cpu())
        # A schedule with zero terminal SNR ends at sigma = inf, where x carries no signal: leave it out.
        self.sigmas = sigmas[torch.isfinite(sigmas)]
        self._log_sigmas = self.sigmas.log().numpy()

    @classmethod
    def from_folder(
        cls, folder: Path, *, name: str, device: torch.device | str = "cpu", precision: str = "fp32", label: int | None = None
    ) -> "DiffusersPrior":
        """Reads a `diffusers` folder: unet/ and scheduler/ (or both configs in one folder), safetensors or weights-only."""
        flat = (folder / "config.json").is_file() and not (folder / "unet").is_dir()
        unet_dir = folder if flat else folder / "unet"
        unet_config = read_json(unet_dir / "config.json")
        beside = (folder / "scheduler_config.json").is_file() and not (folder / "scheduler").is_dir()
        scheduler_dir = folder if beside else folder / "scheduler"
        scheduler_config = read_json(scheduler_dir / "scheduler_config.json")
        check_class(unet_config, folder)
        check_label(unet_config, label, folder)
        size = unet_config.get("sample_size")
        if size is None:
            raise PriorError(f"{unet_dir / 'config.json'} has no sample_size; add the side of the training pictures.")
        h, w = sides_of(size, unet_dir)
        return cls(
            load_unet(unet_dir, unet_config),
            alphas_cumprod(scheduler_config),
            scheduler_config.get("prediction_type", "epsilon"),
            (unet_config.get("in_channels", 3), h, w),
            name=name,
            device=device,
            precision=precision,
            label=label,
            multiple=multiple_of(unet_config, folder),
        )

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        t = torch.from_numpy(np.atleast_1d(self.timestep(sigma))).float().to(x.device).expand(len(x))
        s = per_image(sigma, x)
        root = (1 + s * s) ** 0.5
        x_vp = (x / root).to(self.dtype, memory_format=torch.channels_last)
        labels = None if self.label is None else torch.full((len(x),), self.label, device=x.device)
        try:
            out = self.forward(x_vp, t, labels)
        except (RuntimeError, TypeError, AttributeError, LookupError, ValueError) as error:
            if isinstance(error, PriorError) or out_of_memory(error):
                raise
            raise PriorError(
                f"the network of {self.name} cannot be called: {in_short(error)}. Its config.json does not fit it."
            ) from error
        out = out[:, : x.shape[1]].to(x.dtype).contiguous()
        if self.prediction == "epsilon":
            return x - s * out
        if self.prediction == "v_prediction":
            return x / root**2 - (s / root) * out
        return out

    def timestep(self, sigma: Sigma) -> Any:
        """The network's t for sigma, fractional between grid points (linear in log sigma), exact on them."""
        log_sigma = sigma.double().cpu().log().numpy() if isinstance(sigma, Tensor) else math.log(sigma)
        t = np.interp(log_sigma, self._log_sigmas, np.arange(len(self._log_sigmas), dtype=np.float64))
        return np.where(np.abs(t - np.round(t)) < 1e-6, np.round(t), t)


def alphas_cumprod(config: dict[str, Any]) -> Tensor:
    """alpha_bar over t of a scheduler_config.json, by diffusers' own DDPMScheduler, shape (T,)."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    known = {"DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"}
    if config.get("_class_name") not in tuple(known):  # of any type
        raise PriorError(
            f"the scheduler is a {config.get('_class_name')}; redgui reads discrete variance-preserving schedules: "
            f"{', '.join(sorted(known))}."
        )
    wanted = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
    try:
        found = DDPMScheduler(**{key: config[key] for key in wanted if key in config}).alphas_cumprod
    except Exception as error:
        raise PriorError(f"the scheduler's betas cannot be made: {in_short(error)}") from error
    if not len(found) or not bool(((found >= 0) & (found <= 1)).all()) or bool((found.diff() > 0).any()):
        raise PriorError("the scheduler's betas make no noise schedule: alpha_bar is to fall from 1 towards 0.")
    return found


def sides_of(size: Any, where: object) -> tuple[int, int]:
    """Height and width in a configuration's sample_size. Raises PriorError."""
    sides: Any = size if isinstance(size, list) and len(size) == 2 else [size, size]
    if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise PriorError(
            f"the sample_size in {where} is a side, or height and width, of 1 to {LARGEST_SIDE}; got {str(size)[:40]}."
        )
    return sides[0], sides[1]


def check_class(unet_config: dict[str, Any], where: object) -> None:
    """Raises PriorError where a configuration is not that of an unconditional or class-conditional UNet."""
    if unet_config.get("_class_name") not in (None, "UNet2DModel", *OWN):
        raise PriorError(f"{where} holds a {unet_config['_class_name']}; redgui reads UNet2DModel (no text-to-image models).")


def check_label(unet_config: dict[str, Any], label: int | None, folder: Path) -> None:
    """Raises PriorError where a network needs a label and has none, or the other way round, or its label is no class of its."""
    if unet_config.get("class_embed_type") is not None:
        raise PriorError(f"{folder} is conditioned on a {unet_config['class_embed_type']}; redgui reads class labels only.")
    classes = unet_config.get("num_class_embeds")
    if classes is not None and (type(classes) is not int or classes < 1):
        raise PriorError(f"the num_class_embeds of {folder} is a number of classes; got {str(classes)[:40]}.")
    if classes is None and label is not None:
        raise PriorError(f"{folder} is not class-conditional; leave label={label} out.")
    if classes is not None and label is None:
        raise PriorError(f"{folder} is class-conditional; say which class after its name, :label=0 to :label={classes - 1}.")
    if classes is not None and label is not None and not 0 <= label < classes:
        raise PriorError(f"the classes of {folder} are 0 to {classes - 1}; got label={label}.")


def multiple_of(unet_config: dict[str, Any], folder: Path) -> int:
    """The multiple that sides of pictures must be of for a network that takes any size, at least 8; 0 where it does not.

    It does where it is convolutions alone (no attention, whose weights are used to one number of pixels), or where the folder's
    model_index.json says so: `"redgui": {"any_size": true}`. Every level but the first halves the picture.
    """
    if unet_config.get("_class_name") == pyramid.CLASS:
        return pyramid.MULTIPLE
    blocks = [*unet_config.get("down_block_types", ATTENTIVE), *unet_config.get("up_block_types", ATTENTIVE)]
    convolutional = not unet_config.get("add_attention", True) and not any("Attn" in str(kind) for kind in blocks)
    about = read_json(folder / "model_index.json").get("redgui") if (folder / "model_index.json").is_file() else None
    declared = isinstance(about, dict) and about.get("any_size") is True
    if not (declared or convolutional):
        return 0
    levels = unet_config.get("block_out_channels") or unet_config.get("channel_mult") or (1,) * 4
    return max(8, 2 ** (len(levels) - 1))


def load_unet(folder: Path, config: dict[str, Any] | None = None) -> torch.nn.Module:
    """The UNet2DModel of a folder, float32 or as saved; its configuration is read where it is not given. Raises PriorError."""
    config = read_json(folder / "config.json") if config is None else config
    from diffusers.models.unets.unet_2d import UNet2DModel

    safe = any(folder.glob("*.safetensors"))
    if not safe and not any(folder.glob("*.bin")):
        raise PriorError(f"{folder} has no weights; it needs diffusion_pytorch_model.safetensors.")
    # Without safetensors diffusers reads the .bin with weights_only=True, so that no code in it can run.
    quiet = contextlib.redirect_stderr(io.StringIO())
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        with quiet:
            if (own := OWN.get(config.get("_class_name"))) is not None:
                return own.load(folder, config)
            return UNet2DModel.from_pretrained(folder, use_safetensors=safe, low_cpu_mem_usage=False, local_files_only=True)
    except Exception as error:
        raise PriorError(f"the network in {folder} cannot be read: {in_short(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a configuration file. Raises PriorError that names the file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise PriorError(f"{path} is missing; a prior is a folder in diffusers format (unet/ and scheduler/).") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PriorError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise PriorError(f"{path} should hold a JSON object; it holds a {type(content).__name__}.")
    return content
