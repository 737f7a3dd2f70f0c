"""The generators, streams, graphs and properties of a pretend device (`pretend` has its tensors), and what both know of it."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

traffic: Counter[str] = Counter()
now = SimpleNamespace(device=torch.device("cuda", 0), lacking=set(), capture=None, fail=False)
thread = threading.local()  # its stream


def waits(what: str) -> None:
    traffic["waits"] += 1
    if capturing() is not None:
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")


class Generator(torch.Generator):
    """A generator of either device; its numbers are the CPU's."""

    def __new__(cls, device: Any = "cpu"):
        made = super().__new__(cls)
        made.where = torch.device(device)  # pyright: ignore
        return made

    device = property(lambda self: self.where)  # pyright: ignore


class Stream:
    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def wait_stream(self, other: "Stream") -> None:
        pass


DEFAULT, CAPTURE = Stream(), Stream()


def current_stream(*_: Any) -> Stream:
    return getattr(thread, "stream", DEFAULT)


@contextlib.contextmanager
def stream(wanted: Stream) -> Iterator[None]:
    before, thread.stream = current_stream(), wanted
    try:
        yield
    finally:
        thread.stream = before


def capturing() -> "Graph | None":
    """The graph that this thread captures."""
    return now.capture if now.capture is not None and current_stream() is CAPTURE else None


def mapped(change: Callable[[Any], Any], v: Any) -> Any:
    """v with all that lies in its lists, tuples and dicts changed; torch's own tree_map takes most of a test's time."""
    if isinstance(v, dict):
        return {key: mapped(change, one) for key, one in v.items()}
    if not isinstance(v, list | tuple):
        return change(v)
    done = [mapped(change, one) for one in v]
    return done if type(v) is list else type(v)(done)


class Graph:
    """The operations of a capture."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.broken = False

    def replay(self) -> None:
        traffic["replays"] += 1
        for func, args, kwargs, out in self.calls:
            if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
                continue  # a view shows what lies under it
            for old, new in zip(tree_flatten(out)[0], tree_flatten(func(*args, **kwargs))[0], strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Capture:
    """`torch.cuda.graph`: its stream is set first, and set back only where the capture ends well."""

    def __init__(self, of: Graph, *args: Any, **kwargs: Any):
        self.of, self.before = of, current_stream()

    def __enter__(self) -> None:
        thread.stream = CAPTURE
        if now.fail:
            raise RuntimeError("CUDA error: capture made to fail")
        if now.capture is not None:
            now.capture.broken = True
            raise RuntimeError("CUDA error: only one capture may be underway at a time in a process")
        now.capture = self.of
        traffic["captures"] += 1

    def __exit__(self, kind: Any, *_: Any) -> None:
        now.capture = None
        if self.of.broken or kind is not None:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        thread.stream = self.before


def cuda(major: int) -> dict[str, Any]:
    properties = SimpleNamespace(major=major, minor=0, name="pretend", total_memory=2**34, multi_processor_count=80)
    one = dict(device_count=1, current_device=0, memory_allocated=0, max_memory_allocated=0, get_device_name="pretend",
               get_device_capability=(major, 0), get_device_properties=properties, mem_get_info=(2**34, 2**34),
               is_available=True, is_initialized=True, empty_cache=None, set_device=None, reset_peak_memory_stats=None,
               manual_seed=None, manual_seed_all=None, set_rng_state=None, set_rng_state_all=None, _lazy_init=None,
               ipc_collect=None)  # fmt: skip
    found: dict[str, Any] = {name: lambda *_, value=value: value for name, value in one.items()}
    return found | dict(
        synchronize=lambda *_: waits("synchronize"), get_rng_state=lambda *_: torch.get_rng_state(),
        get_rng_state_all=lambda: [torch.get_rng_state()], current_stream=current_stream, Stream=Stream, stream=stream,
        device=lambda *_: contextlib.nullcontext(), CUDAGraph=Graph, graph=Capture,
        is_current_stream_capturing=lambda: capturing() is not None,
    )  # fmt: skip
