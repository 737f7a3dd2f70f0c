"""Latent diffusion (arXiv 2112.10752): a denoiser of latents, with the decoder that makes pictures of them.

The network knows z = factor E(picture), of an encoder E with its decoder. Samplers take values in [-1, 1] for granted (they
clip to it, their steps are made for it), so the state here is x = z / scale, with scale the largest entry of the codebook,
beyond which no latent of a VQ model lies, or 4 standard deviations of a Gaussian one. With x = x0 + sigma eps,

    D(x, sigma) = D_z(scale x, scale sigma) / scale,      sigmas = sigmas_z / scale.

A VQ model's decoder first moves each vector to the nearest of its codebook. That has no gradient; it is left out, so that
decoding is smooth, or with `quantise` done with the gradient of the identity (straight-through).
"""

import contextlib
import io
import logging
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.priors.base import Prior, PriorError, Sigma
from redgui.priors.network import DiffusersPrior, read_json

FOLDERS = ("vqvae", "vae")


def is_latent(folder: Path) -> bool:
    """Whether a folder in diffusers format is a latent model."""
    return any((folder / name).is_dir() for name in FOLDERS)


@final
class LatentPrior(Prior):
    """D(x, sigma) of latents; `decode` gives pictures. Calls of the decoder and encoder are not counted as network calls.

    Args:
        inner: the denoiser of z.
        autoencoder: a diffusers VQModel or AutoencoderKL.
        factor: z over what the encoder gives.
        quantise: decode the nearest entries of the codebook, with the gradient of the identity.
    """

    def __init__(self, inner: DiffusersPrior, autoencoder: torch.nn.Module, factor: float, *, quantise: bool = False):
        self.inner, self.factor, self.quantise = inner, factor, quantise
        self.autoencoder: Any = autoencoder.eval().requires_grad_(False).to(inner.device, inner.dtype)
        self.vq = hasattr(autoencoder, "quantize")
        if quantise and not self.vq:
            raise PriorError(f"{inner.name} has no codebook; leave quantise out.")
        self.scale = float(self.autoencoder.quantize.embedding.weight.abs().max()) * factor if self.vq else 4.0
        self.name, self.shape, self.sigmas = inner.name, inner.shape, inner.sigmas / self.scale
        self.device, self.precision = inner.device, inner.precision
        config = self.autoencoder.config
        side = 2 ** (len(config.block_out_channels) - 1)
        self._picture_shape = (config.out_channels, self.shape[1] * side, self.shape[2] * side)

    @classmethod
    def from_folder(cls, folder: Path, *, quantise: bool = False, **named: Any) -> "LatentPrior":
        """Reads unet/, scheduler/ and vqvae/ or vae/; `named` as of DiffusersPrior.from_folder."""
        where = next(folder / name for name in FOLDERS if (folder / name).is_dir())
        config = read_json(where / "config.json")
        inner = DiffusersPrior.from_folder(folder, **named)
        autoencoder = _load(where, config.get("_class_name"))
        # VQ latents have about unit variance and are not rescaled (arXiv 2112.10752, appendix G); older files do not say.
        usual = 1.0 if config.get("_class_name") == "VQModel" else 0.18215
        if config.get("shift_factor"):
            raise PriorError(f"{where / 'config.json'} has a shift_factor; redgui reads latent models without.")
        factor = float(config.get("scaling_factor") or usual)
        return cls(inner, autoencoder, factor, quantise=quantise)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self._picture_shape

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        return self.inner.denoise(self.scale * x, self.scale * sigma) / self.scale

    def decode(self, x: Tensor) -> Tensor:
        z = (x * (self.scale / self.factor)).to(self.inner.dtype)
        given = {"force_not_quantize": not self.quantise} if self.vq else {}
        return self.autoencoder.decode(z, **given, return_dict=False)[0].to(x.dtype)

    def encode(self, picture: Tensor) -> Tensor:
        got = self.autoencoder.encode(picture.to(self.inner.dtype), return_dict=False)[0]
        return (got if self.vq else got.mode()).to(picture.dtype) * (self.factor / self.scale)


def _load(folder: Path, kind: object) -> torch.nn.Module:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel

    known: dict[object, Any] = {"VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
    if kind not in known:
        raise PriorError(f"{folder} holds a {kind}; redgui reads {' and '.join(map(str, known))}.")
    safe = any(folder.glob("*.safetensors"))
    if not safe and not any(folder.glob("*.bin")):
        raise PriorError(f"{folder} has no weights; it needs diffusion_pytorch_model.safetensors.")
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return known[kind].from_pretrained(folder, use_safetensors=safe, low_cpu_mem_usage=False, local_files_only=True)
    except Exception as error:
        raise PriorError(f"the autoencoder in {folder} cannot be read: {in_short(error)}") from error
