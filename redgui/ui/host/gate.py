"""What reaches the app at all: a check of every HTTP request before gradio sees it, and of every handler's values and errors.

`Gate` is ASGI middleware. It refuses
  - a host name that is not this machine's, where the app is for this machine alone: a page of the web whose own name was made
    to point at 127.0.0.1 (DNS rebinding) would otherwise be taken for the app's own page, and could read what the app may read;
  - there, calls from the pages of other sites;
  - bodies beyond a size, whether announced or not, and uploads beyond what the disk is to hold;
  - those routes of gradio that this app does not use: they fetch addresses, run programs on uploads or write files.

`guard` wraps all handlers of a page: values are any JSON, and whatever goes wrong with them is one error for who sent them.
"""

import ipaddress
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from functools import wraps
from inspect import isasyncgenfunction, isgeneratorfunction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from gradio.utils import get_upload_folder

from redgui.errors import RedguiError, in_short
from redgui.ui.host.uploads import CallError

PREFIX = "/gradio_api/"
UNUSED = ("proxy=", "process_recording", "deep_link", "stream/", "component_server", "custom_component/", "vibe", "undo-vibe",
          "dev/", "run-history/", "file=http:", "file=https:")  # fmt: skip
HOSTS = "REDGUI_HOSTS"  # further names under which the app may be called, separated by commas
log = logging.getLogger(__name__)
LONGEST_TEXT, LONGEST_NUMBER = 10_000, 40  # characters of a box on the page


