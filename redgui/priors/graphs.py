"""A network's forwards as CUDA graphs.

A UNet at batch 1 is hundreds of small kernels, and a GPU waits for Python to launch them. A CUDA graph records the launches
once and replays them in one call. It is the eager network's own kernels: a record stays reproducible to the bit, which compiled
code, with kernels of its own, would not allow. Capturing takes about as long as three calls, so nobody waits for it.
"""

import logging
import threading
import time
import weakref
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from redgui import devices
from redgui.errors import in_short

GRAPHS = 4  # shapes that are kept captured
IDLE = 64  # calls of others after which a shape's graph makes room for that of another
COUNTED = 256  # shapes whose calls are counted
PIXELS = 4 * 256 * 256  # of a batch; with more of them the kernels are what costs, and a graph would only hold memory
EAGER_FIRST = 2  # calls of a shape before it is captured: a shape that comes once is not worth it

CAPTURING = threading.Lock()  # a process can make one graph at a time; a second breaks the first
_all: "weakref.WeakSet[Graphs]" = weakref.WeakSet()
_spent = threading.local()
log = logging.getLogger(__name__)


def capture_seconds() -> float:
    """What captures have taken so far in the thread that asks: nobody's run is charged for them."""
    return getattr(_spent, "seconds", 0.0)


def drop_all() -> bool:
    """Gives the memory of all graphs of the process back; False where there were none."""
    with CAPTURING:
        there = list(_all)
    if dropped := sum(graphs.drop() for graphs in there):
        log.warning("memory ran out: the CUDA graphs of %d network(s) are dropped, which get no more", dropped)
    return dropped > 0


class Graphs:
    """The network's forwards without gradients, a graph for each shape; eager where there is none. From any thread.

    After a capture that failed, or graphs that were dropped for want of memory, no more are made for this network.
    """

    def __init__(self, net: torch.nn.Module):
        self.net, self.off, self.at = net, False, 0
        self.calls: dict[Any, int] = {}
        self.used: dict[Any, int] = {}  # the last call of a graph
        self.captured: OrderedDict[Any, tuple[Any, ...]] = OrderedDict()  # the one that was used last at the end
        self.lock = threading.Lock()  # a graph has one place for its input and one for its output
        with CAPTURING:
            _all.add(self)

    def __call__(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        if x.shape[0] * x.shape[-2] * x.shape[-1] <= PIXELS:
            with self.lock:
                if (found := self._graph(x, t, labels)) is not None:
                    graph, places, out = found
                    for place, value in zip(places, (x, t, labels), strict=True):
                        if place is not None:
                            place.copy_(value)
                    graph.replay()
                    return out.clone()
        return eager(self.net, x, t, labels)

    def drop(self) -> bool:
        """Gives the graphs' memory back, for good; False where there was none."""
        with self.lock:
            held = bool(self.captured)
            self.off = self.off or held
            for kept in (self.captured, self.calls, self.used):
                kept.clear()
            return held

    def _graph(self, x: Tensor, t: Tensor, labels: Tensor | None) -> tuple[Any, ...] | None:
        """The graph for these inputs, made where it is due; None where there is none."""
        key = (x.shape, x.dtype, t.shape, labels is None)
        self.at += 1
        if key not in self.captured and not self.off:
            if len(self.calls) >= COUNTED:
                self.calls = {known: self.calls[known] for known in self.captured}
            self.calls[key] = self.calls.get(key, 0) + 1
            if self.calls[key] > EAGER_FIRST and self._room():
                self._capture(key, x, t, labels)
        if key not in self.captured:
            return None
        self.used[key] = self.at
        self.captured.move_to_end(key)
        return self.captured[key]

    def _room(self) -> bool:
        """Whether one more may be kept. Shapes that come in turn do not take each other's places: one costs three calls."""
        if len(self.captured) < GRAPHS:
            return True
        oldest = next(iter(self.captured))
        if self.at - self.used[oldest] < IDLE:
            return False
        for kept in (self.captured, self.calls, self.used):
            del kept[oldest]
        return True

    def _capture(self, key: Any, x: Tensor, t: Tensor, labels: Tensor | None) -> None:
        """Tries it: whatever goes wrong, the eager network serves."""
        began = time.perf_counter()
        try:
            if (found := captured(self.net, x, t, labels)) is None:
                self.calls[key] = 0
            else:
                self.captured[key] = found
        except Exception as error:
            self.off = True
            log.warning("no more CUDA graphs of a network are made: %s", in_short(error))
            devices.empty_cache(x.device)
        finally:
            _spent.seconds = capture_seconds() + time.perf_counter() - began


def captured(net: torch.nn.Module, x: Tensor, t: Tensor, labels: Tensor | None) -> tuple[Any, ...] | None:
    """A CUDA graph of one forward, the places of its inputs and that of its output; None where that is not finite, which
    cannot be compared. Raises RuntimeError where it differs from the eager call's, or whatever fails."""
    places = x.clone(memory_format=torch.preserve_format), t.contiguous().clone(), labels if labels is None else labels.clone()
    # A capture that fails leaves its thread on the stream of the capture: the one that there was is set again.
    with torch.no_grad(), torch.cuda.device(x.device), CAPTURING, torch.cuda.stream(torch.cuda.current_stream(x.device)):
        want = eager(net, x, t, labels)
        if not bool(want.isfinite().all()):
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            eager(net, *places)  # libraries make their workspaces in this call, not while capturing
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: what another thread asks of CUDA meanwhile does not break the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = eager(net, *places)
        graph.replay()
        if not torch.equal(out, want):
            raise RuntimeError("a graph's numbers are not those of the eager call")
        return graph, places, out


def eager(net: torch.nn.Module, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
    """The plain call: net(x, t, class_labels) as a tensor."""
    given = {} if labels is None else {"class_labels": labels}
    return net(x, t, **given, return_dict=False)[0]
