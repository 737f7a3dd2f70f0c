"""Who computes with how many cores in a process that serves pages. No gradio here.

Each thread has a team of OpenMP's for its operations on large tensors, and keeps it. With more threads in all teams than there
are cores, libgomp has every team wait asleep instead of at the barrier, even while the others do nothing, and the network,
which has hundreds of barriers a pass, takes half as long again or twice. And a team of all cores waits at every barrier for
the one whose core a browser draws on. So
  - whoever only looks on (the handlers of a page's events, which come in threads of their own) works alone;
  - what calls a network does it in a new thread, whose team ends with it, and leaves a core to the browser beside it.
"""

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from inspect import isasyncgenfunction
from typing import Any, ParamSpec, TypeVar

from redgui.runs import cores

P = ParamSpec("P")
T = TypeVar("T")
_this_thread = threading.local()
_left = 1  # cores


def leave_cores(n: int) -> None:
    """How many cores the teams of the process leave to others: those of a browser on the same machine, or none."""
    global _left
    _left = n


def work_alone() -> None:
    """From here on the calling thread has no team: its operations are made by itself."""
    if not getattr(_this_thread, "alone", False):
        cores.limit(1)
        _this_thread.alone = True


def take_team() -> None:
    """From here on the calling thread has the cores that it may have; as many as OMP_NUM_THREADS says where that is set."""
    if "OMP_NUM_THREADS" not in os.environ:
        cores.limit(max(1, cores.number() - _left))


def with_team(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """`work(...)` in a new thread with a team, in the caller's context; what it raises is raised here."""
    found: list[T] = []
    failed: list[BaseException] = []

    def done() -> None:
        try:
            take_team()
            found.append(work(*given, **named))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(done,), name="team")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def each_alone(steps: Iterator[T]) -> Iterator[T]:
    """The steps, each made alone, whichever thread asks for it."""
    while True:
        work_alone()
        try:
            step = next(steps)
        except StopIteration:
            return
        yield step


def onlookers(handlers: Iterable[Any]) -> None:
    """Has the functions of a page's events (`demo.fns.values()`) work alone.

    Those that stream are left as they are: they wait in the loop, and their steps are made in `redgui.ui.host.queue.threaded`.
    """
    for event in handlers:
        if event.fn is not None and not isasyncgenfunction(event.fn):
            event.fn = _alone(event.fn)


def _alone(call: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(call)
    def handled(*given: P.args, **named: P.kwargs) -> T:
        work_alone()
        return call(*given, **named)

    return handled
