"""How much Gaussian noise a picture has, from the picture alone.

Small patches of a photograph lie near a subspace of few dimensions; noise fills all of them alike. So the smallest eigenvalues
of the covariance of all patches are the variance of the noise: the longest run of them, from the smallest on, whose mean is
not above its median, since the values of noise alone scatter evenly around their mean and those of textures stick out above
(Chen, Zhu, Heng, An Efficient Statistical Method for Image Noise Level Estimation, ICCV 2015).

Files hold values from 0 to 255, so strong noise is clipped: what is found is then the mean over all pixels of the variance of
a clipped value. It grows with the noise before the clipping, for which the equation is solved, with the means of small
neighbourhoods for the light of each pixel. Where the noise is weak, texture that fills all dimensions is taken for it: there
the smoothest patches alone are asked, too. Rounding to whole grey levels, which adds a variance of 1/12 of their square, is
taken off.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 6  # side of a patch
MOST = 60_000  # patches; more say no more
FEWEST = 10  # patches for each dimension, of which a covariance takes that many
WEAK, SMOOTHEST = 0.015, 0.25  # in noise below this, this share of the patches is asked, too
STEP = 2 / 255  # between grey levels, in [-1, 1] units


def noise_level(y: Tensor, measured: Tensor | None = None) -> float:
    """The standard deviation of white Gaussian noise in y (1, c, h, w), in [-1, 1] units; 0 where none is found.

    Args:
        y: a picture in [-1, 1], as it was read from a file.
        measured: like y, True where there is a measurement; None: everywhere. Patches with holes are left out.
    """
    y = y.detach().cpu().double()
    known = torch.ones_like(y[:, :1]) if measured is None else measured.cpu().double().amin(1, keepdim=True)
    if y.shape[1] == 3 and bool((y[:, :1] == y).all()):  # a grey picture: its channels say one thing three times
        y = y[:, :1]
    found = 0.0
    for side in (PATCH, 4, 3):
        patches = _patches(y, known, side)
        if len(patches) >= FEWEST * patches.shape[1]:
            found = _smallest(patches)
            if side == PATCH and found < WEAK**2:
                found = min(found, _smallest(_smoothest(patches, side)))
            break
    found = _unclipped(found, y, known)
    return math.sqrt(max(found - STEP**2 / 12, 0.0))


def _patches(y: Tensor, known: Tensor, side: int) -> Tensor:
    """Patches of a picture that are wholly known, (n, c side^2), at most MOST of them, evenly spread."""
    if min(y.shape[-2:]) < side:
        return y.new_zeros(0, y.shape[1] * side**2)
    at = (F.max_pool2d(1 - known, side, 1)[0, 0] == 0).nonzero()
    if len(at) > MOST:
        at = at[torch.linspace(0, len(at) - 1, MOST).long()]
    windows = y[0].unfold(1, side, 1).unfold(2, side, 1)  # a view
    return windows[:, at[:, 0], at[:, 1]].transpose(0, 1).flatten(1)


def _smoothest(patches: Tensor, side: int) -> Tensor:
    """The patches whose four quarters have the nearest means, in which there is hardly any noise, and no clipped pixels."""
    n, d = patches.shape
    quarters = F.avg_pool2d(patches.view(n, d // side**2, side, side), side // 2).flatten(2)
    busy = quarters.var(2).sum(1) + (patches.abs() >= 1).double().mean(1)
    return patches[busy.argsort()[: max(int(SMOOTHEST * n), FEWEST * d)]]


def _smallest(patches: Tensor) -> float:
    """The variance of noise in patches (n, d)."""
    lam = torch.linalg.eigvalsh(torch.cov(patches.T)).clamp(min=0)
    means = lam.cumsum(0) / torch.arange(1, len(lam) + 1)
    medians = torch.stack([lam[: k + 1].quantile(0.5) for k in range(len(lam))])
    kept = (means <= medians).nonzero()
    return float(means[int(kept[-1])]) if len(kept) else float(lam[0])


def _unclipped(variance: float, y: Tensor, known: Tensor) -> float:
    """The variance of noise before values beyond -1 and 1 were cut off, of which the clipped ones have `variance`."""
    where = known.expand_as(y) > 0
    if variance == 0 or not bool((y[where].abs() >= 1).any()):
        return variance
    light = _blurred(y, known)[where]
    light = light[torch.linspace(0, len(light) - 1, min(len(light), 20_000)).long()]
    lo, hi = math.sqrt(variance), 8.0
    for _ in range(40):
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if _clipped_variance(light, middle) < variance else (lo, middle)
    return lo**2


def _blurred(y: Tensor, known: Tensor, side: int = 7) -> Tensor:
    """Means of side x side neighbourhoods, of what is known in them."""

    def summed(v: Tensor) -> Tensor:
        return F.avg_pool2d(v, side, 1, side // 2)

    return summed(y * known) / summed(known).clamp(min=1e-9)


def _clipped_variance(light: Tensor, sigma: float) -> float:
    """The mean variance of clip(m + sigma n, -1, 1) over pixels whose clipped values have the means `light`."""
    # Means and variances over a table of m, in units of sigma; of a value beyond the range by 6 sigma nothing is left.
    m = torch.linspace(-1 - 6 * sigma, 1 + 6 * sigma, 2001, dtype=torch.float64)
    a, b = (-1 - m) / sigma, (1 - m) / sigma
    pa, pb = _density(a), _density(b)
    Pa, Pb = torch.special.ndtr(a), torch.special.ndtr(b)
    inside = Pb - Pa
    mean = -Pa + (1 - Pb) + m * inside + sigma * (pa - pb)
    square = Pa + (1 - Pb) + (m**2 + sigma**2) * inside + sigma * ((m - 1) * pa - (m + 1) * pb)
    variance = (square - mean**2).clamp(min=0)
    at = torch.searchsorted(mean.contiguous(), light.contiguous().clamp(-1, 1)).clamp(1, len(m) - 1)
    return float(variance[at].mean())


def _density(t: Tensor) -> Tensor:
    return torch.exp(-t * t / 2) / math.sqrt(2 * math.pi)
