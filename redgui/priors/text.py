"""Text-to-image latents: the network of Stable Diffusion 1.x, 2.x, XL, 3 or FLUX, or what was distilled from it, with texts.

    F_g = F(x, t, negative) + g (F(x, t, prompt) - F(x, t, negative))            classifier-free guidance, arXiv 2207.12598

in one call of twice the batch; g = 1 and g = 0 are one text alone, in a call of the batch itself. D is affine in F, so this is
the guidance of D, too. A latent consistency model with an embedding of the guidance (arXiv 2310.04378, w = g - 1) and
FLUX.1-dev are told g and have no negative prompt. All but Stable Diffusion 1.x and 2.x are also given pooled texts, SDXL
(arXiv 2307.01952) the size of the picture; its empty negative prompt is zeros, as in `diffusers`. FLUX sees 2x2 blocks of
latents as tokens.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redgui.knobs import shown
from redgui.priors import prompts
from redgui.priors.base import PriorError
from redgui.priors.folder import index_of, network_folder, read_json
from redgui.priors.prompts import FILE, Embedding

CLASSES = UNET, SD3, FLUX = "UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel"
SDXL = "text_time"
FURTHER = ("encoder_hid_dim_type", "class_embed_type", "num_class_embeds")  # inputs that are not given


class Prompted(nn.Module):
    """A network with its texts, called as a UNet2DModel.

    Args:
        net: the network.
        texts: one, or the negative and the positive one.
        guidance: g.
        size: (h, w) of the pictures, of which SDXL is told.
    """

    def __init__(self, net: nn.Module, texts: list[Embedding], guidance: float, size: tuple[int, int]):
        super().__init__()
        self.net, self.guidance = net, guidance
        config: Any = net.config
        self.ask = {SD3: _sd3, FLUX: _flux}.get(type(net).__name__, _unet)
        width, n = config.get("time_cond_proj_dim"), len(texts)
        given = {"encoder_hidden_states": torch.stack([each.states for each in texts]).float()}
        if pooled := [each.pooled for each in texts if each.pooled is not None]:
            given["text_embeds"] = torch.stack(pooled).float()
        if width is not None:
            given["timestep_cond"] = embedded(guidance - 1, width).repeat(n, 1)
        if config.get("guidance_embeds"):
            given["guidance"] = torch.full((n,), guidance)
        if config.get("addition_embed_type") == SDXL:
            given["time_ids"] = torch.tensor([[*size, 0, 0, *size]] * n)  # whole numbers: bf16 would round them
        self.given = tuple(given)
        for name, tensor in given.items():
            self.register_buffer(f"given_{name}", tensor, persistent=False)

    def placed(self, device: torch.device, dtype: torch.dtype) -> "Prompted":
        """The same with the texts on a device; the network, which others share, is where it is."""
        for name in self.given:
            tensor = self.get_buffer(f"given_{name}")
            self.register_buffer(f"given_{name}", tensor.to(device, dtype if tensor.is_floating_point() else None), False)
        return self

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """F_g for x (b, c, h, w) at times t (b,)."""
        given = {name: self.get_buffer(f"given_{name}").repeat_interleave(len(x), 0) for name in self.given}
        n = len(given["encoder_hidden_states"]) // len(x)
        out = self.ask(self.net, x.repeat(n, 1, 1, 1), t.repeat(n), given)
        if n == 2:
            without, with_it = out.float().chunk(2)  # their difference, g times, is more than bf16 has digits for
            out = without + self.guidance * (with_it - without)
        return (out,)


def _unet(net: nn.Module, x: Tensor, t: Tensor, given: dict[str, Any]) -> Tensor:
    if "time_ids" in given:
        given["added_cond_kwargs"] = {name: given.pop(name) for name in ("text_embeds", "time_ids")}
    return net(x, t, **given, return_dict=False)[0]


def _sd3(net: nn.Module, x: Tensor, t: Tensor, given: dict[str, Any]) -> Tensor:
    pooled = given.pop("text_embeds")
    return net(x, timestep=t, pooled_projections=pooled, **given, return_dict=False)[0]


def _flux(net: nn.Module, x: Tensor, t: Tensor, given: dict[str, Any]) -> Tensor:
    blocks = nn.functional.pixel_unshuffle(x, 2)
    h, w = blocks.shape[-2:]
    rows, columns = torch.meshgrid(*(torch.arange(n, device=x.device, dtype=x.dtype) for n in (h, w)), indexing="ij")
    places = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3)
    texts = x.new_zeros(given["encoder_hidden_states"].shape[1], 3)
    pooled = given.pop("text_embeds")
    out = net(blocks.flatten(2).mT, timestep=t / 1000, pooled_projections=pooled, img_ids=places, txt_ids=texts, **given,
              return_dict=False)[0]  # fmt: skip
    return nn.functional.pixel_shuffle(out.mT.reshape(len(x), -1, h, w), 2)


def is_text_to_image(folder: Path) -> bool:
    """Whether the denoiser of a folder is one of CLASSES. Raises PriorError where it has no configuration."""
    return read_json(network_folder(folder) / "config.json").get("_class_name") in CLASSES


def of_latents(config: dict[str, Any]) -> dict[str, Any]:
    """A network's configuration, its channels and its size those of latents: FLUX's are of 2x2 blocks, and of 1024 pixels."""
    if config.get("_class_name") != FLUX:
        return config
    blocks = {key: config.get(key) or config.get("in_channels", 64) for key in ("in_channels", "out_channels")}
    sound = all(type(n) is int and n % 4 == 0 for n in blocks.values())
    return {"sample_size": 128} | config | {key: n // 4 if sound else n for key, n in blocks.items()}


def prompted(net: nn.Module, folder: Path, prompt: str, negative: str, guidance: float, size: tuple[int, int]) -> Prompted:
    """The network of a folder with texts, for pictures of a size (h, w). Raises PriorError where a text is not at hand."""
    config: Any = net.config
    kind, sdxl = type(net).__name__, config.get("addition_embed_type") == SDXL
    told = config.get("time_cond_proj_dim") is not None or bool(config.get("guidance_embeds"))
    width = config["cross_attention_dim" if kind == UNET else "joint_attention_dim"]
    with_negative, with_prompt = guidance != 1 and not told, guidance != 0 or told
    zeros = sdxl and negative == "" and index_of(folder).get("force_zeros_for_empty_prompt", True)
    wanted = [prompt] if with_prompt or zeros else []
    wanted += [negative] if with_negative and not zeros else []
    encoders = {UNET: prompts.XL if sdxl else prompts.SD, SD3: prompts.SD3, FLUX: prompts.FLUX if told else prompts.SCHNELL}
    found = prompts.embeddings(folder, wanted, encoders[kind], net)
    for text, (states, _) in found.items():
        if states.ndim != 2 or states.shape[1] != width or not bool(states.isfinite().all()):
            raise PriorError(
                f"the text {shown(text)} in {folder / FILE} is (tokens, {width}) finite numbers; got {tuple(states.shape)}."
            )
    if len({len(each.states) for each in found.values()}) > 1:
        raise PriorError(f"the texts in {folder / FILE} have different numbers of tokens; encode them alike.")
    texts = [found[prompt]] if with_prompt else []
    if with_negative:
        texts.insert(0, _zeros(found[prompt]) if zeros else found[negative])
    return Prompted(net, texts, guidance, size)


def check(unet_config: dict[str, Any], folder: object) -> None:
    """Raises PriorError where a network of CLASSES wants more than texts, guidance and the size of the picture."""
    if unet_config.get("_class_name") != UNET:
        return
    further = [key for key in FURTHER if unet_config.get(key) is not None]
    further += ["addition_embed_type"] if unet_config.get("addition_embed_type") not in (None, SDXL) else []
    further += [] if isinstance(unet_config.get("cross_attention_dim", 1280), int) else ["texts of several widths"]
    if further:
        raise PriorError(
            f"{folder} is a text-to-image model with further inputs ({', '.join(further)}); "
            "redgui reads those of Stable Diffusion 1.x, 2.x, XL and 3, and of FLUX."
        )


def embedded(w: float, width: int) -> Tensor:
    """The sinusoidal embedding of a guidance w, (1, width), as latent consistency models were trained with."""
    half = width // 2
    angles = 1000 * w * torch.exp(torch.arange(half) * (-math.log(10000.0) / max(half - 1, 1)))
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()])[None], (0, width % 2))


def _zeros(like: Embedding) -> Embedding:
    return Embedding(torch.zeros_like(like.states), None if like.pooled is None else torch.zeros_like(like.pooled))
