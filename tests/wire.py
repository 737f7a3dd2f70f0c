"""The app as a browser, or whoever takes its place, calls it over HTTP: uploads, and any event with any values."""

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PRIOR = "gaussian:size=16"


@dataclass
class Outcome:
    """What an event gave: its outputs by elem_id (those without are left out), its error, and what was said in toasts."""

    outputs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    toasts: list[str] = field(default_factory=list)


class Served:
    """An app on loopback. `called`: the addresses to which this process has made connections while it started."""

    def __init__(self, demo: Any, url: str, called: list[Any]):
        self.demo, self.url, self.called = demo, url, called
        self.host = demo.host
        self.http = httpx.Client(base_url=url, timeout=60)
        config = self.http.get("/config").json()
        self.components = {c["id"]: c["props"] for c in config["components"]}
        self.events = {d["id"]: d for d in config["dependencies"]}

    def page(self) -> "Wire":
        """A page that is opened."""
        return Wire(self)

    def filled(self, number: int, data: list[Any]) -> list[Any]:
        """The values of an event's inputs; the last ones, where there are none for them, as they are."""
        props = [self.components[i] for i in self.events[number]["inputs"]]
        return data + [p.get("value") for p in props[len(data) :]]

    def event(self, name: str, shows: str = "") -> int:
        """The number of the event whose handler is called `name` (and has an output with the elem_id `shows`)."""
        for number, fn in self.demo.fns.items():
            outputs = [getattr(part, "elem_id", None) for part in fn.outputs]
            if getattr(fn.fn, "__name__", "") == name and (not shows or shows in outputs):
                return number
        raise LookupError(name)


class Wire:
    """A page of an app, its components at the values they begin with. `values` are changed by elem_id."""

    def __init__(self, served: Served, key: str | None = None):
        self.served, self.key = served, secrets.token_hex(6) if key is None else key
        self.values: dict[str, Any] = {}

    def upload(self, name: str, content: bytes) -> httpx.Response:
        """The answer to an upload."""
        return self.served.http.post("/gradio_api/upload", files={"files": (name, content)})

    def call(self, name: str, *, shows: str = "", event: Any = None, data: list[Any] | None = None, **changed: Any) -> Outcome:
        """An event, with components at other values (`learn__sigma` is the elem_id learn-sigma), or with `data`."""
        number = self.served.event(name, shows)
        about = self.served.events[number]
        values = self.values | {key.replace("__", "-"): value for key, value in changed.items()}
        if data is None:
            props = [self.served.components[i] for i in about["inputs"]]
            data = [values.get(str(p.get("elem_id")), p.get("value")) for p in props]
        return self.numbered(number, self.served.filled(number, data), event)

    def numbered(self, number: int, data: list[Any], event: Any = None) -> Outcome:
        """An event by its number, with the values of its inputs in their order."""
        about = self.served.events[number]
        body = {"data": data, "fn_index": number, "session_hash": self.key, "event_data": event}
        if not about["queue"]:
            answer = self.post("run/predict", body)
            content = answer.json()
            if answer.status_code != 200:
                return Outcome(error=content.get("error") or content.get("detail") or "")
            return Outcome(self._named(about, content["data"]))
        joined = self.post("queue/join", body)
        if joined.status_code != 200:
            return Outcome(error=joined.text)
        return self._followed(about, joined.json()["event_id"])

    def post(self, path: str, body: Any) -> httpx.Response:
        """The answer to any JSON."""
        # NaN is no JSON, but Python's reader takes it, and so would a server.
        headers = {"content-type": "application/json"}
        return self.served.http.post(f"/gradio_api/{path}", content=json.dumps(body), headers=headers)

    def _followed(self, about: dict[str, Any], event: str) -> Outcome:
        found = Outcome()
        with self.served.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.key}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                news = json.loads(line[5:])
                if news.get("event_id") not in (None, event):
                    continue
                if news["msg"] == "log":
                    found.toasts.append(news["log"])
                if news["msg"] == "process_generating" and news["success"] and not found.outputs:
                    found.outputs = self._named(about, news["output"]["data"])
                if news["msg"] == "process_completed":
                    if not news["success"]:
                        found.error = str(news["output"].get("error"))
                    elif news["output"].get("data"):
                        found.outputs |= self._named(about, news["output"]["data"])
                    break
                if news["msg"] == "close_stream":
                    break
        return found

    def _named(self, about: dict[str, Any], data: list[Any]) -> dict[str, Any]:
        names = [self.served.components[i].get("elem_id") for i in about["outputs"]]
        return {name: value for name, value in zip(names, data, strict=False) if name}


@contextmanager
def serving(public: bool = False, prior: str = PRIOR, **options: Any) -> Iterator[Served]:
    """The app on a port of its own."""
    from redgui.ui import build, launch

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with connections() as called:
        demo = build(prior, device="cpu", public=public)
        launch(demo, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, ssr_mode=False, **options)
    try:
        yield Served(demo, f"http://127.0.0.1:{port}", called)
    finally:
        demo.close(verbose=False)


@contextmanager
def connections() -> Iterator[list[Any]]:
    """The addresses that this process connects to, or looks up, meanwhile."""
    called: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def noted_connect(self: socket.socket, address: Any) -> None:
        called.append(address[0] if isinstance(address, tuple) else address)
        connect(self, address)

    def noted_look_up(host: Any, *more: Any, **options: Any) -> Any:
        called.append(host)
        return look_up(host, *more, **options)

    socket.socket.connect, socket.getaddrinfo = noted_connect, noted_look_up  # type: ignore[method-assign,assignment]
    try:
        yield called
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, look_up  # type: ignore[method-assign]


def files_in(folder: str | Path) -> set[Path]:
    """All files below a folder."""
    return {path for path in Path(folder).rglob("*") if path.is_file()}


def degrade(page: Wire, picture: Any, *, prior: Any = None, fit: str = "crop", size: Any = None, mask: Any = None) -> Any:
    operator = "blur" if mask is None else "inpaint"
    return page.call("degrade", data=[picture, operator, 0.0, 0, prior, mask, False, fit, size, False, False])


def restore(page: Wire, sampler: str, particles: Any = None, prior: Any = None) -> Any:
    data = ["example:face-06", "blur", sampler, 0.0, 0, particles, prior, None, False, "crop", None, False, False, False]
    return page.call("restore", data=data)
