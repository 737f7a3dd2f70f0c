"""A denoiser of photographs at any size: FFDNet at the finest level of a pyramid of means, and convolutions alone.

Level k sees y_k, the means over blocks of 2^k by 2^k pixels, whose noise is sigma_k = sigma / 2^k: however high sigma is, some
level has little noise. From the coarsest to the finest, with u the answer of the level below made twice as large (0 at the
coarsest),
    c_k = min(1, limit / sigma_k)          x_k = u + c_k (y_k - u)          D_k = F_k(x_k, c_k sigma_k, u, features below)
so F_k is asked for no more noise than `limit`, and at higher sigma is shown what the level below already knows. D = D_0.

F is FFDNet (Zhang et al. 2018, arXiv 1710.04026): pixels of 2x2 blocks as 12 channels, a channel of sigma, 3x3 convolutions
with ReLU, and back. Its first convolution has 13 further inputs here, u and how far sigma_k is above the limit, and a 1x1
convolution of the last features below is added to its output. In a network that `ffdnet.begun` made of FFDNet's weights these
further ones are zero, so for sigma up to the limit D is FFDNet's own, and above it a sound guess from which training goes on.

There are no normalisations and no attention: a pixel depends on what lies within `reach` of it alone. Of a large picture each
level goes in tiles, with as much around each as its own convolutions see, and nothing changes but the last bits; the coarser
levels have a quarter of the pixels each.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redgui.priors.tiled import tiled

CLASS = "PyramidDenoiser"
MULTIPLE = 8  # of the sides that are offered to people; the network itself takes any
CELLS = 384 * 384  # blocks of 2x2 pixels that a level takes at once; what is larger goes through it in tiles


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What config.json says.

    Attributes:
        sample_size: side of the training pictures.
        levels: of the pyramid.
        width, depth: channels and convolutions of each level; FFDNet's are 96 and 12.
        limit: the largest sigma that a level is asked for, in [-1, 1] units; FFDNet was trained up to 75/255 of 2.
        num_train_timesteps, beta_start, beta_end: the linear schedule by which the network's t is a sigma.
    """

    sample_size: int = 64
    levels: int = 5
    width: int = 96
    depth: int = 12
    limit: float = 0.6
    in_channels: int = 3
    out_channels: int = 3
    num_train_timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02


