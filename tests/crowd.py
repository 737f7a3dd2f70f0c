"""People at one app, each in a coroutine."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

from person import Person
from visitor import Visitor

SIDE = 16
PRIOR = f"gaussian:size={SIDE}"


def in_a_loop(main: Awaitable[Any]) -> Any:
    """asyncio.run, in a thread of its own: the one of the tests may have the loop of a browser."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


class Pace:
    """How long the network takes: it answers only while it is free, after some seconds."""

    def __init__(self) -> None:
        self.free, self.held = threading.Event(), threading.Event()
        self.seconds, self.calls = 0.0, 0
        self.free.set()


async def until(true: Callable[[], Any], what: str) -> None:
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


async def visit(served: Any, number: int, then: Callable[[Visitor], Awaitable[Any]], steps: int = 8, **turned: Any) -> Visitor:
    """A person who opens the page, settles everything, does something and leaves."""
    async with Visitor(served.url, served.config) as visitor:
        await visitor.open()
        served.config = visitor.config
        await Person(number, SIDE, steps).settle(visitor)
        for name, value in turned.items():
            await visitor.turn(name, value)
        await then(visitor)
    return visitor


def state(visitor: Visitor) -> dict[str, Any]:
    return visitor.shown.get("live") or {}
