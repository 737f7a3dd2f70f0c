"""MTCNN, which finds faces and five points of each: Zhang et al. 2016, arXiv 1604.02878.

Three small networks, one after the other: P looks at the picture at many sizes and proposes boxes, R and O look at what lies in
them and throw most away; O says where eyes, nose and the corners of the mouth are. Each gives a box with a correction in units
of its sides.

    P   12x12 around every second pixel      R   24x24       O   48x48, and five points

The weights are those of facenet-pytorch, see `assets/faces/LICENSE.MTCNN`. They take RGB in about [-1, 1] and were made for
pictures that are flattened column by column. About 0.1 s for a picture on one core; loaded when they are first asked for.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from redgui import bundled

SMALLEST = 20  # pixels: side of the smallest face that is looked for
SHRINK = 0.709  # from one size of the picture to the next: half the area
CELL, STRIDE = 12, 2  # of P: pixels of a face, and from one place to the next
SURE = (0.6, 0.7, 0.7)  # of a face, after P, R and O
MOST = 300  # boxes at one size of the picture, and that go on to the next network: the surest


@torch.no_grad()
def detect(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The faces in a picture (1, 3, h, w) in [-1, 1], the surest first.

    Returns boxes (n, 4) as left, top, right, bottom, points (n, 5, 2) as x, y of left eye, right eye, nose and the corners of
    the mouth (left as one sees them), and scores (n,) from 0 to 1. In pixels, where the picture's left edge is at 0.
    """
    boxes = _proposed(x)
    for net, side, sure in (("rnet", 24, SURE[1]), ("onet", 48, SURE[2])):
        if not len(boxes):
            break
        squares = _squares(boxes[:, :4])
        score, shift, points = _looked(net, torch.cat([_cut(x, square, side) for square in squares.tolist()]))
        keep = score >= sure
        squares, shift, points, score = squares[keep], shift[keep], points[keep], score[keep]
        sides = (squares[:, 2:] - squares[:, :2]).repeat(1, 2)
        boxes = torch.cat([squares + shift * sides, score[:, None], _placed(points, squares)], 1)
        boxes = boxes[_apart(boxes, 0.7, within=net == "onet")]
    else:
        if len(boxes):
            return boxes[:, :4], boxes[:, 5:].reshape(-1, 5, 2), boxes[:, 4]
    return torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0)


def _proposed(x: Tensor) -> Tensor:
    """What P proposes at all sizes, (n, 5): boxes and scores."""
    h, w = x.shape[-2:]
    found, scale = [], CELL / SMALLEST
    while min(h, w) * scale >= CELL:
        small = F.interpolate(x, (int(h * scale + 1), int(w * scale + 1)), mode="area")
        score, shift = _proposals(small)
        y, at = torch.where(score[0] >= SURE[0])
        corner = torch.stack([at, y], 1) * STRIDE
        box = torch.cat([corner, corner + CELL], 1) / scale
        found.append(torch.cat([box + shift[0, :, y, at].T * (CELL / scale), score[0, y, at, None]], 1))
        found[-1] = found[-1][_apart(found[-1], 0.5)]
        scale *= SHRINK
    boxes = torch.cat(found) if found else torch.zeros(0, 5)
    return boxes[_apart(boxes, 0.7)]


def _squares(boxes: Tensor) -> Tensor:
    """The squares around the middles of boxes, of their longer sides, in whole pixels."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    return torch.cat([middle - side / 2, middle + side / 2], 1).round()


def _cut(x: Tensor, square: list[float], side: int) -> Tensor:
    """What lies in a square, (1, 3, side, side); black beyond the picture."""
    left, top, right, bottom = (int(v) for v in square)
    h, w = x.shape[-2:]
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    part = x[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not part.numel():
        return x.new_zeros(1, 3, side, side)
    around = (max(-left, 0), max(right - w, 0), max(-top, 0), max(bottom - h, 0))
    return F.interpolate(F.pad(part, around, value=-1.0), (side, side), mode="area")


def _placed(points: Tensor, squares: Tensor) -> Tensor:
    """Points in units of their squares (n, 10), five x before five y, as x and y in turn, in pixels."""
    at = torch.stack([points[:, :5], points[:, 5:]], 2) if points.shape[1] else points.reshape(len(points), 0, 2)
    return (squares[:, None, :2] + at * (squares[:, None, 2:] - squares[:, None, :2])).flatten(1)


def _apart(boxes: Tensor, most: float, within: bool = False) -> Tensor:
    """Indices of boxes, the surest first, at most MOST, of which no two share
    more than a part of their union (`within`: of the smaller one)."""
    order = boxes[:, 4].argsort(descending=True, stable=True)[:MOST]
    b = boxes[order, :4]
    area = (b[:, 2:] - b[:, :2]).clamp(min=0).prod(1)
    sides = torch.minimum(b[:, None, 2:], b[None, :, 2:]) - torch.maximum(b[:, None, :2], b[None, :, :2])
    shared = sides.clamp(min=0).prod(2)
    whole = torch.minimum(area[:, None], area) if within else area[:, None] + area - shared
    clash = (shared > most * whole).numpy()
    kept: list[int] = []
    for k in range(len(order)):
        if not clash[k, kept].any():
            kept.append(k)
    return order[kept]


# ---- the networks


@lru_cache(maxsize=1)
def _weights() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(str(bundled.FACES / "mtcnn.safetensors")).items()}


def _conv(x: Tensor, net: str, k: int, pool: int = 0) -> Tensor:
    """The k-th convolution with its PReLU, and a maximum over `pool` x `pool` in steps of 2, whose last window may be cut."""
    w = _weights()
    x = F.prelu(F.conv2d(x, w[f"{net}.conv{k}.weight"], w[f"{net}.conv{k}.bias"]), w[f"{net}.prelu{k}.weight"])
    return F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x


def _dense(x: Tensor, net: str, name: str) -> Tensor:
    return F.linear(x, _weights()[f"{net}.dense{name}.weight"], _weights()[f"{net}.dense{name}.bias"])


def _proposals(x: Tensor) -> tuple[Tensor, Tensor]:
    """P: scores (1, h', w') and shifts (1, 4, h', w')."""
    w = _weights()
    x = _conv(_conv(_conv(x, "pnet", 1, 2), "pnet", 2), "pnet", 3)
    face, shift = (F.conv2d(x, w[f"pnet.conv4_{k}.weight"], w[f"pnet.conv4_{k}.bias"]) for k in (1, 2))
    return face.softmax(1)[:, 1], shift


def _looked(net: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R or O: scores (n,), shifts (n, 4), and points (n, 10) or (n, 0)."""
    pools, last = ((3, 3, 0), 4) if net == "rnet" else ((3, 3, 2, 0), 5)
    for k, pool in enumerate(pools, 1):
        x = _conv(x, net, k, pool)
    x = _dense(x.permute(0, 3, 2, 1).flatten(1), net, str(last))
    x = F.prelu(x, _weights()[f"{net}.prelu{last}.weight"])
    score, shift = (_dense(x, net, f"{last + 1}_{k}") for k in (1, 2))
    return score.softmax(1)[:, 1], shift, _dense(x, net, "6_3") if net == "onet" else x.new_zeros(len(x), 0)
