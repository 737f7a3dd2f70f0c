"""The U-Net of guided-diffusion ("ADM", arXiv 2105.05233) as diffusers' UNet2DModel: its layout, configuration and weights.

    ADM                                   UNet2DModel
    input_blocks, output_blocks           down_blocks, up_blocks, level by level
    resblock_updown                       resnet-type resampling: ResnetDownsampleBlock2D, AttnDownBlock2D(downsample_type)
    use_scale_shift_norm                  resnet_time_scale_shift; its middle attention then needs attn_norm_num_groups
    qkv, per head (legacy) or q | k | v   to_q, to_k, to_v, by a permutation of rows; both scale by d^-1/2
    cos, sin of t 10000^(-i / half)       flip_sin_to_cos, freq_shift 0
    label_emb                             num_class_embeds

UNet2DModel cannot say two things, and a folder that needs one is marked `_class_name: ADMUNet2DModel`, so that no program reads
it wrongly, with keys of its own:
    num_heads         a number of heads, whatever the width of a level (ImageNet-128)
    model_channels    a time embedding that is wider than the first level (ImageNet-512, whose first level is half as wide)
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from redgui import knobs
from redgui.knobs import KnobError, knob
from redgui.priors.base import PriorError

CLASS = "ADMUNet2DModel"
EXTRA = ("num_heads", "model_channels")
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Adm:
    """What the shapes of a checkpoint do not say."""

    name = "adm"
    size: int = knob(256, 8, 2048, help="side of the pictures")
    head_channels: int = knob(64, 0, 4096, help="channels of an attention head (num_head_channels); 0: see heads")
    heads: int = knob(0, 0, 64, help="number of attention heads at all widths (num_heads), where head_channels is 0")
    order: Literal["legacy", "new"] = knob("legacy", help="new: use_new_attention_order")
    betas: Literal["linear", "cosine"] = knob("linear", help="noise_schedule")
    steps: int = knob(1000, 2, 10_000, help="diffusion_steps")

    def __post_init__(self) -> None:
        knobs.check(self)
        if bool(self.head_channels) == bool(self.heads):
            raise KnobError("adm: give either head_channels or heads, and 0 for the other.")


@dataclass(frozen=True)
class Layout:
    """What the shapes of a checkpoint say.

    Attributes:
        channels: model_channels, the width that channel_mult multiplies.
        widths: channels of each level, the finest first.
        blocks: residual blocks per level (num_res_blocks).
        attention: which levels have attention.
        classes: of a class-conditional network, else 0.
        out: channels of the output: twice those of the input where the variance is learned.
        resblock, scale_shift: resblock_updown and use_scale_shift_norm.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: int
    attention: tuple[bool, ...]
    classes: int
    inputs: int
    out: int
    resblock: bool
    scale_shift: bool

    @property
    def form(self) -> tuple[Any, ...]:
        """By which a published configuration is recognised, whatever the width: factors of it, blocks, attention, classes."""
        return tuple(w / self.channels for w in self.widths), self.blocks, self.attention, bool(self.classes)


