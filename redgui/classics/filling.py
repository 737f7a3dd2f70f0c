"""Holes filled without a network: smoothly (biharmonic, harmonic), or with patches of the picture itself.

Pictures are float arrays (h, w, c), holes boolean arrays (h, w), True = to be filled in. Time and memory grow with the
area and no faster: the inside of a wide hole comes from the picture at half its size, and the rest is solved in tiles.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TOGETHER = 4000  # missing pixels that are solved as one system: about half a second
RING = 12  # pixels from its rim that a wide hole is solved at full size
TILE, MARGIN = 64, 20  # of the tiles, and what they see of their neighbours

PATCH = 7  # pixels across a patch
ROUNDS = 6  # of search and vote at every size
PAIRS = 4_000_000  # of patches that are all compared; beyond, only those near the matches of the smaller picture


def depth(hole: np.ndarray) -> np.ndarray:
    """The distance of each missing pixel to the nearest that is kept, in pixels, 0 where it is kept itself."""
    from scipy.ndimage import distance_transform_edt  # with scikit-image

    return np.asarray(distance_transform_edt(hole))


def width(hole: np.ndarray) -> float:
    """How wide a hole is at its widest, in pixels: 1 for single pixels, w for a stroke or a box of that width, 0 without one.

    A hole that the picture ends in counts as going on beyond it: what lies there is not measured either.
    """
    return max(0.0, 2 * float(depth(hole).max(initial=0)) - 1)


def biharmonic(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The continuation into the hole that bends least: its Laplacian has the least squares (arXiv 1707.06567)."""
    return smooth(picture, hole, bent=True)


