"""The denoiser of "Diffusion Models Beat GANs on Image Synthesis" (arXiv 2105.05233, section 3, tables 4, 11, 12): an oracle.

The names of the weights are those of the published checkpoints. Written for clarity: attention is spelt out head by head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


class Res(nn.Module):
    """BigGAN's residual block: resampling between activation and convolution on one side, alone on the other."""

    def __init__(self, inner: int, emb: int, outer: int, scale_shift: bool, resample=None):
        super().__init__()
        self.in_layers = nn.Sequential(norm(inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, outer * (2 if scale_shift else 1)))
        self.out_layers = nn.Sequential(norm(outer), nn.SiLU(), nn.Dropout(0), nn.Conv2d(outer, outer, 3, padding=1))
        self.skip_connection = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        self.scale_shift, self.resample = scale_shift, resample or (lambda v: v)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[2](self.resample(self.in_layers[1](self.in_layers[0](x))))
        e = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:  # AdaGN, eq. in section 3.1
            y_s, y_b = e.chunk(2, 1)
            h = self.out_layers[1:]((1 + y_s) * self.out_layers[0](h) + y_b)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(self.resample(x)) + h


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int, order: str):
        super().__init__()
        self.norm, self.qkv, self.proj_out = (
            norm(channels),
            nn.Conv1d(channels, 3 * channels, 1),
            nn.Conv1d(channels, channels, 1),
        )
        self.heads, self.order = heads, order

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        b, c, h, w = x.shape
        d = c // self.heads
        rows = self.qkv(self.norm(x).flatten(2))
        out = []
        for k in range(self.heads):
            if self.order == "legacy":  # the three of a head stand together
                q, key, v = rows[:, 3 * d * k : 3 * d * (k + 1)].split(d, 1)
            else:
                q, key, v = (rows[:, c * j + d * k : c * j + d * (k + 1)] for j in range(3))
            weight = (q.transpose(1, 2) @ key / d**0.5).softmax(-1)  # (b, queries, keys)
            out.append(v @ weight.transpose(1, 2))
        return x + self.proj_out(torch.cat(out, 1)).view(b, c, h, w)


class Down(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class First(nn.Conv2d):
    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return super().forward(x)


class ADM(nn.Module):
    """The U-Net.

    Args:
        mult: width of each level over `channels`.
        attention: levels (0 is the finest) with attention.
        heads: their number, or 0 for heads of `head_channels`.
    """

    def __init__(self, channels: int, mult: tuple[float, ...], blocks: int, attention: tuple[int, ...], *, heads: int = 0,
                 head_channels: int = 0, order: str = "legacy", scale_shift: bool = True, resblock: bool = True,
                 classes: int = 0, inputs: int = 3, out: int = 6):  # fmt: skip
        super().__init__()
        self.channels, emb = channels, 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.label_emb = nn.Embedding(classes, emb) if classes else None
        widths = [int(m * channels) for m in mult]

        def res(inner, outer, resample=None):
            return Res(inner, emb, outer, scale_shift, resample)

        def attend(c):
            return Attention(c, heads or c // head_channels, order)

        now, skips = widths[0], [widths[0]]
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(inputs, now, 3, padding=1)])])
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.input_blocks.append(nn.ModuleList([res(now, width), *([attend(width)] if level in attention else [])]))
                now = width
                skips.append(now)
            if level + 1 < len(widths):
                self.input_blocks.append(
                    nn.ModuleList([res(now, now, lambda v: F.avg_pool2d(v, 2)) if resblock else Down(now)])
                )
                skips.append(now)
        self.middle_block = nn.ModuleList([res(now, now), attend(now), res(now, now)])
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                parts = [res(now + skips.pop(), width), *([attend(width)] if level in attention else [])]
                now = width
                if level and block == blocks:
                    parts.append(
                        res(now, now, lambda v: F.interpolate(v, scale_factor=2, mode="nearest")) if resblock else Up(now)
                    )
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(norm(now), nn.SiLU(), nn.Conv2d(now, out, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        half = self.channels // 2
        angle = t.float()[:, None] * 10000 ** (-torch.arange(half) / half)
        emb = self.time_embed(torch.cat([angle.cos(), angle.sin()], 1))
        if self.label_emb is not None:
            emb = emb + self.label_emb(label)
        kept = []
        for block in self.input_blocks:
            for part in block:
                x = part(x, emb)
            kept.append(x)
        for part in self.middle_block:
            x = part(x, emb)
        for block in self.output_blocks:
            x = torch.cat([x, kept.pop()], 1)
            for part in block:
                x = part(x, emb)
        return self.out(x)