def layout_of(state: State) -> Layout:
    """The structure of a network from the names and shapes of its weights. Raises PriorError when it is no ADM denoiser."""
    needed = ("time_embed.0.weight", "input_blocks.0.0.weight", "input_blocks.1.0.in_layers.0.weight",
              "input_blocks.1.0.emb_layers.1.weight", "middle_block.1.qkv.weight", "out.2.weight")  # fmt: skip
    missing = [key for key in needed if key not in state or (key.endswith("weight") and state[key].ndim == 0)]
    if missing:
        raise PriorError(f"this is no denoiser of guided-diffusion (a classifier, perhaps?): it has no {missing[0]}.")
    depth, n = (1 + max((int(m[1]) for key in state if (m := re.match(side + r"_blocks\.(\d+)\.", key))), default=-1)
                for side in ("input", "output"))  # fmt: skip
    # A level ends where an output block has, after its residual block, one more or a convolution that enlarges.
    ends = [k for k in range(n) if any(f"output_blocks.{k}.{j}.{what}.weight" in state
                                       for j in (1, 2) for what in ("in_layers.0", "conv"))]  # fmt: skip
    levels, blocks = len(ends) + 1, (ends[0] if ends else n - 1)
    regular = ends == [blocks + k * (blocks + 1) for k in range(levels - 1)]
    if not regular or n != levels * (blocks + 1) or depth != 1 + levels * blocks + levels - 1:
        raise PriorError(
            "the blocks of the checkpoint do not make levels of equally many; it is no network of guided-diffusion."
        )
    firsts = [1 + level * (blocks + 1) for level in range(levels)]
    inputs, out = state["input_blocks.0.0.weight"].shape[1], state["out.2.weight"].shape[0]
    if out not in (inputs, 2 * inputs):
        raise PriorError(
            f"the network maps {inputs} channels to {out}; a prior has as many or twice (a learned variance). Upsamplers, "
            "which are also given a small picture, are no priors of pictures."
        )
    first = "input_blocks.1.0."
    return Layout(
        channels=state["time_embed.0.weight"].shape[1],
        widths=tuple(state[f"input_blocks.{k}.0.in_layers.2.weight"].shape[0] for k in firsts),
        blocks=blocks,
        attention=tuple(f"input_blocks.{k}.1.qkv.weight" in state for k in firsts),
        classes=state["label_emb.weight"].shape[0] if "label_emb.weight" in state else 0,
        inputs=inputs,
        out=out,
        resblock=not ends or (f"output_blocks.{ends[0]}.1.conv.weight" not in state
        and f"output_blocks.{ends[0]}.2.conv.weight" not in state),
        scale_shift=state[first + "emb_layers.1.weight"].shape[0] == 2 * state[first + "in_layers.2.weight"].shape[0],
    )  # fmt: skip


def unet_config(layout: Layout, chosen: Adm) -> dict[str, Any]:
    """The config.json of the network."""
    kind = "resnet" if layout.resblock else "conv"
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if layout.resblock else ("DownBlock2D", "UpBlock2D")
    down = ["AttnDownBlock2D" if there else plain[0] for there in layout.attention]
    up = ["AttnUpBlock2D" if there else plain[1] for there in reversed(layout.attention)]
    config: dict[str, Any] = dict(
        _class_name="UNet2DModel", sample_size=chosen.size, in_channels=layout.inputs, out_channels=layout.out,
        block_out_channels=list(layout.widths), layers_per_block=layout.blocks, down_block_types=down, up_block_types=up,
        downsample_type=kind, upsample_type=kind, attention_head_dim=chosen.head_channels or layout.widths[-1],
        resnet_time_scale_shift="scale_shift" if layout.scale_shift else "default", attn_norm_num_groups=32,
        norm_num_groups=32, norm_eps=1e-5, freq_shift=0, flip_sin_to_cos=True, time_embedding_dim=4 * layout.channels,
    )  # fmt: skip
    if layout.classes:
        config |= dict(num_class_embeds=layout.classes)
    if chosen.heads:
        config |= dict(_class_name=CLASS, num_heads=chosen.heads)
        config["attention_head_dim"] = None  # as wide as the level until `empty` divides it
    if layout.channels != layout.widths[0]:
        config |= dict(_class_name=CLASS, model_channels=layout.channels)
    return config


