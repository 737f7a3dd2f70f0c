"""A network of `diffusers` with what its scheduler says of its training, as a denoiser D(x, sigma).

How D is made of the network's output is in `parametrisation`, which of its lines a folder has in `schedulers`. A network with a
learned variance has twice the channels; the second half is not used.
"""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from redgui.devices import home
from redgui.errors import in_short, out_of_memory
from redgui.priors import adm_network, calibration, memory, pyramid, schedulers, text, unet
from redgui.priors.base import Prior, PriorError, Sigma, per_image
from redgui.priors.folder import index_of, load_model, network_folder, read_json, scheduler_folder, sides_of
from redgui.priors.forward import Forward
from redgui.priors.parametrisation import Discrete, Parametrisation
from redgui.priors.schedulers import alphas_cumprod as alphas_cumprod

OWN = {module.CLASS: module for module in (adm_network, pyramid)}  # networks of our own, by the _class_name of their folders
ATTENTIVE = ("AttnDownBlock2D",)  # among the blocks of a UNet2DModel whose configuration does not name them
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@final
class DiffusersPrior(Prior):
    """D(x, sigma) of a UNet2DModel, or with texts (`prompted`) of a network of `text`.

    Args:
        net: called as `net(x, t)`, x as the parametrisation scales it, or returning an object with `.sample`; c or 2c channels.
        alphas_cumprod: (T,) of the schedule of betas that it was trained with; None with a Parametrisation, which has its own.
        prediction: epsilon, v_prediction or sample, or a Parametrisation.
        shape: (c, h, w) of the pictures that it was trained on.
        label: the class of a class-conditional network.
        multiple: of which the sides of pictures must be, where it takes any size; 0 where it does not.
        errors: how wrong it is at each noise level, where that is known.
        low: it is to need less memory, for more time (`memory.spare`).
    """

    def __init__(
        self,
        net: torch.nn.Module,
        alphas_cumprod: Tensor | None,
        prediction: str | Parametrisation,
        shape: tuple[int, int, int],
        *,
        name: str = "network",
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        label: int | None = None,
        multiple: int = 0,
        errors: calibration.Errors | None = None,
        low: bool = False,
    ):
        if isinstance(prediction, str):
            if alphas_cumprod is None:
                raise PriorError("a prediction by its name needs the alphas_cumprod of its schedule.")
            prediction = Discrete(alphas_cumprod, prediction)
        self.parametrisation, self.prediction, self.sigmas = prediction, prediction.name, prediction.sigmas
        self.name, self.shape, self.precision = name, shape, precision
        self._network_device = torch.device(device)
        self.device = home(self._network_device)
        self.label, self.multiple = label, multiple
        if errors is not None:
            self._errors = errors
        self.dtype = DTYPES[precision]
        # channels_last halves the time of a small UNet on a CPU and suits the tensor cores of a GPU.
        frozen: Any = net.eval().requires_grad_(False)
        self.net: torch.nn.Module = frozen.to(self.dtype, memory_format=torch.channels_last)
        if low:
            memory.spare(self.net, self._network_device)
        whole = memory.place(self.net, self._network_device)
        # A pyramid takes tiles by itself.
        tiles = 0 if isinstance(net, pyramid.PyramidDenoiser) else multiple
        self.forward = Forward(self.net, self._network_device, tiles, graphs=whole)
        self.whole = has_table_of_times(net)

    @classmethod
    def from_folder(
        cls, folder: Path, *, name: str, device: torch.device | str = "cpu", precision: str = "fp32", label: int | None = None,
        channels: tuple[int, ...] = (1, 3), low: bool = False
    ) -> "DiffusersPrior":  # fmt: skip
        """Reads a `diffusers` folder: unet/ and scheduler/ (or both configs in one folder), safetensors or weights-only.

        Args:
            channels: of which the network may be.

        Raises:
            PriorError: it is not there, not whole, or of a kind that is not read.
        """
        unet_dir = network_folder(folder)
        unet_config = text.of_latents(read_json(unet_dir / "config.json"))
        scheduler_config = read_json(scheduler_folder(folder) / "scheduler_config.json")
        check_class(unet_config, folder)
        check_label(unet_config, label, folder)
        c = check_channels(unet_config, channels, folder)
        h, w = sides_of(unet_config.get("sample_size"), unet_dir)
        parametrisation = schedulers.read(scheduler_config, first_time(unet_config))
        check_time(unet_config, parametrisation, folder)
        return cls(
            unet.read(unet_dir, unet_config) or load_unet(unet_dir, unet_config),
            None,
            parametrisation,
            (c, h, w),
            name=name,
            device=device,
            precision=precision,
            label=label,
            multiple=multiple_of(unet_config, folder),
            errors=calibration.table(index_of(folder), folder),
            low=low,
        )

    def prompted(self, name: str, *told: Any) -> "DiffusersPrior":
        """The same network, its weights shared, with texts; `told` as of `text.prompted`. Raises PriorError."""
        other = copy.copy(self)
        other.name, other.net = name, text.prompted(self.net, *told).placed(self._network_device, self.dtype)
        other.forward = Forward(other.net, self._network_device, self.forward.multiple, graphs=self.forward.graphs is not None)
        return other

    @property
    def network_device(self) -> torch.device:
        return self._network_device

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        if x.shape[1] != self.shape[0]:
            raise PriorError(f"{self.name} takes pictures of {self.shape[0]} channel(s); got {x.shape[1]}.")
        where, found = self._network_device, np.asarray(self.timestep(sigma))
        # One number is written where it is needed; many are copied there.
        t = torch.from_numpy(found).float().to(where) if found.ndim else torch.full((), float(found), device=where)
        t = t.expand(len(x))
        t = t.round().long() if self.whole else t
        s = per_image(sigma, x)
        scaled = self.parametrisation.scaled(x, s).to(where, self.dtype, memory_format=torch.channels_last)
        labels = None if self.label is None else torch.full((len(x),), self.label, device=where)
        try:
            out = self.forward(scaled, t, labels)
        except (RuntimeError, TypeError, AttributeError, LookupError, ValueError) as error:
            if isinstance(error, PriorError) or out_of_memory(error):
                raise
            raise PriorError(
                f"the network of {self.name} cannot be called: {in_short(error)}. Its config.json does not fit it."
            ) from error
        return self.parametrisation.denoised(x, s, out[:, : x.shape[1]].to(x).contiguous())

    def timestep(self, sigma: Sigma) -> Any:
        """The network's t for sigma, as the parametrisation has it."""
        log_sigma = sigma.cpu().double().log().numpy() if isinstance(sigma, Tensor) else math.log(sigma)
        return self.parametrisation.time(log_sigma)


