"""Pages of the app without a browser, and a prior that answers as often as it is let.

A page here is the app's own wiring (`Blocks.fns`) without a browser: an event calls its handlers with the values that the page
has, and their outputs become its values. The prior answers only as often as it is let, so that "in mid-run" is a place and not
a matter of time.
"""

import asyncio
import inspect
import os
import tempfile
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, final

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="redgui-tests-"))

import gradio as gr
import torch

from redgui import priors
from redgui.errors import RedguiError
from redgui.priors import Prior, PriorError
from redgui.ui import build
from redgui.ui.restore.state import Restoring

PRIORS = ("gaussian:size=16", "gaussian:size=24,std=0.3")
PICTURES = 3  # examples that belong to each of the pages
PATIENCE = 60.0  # seconds; a machine that is busy must not fail the test


@final
class Gated(Prior):
    """A closed-form prior of one run, which answers as often as it is let."""

    def __init__(self, inner: Prior):
        self.inner = inner
        self.name, self.shape, self.sigmas, self.multiple = inner.name, inner.shape, inner.sigmas, inner.multiple
        self.asked = self.let = self.answered = 0
        self.broken = False
        self.changed = threading.Condition()

    def denoise(self, x: torch.Tensor, sigma: Any) -> torch.Tensor:
        with self.changed:
            self.asked += 1
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.let >= self.asked, PATIENCE):
                raise AssertionError("nobody let the prior answer")
            self.answered += 1
        if self.broken:
            return x * float("nan")
        return self.inner.denoise(x, sigma)

    def give(self, answers: int) -> None:
        with self.changed:
            self.let += answers
            self.changed.notify_all()


