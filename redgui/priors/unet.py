"""The UNet2DModel of diffusers as `redgui train` makes it, in torch alone: the bundled prior needs no diffusers, whose import
takes twice as long as that of torch.

The network of DDPM (arXiv 2006.11239), with the names of diffusers' weights and the order of its operations, so that the bits
are the same. Any other configuration is left to diffusers.
"""

import math
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHTS = "diffusion_pytorch_model.safetensors"
PLAIN = {
    "_class_name": "UNet2DModel", "act_fn": "silu", "attn_norm_num_groups": None, "center_input_sample": False,
    "class_embed_type": None, "downsample_padding": 1, "downsample_type": "conv", "dropout": 0.0, "flip_sin_to_cos": True,
    "freq_shift": 0, "mid_block_scale_factor": 1, "mid_block_type": "UNetMidBlock2D", "norm_eps": 1e-5,
    "num_class_embeds": None, "num_train_timesteps": None, "resnet_time_scale_shift": "default", "time_embedding_dim": None,
    "time_embedding_type": "positional", "upsample_type": "conv",
}  # fmt: skip
MANY = 64  # pictures from which on diffusers enlarges contiguous ones


def read(folder: Path, config: dict[str, Any]) -> nn.Module | None:
    """The network of a folder; None where it is not plain, or not whole in one file: diffusers says what is wrong with it."""
    if any(config.get(key, ...) != value for key, value in PLAIN.items()) or not (folder / WEIGHTS).is_file():
        return None
    from safetensors.torch import load_file

    try:
        with torch.device("meta"):  # no random weights first: they would take time, and the caller's random numbers
            net = UNet2DModel(config)
        net.load_state_dict({name: w.float() for name, w in load_file(folder / WEIGHTS).items()}, assign=True)
    except Exception:  # of a file that anybody made
        return None
    return net


@final
class UNet2DModel(nn.Module):
    """Called as that of diffusers with `return_dict=False`: x (b, c, h, w) at the times t (b,) gives a tuple of one tensor."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        widths, layers, groups = config["block_out_channels"], config["layers_per_block"], config["norm_num_groups"]
        head, width = config["attention_head_dim"], widths[0]
        made = {"groups": groups, "temb": 4 * width, "head": head}
        self.width = width
        self.conv_in = nn.Conv2d(config["in_channels"], width, 3, padding=1)
        linear = nn.Linear(width, 4 * width), nn.Linear(4 * width, 4 * width)
        self.time_embedding = nn.ModuleDict({"linear_1": linear[0], "linear_2": linear[1]})
        last, skips = len(widths) - 1, [width]
        self.down_blocks = nn.ModuleList()
        for k, kind in enumerate(config["down_block_types"]):
            ins = [widths[max(0, k - 1)], *[widths[k]] * (layers - 1)]
            self.down_blocks.append(
                Block(ins, widths[k], layers * attends(kind, "Down"), "" if k == last else "downsamplers", **made)
            )
            skips += [widths[k]] * (layers + (k != last))
        self.mid_block = Block([widths[-1]] * 2, widths[-1], int(config["add_attention"]), "", **made)
        self.up_blocks = nn.ModuleList()
        before = widths[-1]
        for k, kind in enumerate(config["up_block_types"]):
            out = widths[last - k]
            ins = [(before if n == 0 else out) + skips.pop() for n in range(layers + 1)]
            resize, attentions = "" if k == last else "upsamplers", (layers + 1) * attends(kind, "Up")
            self.up_blocks.append(Block(ins, out, attentions, resize, **made))
            before = out
        self.conv_norm_out = nn.GroupNorm(groups, width, eps=1e-5)
        self.conv_out = nn.Conv2d(width, config["out_channels"], 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        half = self.width // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
        angles = (t.reshape(-1) * torch.ones(len(x), dtype=t.dtype, device=t.device))[:, None].float() * rates[None]
        temb = torch.cat([torch.cos(angles), torch.sin(angles)], -1).to(self.conv_in.weight.dtype)
        temb = self.time_embedding["linear_2"](F.silu(self.time_embedding["linear_1"](temb)))
        x = self.conv_in(x)
        kept = [x]
        for block in self.down_blocks:
            x, each = block(x, temb)
            kept += each
        x, _ = self.mid_block(x, temb)
        for block in self.up_blocks:
            x, _ = block(x, temb, kept)
        return (self.conv_out(F.silu(self.conv_norm_out(x))),)


def attends(kind: str, way: str) -> bool:
    """Whether a block of a kind has attention. Raises ValueError for one that is not plain."""
    if kind not in (f"{way}Block2D", f"Attn{way}Block2D"):
        raise ValueError(f"{kind} is not plain")
    return kind.startswith("Attn")


class Block(nn.Module):
    """A level of the network: residual blocks, the first `attentions` of them with attention, and what resizes the picture."""

    def __init__(self, ins: list[int], out: int, attentions: int, resize: str, *, groups: int, temb: int, head: int | None):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(width, out, groups, temb) for width in ins)
        self.attentions = nn.ModuleList(Attention(out, groups, head or out) for _ in range(attentions))
        self.resize = resize
        if resize:
            conv = nn.Conv2d(out, out, 3, stride=2 if resize == "downsamplers" else 1, padding=1)
            self.add_module(resize, nn.ModuleList([nn.ModuleDict({"conv": conv})]))

    def forward(self, x: Tensor, temb: Tensor, skips: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The picture after it, and what it hands over to the way up; on the way up `skips` are taken, the last one first."""
        each = []
        for k, resnet in enumerate(self.resnets):
            x = resnet(x if skips is None else torch.cat([x, skips.pop()], 1), temb)
            x = self.attentions[k](x) if k < len(self.attentions) else x
            each.append(x)
        if self.resize == "upsamplers":
            x = F.interpolate(x.contiguous() if len(x) >= MANY else x, scale_factor=2.0, mode="nearest")
        if self.resize:
            x = getattr(self, self.resize)[0]["conv"](x)
            each.append(x)
        return x, each


class Resnet(nn.Module):
    """A residual block that knows the time."""

    def __init__(self, width: int, out: int, groups: int, temb: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, width, eps=1e-5), nn.Conv2d(width, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb, out)
        self.norm2, self.conv2 = nn.GroupNorm(groups, out, eps=1e-5), nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width, out, 1) if width != out else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class Attention(nn.Module):
    """Every pixel looks at all others."""

    def __init__(self, width: int, groups: int, head: int):
        super().__init__()
        self.heads = width // head
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-5)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        flat = self.group_norm(x.view(b, c, h * w)).transpose(1, 2)
        q, k, v = (
            to(flat).view(b, -1, self.heads, c // self.heads).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v)
        )
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c)
        return self.to_out[0](found).transpose(-1, -2).reshape(b, c, h, w) + x
