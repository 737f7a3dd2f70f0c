"""How many CPU threads share an operation: a number that each thread of a process has for itself.

It decides over speed, and over the last bits of a result, since some sums are made in parts. `torch.set_num_threads` would
change it for all threads to come, too, so what is changed here is OpenMP's own setting, with threadpoolctl.

In a process that serves pages the engine's thread takes the cores, and every other thread works alone. What is left for a
browser it takes, too, for a call that several jobs share: then less time goes to drawing than to the network.
"""

import contextvars
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from redgui.knobs import KnobError

MOST = 1024
T = TypeVar("T")
_at_start = torch.get_num_threads()
_left = 1


def number() -> int:
    """The number of CPU threads that the calling thread uses."""
    return torch.get_num_threads()


def limit(n: int) -> None:
    """Has the calling thread use n CPU threads, 1 to 1024. Raises KnobError."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise KnobError(f"the number of threads lies in 1 to {MOST}; got {str(n)[:20]}.")
    if number() != n:  # asked first: at a thread's first operation torch would set it anew
        _openmp().limit(limits=n)


@contextmanager
def limited(n: int | None) -> Iterator[None]:
    """Limits the calling thread to n CPU threads inside the block; None changes nothing. Raises KnobError."""
    before = number()
    if n is not None:
        limit(n)
    try:
        yield
    finally:
        limit(before)


def share_out(left: int) -> None:
    """In a process that serves pages, before its threads begin: they work alone, and the engine leaves `left` cores to others.

    A team of all cores waits at every barrier for the one whose core a browser draws on. So one core is left where the browser
    is on the same machine, and none on a host of strangers.
    """
    global _at_start, _left
    _left, _at_start = left, max(_at_start, number())
    torch.set_num_threads(1)


def take() -> None:
    """Has the calling thread, the engine's, use all cores but those that are left, or OMP_NUM_THREADS where it is set."""
    limit(_at_start if "OMP_NUM_THREADS" in os.environ else max(1, _at_start - _left))


def all_of_them() -> int:
    """The number of CPU threads of a call that many wait for: with those left to others, unless OMP_NUM_THREADS is set."""
    return number() if "OMP_NUM_THREADS" in os.environ else max(number(), _at_start)


def apart(work: Callable[[], T]) -> T:
    """`work()` without waiting for the engine, on as many cores as its: the last bits of a measurement depend on their number.

    It is done in a thread of its own, whose team ends with it.
    """
    with ThreadPoolExecutor(1, initializer=take) as thread:
        return thread.submit(contextvars.copy_context().run, work).result()


@functools.lru_cache(maxsize=1)
def _openmp() -> Any:
    """Of the libraries that torch has loaded; finding them takes milliseconds, so it is done once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
