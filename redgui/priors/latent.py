"""Latent diffusion (arXiv 2112.10752): a denoiser of latents, with the decoder that makes pictures of them.

The network knows z = factor (E(picture) - shift), of an encoder E with its decoder. Samplers take values in [-1, 1] for granted
(they clip to it, their steps are made for it), so the state here is x = z / scale, with scale the largest entry of the
codebook, beyond which no latent of a VQ model lies, or 4 standard deviations of a Gaussian one. With x = x0 + sigma eps,

    D(x, sigma) = D_z(scale x, scale sigma) / scale,      sigmas = sigmas_z / scale.

A VQ model's decoder first moves each vector to the nearest of its codebook. That has no gradient; it is left out, so that
decoding is smooth, or with `quantise` done with the gradient of the identity (straight-through).
"""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from redgui.errors import out_of_memory
from redgui.priors import memory, names
from redgui.priors.base import Prior, PriorError, Sigma
from redgui.priors.calibration import Errors
from redgui.priors.folder import AUTOENCODERS, load_model, read_json
from redgui.priors.network import DiffusersPrior


def is_latent(folder: Path) -> bool:
    """Whether a folder in diffusers format is a latent model."""
    return any((folder / name).is_dir() for name in AUTOENCODERS)


@final
class LatentPrior(Prior):
    """D(x, sigma) of latents; `decode` gives pictures. Calls of the decoder and encoder are not counted as network calls.

    Args:
        inner: the denoiser of z.
        autoencoder: a diffusers VQModel or AutoencoderKL.
        factor: z over what the encoder gives.
        shift: what is taken off before.
        quantise: decode the nearest entries of the codebook, with the gradient of the identity.
        low: the autoencoder is to need less memory (`memory.spare`).
    """

    def __init__(
        self, inner: DiffusersPrior, autoencoder: torch.nn.Module, factor: float, *, shift: float = 0.0,
        quantise: bool = False, low: bool = False
    ):  # fmt: skip
        self.inner, self.factor, self.shift, self.quantise = inner, factor, shift, quantise
        # SDXL's autoencoder leaves the numbers of fp16.
        upcast = inner.precision == "fp16" and getattr(autoencoder, "config", {}).get("force_upcast", False)
        dtype = torch.float32 if upcast else inner.dtype
        self.autoencoder: Any = autoencoder.eval().requires_grad_(False).to(inner.network_device, dtype)
        if low:
            memory.spare(self.autoencoder, inner.network_device)
        self.vq = hasattr(autoencoder, "quantize")
        if quantise and not self.vq:
            raise PriorError(f"{inner.name} has no codebook; leave quantise out.")
        self.scale = float(self.autoencoder.quantize.embedding.weight.abs().max()) * factor if self.vq else 4.0
        self.name, self.shape, self.sigmas = inner.name, inner.shape, inner.sigmas / self.scale
        self.device, self.precision = inner.device, inner.precision
        config = self.autoencoder.config
        side = 2 ** (len(config.block_out_channels) - 1)
        self._untold: tuple[LatentPrior, Path] | None = None  # the model without its texts, and where they are looked up
        self._picture_shape = (config.out_channels, self.shape[1] * side, self.shape[2] * side)

    @classmethod
    def from_folder(cls, folder: Path, *, quantise: bool = False, low: bool = False, **named: Any) -> "LatentPrior":
        """Reads unet/, scheduler/ and vqvae/ or vae/; `named` as of DiffusersPrior.from_folder."""
        where = next(folder / name for name in AUTOENCODERS if (folder / name).is_dir())
        config = read_json(where / "config.json")
        made_of, vq = _class(where, config.get("_class_name")), config.get("_class_name") == "VQModel"
        channels = (config.get("latent_channels", 3 if vq else 4),)
        inner = DiffusersPrior.from_folder(folder, **named, channels=channels, low=low)
        given, made = config.get("in_channels", 3), config.get("out_channels", 3)
        if made not in (1, 3) or given != made:
            raise PriorError(f"the autoencoder in {where} has pictures of {given} and {made} channels; redgui reads 1 or 3.")
        autoencoder = load_model(where, made_of.from_pretrained)
        # VQ latents have about unit variance and are not rescaled (arXiv 2112.10752, appendix G); older files do not say.
        factor = number_in(config, "scaling_factor", where) or (1.0 if vq else 0.18215)
        shift = number_in(config, "shift_factor", where)
        return cls(inner, autoencoder, factor, shift=shift, quantise=quantise, low=low)

    def prompted(self, name: str, folder: Path, prompt: str, negative: str, guidance: float) -> "LatentPrior":
        """The same of a text-to-image model with texts, its weights shared. Raises PriorError."""
        other = copy.copy(self)
        other.name = name
        other.inner = self.inner.prompted(name, folder, prompt, negative, guidance, self.picture_shape[1:])
        other.texts = dict(prompt=prompt, negative=negative, guidance=guidance)
        other._untold = self, folder
        return other

    def retold(self, said: Mapping[str, Any]) -> Prior:
        if self.texts is None or self._untold is None:
            return super().retold(said)
        model, folder = self._untold
        texts = {**self.texts, **said}
        return model.prompted(names.with_texts(self.name, texts), folder, **texts)

    @property
    def network_device(self) -> torch.device:
        return self.inner.network_device

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self._picture_shape

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        return self.inner.denoise(self.scale * x, self.scale * sigma) / self.scale

    def errors(self) -> Errors:
        sigmas, rmse = self.inner.errors()
        return Errors(sigmas / self.scale, rmse / self.scale)

    def decode(self, x: Tensor) -> Tensor:
        z = (x * (self.scale / self.factor) + self.shift).to(self.network_device, self.autoencoder.dtype)
        given = {"force_not_quantize": not self.quantise} if self.vq else {}
        try:
            return self.autoencoder.decode(z, **given, return_dict=False)[0].to(x)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        h, w = self.picture_shape[1:]
        raise PriorError(
            f"decoding {len(x)} latent(s) to {w}x{h} does not fit into the memory. Say :memory=low after the model's name, "
            "or use fewer particles or a smaller model."
        )

    def encode(self, picture: Tensor) -> Tensor:
        got = self.autoencoder.encode(picture.to(self.network_device, self.autoencoder.dtype), return_dict=False)[0]
        return ((got if self.vq else got.mode()).to(picture) - self.shift) * (self.factor / self.scale)


def number_in(config: dict[str, Any], name: str, where: Path) -> float:
    """A number of a configuration, 0 where there is none. Raises PriorError."""
    value = config.get(name) or 0.0
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise PriorError(f"the {name} in {where / 'config.json'} is a number; got {str(value)[:40]}.")
    return float(value)


def _class(folder: Path, kind: object) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel

    known: dict[object, Any] = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
    if kind not in known:
        raise PriorError(f"{folder} holds a {kind}; redgui reads {' and '.join(map(str, known))}.")
    return known[kind]
