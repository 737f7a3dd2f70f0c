"""Text-to-image latents: a UNet2DConditionModel (Stable Diffusion 1.x, 2.x, SDXL and what was distilled from them) with texts.

    F_g = F(x, t, negative) + g (F(x, t, prompt) - F(x, t, negative))            classifier-free guidance, arXiv 2207.12598

in one call of twice the batch; g = 1 and g = 0 are one text alone, in a call of the batch itself. D is affine in F, so this is
the guidance of D, too. A latent consistency model with an embedding of the guidance (arXiv 2310.04378, w = g - 1) is told g
and has no negative prompt. SDXL (arXiv 2307.01952) is also given pooled texts and the size of the picture; its empty negative
prompt is zeros, as in `diffusers`.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redgui.knobs import shown
from redgui.priors.base import PriorError
from redgui.priors.folder import network_folder, read_json
from redgui.priors.prompts import FILE, Embedding, embeddings

CLASS = "UNet2DConditionModel"
SDXL = "text_time"
FURTHER = ("encoder_hid_dim_type", "class_embed_type", "num_class_embeds")  # inputs that are not given


class Prompted(nn.Module):
    """A UNet2DConditionModel with its texts, called as a UNet2DModel.

    Args:
        net: the network.
        texts: one, or the negative and the positive one.
        guidance: g.
        size: (h, w) of the pictures, of which SDXL is told.
    """

    def __init__(self, net: nn.Module, texts: list[Embedding], guidance: float, size: tuple[int, int]):
        super().__init__()
        self.net, self.guidance = net, guidance
        config: Any = getattr(net, "config", {})
        width, n = config.get("time_cond_proj_dim"), len(texts)
        given = {"encoder_hidden_states": torch.stack([each.states for each in texts]).float()}
        if width is not None:
            given["timestep_cond"] = embedded(guidance - 1, width).repeat(n, 1)
        if config.get("addition_embed_type") == SDXL:
            given["text_embeds"] = torch.stack([each.pooled for each in texts if each.pooled is not None]).float()
            given["time_ids"] = torch.tensor([[*size, 0, 0, *size]] * n)  # whole numbers: bf16 would round them
        self.given = tuple(given)
        for name, tensor in given.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """F_g for x (b, c, h, w) at times t (b,)."""
        given: dict[str, Any] = {name: self.get_buffer(name).repeat_interleave(len(x), 0) for name in self.given}
        if "time_ids" in given:
            given["added_cond_kwargs"] = {name: given.pop(name) for name in ("text_embeds", "time_ids")}
        n = len(given["encoder_hidden_states"]) // len(x)
        out = self.net(x.repeat(n, 1, 1, 1), t.repeat(n), **given, return_dict=False)[0]
        if n == 2:
            without, with_it = out.float().chunk(2)  # their difference, g times, is more than bf16 has digits for
            out = without + self.guidance * (with_it - without)
        return (out,)


def is_text_to_image(folder: Path) -> bool:
    """Whether the denoiser of a folder is a UNet2DConditionModel. Raises PriorError where it has no configuration."""
    return read_json(network_folder(folder) / "config.json").get("_class_name") == CLASS


def prompted(net: nn.Module, folder: Path, prompt: str, negative: str, guidance: float, size: tuple[int, int]) -> Prompted:
    """The network of a folder with texts, for pictures of a size (h, w). Raises PriorError where a text is not at hand."""
    config: Any = net.config
    told, sdxl = config.get("time_cond_proj_dim") is not None, config.get("addition_embed_type") == SDXL
    with_negative, with_prompt = guidance != 1 and not told, guidance != 0 or told
    zeros = sdxl and negative == "" and _index(folder).get("force_zeros_for_empty_prompt", True)
    wanted = [prompt] if with_prompt or zeros else []
    found = embeddings(folder, [*wanted, negative] if with_negative and not zeros else wanted, pooled=sdxl)
    for text, (states, _) in found.items():
        if states.ndim != 2 or states.shape[1] != config["cross_attention_dim"] or not bool(states.isfinite().all()):
            raise PriorError(
                f"the text {shown(text)} in {folder / FILE} is (tokens, {config['cross_attention_dim']}) finite numbers; got "
                f"{tuple(states.shape)}."
            )
    if len({len(each.states) for each in found.values()}) > 1:
        raise PriorError(f"the texts in {folder / FILE} have different numbers of tokens; encode them alike.")
    texts = [found[prompt]] if with_prompt else []
    if with_negative:
        texts.insert(0, _zeros(found[prompt]) if zeros else found[negative])
    return Prompted(net, texts, guidance, size)


def check(unet_config: dict[str, Any], folder: object) -> None:
    """Raises PriorError where a UNet2DConditionModel wants more than texts and the size of the picture."""
    further = [key for key in FURTHER if unet_config.get(key) is not None]
    further += ["addition_embed_type"] if unet_config.get("addition_embed_type") not in (None, SDXL) else []
    if further or not isinstance(unet_config.get("cross_attention_dim", 1280), int):
        raise PriorError(
            f"{folder} is a text-to-image model with further inputs ({', '.join(further) or 'texts of several widths'}); "
            "redgui reads those of Stable Diffusion 1.x, 2.x and XL."
        )


def embedded(w: float, width: int) -> Tensor:
    """The sinusoidal embedding of a guidance w, (1, width), as latent consistency models were trained with."""
    half = width // 2
    angles = 1000 * w * torch.exp(torch.arange(half) * (-math.log(10000.0) / max(half - 1, 1)))
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()])[None], (0, width % 2))


def _zeros(like: Embedding) -> Embedding:
    return Embedding(torch.zeros_like(like.states), None if like.pooled is None else torch.zeros_like(like.pooled))


def _index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    return read_json(path) if path.is_file() else {}