def harmonic(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The continuation into the hole that is flattest: its gradient has the least squares. It goes beyond no value at the rim.

    A wide hole is filled better so: what bends least overshoots inside.
    """
    return smooth(picture, hole, bent=False)


def mixed(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The mean of `biharmonic`, `harmonic` and `patches`: of a wide hole each is wrong in its own way."""
    return (biharmonic(picture, hole) + harmonic(picture, hole) + patches(picture, hole)) / 3


def smooth(picture: np.ndarray, hole: np.ndarray, bent: bool) -> np.ndarray:
    """`biharmonic` (bent), or `harmonic`, of any size.

    Values stay in the span that the kept pixels of each channel have. A hole of up to TOGETHER pixels is one system. Of a
    larger one the pixels farther than RING from its rim are those of the picture at half its size, the others are solved in
    tiles.
    """
    if not hole.any() or hole.all():
        return picture.copy()
    kept, total = picture[~hole], hole.sum()
    inside = depth(hole) > RING
    if total > TOGETHER and inside.any():
        coarse = doubled(smooth(*halved(picture, hole), bent), hole.shape)
        picture, hole = np.where(inside[..., None], coarse, picture), hole & ~inside
    side = TILE if total > TOGETHER else max(hole.shape)
    filled = picture.copy()
    for top, left in itertools.product(range(0, hole.shape[0], side), range(0, hole.shape[1], side)):
        tile = np.zeros_like(hole)
        tile[top : top + side, left : left + side] = hole[top : top + side, left : left + side]
        if tile.any():
            window = around(tile, 2 if side > TILE else MARGIN)  # beyond it nothing, or hardly anything, bends what is here
            filled[tile] = _solved(picture[window], hole[window], bent)[tile[window]]
    return filled.clip(kept.min(0), kept.max(0))


def around(hole: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a hole with a margin."""
    found = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    rows, cols = (slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin) for at in found)
    return rows, cols


def _solved(picture: np.ndarray, hole: np.ndarray, bent: bool) -> np.ndarray:
    """The picture with the u in the hole that has the least |G u|^2, G its gradient, or (bent) the least |L u|^2, L = G^T G.

    L is the Laplacian of a picture mirrored at its border. scikit-image's `inpaint_biharmonic` solves the same away from the
    border; at the border its 0.26 reads memory that was never
    written (it counts more entries of the matrix than it fills), so that a hole there ends in any numbers or an error.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    index = np.arange(hole.size).reshape(hole.shape)
    ends = [np.concatenate([a.ravel(), b.ravel()]) for a, b in ((index[1:], index[:, 1:]), (index[:-1], index[:, :-1]))]
    edges, ones = np.arange(len(ends[0])), np.ones(len(ends[0]))
    gradient = sparse.csr_array(
        (np.concatenate([ones, -ones]), (np.concatenate([edges, edges]), np.concatenate(ends))), (len(edges), hole.size)
    )
    rows = ((gradient.T @ gradient) if bent else gradient).tocsc()
    missing = hole.ravel()
    flat = picture.reshape(hole.size, -1).astype(float)
    of_hole = rows[:, np.flatnonzero(missing)]
    wanted = -(rows[:, np.flatnonzero(~missing)] @ flat[~missing])
    flat[missing] = splu((of_hole.T @ of_hole).tocsc()).solve(of_hole.T @ wanted)
    return flat.reshape(picture.shape)


def halved(picture: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture at half its size, each pixel the mean of those of four that are kept, and the hole where none is."""
    odd = [(0, n % 2) for n in hole.shape]
    kept = 1.0 - np.pad(hole, odd, mode="edge")[..., None]
    known = np.pad(picture, [*odd, (0, 0)], mode="edge") * kept

    def sums(v: np.ndarray) -> np.ndarray:
        return v.reshape(v.shape[0] // 2, 2, v.shape[1] // 2, 2, -1).sum((1, 3))

    count = sums(kept)
    return sums(known) / np.maximum(count, 1), count[..., 0] == 0


def doubled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The inverse of `halved` in size: every pixel between its neighbours, cut to `size`."""
    x = torch.from_numpy(picture).permute(2, 0, 1)[None]
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return x[0].permute(1, 2, 0).numpy()[: size[0], : size[1]]


def patches(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole filled with texture of the picture: each patch in it is made like the nearest whole one.

    Wexler, Shechtman, Irani, "Space-time completion of video", PAMI 2007, from coarse to fine: every patch finds its nearest,
    every missing pixel becomes the mean of what the patches over it propose. At small sizes all patches are compared; at larger
    ones those around the matches of the smaller picture, with the matches of the neighbours (PatchMatch, Barnes et al. 2009).
    Where there is no whole patch, and for its first guess, it is `harmonic`.
    """
    guess, _ = _completed(picture.astype(np.float32), hole)
    return np.where(hole[..., None], guess, picture)


def _completed(picture: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, Tensor | None]:
    """The filled picture, and for every place of a patch its match (2, h - PATCH + 1, w - PATCH + 1), row and column."""
    h, w = hole.shape
    if not hole.any() or min(h, w) < PATCH:
        return harmonic(picture, hole), None
    whole = torch.from_numpy(~hole).float()[None, None]
    known = -F.max_pool2d(-whole, PATCH, 1)[0, 0] == 1  # patches by their upper left pixel
    sources, targets = known.nonzero(), (~known).nonzero()
    everywhere = len(sources) * len(targets) <= PAIRS and width(hole) <= PATCH
    matches = None
    if not everywhere and min(h, w) >= 4 * PATCH:
        small, matches = _completed(*halved(picture, hole))
        start = np.where(hole[..., None], doubled(small, (h, w)), picture)
    else:
        start = harmonic(picture, hole)
    if len(sources) == 0 or (matches is None and len(sources) * len(targets) > PAIRS):
        return start, None
    everywhere = matches is None
    x = torch.from_numpy(np.ascontiguousarray(start.astype(np.float32))).permute(2, 0, 1)
    missing = whole[0, 0] == 0
    field = own = _grid(known.shape)
    if matches is not None:
        at = [(torch.arange(n) // 2).clamp(max=m - 1) for n, m in zip(known.shape, matches.shape[1:], strict=True)]
        field = 2 * matches[:, at[0]][:, :, at[1]] + own % 2
    for k in range(ROUNDS if everywhere else ROUNDS // 2):
        views = x.unfold(1, PATCH, 1).unfold(2, PATCH, 1)  # c h' w' p p
        wanted = views[:, targets[:, 0], targets[:, 1]].transpose(0, 1).flatten(1)
        if everywhere:
            found, cost = _nearest(wanted, views[:, sources[:, 0], sources[:, 1]].transpose(0, 1).flatten(1), sources)
        else:
            found, cost = _near(field, targets, wanted, views, known, reach=2 if k == 0 else 1)
        field = field.clone()
        field[:, targets[:, 0], targets[:, 1]] = found.T
        proposed = views[:, found[:, 0], found[:, 1]].flatten(2)  # c n p*p
        trust = (-cost / (2 * cost.quantile(0.75)).clamp(min=1e-6)).exp()
        x = torch.where(missing, _voted(proposed, trust, targets, x), x)
    return x.permute(1, 2, 0).numpy(), field


def _grid(shape: tuple[int, ...]) -> Tensor:
    """Every place itself, (2, h, w)."""
    return torch.stack(torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij"))


def _nearest(wanted: Tensor, known: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Of every wanted patch the place (n, 2) of the nearest known one, all compared, and their squared distance."""
    half = known.square().sum(1) / 2
    found = [(half - part @ known.T).min(1) for part in wanted.split(512)]
    at, least = torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])
    return sources[at], (2 * least + wanted.square().sum(1)).clamp(min=0)


def _near(field: Tensor, targets: Tensor, wanted: Tensor, views: Tensor, whole: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """The nearest of the places around a patch's match and around where its neighbours' matches would have it."""
    h, w = whole.shape
    limit = torch.tensor([h - 1, w - 1])
    best, cost = targets, wanted.new_full((len(targets),), torch.inf)
    steps = [torch.tensor(step) for step in itertools.product(range(-reach, reach + 1), repeat=2)]
    beside = [torch.tensor(step) for step in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
    for off in beside:
        at = (targets + off).clamp(min=torch.zeros(2, dtype=torch.long), max=limit)
        match = field[:, at[:, 0], at[:, 1]].T - (at - targets)
        for step in steps if not off.any() else [torch.zeros(2, dtype=torch.long)]:
            there = (match + step).clamp(min=torch.zeros(2, dtype=torch.long), max=limit)
            gap = (views[:, there[:, 0], there[:, 1]].transpose(0, 1).flatten(1) - wanted).square().sum(1)
            gap = torch.where(whole[there[:, 0], there[:, 1]], gap, torch.inf)
            better = gap < cost
            best, cost = torch.where(better[:, None], there, best), torch.where(better, gap, cost)
    return best, torch.where(cost < torch.inf, cost, (views.shape[0] * PATCH**2) * 4.0)


def _voted(proposed: Tensor, trust: Tensor, targets: Tensor, like: Tensor) -> Tensor:
    """The mean (c, h, w) of what the patches (c, n, p * p) at `targets` propose for each pixel; where there is none, `like`."""
    c, h, w = like.shape
    inner = torch.arange(PATCH)
    offsets = (inner[:, None] * w + inner).flatten()
    places = ((targets[:, 0] * w + targets[:, 1])[:, None] + offsets).flatten()
    share = trust.repeat_interleave(PATCH**2)
    total = torch.zeros(c, h * w).index_add_(1, places, proposed.flatten(1) * share)
    count = torch.zeros(h * w).index_add_(0, places, share)
    return torch.where(count > 1e-9, total / count.clamp(min=1e-9), like.flatten(1)).view(c, h, w)