def check_class(unet_config: dict[str, Any], where: object) -> None:
    """Raises PriorError where a configuration is not that of an unconditional or class-conditional UNet."""
    kind = unet_config.get("_class_name")
    if kind in text.CLASSES:
        text.check(unet_config, where)
    elif kind not in (None, "UNet2DModel", *OWN):
        steers = "A ControlNet steers another network and is no prior by itself. " if "ControlNet" in str(kind) else ""
        raise PriorError(f"{where} holds a {kind}. {steers}redgui reads UNet2DModel and {', '.join(text.CLASSES)}.")


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


def check_channels(unet_config: dict[str, Any], channels: tuple[int, ...], folder: Path) -> int:
    """The channels of a network's pictures. Raises PriorError where it has others than `channels`, or answers with others."""
    c = unet_config.get("in_channels", 3)
    if type(c) is not int or c not in channels:
        told = " or ".join(map(str, channels))
        given = " Of an inpainting model 5 are a mask and a picture: take the model it was made of." if c == 9 else ""
        raise PriorError(f"the network in {folder} takes {str(c)[:40]} channels; redgui reads networks of {told} here.{given}")
    if (out := unet_config.get("out_channels", 3)) not in (c, 2 * c):
        raise PriorError(f"the network in {folder} makes {str(out)[:40]} channels of {c}; a denoiser has {c} or {2 * c}.")
    return c


def check_time(unet_config: dict[str, Any], parametrisation: Parametrisation, folder: Path) -> None:
    """Raises PriorError where a network cannot be asked at the times of its scheduler."""
    embedding, times = unet_config.get("time_embedding_type", "positional"), parametrisation.times
    if unet_config.get("_class_name") in OWN and not isinstance(parametrisation, Discrete):
        raise PriorError(f"the network in {folder} knows a schedule of betas; its scheduler is one of {parametrisation.name}.")
    if embedding == "learned":
        entries = unet_config.get("num_train_timesteps")
        if not isinstance(parametrisation, Discrete):
            raise PriorError(f"the network in {folder} has a table of times, which {parametrisation.name} does not have.")
        if type(entries) is not int or entries <= int(times.max()):
            raise PriorError(
                f"the network in {folder} has a table of {str(entries)[:40]} times (num_train_timesteps), and its scheduler "
                f"has {int(times.max()) + 1}."
            )
    if embedding == "fourier" and float(times.min()) <= 0:
        raise PriorError(
            f"the network in {folder} embeds the logarithm of its time (fourier), which {parametrisation.name} has below zero."
        )


def multiple_of(unet_config: dict[str, Any], folder: Path) -> int:
    """The multiple that sides of pictures must be of for a network that takes any size, at least 8; 0 where it does not.

    It does where it is convolutions alone (no attention, whose weights are used to one number of pixels), or where the folder's
    model_index.json says so: `"redgui": {"any_size": true}`. Every level but the first halves the picture.
    """
    if unet_config.get("_class_name") == pyramid.CLASS:
        return pyramid.MULTIPLE
    blocks = [*unet_config.get("down_block_types", ATTENTIVE), *unet_config.get("up_block_types", ATTENTIVE)]
    convolutional = not unet_config.get("add_attention", True) and not any("Attn" in str(kind) for kind in blocks)
    about = index_of(folder).get("redgui")
    declared = isinstance(about, dict) and about.get("any_size") is True
    if not (declared or convolutional):
        return 0
    levels = unet_config.get("block_out_channels") or unet_config.get("channel_mult") or (1,) * 4
    return max(8, 2 ** (len(levels) - 1))


def load_unet(folder: Path, config: dict[str, Any] | None = None) -> torch.nn.Module:
    """The UNet2DModel of a folder, float32 or as saved; its configuration is read where it is not given. Raises PriorError."""
    config = read_json(folder / "config.json") if config is None else config
    if (own := OWN.get(config.get("_class_name"))) is not None:
        return load_model(folder, lambda where, **_: own.load(where, config))
    if (kind := config.get("_class_name")) in text.CLASSES:
        import diffusers

        return load_model(folder, getattr(diffusers, str(kind)).from_pretrained)
    from diffusers.models.unets.unet_2d import UNet2DModel

    return load_model(folder, UNet2DModel.from_pretrained)


def has_table_of_times(net: torch.nn.Module) -> bool:
    """Whether a network's embedding of time is learned, so that its times are whole numbers of type int64."""
    return getattr(getattr(net, "config", None), "time_embedding_type", None) == "learned"


def first_time(unet_config: Mapping[str, Any]) -> int:
    """The smallest whole time that a network can be asked at: 1 where it embeds the logarithm of its time, else 0."""
    return int(unet_config.get("time_embedding_type") == "fourier")