class Gate:
    """ASGI middleware.

    Args:
        local: whether the app is for this machine alone, and answers to its names alone.
        body: bytes of a request, at most.
        uploads: bytes of all uploaded files on the disk, at most.
    """

    def __init__(self, app: Any, *, local: bool, body: float, uploads: float):
        self.app, self.local, self.body, self.uploads = app, local, body, uploads

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self.refused(scope["path"], headers)
        if refused is not None:
            if scope["type"] == "http":
                await _answer(send, *refused)
            return
        counted = Counter(receive, send, self.body)
        try:
            await self.app(scope, counted.receive, counted.send)
        except Exception as error:
            if counted.begun:
                raise
            if not counted.over:  # gradio's own, for an event that there is not
                log.exception("%s %s", scope["type"], scope["path"])
                await _answer(send, 500, f"the server could not do this ({type(error).__name__}). Reload the page.")
        if counted.over and not counted.begun:
            await _answer(send, *self._too_large())

    def refused(self, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and reason of a refusal, or None."""
        if self.local and not is_here(headers.get("host", "")):
            name = headers.get("host", "")[:80]
            return 403, f"this app answers to the names of its own machine; got {name!r}. To allow a name, set {HOSTS}."
        origin = urlsplit(headers.get("origin", "")).netloc
        if self.local and "origin" in headers and not is_here(origin):
            return 403, f"only this app's own page may call it; got one of {origin[:80]!r}."
        called = path.partition(PREFIX)[2]  # wherever a proxy has put the app
        if called.lower().startswith(UNUSED):
            return 404, "this app has no such route."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self.body:
            return self._too_large()
        if called.rstrip("/") == "upload" and self.uploads < float("inf") and _used() > self.uploads:
            return 507, "this host keeps no more uploads at the moment; try again in an hour."
        return None

    def _too_large(self) -> tuple[int, str]:
        return 413, f"a request carries at most {self.body / 2**20:.0f} MB. Make the picture smaller."


class Counter:
    """Both ends of a request, with its bytes counted: beyond `most` it reads as one that was broken off, and gets no answer."""

    def __init__(self, receive: Any, send: Any, most: float):
        self._receive, self._send, self.most = receive, send, most
        self.bytes, self.over, self.begun = 0, False, False

    async def receive(self) -> Any:
        if self.over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes += len(message.get("body", b""))
            self.over = self.bytes > self.most
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Any) -> None:
        if self.over and not self.begun:
            return
        self.begun = True
        await self._send(message)


def is_here(host: str) -> bool:
    """Whether a Host header names this machine, or what REDGUI_HOSTS allows."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    allowed = {part.strip().lower() for part in os.environ.get(HOSTS, "").split(",") if part.strip()}
    try:
        return ipaddress.ip_address(name).is_loopback or name in allowed
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or name in allowed


def for_here_alone(options: Mapping[str, Any]) -> bool:
    """Whether `launch(**options)` serves this machine alone: on a loopback address, without a public link."""
    name = options.get("server_name") or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    return not options.get("share") and is_here(f"[{name}]" if ":" in name else name)


async def _answer(send: Any, status: int, message: str) -> None:
    body = json.dumps({"detail": message, "error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _used() -> int:
    """Bytes in the folder of uploads."""
    total = 0
    for folder, _, names in os.walk(get_upload_folder()):
        for name in names:
            try:
                total += Path(folder, name).stat().st_size
            except OSError:  # deleted meanwhile
                continue
    return total


# ---- handlers


def guard(handlers: Iterable[Any], tell: bool) -> None:
    """Wraps the functions of a page's events (`demo.fns.values()`).

    Args:
        tell: whether an error that was not foreseen comes with its own words, which may name paths of the machine.
    """
    for event in handlers:
        if event.fn is not None:
            event.fn = guarded(event.fn, tell)


def guarded(call: Callable[..., Any], tell: bool = True) -> Callable[..., Any]:
    """A handler with its values looked at first, and every error as one that a page or a client is shown."""
    if isasyncgenfunction(call):

        @wraps(call)
        async def served(*given: Any) -> AsyncIterator[Any]:
            with _as_one_error(tell):
                check_values(given)
                async with aclosing(call(*given)) as items:
                    async for item in items:
                        yield item

        return served

    if isgeneratorfunction(call):

        @wraps(call)
        def streamed(*given: Any) -> Iterator[Any]:
            with _as_one_error(tell):
                check_values(given)
                yield from call(*given)

        return streamed

    @wraps(call)
    def once(*given: Any) -> Any:
        with _as_one_error(tell):
            check_values(given)
            return call(*given)

    return once


@contextmanager
def _as_one_error(tell: bool) -> Iterator[None]:
    try:
        yield
    except gr.Error as error:
        raise _plain(error) from error.__cause__
    except Exception as error:
        raise _told(error, tell) from error


def check_values(given: tuple[Any, ...]) -> None:
    """Of a handler's dict of component -> value: that each value is of its component's kind. Raises CallError.

    What a number or a choice may be is the business of `redgui.knobs`; here a list is kept from being looked up in a dict.
    """
    for values in given:
        if not isinstance(values, dict):
            continue
        for part, value in values.items():
            if value is None:
                continue
            if isinstance(part, (gr.Dropdown, gr.Radio)):
                fits = isinstance(value, (str, int, float)) and len(str(value)) <= LONGEST_TEXT
            elif isinstance(part, gr.Checkbox):
                fits = isinstance(value, bool)
            elif isinstance(part, gr.Textbox):
                fits = isinstance(value, str) and len(value) <= LONGEST_TEXT
            elif isinstance(part, (gr.Slider, gr.Number)):
                fits = isinstance(value, (int, float)) and not isinstance(value, bool)
                fits = fits or (isinstance(value, str) and len(value) <= LONGEST_NUMBER)
            else:
                continue
            if not fits:
                kind = type(part).__name__.lower()
                raise CallError(f"{part.label} is a {kind} of the page; got {str(value)[:40]!r}. Reload the page.")


def _told(error: Exception, tell: bool) -> gr.Error:
    if isinstance(error, RedguiError):
        return _plain(gr.Error(str(error), print_exception=False))
    what = f"{type(error).__name__}: {in_short(error)}" if tell else type(error).__name__
    return _plain(gr.Error(f"The server could not do this ({what}). Reload the page."))


def _plain(error: gr.Error) -> gr.Error:
    """Its message as text: gradio's toasts are HTML, and what is wrong with a stranger's record or link may quote it."""
    error.message = str(error.message).replace("<", "&lt;")
    return error