class Page:
    """One browser's page, and what its buttons look like."""

    def __init__(self, demo: gr.Blocks, number: int, loop: asyncio.AbstractEventLoop, people: "list[Page]"):
        self.demo, self.number, self.loop, self.people = demo, number, loop, people
        self.host, self.layout, self.form = demo.host, demo.restore.layout, demo.form
        self.opened = 0
        self.fresh()

    def fresh(self) -> None:
        """The page is opened, for the first time or again."""
        self.opened += 1
        self.key = f"page-{self.number}-{self.opened}"
        self.values = {block: getattr(block, "value", None) for block in self.demo.blocks.values()}
        self.enabled = {self.layout.run: True, self.layout.stop: False, self.layout.resume: False}
        self.stream: asyncio.Task[None] | None = None
        self.told: list[str] = []
        self.fire(None, "load")
        self.change(self.form.setting.parts["seed"], 1000 * self.number)
        self.change(self.form.samplers["reddiff"].parts["steps"], 8)
        self.example(0)

    def leave(self) -> None:
        """The page is closed: the browser tells, and its stream is dropped."""
        gate = self.gate if self.playing else None
        self.fire(None, "unload")
        if self.stream is not None:
            if gate is not None:
                gate.give(1)  # the iteration in progress
            self.stream.cancel()
            self.until(self.stream.done, "the stream of a page that is closed")

    # ---- what a person does

    def change(self, part: Any, value: Any) -> None:
        self.values[part] = value
        self.fire(part, "change")
        self.fire(part, "input")

    def example(self, k: int) -> None:
        """One of the pictures that are this page's own."""
        event = SimpleNamespace(index=PICTURES * self.number + k)
        self.fire(self.layout.examples, "select", event)

    def press(self, button: Any) -> None:
        assert self.enabled[button]
        self.fire(button, "click")

    # ---- how a page works

    @property
    def session(self) -> Any:
        return self.host.sessions.of(self.key)

    @property
    def run(self) -> Any:
        """The run of its Restore tab."""
        return self.session.state(Restoring).played

    @property
    def busy(self) -> bool:
        return self.stream is not None and not self.stream.done()

    @property
    def playing(self) -> bool:
        return self.busy and self.run is not None and self.run.playing

    @property
    def live(self) -> dict[str, Any]:
        return self.values[self.layout.view] or {}

    def fire(self, block: Any, event: str, data: Any = None) -> None:
        number = None if block is None else block._id
        for fn in self.demo.fns.values():
            if callable(fn.fn) and any(e == event and number in (None, b) for b, e in fn.targets):
                self.call(fn, data or SimpleNamespace(target=block))

    def call(self, fn: Any, data: Any = None) -> None:
        """A handler and what comes after it. A toast is no failure: that is a message in words."""
        given = self.arguments(fn, data)
        if inspect.isasyncgenfunction(fn.fn):
            self.stream = self.loop.create_task(self.play(fn, given))
            self.settle()
            return
        failed = False
        try:
            self.take(fn, fn.fn(*given))
        except (gr.Error, RedguiError):  # a toast with its words
            failed = True
        for then in self.after(fn, failed):
            self.call(then)

    def after(self, fn: Any, failed: bool) -> list[Any]:
        follow = [f for f in self.demo.fns.values() if f.trigger_after == fn._id and callable(f.fn)]
        unwanted = "trigger_only_on_success" if failed else "trigger_only_on_failure"
        return [f for f in follow if not getattr(f, unwanted)]

    def arguments(self, fn: Any, data: Any) -> list[Any]:
        values = {block: self.values[block] for block in fn.inputs}
        given: list[Any] = [values] if fn.inputs_as_dict else list(values.values())
        named = {"request": SimpleNamespace(session_hash=self.key), "event": data}
        left = [p for p in list(inspect.signature(fn.fn).parameters)[len(given) :] if p in named]
        return given + [named[name] for name in left]

    async def play(self, fn: Any, given: list[Any]) -> None:
        async for out in fn.fn(*given):
            self.take(fn, out)
        for then in self.after(fn, failed=False):
            self.take(then, then.fn(*self.arguments(then, None)))

    def take(self, fn: Any, out: Any) -> None:
        if isinstance(out, dict) and any(block in out for block in fn.outputs):
            pairs = list(out.items())
        else:
            pairs = list(zip(fn.outputs, [out] if len(fn.outputs) == 1 else out or (), strict=bool(fn.outputs)))
        for block, value in pairs:
            update = value if isinstance(value, dict) and value.get("__type__") == "update" else None
            if block in self.enabled and update is not None and "interactive" in update:
                self.enabled[block] = update["interactive"]
            if update is None or "value" in update:
                self.values[block] = value if update is None else update["value"]
            if block is self.demo.restore.page.place and update is None and value["text"]:
                self.told.append(value["text"])

    # ---- the run

    @property
    def waits(self) -> bool:
        """Whether its run stands in line and was told so."""
        return self.busy and bool((self.values[self.demo.restore.page.place] or {}).get("text"))

    @property
    def gate(self) -> Gated | None:
        run = self.run
        return run.prior if run is not None else None

    @property
    def asks(self) -> bool:
        """Whether its run is in the middle of an iteration."""
        gate = self.gate
        return self.playing and gate is not None and gate.asked > gate.let

    def let(self, answers: int) -> None:
        if self.gate is not None:
            self.gate.give(answers)

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Has all pages go on until something is so."""

        async def wait() -> None:
            end = time.monotonic() + PATIENCE
            while not true():
                assert time.monotonic() < end, f"waited in vain for {what}"
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    @property
    def settled(self) -> bool:
        """Whether its run is over, in the middle of an iteration, or in line behind one that is."""
        return not self.busy or self.asks or (self.waits and any(other.asks for other in self.people))

    def settle(self) -> None:
        """Waits until nothing moves at any page."""
        self.until(lambda: all(page.settled for page in self.people), "all pages to settle")


_demo: list[gr.Blocks] = []


def app() -> gr.Blocks:
    """The app, built once, whose priors answer when they are let."""
    if not _demo:
        _demo.append(build(PRIORS[0], device="cpu"))
        host = _demo[0].host
        host.queue.places = 1  # a prior that waits holds the one thread that computes

        def prior_named(name: Any) -> Prior:
            name = str(name or host.prior_name)
            if name not in PRIORS:
                raise PriorError(f"there is no prior {name!r} here.")
            return Gated(priors.load(name))

        host.prior_named = prior_named
    return _demo[0]
