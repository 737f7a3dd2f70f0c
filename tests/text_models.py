"""Models of Stable Diffusion's layout with random weights and texts that are no language."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from tiny import noise
from torch import Tensor

from redgui import priors
from redgui.operators.base import Operator
from redgui.priors import prompts
from redgui.randomness import Generators
from redgui.samplers.dps import DPS

TEXTS = ("", "a red cup", "blur, noise: none")
XL = dict(addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=10 + 6 * 4)


def network(**options: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    usual: dict = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
                       down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=4, cross_attention_dim=12,
                       up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4)  # fmt: skip
    return UNet2DConditionModel(**(usual | options)).eval()


def make(folder: Path, scheduler: object = None, texts: tuple[str, ...] = TEXTS, **options: object) -> UNet2DConditionModel:
    """A model of Stable Diffusion's layout with pictures of 32x32, its weights random."""
    betas = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    net = tiny.save(folder, network(**options), scheduler or DDIMScheduler(**betas, clip_sample=False, steps_offset=1))
    AutoencoderKL(latent_channels=4, block_out_channels=(8, 8, 16), norm_num_groups=4, scaling_factor=0.18215,
                  down_block_types=("DownEncoderBlock2D",) * 3,
                  up_block_types=("UpDecoderBlock2D",) * 3).save_pretrained(folder / "vae")  # fmt: skip
    if texts:
        prompts.write(folder, {one: noise(7, 12, seed=k) for k, one in enumerate(texts)})
    return net


def xl_model(folder: Path) -> None:
    """A model of SDXL's layout, and its texts."""
    make(folder, **XL)
    pooled = {one + prompts.POOLED: noise(10, seed=k) for k, one in enumerate(TEXTS)}
    prompts.write(folder, prompts.read(folder) | pooled)


def transformer(kind: str, **options: Any) -> Any:
    """A tiny random network of SD3 or FLUX for latents 4x8x8."""
    torch.manual_seed(0)
    if kind == "sd3":
        net = SD3Transformer2DModel(sample_size=8, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=4,
                                    num_attention_heads=4, joint_attention_dim=12, caption_projection_dim=16,
                                    pooled_projection_dim=10, pos_embed_max_size=8)  # fmt: skip
    else:
        usual = dict(in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
                     joint_attention_dim=12, pooled_projection_dim=10, axes_dims_rope=(2, 2, 4))  # fmt: skip
        net = FluxTransformer2DModel(**usual | options)
        net.register_to_config(sample_size=8)
    with torch.no_grad():  # parts of them begin at zero
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return net.eval()


def flow_model(folder: Path, kind: str, texts: tuple[str, ...] = TEXTS, **options: Any) -> dict[str, Tensor]:
    """A model with such a network and pictures of 64x64, and its texts."""
    tiny.save(folder, transformer(kind, **options), FlowMatchEulerDiscreteScheduler(), within="transformer")
    AutoencoderKL(latent_channels=4, block_out_channels=(8, 8, 8, 16), norm_num_groups=4, scaling_factor=0.4, shift_factor=0.1,
                  down_block_types=("DownEncoderBlock2D",) * 4, use_quant_conv=False, use_post_quant_conv=False,
                  up_block_types=("UpDecoderBlock2D",) * 4).save_pretrained(folder / "vae")  # fmt: skip
    known = {one: noise(7, 12, seed=k) for k, one in enumerate(texts)}
    known |= {one + prompts.POOLED: noise(10, seed=k) for k, one in enumerate(texts)}
    if known:
        prompts.write(folder, known)
    return known


@dataclass(frozen=True, kw_only=True)
class Nothing(Operator):
    """It measures nothing, of latents as they are."""

    def __call__(self, x: Tensor) -> Tensor:
        return 0 * x

    def start(self, y: Tensor) -> Tensor:
        return y


def sampled(prior: priors.Prior, sigmas: list[float]) -> tuple[Tensor, Tensor]:
    """DPS in DDIM's limit down these levels, where nothing is measured: z = scale x that it begins and ends with."""
    own: Any = copy.copy(prior)
    own.sigmas, y = torch.tensor(sigmas, dtype=torch.float64).flip(0), torch.zeros(1, *prior.shape)
    *_, last = DPS(steps=len(sigmas), zeta=0, eta=0, clip=False)(own, Nothing(), y, 0.0, generator=Generators([0]))
    return own.scale * sigmas[0] * Generators([0]).randn_like(y), own.scale * last.x0_hat


def check(prior: priors.Prior, pipeline: Any, given: dict[str, Tensor], **size: int) -> None:
    """DPS where nothing is measured against a pipeline of diffusers, from the same noise at guidance 2.5: the same to 1e-4."""
    scheduler: Any = DDIMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(8)
    abar = scheduler.alphas_cumprod.double()[scheduler.timesteps]
    first, ours = sampled(prior, (((1 - abar) / abar).sqrt() / prior.scale).tolist())
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(**given, **size, guidance_scale=2.5, num_inference_steps=8, latents=first * float(abar[0]) ** 0.5,
                      output_type="latent", return_dict=False)[0]  # fmt: skip
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
