"""How many CPU threads share an operation: a number that each thread of a process has for itself.

It decides over speed, and over the last bits of a result, since some sums are made in parts. `torch.set_num_threads` would
change it for all threads to come, too, so what is changed here is OpenMP's own setting, with threadpoolctl.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from redgui.knobs import KnobError

MOST = 1024


def number() -> int:
    """That of the calling thread."""
    return torch.get_num_threads()


def limit(n: int) -> None:
    """Sets that of the calling thread, 1 to 1024. Raises KnobError."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise KnobError(f"the number of threads lies in 1 to {MOST}; got {str(n)[:20]}.")
    if number() != n:  # asked first: at a thread's first operation torch would set it anew
        _openmp().limit(limits=n)


@contextmanager
def limited(n: int | None) -> Iterator[None]:
    """Within, the calling thread's number is n; None leaves it as it is. Raises KnobError."""
    before = number()
    if n is not None:
        limit(n)
    try:
        yield
    finally:
        limit(before)


@functools.lru_cache(maxsize=1)
def _openmp() -> Any:
    """Of the libraries that torch has loaded; finding them takes milliseconds, so it is done once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