class Level(nn.Module):
    """FFDNet with what the level below knows: F(x, sigma, u, features).

    Args:
        below: whether there are features of a level below.
    """

    def __init__(self, layout: Layout, below: bool):
        super().__init__()
        c, w = 4 * layout.in_channels, layout.width
        widths = [(2 * c + 2, w), *[(w, w)] * (layout.depth - 2), (w, c)]
        self.conv = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in widths)
        self.below = nn.Conv2d(w, w, 1, bias=False) if below else None

    def forward(self, x: Tensor, sigma: Tensor, above: Tensor, u: Tensor, features: Tensor | None,
                finest: bool = False) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """The answer (b, c, h, w) in [-1, 1] and the last features (b, width, h/2, w/2), which the finest level needs no more.

        Args:
            x, u: (b, c, h, w) in [-1, 1], sides even.
            sigma: (b, 1, 1, 1), at most the limit. above: (b, 1, 1, 1), log of the true sigma over the limit, at least 0.
            features: of the level below, (b, width, h/4, w/4), rounded up.
        """
        h, w = x.shape[2] // 2, x.shape[3] // 2
        trained = torch.is_grad_enabled() and next(self.parameters()).requires_grad
        if h * w <= CELLS or trained:  # of tiles there are no gradients in the weights
            return self.whole(x, sigma, above, u, features)

        def tile(k: int, x: Tensor, u: Tensor, features: Tensor | None = None) -> tuple[Tensor, ...]:
            return self.whole(x, sigma[k : k + 1], above[k : k + 1], u, features)[: 1 if finest else 2]

        # A block of 2x2 pixels depends on as many blocks around it as there are convolutions: the tiles are exact.
        given = [x, u] if self.below is None or features is None else [x, u, features]
        halo = len(self.conv) + len(self.conv) % 2
        found = tiled(tile, given, (h, w), side=math.isqrt(CELLS), halo=halo, unit=2)
        return found[0], None if finest else found[1]

    def whole(self, x: Tensor, sigma: Tensor, above: Tensor, u: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` in one piece."""
        pixels, guess = F.pixel_unshuffle((x + 1) / 2, 2), F.pixel_unshuffle(u, 2)
        plane = pixels.new_ones(1, 1, *pixels.shape[2:])
        h = self.conv[0](torch.cat([pixels, sigma / 2 * plane, guess, above * plane], 1))
        if self.below is not None and features is not None:
            h = h + _enlarged(self.below(features), h.shape[2:], "nearest")
        for conv in self.conv[1:]:
            h = h.relu()
            last, h = h, conv(h)
        return 2 * F.pixel_shuffle(h, 2) - 1, last


class PyramidDenoiser(nn.Module):
    """The network, called as a UNet2DModel: `net(x_vp, t, return_dict=False)[0]` is its v."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        self.level = nn.ModuleList(Level(layout, k < layout.levels - 1) for k in range(layout.levels))
        betas = torch.linspace(layout.beta_start, layout.beta_end, layout.num_train_timesteps, dtype=torch.float64)
        alpha_bar = (1 - betas).cumprod(0)
        self._log_sigma = ((1 - alpha_bar) / alpha_bar).log().float() / 2  # no buffer, which would become float16

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return {"_class_name": CLASS, **dataclasses.asdict(self.layout)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PyramidDenoiser":
        """The network of a config.json, its weights random. Keys that it does not know are left alone."""
        known = {field.name for field in dataclasses.fields(Layout)}
        return cls(Layout(**{key: value for key, value in config.items() if key in known}))

    @property
    def reach(self) -> int:
        """How many pixels away a pixel can depend on, at the most: over all levels, a block, its convolutions and enlarging."""
        return sum(2**k * (2 * self.layout.depth + 4) for k in range(self.layout.levels))

    def forward(self, x_vp: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """v for x_vp = x / sqrt(1 + sigma^2), (b, c, h, w), at the times t (b,), fractional between grid points."""
        log_sigma = self.log_sigma(t)
        sigma = log_sigma.exp().reshape(-1, 1, 1, 1)
        root = (1 + sigma * sigma).sqrt()
        x = x_vp.float() * root
        D = self.denoise(x, sigma)
        v = (x / root**2 - D) * (root / sigma)
        return (v.to(x_vp.dtype),)

    def log_sigma(self, t: Tensor) -> Tensor:
        """ln sigma at the times t, (b,) float32: linear between grid points, as in DiffusersPrior.timestep."""
        if self._log_sigma.device != t.device:
            self._log_sigma = self._log_sigma.to(t.device)
        t = t.float().reshape(-1).clamp(0, len(self._log_sigma) - 1)
        low = t.floor().long().clamp(max=len(self._log_sigma) - 2)
        return torch.lerp(self._log_sigma[low], self._log_sigma[low + 1], t - low)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, sigma) for x (b, c, h, w) of any size and sigma (b or 1, 1, 1, 1), float32; the weights in any precision."""
        dtype, limit = next(self.parameters()).dtype, self.layout.limit
        sigma = sigma.expand(len(x), 1, 1, 1)
        means = [_extended(x, 2)]
        coarse = _extended(x, 2**self.layout.levels)
        for _ in range(1, self.layout.levels):
            coarse = F.avg_pool2d(coarse, 2)
            means.append(coarse)
        u, features = torch.zeros_like(means[-1]), None
        for k in reversed(range(self.layout.levels)):
            here = sigma / 2**k
            share = (limit / here).clamp(max=1)
            mixed = torch.where(share < 1, u + share * (means[k] - u), means[k]).to(dtype)  # up to the limit y_k to the bit
            levels = ((share * here).to(dtype), (here / limit).log().clamp(min=0).to(dtype))
            d, features = self.level[k](mixed, *levels, u.to(dtype), features, finest=k == 0)
            d = d.float()
            if k:
                u = _enlarged(d, means[k - 1].shape[2:], "bilinear")
        return d[..., : x.shape[2], : x.shape[3]]

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """config.json and the weights as they are, as `diffusers` names them; its further options have no meaning here."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")
        weights = {key: value.contiguous() for key, value in self.state_dict().items()}
        save_file(weights, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def _enlarged(x: Tensor, size: torch.Size, mode: str) -> Tensor:
    """x twice as large, cut to a size that may be smaller."""
    twice = F.interpolate(x, scale_factor=2, mode=mode, **({} if mode == "nearest" else {"align_corners": False}))
    return twice[..., : size[0], : size[1]]


def _extended(x: Tensor, multiple: int) -> Tensor:
    """x mirrored over its right and lower edges up to sides that are multiples, at any size: the noise stays as strong."""
    for axis in (2, 3):
        n = x.shape[axis]
        if n % multiple:
            k = torch.arange(math.ceil(n / multiple) * multiple, device=x.device) % (2 * n)
            x = x.index_select(axis, torch.where(k < n, k, 2 * n - 1 - k))
    return x


def load(folder: Path, config: dict[str, Any]) -> nn.Module:
    """The network of a folder, from its safetensors."""
    from safetensors.torch import load_file

    net = PyramidDenoiser.from_config(config)
    net.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"), strict=True, assign=True)
    return net
