"""Randomness that is explicit and per image.

Every image of a batch has a generator of its own, so that a picture alone and the same picture within a
batch get the same numbers, and nothing touches torch's global generator. Numbers are drawn on the CPU,
wherever they are used: CPU and CUDA draw different ones from the same seed, and a seed means the same everywhere.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

# Independent streams of one seed.
MEASUREMENT, SAMPLER = 0, 1


def stream_seed(seed: int, stream: int, index: int = 0) -> int:
    """A 63-bit seed for image `index` of a stream; different arguments give unrelated numbers."""
    state = np.random.SeedSequence((seed, stream, index)).generate_state(2, np.uint64)
    return int(state[0] >> np.uint64(1))


class Generators:
    """One `torch.Generator` per image of a batch.

    Args:
        seeds: one integer per image.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    @classmethod
    def of_run(cls, seed: int, n: int, stream: int = SAMPLER) -> "Generators":
        """Generators for n particles (or pictures) of a run; the first is the same for every n."""
        return cls([stream_seed(seed, stream, k) for k in range(n)])

    def __len__(self) -> int:
        return len(self.generators)

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers of shape (b, *shape), float32 on the CPU, row k from the k-th generator."""
        rows = [torch.randn(1, *shape, generator=g) for g in self.generators]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def randn_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers of the shape, dtype and device of x (b ...), row k from the k-th generator."""
        if len(x) != len(self.generators):
            raise ValueError(f"{len(self.generators)} generators cannot serve a batch of {len(x)}; give one seed per image.")
        return self.randn(*x.shape[1:]).to(x)

    def each(self, draw: Callable[[Tensor, torch.Generator], Tensor], x: Tensor) -> Tensor:
        """Like x (b, ...): row k is what `draw` makes on the CPU of the k-th row of x, float32, with the k-th generator."""
        if len(x) != len(self.generators):
            raise ValueError(f"{len(self.generators)} generators cannot serve a batch of {len(x)}; give one seed per image.")
        rows = zip(x.detach().float().cpu(), self.generators, strict=True)
        return torch.stack([draw(row, g) for row, g in rows]).to(x)

    def randperm(self, n: int) -> Tensor:
        """A random order of 0..n-1 per image, shape (b, n), int64 on the CPU."""
        return torch.stack([torch.randperm(n, generator=g) for g in self.generators])
