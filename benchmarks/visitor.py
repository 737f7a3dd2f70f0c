"""A page without a browser: it speaks with the app as the page does (config, uploads, events, the queue), on asyncio.

    async with Visitor(url) as visitor:
        await visitor.open()
        await visitor.choose(picture, mask)
        visitor.values["reddiff-steps"] = 20
        async for shown in visitor.run():        # the live view's values and what is told in line
            ...
        visitor.shown["result"]

The values of components are kept by their `elem_id`. The app's own page sends and applies the same messages.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
from gradio_client.utils import apply_diff

Json = Any
API = "/gradio_api"


class RefusedError(Exception):
    """The app has answered that it will not do this; the text is its own."""


class Visitor:
    """One open page."""

    def __init__(self, url: str, config: Json = None):
        self.http = httpx.AsyncClient(
            base_url=url, timeout=httpx.Timeout(600, connect=60), limits=httpx.Limits(max_connections=8)
        )
        self.key = secrets.token_hex(6)
        self.config = config
        self.values: dict[str, Any] = {}
        self.shown: dict[str, Any] = {}
        self.places: list[str] = []  # what was told of the place in line
        self.warnings: list[str] = []
        self._alive: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Visitor":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.leave()

    async def open(self) -> None:
        """Opens the page: its components, the connection that says it is there, and what happens on loading."""
        if self.config is None:
            self.config = (await self.http.get("/config")).json()
        components = {c["id"]: c for c in self.config["components"]}
        self.ids = {c["props"].get("elem_id"): c["id"] for c in components.values() if c["props"].get("elem_id")}
        self.names = {number: f"{number}" for number in components} | {number: name for name, number in self.ids.items()}
        self.values = {self.names[k]: c["props"].get("value") for k, c in components.items()}
        here = asyncio.Event()

        async def stay() -> None:
            async with self.http.stream("GET", f"{API}/heartbeat/{self.key}") as alive:
                async for _ in alive.aiter_lines():
                    here.set()

        self._alive = asyncio.create_task(stay())
        await here.wait()
        await self.fire(None, "load")

    async def leave(self) -> None:
        """Closes the page; the app is not asked, it has to notice."""
        if self._alive is not None:
            self._alive.cancel()
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await self._alive
        await self.http.aclose()

    # ---- what a person does

    async def choose(self, png: bytes) -> None:
        """A picture of one's own."""
        sent = await self.http.post(f"{API}/upload", files={"files": ("picture.png", png, "image/png")})
        sent.raise_for_status()
        self.values["picture"] = {"path": sent.json()[0], "orig_name": "picture.png", "meta": {"_type": "gradio.FileData"}}
        await self.fire("picture", "input")

    async def paint(self, mask: str, side: int) -> None:
        """A mask, base64 of packed bits, white where the picture is to be filled in."""
        self.values["mask"] = {"w": side, "h": side, "mask": mask, "version": 1, "count": 1}
        await self.fire("mask", "input")

    async def turn(self, name: str, value: Any) -> None:
        """Moves a knob."""
        self.values[name] = value
        for event in ("change", "input"):
            if self.dependencies(name, event):
                await self.fire(name, event)

    async def run(self, button: str = "run") -> AsyncIterator[tuple[str, Any]]:
        """Presses a button that starts a run: (name of a component, its new value) as they come, until the run is over."""
        first, *_ = self.dependencies(button, "click")
        await self.call(first)
        for then in self.chained(first):
            if then["backend_fn"] and then["queue"] is not False:
                async for news in self.stream(then):
                    yield news

    async def press(self, button: str = "run") -> None:
        """`run` to its end; what was told in line is in `places`."""
        async for _ in self.run(button):
            pass

    # ---- how the page speaks

    def dependencies(self, name: str | None, event: str) -> list[Json]:
        """The handlers of an event of a component, or of the page itself."""
        number = None if name is None else self.ids[name]
        return [
            d for d in self.config["dependencies"]
            if d["backend_fn"] and any(e == event and (number is None or c == number) for c, e in d["targets"])
        ]  # fmt: skip

    def chained(self, to: Json) -> list[Json]:
        """What follows another handler in any case."""
        only = ("trigger_only_on_success", "trigger_only_on_failure")
        after = [d for d in self.config["dependencies"] if d.get("trigger_after") == to["id"]]
        return [d for d in after if not any(d.get(name) for name in only)]

    async def fire(self, name: str | None, event: str) -> None:
        """An event, and what the handlers give."""
        for dependency in self.dependencies(name, event):
            if dependency["queue"] is False:
                await self.call(dependency)
            else:
                async for _ in self.stream(dependency):
                    pass

    def body(self, dependency: Json) -> Json:
        data = [self.values[self.names[number]] for number in dependency["inputs"]]
        return {"data": data, "fn_index": dependency["id"], "session_hash": self.key, "event_data": None, "trigger_id": None}

    async def call(self, dependency: Json) -> None:
        """A handler beside the queue."""
        answer = await self.http.post(f"{API}/run/predict", json=self.body(dependency))
        if answer.status_code != 200:
            raise RefusedError(answer.text)
        self.take(dependency, answer.json()["data"])

    async def join(self, dependency: Json) -> str:
        """A place in gradio's queue; its number."""
        answer = await self.http.post(f"{API}/queue/join", json=self.body(dependency))
        if answer.status_code != 200:
            raise RefusedError(answer.text)
        return answer.json()["event_id"]

    async def stream(self, dependency: Json) -> AsyncIterator[tuple[str, Any]]:
        """A handler in the queue: what it gives, as it comes."""
        event, before = await self.join(dependency), None
        async with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.key}) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message.get("event_id") not in (event, None):
                    continue
                if message["msg"] == "log":
                    self.warnings.append(message["log"])
                if message["msg"] in ("process_generating", "process_completed"):
                    if not message["success"]:
                        raise RefusedError(str(message["output"].get("error")))
                    data = message["output"].get("data") or []
                    if message["msg"] == "process_generating":
                        data = data if before is None else [apply_diff(b, d) for b, d in zip(before, data, strict=True)]
                        before = data
                    for news in self.take(dependency, data):
                        yield news
                if message["msg"] == "process_completed":
                    break

    def take(self, dependency: Json, data: list[Any]) -> list[tuple[str, Any]]:
        """New values of components, from a handler's outputs."""
        news = []
        for number, given in zip(dependency["outputs"], data, strict=False):
            name, update = self.names[number], isinstance(given, dict) and given.get("__type__") == "update"
            if update and "value" not in given:
                continue
            value = given["value"] if update else given
            if self.values.get(name) == value and name in self.shown:
                continue
            self.values[name] = self.shown[name] = value
            news.append((name, value))
            if name == "place" and value and value["text"]:
                self.places.append(value["text"])
        return news