def empty(config: dict[str, Any]) -> torch.nn.Module:
    """The network of a config.json with weights on the meta device: a UNet2DModel with what its configuration cannot say."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.embeddings import TimestepEmbedding, Timesteps
    from diffusers.models.unets.unet_2d import UNet2DModel

    with torch.device("meta"):
        net: Any = UNet2DModel.from_config({k: v for k, v in config.items() if k not in (*EXTRA, "_class_name")})
        if wide := config.get("model_channels"):
            net.time_proj = Timesteps(wide, net.config.flip_sin_to_cos, net.config.freq_shift)
            net.time_embedding = TimestepEmbedding(wide, net.config.time_embedding_dim)
    if heads := config.get("num_heads"):
        for part in net.modules():
            if isinstance(part, Attention):
                part.heads = part.sliceable_head_dim = heads
                part.scale = (part.inner_dim // heads) ** -0.5
    return net


def load(folder: Path, config: dict[str, Any]) -> torch.nn.Module:
    """The network of a folder marked ADMUNet2DModel, from its safetensors."""
    from safetensors.torch import load_file

    net = empty(config)
    net.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"), strict=True, assign=True)
    return net


# --- names ------------------------------------------------------------------------------------------------------------

_RESNET = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
           "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}  # fmt: skip
_TOP = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "label_emb": "class_embedding",
        "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}  # fmt: skip


def renamed(state: State, layout: Layout, chosen: Adm) -> State:
    """The weights under UNet2DModel's names, q, k and v apart."""
    modules = dict(_TOP) | {"middle_block.0": "mid_block.resnets.0", "middle_block.1": "mid_block.attentions.0",
                            "middle_block.2": "mid_block.resnets.1"}  # fmt: skip
    levels, per = len(layout.widths), layout.blocks + 1
    sampler = "" if layout.resblock else ".conv"
    for level, there in enumerate(layout.attention):
        for block in range(layout.blocks):
            there_in = f"input_blocks.{1 + level * per + block}"
            modules[f"{there_in}.0"] = f"down_blocks.{level}.resnets.{block}"
            modules[f"{there_in}.1"] = f"down_blocks.{level}.attentions.{block}"
        down = f"input_blocks.{(level + 1) * per}.0"
        modules[down if layout.resblock else f"{down}.op"] = f"down_blocks.{level}.downsamplers.0{sampler}"
        up = levels - 1 - level
        for block in range(per):
            there_out = f"output_blocks.{up * per + block}"
            modules[f"{there_out}.0"] = f"up_blocks.{up}.resnets.{block}"
            if there:
                modules[f"{there_out}.1"] = f"up_blocks.{up}.attentions.{block}"
        modules[f"output_blocks.{up * per + layout.blocks}.{2 if there else 1}{sampler}"] = (
            f"up_blocks.{up}.upsamplers.0{sampler}"
        )
    weights: State = {}
    for key, value in state.items():
        module, _, kind = key.rpartition(".")
        owner = next((m for m in (module, *_prefixes(module)) if m in modules), None)
        if owner is None:
            raise PriorError(f"the checkpoint has a weight {key} that no network of guided-diffusion has.")
        rest = module[len(owner) :].removeprefix(".")
        if rest == "qkv":
            heads = chosen.heads or value.shape[0] // 3 // chosen.head_channels
            for name, part in zip("qkv", apart(value, heads, chosen.order), strict=True):
                weights[f"{modules[owner]}.to_{name}.{kind}"] = part
            continue
        if rest in ("norm", "proj_out"):
            rest, value = {"norm": "group_norm", "proj_out": "to_out.0"}[rest], value.flatten(1) if value.ndim == 3 else value
        elif rest:
            rest = _RESNET.get(rest, rest)
        weights[".".join(filter(None, (modules[owner], rest, kind)))] = value.contiguous()
    return weights


def apart(qkv: Tensor, heads: int, order: str) -> list[Tensor]:
    """q, k and v, each (c, c) or (c,), of the rows of one projection: head by head (legacy), or one after the other."""
    flat = qkv.flatten(1) if qkv.ndim > 1 else qkv
    if order == "new":
        return [part.contiguous() for part in flat.chunk(3)]
    by_head = flat.reshape(heads, 3, -1, *flat.shape[1:])
    return [by_head[:, k].reshape(-1, *flat.shape[1:]).contiguous() for k in range(3)]


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:k]) for k in range(len(parts) - 1, 0, -1)]
