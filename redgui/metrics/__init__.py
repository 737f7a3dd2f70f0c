"""Image metrics: pure functions of tensors in [-1, 1], one number per picture.

Conventions: PSNR and SSIM on values clipped to [0, 1], data range 1, no 8-bit rounding. SSIM is that of Wang et al. 2004
with an 11x11 Gaussian window of sigma 1.5, mean over the interior and the channels (as scikit-image with
`gaussian_weights=True, use_sample_covariance=False`).
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from redgui.operators.base import Operator


def psnr(x: Tensor, x_true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, (b,); at most 100."""
    error = (_unit(x) - _unit(x_true)).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp(min=1e-10))


def ssim(x: Tensor, x_true: Tensor) -> Tensor:
    """Structural similarity, (b,). Pictures smaller than the window use a smaller one."""
    a, b = _unit(x), _unit(x_true)
    size = min(11, *((side - 1) // 2 * 2 + 1 for side in a.shape[-2:]))  # odd
    window = _window(size).to(a)

    def local(v: Tensor) -> Tensor:
        c = v.shape[1]
        v = F.conv2d(v, window[None, None, :, None].expand(c, 1, -1, 1), groups=c)
        return F.conv2d(v, window[None, None, None, :].expand(c, 1, 1, -1), groups=c)

    ma, mb = local(a), local(b)
    va, vb, cov = local(a * a) - ma * ma, local(b * b) - mb * mb, local(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return score.flatten(1).mean(1)


def residual(x: Tensor, y: Tensor, H: Operator) -> Tensor:
    """|H(x) - y| / sqrt(m), (b,): to be compared with sigma_y. Far below it noise was fitted, far above it y ignored.

    Where H has the likelihood of a noise, that of its residual, to be compared with `Noise.level`.
    """
    return H.residual(x, y).flatten(1).norm(dim=1) / H.entries(y) ** 0.5


def _unit(x: Tensor) -> Tensor:
    return x.detach().float().clamp(-1, 1) / 2 + 0.5


@functools.lru_cache(maxsize=8)
def _window(size: int) -> Tensor:
    d = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    g = torch.exp(-d.square() / (2 * 1.5**2))
    return (g / g.sum()).float()
