"""What a view shows while something is played, for its page to fetch past Gradio.

For each news of a stream Gradio's page walks through all components, for tens of milliseconds, and the server holds the
interpreter's lock for ten: on the cores that the solver needs. A fetch has what has changed since the last one. A page that
fetches is told by Gradio only now and then; one that does not (a proxy that lets nothing else through) gets everything there.
"""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

PATH = "/gradio_api/redgui/feed/"  # below Gradio's own: a server in front of it passes these on
WAIT = 1.0  # seconds that a fetch waits for news, at most
LATELY = 2.0  # seconds since its last fetch in which a page counts as one that fetches
TELL = 4.0  # seconds between two values that Gradio tells of it: only then it is noticed that nobody listens any more

Part = tuple[str, ...]  # where in a value: a name, or two of a dict in it


class Feed:
    """The newest value of one view. Shown from any thread; fetched on the server's loop."""

    def __init__(self) -> None:
        self.name = secrets.token_urlsafe(16)
        self.at = 0  # how many values there were
        self._parts: dict[Part, tuple[int, Any]] = {}  # each with the value in which it changed
        self._asked = -LATELY
        self._told = time.monotonic()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def show(self, value: Mapping[str, Any]) -> bool:
        """A newer value, a dict as JSON has it; a name that is gone stays. Returns whether Gradio is to tell it too."""
        with self._lock:
            self.at += 1
            for part, content in _parts(value):
                known = self._parts.get(part)
                if known is None or known[1] != content:
                    self._parts[part] = self.at, content
            followed = bool(self._waiting) or time.monotonic() - self._asked < LATELY
        self.wake()
        if followed and time.monotonic() - self._told < TELL:
            return False
        self._told = time.monotonic()
        return True

    def wake(self) -> None:
        """Has all fetches that wait return."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, news in waiting:
            loop.call_soon_threadsafe(news.set)

    async def since(self, at: int) -> dict[str, Any]:
        """{"at": the newest value's number, "parts": [[name, or two, content]] that changed after `at`}; waits for news."""
        self._asked = time.monotonic()
        news = asyncio.Event()
        with self._lock:
            if at >= self.at:
                self._waiting.append((asyncio.get_running_loop(), news))
            else:
                news.set()
        try:
            await asyncio.wait_for(news.wait(), WAIT)
        except TimeoutError:
            with self._lock:
                self._waiting = [one for one in self._waiting if one[1] is not news]
        self._asked = time.monotonic()
        with self._lock:
            return {"at": self.at, "parts": [[*part, content] for part, (n, content) in self._parts.items() if n > at]}


def _parts(value: Mapping[str, Any]) -> Iterator[tuple[Part, Any]]:
    for name, content in value.items():
        if isinstance(content, dict) and content:
            yield from (((name, key), inner) for key, inner in content.items())
        else:
            yield (name,), content


class Feeds:
    """Those that are open, by their names, which only their pages know."""

    def __init__(self) -> None:
        self._open: dict[str, Feed] = {}

    @contextmanager
    def open(self) -> Iterator[Feed]:
        """A new one, for as long as something is played."""
        feed = Feed()
        self._open[feed.name] = feed
        try:
            yield feed
        finally:
            del self._open[feed.name]
            feed.wake()

    def get(self, name: str) -> Feed | None:
        """The one of a name; None where it is over, or never was."""
        return self._open.get(name)


class FeedRoute:
    """ASGI middleware that answers fetches: GET `PATH`NAME?after=N. 204 says that there is nothing to come: it is over."""

    def __init__(self, app: Any, feeds: Feeds):
        self.app, self.feeds = app, feeds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope.get("path", "").partition(PATH)[2] if scope["type"] == "http" else ""
        if not name:
            await self.app(scope, receive, send)
            return
        after = parse_qs(scope["query_string"].decode("latin-1")).get("after", ["0"])[0][:12]
        feed = self.feeds.get(name)
        if feed is None or not after.isdecimal():
            await Response(status_code=204)(scope, receive, send)
            return
        content = json.dumps(await feed.since(int(after)), separators=(",", ":"), allow_nan=False)
        headers = {"cache-control": "no-store"}
        await Response(content, media_type="application/json", headers=headers)(scope, receive, send)
