"""Large pictures through a network in overlapping tiles, one after the other, so that memory is bounded.

    whole = tiled(call, [x], (h, w), side=512, halo=64, blend=True)[0]

Each tile is cut out with a halo around it. Where a pixel of the answer depends on no more than the halo (convolutions alone),
the tile's own part of the answer is exact, and tiles are put side by side. Elsewhere (normalisations over the tile, attention)
the answers of neighbours differ a little: with `blend` they fade over in a linear ramp of two halos, and no seam is left.

The backward pass computes each tile anew and keeps nothing of the forward pass but its input.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

Call = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Span:
    """A tile along one side.

    Attributes:
        lo, hi: what the network is shown.
        first, last: the part of the answer that is taken.
        weights: of that part, (last - first,); None: 1.
    """

    lo: int
    hi: int
    first: int
    last: int
    weights: Tensor | None = None


def spans(n: int, side: int, halo: int, unit: int = 1, blend: bool = False) -> list[Span]:
    """Tiles that cover n, of at most `side` and two halos each, that begin at multiples of `unit`; their weights sum to 1."""
    count = -(-n // side)
    edges = [min(n, round(k * n / count / unit) * unit) for k in range(count)] + [n]
    found = []
    for first, last in pairwise(edges):
        lo, hi = max(0, first - halo), min(n, last + halo)
        if not blend:
            found.append(Span(lo, hi, first, last))
            continue
        at = torch.arange(lo, hi) + 0.5
        up = (at - (first - halo)) / (2 * halo) if first else torch.ones_like(at)
        down = (last + halo - at) / (2 * halo) if last < n else torch.ones_like(at)
        found.append(Span(lo, hi, lo, hi, torch.minimum(up, down).clamp(0, 1)))
    return found


def tiled(call: Call, xs: Sequence[Tensor], size: tuple[int, int], *, side: int, halo: int, unit: int = 1,
          blend: bool = False) -> tuple[Tensor, ...]:  # fmt: skip
    """`call(k, *xs)` of picture k of a batch in tiles, for all k; differentiable in xs, once, and in nothing else.

    Args:
        call: gets k and the tiles (1, c, h', w') of xs, and gives a tuple of tensors.
        xs: (b, c, h, w), of `size` or a whole number of times larger or (rounded up) smaller, as what `call` gives may be.
        side: of a tile, at most; at least two halos where they blend.
        unit: of which a tile's begin and the halo are multiples.
    """
    rows, cols = (spans(n, side, halo, unit, blend) for n in size)
    return _Tiled.apply(call, size, [(r, c) for r in rows for c in cols], *xs)  # type: ignore[no-any-return]


class _Tiled(torch.autograd.Function):
    """All tiles of all pictures."""

    @staticmethod
    def forward(ctx: Any, call: Call, size: tuple[int, int], tiles: list[tuple[Span, Span]], *xs: Tensor) -> Any:
        ctx.call, ctx.size, ctx.tiles = call, size, tiles
        ctx.save_for_backward(*xs)
        wholes: list[Tensor] = []
        for k, tile in ((k, tile) for k in range(len(xs[0])) for tile in tiles):
            shown = [_cut(x[k : k + 1], tile, size) for x in xs]
            for n, part in enumerate(call(k, *shown)):
                if n == len(wholes):
                    h, w = (_scaled(m, part.shape[2 + axis], tile[axis]) for axis, m in enumerate(size))
                    wholes.append(part.new_zeros(len(xs[0]), part.shape[1], h, w))
                _taken(wholes[n][k : k + 1], tile, size).add_(_own(part, tile))
        return tuple(wholes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        xs = ctx.saved_tensors
        pulled = [torch.zeros_like(x) if x.requires_grad else None for x in xs]
        for k, tile in ((k, tile) for k in range(len(xs[0])) for tile in ctx.tiles):
            with torch.enable_grad():
                shown = [_cut(x[k : k + 1], tile, ctx.size).detach().requires_grad_(x.requires_grad) for x in xs]
                own = [_own(part, tile) for part in ctx.call(k, *shown)]
            wanted = [x for x in shown if x.requires_grad]
            weights = [_taken(slope[k : k + 1], tile, ctx.size) for slope in slopes]
            found = iter(torch.autograd.grad(own, wanted, weights, allow_unused=True))
            for whole in pulled:
                if whole is not None and (part := next(found)) is not None:
                    _cut(whole[k : k + 1], tile, ctx.size).add_(part)
        return None, None, None, *pulled


def _scaled(n: int, part: int, span: Span) -> int:
    """The length of a whole whose part has `part` for the span's lo to hi of n."""
    shown = span.hi - span.lo
    return n * (part // shown) if part >= shown else -(-n // round(shown / part))


def _range(lo: int, hi: int, length: int, n: int) -> slice:
    """lo to hi of n on something `length` long: as many times longer, or shorter and rounded up."""
    if length >= n:
        return slice(lo * (length // n), hi * (length // n))
    times = round(n / length)
    return slice(lo // times, -(-hi // times))


def _cut(x: Tensor, tile: tuple[Span, Span], size: tuple[int, int]) -> Tensor:
    """What of x the network is shown."""
    rows, cols = (_range(s.lo, s.hi, m, n) for s, m, n in zip(tile, x.shape[2:], size, strict=True))
    return x[..., rows, cols]


def _taken(x: Tensor, tile: tuple[Span, Span], size: tuple[int, int]) -> Tensor:
    """Where in x the answer of a tile goes."""
    rows, cols = (_range(s.first, s.last, m, n) for s, m, n in zip(tile, x.shape[2:], size, strict=True))
    return x[..., rows, cols]


def _own(part: Tensor, tile: tuple[Span, Span]) -> Tensor:
    """A tile's answer as it is taken: its own part, weighted."""
    rows, cols = (_range(s.first - s.lo, s.last - s.lo, m, s.hi - s.lo) for s, m in zip(tile, part.shape[2:], strict=True))
    part = part[..., rows, cols]
    for axis, span in enumerate(tile):
        if span.weights is not None:
            weights = span.weights.to(part).repeat_interleave(part.shape[2 + axis] // len(span.weights))
            part = part * (weights[:, None] if axis == 0 else weights)
    return part
