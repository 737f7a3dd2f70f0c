"""What strangers and strange files can do: each threat of docs/security.md has its test here or in test_bad_input.py."""

import ast
import asyncio
import base64
import dataclasses
import hashlib
import http.client
import io
import json
import os
import re
import runpy
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from wire import Served, Wire

from redgui import images, presets, priors
from redgui.operators import OPERATORS, Inpaint
from redgui.priors import hub
from redgui.runs.settings import Settings
from redgui.runs.sweep import Grid, axis
from redgui.samplers import DAPS, RSD, SAMPLERS, SITCOM, RedDiff
from redgui.ui.calls.restoration import Restoration
from redgui.ui.host import gate
from redgui.ui.host.limits import HOME, PUBLIC, LimitError
from redgui.ui.host.sessions import Sessions

ROOT = Path(__file__).parents[1]
FACE = ROOT / "assets/examples/face-06.png"
SECRET = "of nobody's business"


def degrade(page: Wire, picture: Any, *, prior: Any = None, fit: str = "crop", size: Any = None, mask: Any = None) -> Any:
    operator = "blur" if mask is None else "inpaint"
    return page.call("degrade", data=[picture, operator, 0.0, 0, prior, mask, False, fit, size, False, False])


def restore(page: Wire, sampler: str, particles: Any = None, prior: Any = None) -> Any:
    data = ["example:face-06", "blur", sampler, 0.0, 0, particles, prior, None, False, "crop", None, False, False, False]
    return page.call("restore", data=data)


# ---- files of the machine


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private picture, outside of the app's folders."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    Image.open(FACE).save(path)
    return path


ROUTES = ("/gradio_api/file=", "/static/")


@pytest.mark.parametrize("host", ["home", "public"])
def test_no_file_outside_of_the_uploads_is_served(request, host, secret, kept):
    served: Served = request.getfixturevalue(host)
    aside = kept.parent / "beside.txt"
    aside.write_text(SECRET)
    inside = "x/" * 3
    wanted = [
        "/etc/passwd", "../../../../etc/passwd", f"{kept}/../beside.txt", f"{kept}/{inside}../../../../beside.txt", str(secret),
        "app.py", str(ROOT / "app.py"), "redgui/api.py", str(ROOT / "assets/priors/faces-64/unet/config.json"), ".git/config",
        "file:///etc/passwd", "\\\\host\\share\\x", "%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd", str(kept), f"{kept}/",
        "/proc/self/environ",
    ]  # fmt: skip
    raw = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=60)  # which leaves ../ as it is
    for path in wanted:
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/") if path.count("..") else ROUTES:
            raw.request("GET", f"{route}{path}")
            answer = raw.getresponse()
            assert SECRET.encode() not in answer.read()
            assert answer.status in (400, 403, 404, 422), (route, path)
    raw.close()
    aside.unlink()
    config = served.http.get("/config").text
    assert str(ROOT) not in config  # nor does the page tell where the app lies


def test_an_uploads_name_leads_nowhere_else(home: Served, kept: Path):
    names = ["../../../x.png", "/etc/cron.d/x", "..\\..\\x.png", "..", ".", "a/../../b.png", "x" * 4000 + ".png", "con\x01.png"]
    for name in names:
        answer = home.page().upload(name, FACE.read_bytes())
        if answer.status_code == 200:
            path = Path(answer.json()[0])
            assert path.resolve().is_relative_to(kept.resolve())
            assert ".." not in path.parts
            path.unlink()
    assert not any((folder / name).exists() for folder in kept.parents for name in ("x.png", "b.png"))
    assert not Path("/etc/cron.d/x").exists()


def test_uploads_that_a_browser_would_run_are_handed_out_as_downloads(home: Served):
    for name, content in {"x.html": b"<script>alert(1)</script>", "x.svg": b"<svg onload='alert(1)'/>", "x.js": b"1"}.items():
        path = home.page().upload(name, content).json()[0]
        answer = home.http.get(f"/gradio_api/file={path}")
        assert answer.headers["content-disposition"].startswith("attachment"), name
        assert answer.headers["content-type"].startswith("application/octet-stream")
        Path(path).unlink()


def test_a_call_that_names_a_file_of_the_machine_is_refused(home: Served, secret):
    page = home.page()
    for path in (str(secret), "/etc/passwd", str(FACE), "../x.png", "", None, 3):
        for picture in ({"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}):
            assert degrade(page, picture).error
            assert degrade(page, "example:face-06", mask=picture).error
        opened = page.call("open_picture", picture={"path": path})
        assert opened.toasts or not path or opened.error
        assert home.host.sessions.of(page.key).files == set()


# ---- addresses


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and what was asked of it."""
    asked: list[str] = []

    class Noted(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(FACE.read_bytes())

        def do_HEAD(self) -> None:
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Noted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_no_address_that_a_caller_names_is_fetched(home: Served, canary):
    url, asked = canary
    page = home.page()
    meta = {"_type": "gradio.FileData"}
    for picture in (url, {"path": url}, {"path": None, "url": url}, {"path": "x.png", "url": url, "meta": meta},
                    {"path": url, "url": url, "meta": meta, "is_stream": True}):  # fmt: skip
        assert degrade(page, picture).error
        page.call("open_picture", picture=picture)
        page.call("get_ready", shows="live", picture=picture, mask=picture, prior=url)
    for route in (f"file={url}/a.png", f"proxy={url}/a", f"proxy={url.replace('http://', '')}", f"file=//{url[7:]}/a"):
        assert home.http.get(f"/gradio_api/{route}").status_code in (400, 403, 404)
    assert asked == []


CLOSED = ("process_recording", "stream/x", "component_server", "vibe-edit", "deep_link?session_hash=x", "run-history/buckets",
          "dev/reload", "custom_component/x/client/component/y", "file=http://example.org/a.png", "file=https://example.org/a",
          "proxy=http://example.org")  # fmt: skip


@pytest.mark.parametrize("route", CLOSED)
def test_gradios_routes_that_the_app_does_not_use_are_not_there(public: Served, route):
    for method, before in (("GET", ""), ("POST", ""), ("GET", "/some/where")):
        answer = public.http.request(method, f"{before}/gradio_api/{route}")
        assert (answer.status_code, answer.json()["error"]) == (404, "this app has no such route.")
    assert public.http.get("/monitoring/summary").status_code == 403


# ---- priors and code


FOREIGN = ("someone/model", "empirical:folder=/etc", "../x", "/etc", "gaussian:size=512", "faces-64:label=1",
           "./assets/priors/photos", {"a": 1}, ["x"], "x" * 9000)  # fmt: skip


def test_on_a_public_host_no_event_reaches_a_prior_that_is_not_listed(public: Served, monkeypatch):
    loaded: list[str] = []
    real = priors._load
    monkeypatch.setattr(priors, "_load", lambda name, *more: (loaded.append(name), real(name, *more))[1])
    monkeypatch.setattr(hub, "download", lambda name: loaded.append(name))
    handlers = {}
    for number, fn in public.demo.fns.items():
        if any(getattr(part, "elem_id", "") == "prior" for part in fn.inputs):
            handlers.setdefault((fn.fn.__name__, fn.fn.__qualname__), number)
    assert len(handlers) > 15
    page = public.page()
    for (name, _), _number in handlers.items():
        for prior in FOREIGN[:2] if name in ("tune", "preview", "get_ready") else FOREIGN[:1]:
            page.call(name, prior=prior, event={"record": "{}", "query": "?x=1", "name": "x", "sigma": 1.0, "index": 0})
    for prior in FOREIGN:
        assert degrade(page, "example:face-06", prior=prior).error
        assert restore(page, "reddiff:steps=1", prior=prior).error
    assert set(loaded) <= {"gaussian", "faces-64"}, loaded


def test_a_record_or_a_link_that_names_a_folder_is_refused_on_a_public_host(public: Served, home: Served):
    from test_bad_input import GOOD

    page = public.page()
    for prior in ("/etc", "someone/model"):
        opened = page.call("open_record", event={"record": json.dumps(GOOD | {"prior": prior})})
        assert "is not offered here" in (opened.error or "")
        linked = page.call("open_link", event={"query": f"?example=face-06&prior={prior}&operator=blur&sampler=reddiff"})
        assert "cannot be opened" in (linked.error or "")
    at_home = home.page().call("open_link", event={"query": "?example=face-06&prior=/etc&operator=blur&sampler=reddiff"})
    assert "cannot be opened" in (at_home.error or "")


RUNS = ("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "os.system", "os.popen", "yaml.load")


def test_nothing_in_the_package_unpickles_evaluates_or_starts_programs():
    # What the app's own process has pickled, in memory of its own.
    allowed = {("zero_gpu.py", "pickle.loads"), ("remote.py", "pickle.loads")}
    found = set()
    for path in (*ROOT.glob("redgui/**/*.py"), ROOT / "app.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
            if name == "np.load":
                assert any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords), path
            if name in RUNS or name.startswith(("subprocess.", "marshal.", "shelve.", "dill.")):
                found.add((path.name, name))
            assert not any(k.arg == "trust_remote_code" for k in node.keywords), path
    assert found <= allowed
    for path in ROOT.glob("redgui/ui/*/*.js"):
        dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert not re.search(dangerous, path.read_text()), path


def test_a_training_checkpoint_with_code_in_it_is_refused(tmp_path):
    from test_bad_input import Code

    from redgui.train import state
    from redgui.train.recipe import TrainError

    for content in ({"version": 1, "more": Code(tmp_path / "trace")}, [1]):
        torch.save(content, tmp_path / "checkpoint.pt")
        with pytest.raises(TrainError, match=r"cannot be read|holds no state"):
            state.load(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_what_a_stranger_wrote_is_text_on_the_page(home: Served):
    evil = "<img src=x onerror=alert(1)>"
    page = home.page()
    noted = page.call("describe", **{"sweep-rows-values": evil})
    assert "<img" not in json.dumps(noted.outputs)
    assert noted.error is None
    from test_bad_input import GOOD

    for event in ({"record": json.dumps(GOOD | {evil: 1})}, {"record": json.dumps(GOOD | {"prior": evil})}):
        opened = page.call("open_record", event=event)
        assert "&lt;img" in (opened.error or "")
        assert "<img" not in (opened.error or "")


# ---- limits


def grid(name: str, values: str, lam: str = "0.1, 0.2") -> Grid:
    return Grid(RedDiff(), axis(RedDiff, name, values), axis(RedDiff, "lam", lam))


DEMANDS = {
    "steps": lambda of: of.run(RedDiff(steps=5000)),
    "particles": lambda of: of.run(RedDiff(), 16),
    "inner steps": lambda of: of.run(SITCOM(inner=200)),
    "ODE steps": lambda of: of.run(DAPS(ode_steps=50)),
    "contestants": lambda of: of.race([(RedDiff(), 1)] * 16),
    "steps of a contestant": lambda of: of.race([(RedDiff(), 1), (RSD(steps=5000), 4)]),
    "cells": lambda of: of.sweep(grid("lr", "0.01, 0.02, 0.03, 0.04, 0.05", "0.1, 0.2, 0.3, 0.4, 0.5")),
    "steps of a cell": lambda of: of.sweep(grid("steps", "10, 3000")),
    "pictures at once": lambda of: of.sweep(grid("lr", "0.1, 0.2, 0.3"), 8),
    "continue": lambda of: of.more(1000, 10, True),
    "side": lambda of: of.size(513),
}  # fmt: skip


@pytest.mark.parametrize("name", DEMANDS)
def test_a_demand_beyond_a_public_hosts_limits_is_refused_there_and_met_at_home(name):
    assert DEMANDS[name](HOME) > 0
    with pytest.raises(
        LimitError, match=r"^this host takes at most \d+ .*; got \d.*, or run redgui on a machine of your own\.$"
    ):
        DEMANDS[name](PUBLIC)


def test_every_preset_is_within_a_public_hosts_limits():
    for cls in SAMPLERS:
        assert PUBLIC.run(presets.sampler_for(cls.name, Inpaint(), 0.0)) == PUBLIC.seconds
        for H in (operator() for operator in OPERATORS):
            sampler = presets.sampler_for(cls.name, H, 0.0)
            assert getattr(sampler, "steps", 0) <= PUBLIC.steps
            assert presets.particles(sampler, H) <= PUBLIC.particles
    assert len(SAMPLERS) <= PUBLIC.contestants  # "all that fit"


def test_raw_calls_meet_the_limits_on_every_tab_and_endpoint(public: Served, monkeypatch):
    page = public.page()
    page.values = {"prior": "gaussian", "sweep-rows-values": "0.1, 0.2", "sweep-columns-values": "0.1, 0.2"}
    most = "this host takes at most"
    for shows in ("live", "sweep", "ensemble"):
        found = page.call("start", shows=shows, **{"reddiff-steps": 4000})
        assert most in (found.error or found.outputs[shows]["message"]), shows
    early = page.call("get_ready", shows="sweep", **{"reddiff-steps": 4000})  # before it waits for its turn
    assert most in early.outputs["sweep"]["message"]
    found = page.call("start", shows="live", particles=16)
    assert "this host takes at most 8 particles; got 16" in found.outputs["live"]["message"]
    found = page.call("start", shows="ensemble", **{"particles-count": 16})
    assert "this host takes at most 8 particles; got 16" in found.outputs["ensemble"]["message"]
    assert "at most 1000 steps; got 5000" in (restore(page, "reddiff:steps=5000").error or "")
    assert "at most 8 particles; got 9" in (restore(page, "reddiff", 9).error or "")
    assert "at most 512 pixels along a side" in (degrade(page, "example:face-06", fit="native", size=4000).error or "")
    # A run in progress: more steps by a knob, by Continue, or by the changes of a record.
    page.values |= {"reddiff-steps": 3}
    assert page.call("start", shows="live").outputs["live"]["status"] == "done"
    monkeypatch.setattr(public.host, "limits", dataclasses.replace(PUBLIC, steps=12, contestants=3))
    raced = page.call("start", shows="race", contestants={"ticked": [cls.name for cls in SAMPLERS]}).outputs["race"]
    assert f"{most} 3 contestants" in raced["message"]
    assert page.call("go_on", shows="live", more=500).outputs["live"]["i"] == 12
    assert "at most 12 steps" in page.call("go_on", shows="live", more=10).outputs["live"]["message"]
    from test_bad_input import GOOD

    for change in ({"changes": [{"after": 0, "knobs": {"steps": 900}}]}, {"particles": 9}, {"steps": 900}):
        opened = page.call("open_record", event={"record": json.dumps(GOOD | {"prior": "gaussian"} | change)})
        assert most in (opened.error or ""), change


def test_the_other_door_to_the_endpoints_has_the_same_limits(public: Served):
    data = public.filled(public.event("restore"), ["example:face-06", "blur", "reddiff:steps=5000"])
    called = public.http.post("/gradio_api/call/restore", json={"data": data}).json()["event_id"]
    answer = public.http.get(f"/gradio_api/call/restore/{called}").text
    assert "event: error" in answer
    assert "at most 1000 steps; got 5000" in answer


def test_any_event_with_any_values_is_an_answer_and_the_app_goes_on(public: Served):
    page, seen = public.page(), set()
    good = page.call("preview", shows="measurement").outputs
    for number, about in public.events.items():
        name = getattr(public.demo.fns[number].fn, "__qualname__", "")
        if about["backend_fn"] and name not in seen:
            seen.add(name)
            for value in ("x", {"a": [float("nan")]}):
                event = {"index": value, "key": value, "sigma": value}
                found = page.numbered(number, [value] * len(about["inputs"]), event)
                told = str(found.error or "")
                assert "\n" not in told, name
                assert str(ROOT) not in told, name
                assert len(told) < 600, name
    assert len(seen) > 40
    for number in (-1, 10**6, 10**30, "0", None, [1], float("nan")):
        for path in ("queue/join", "run/predict"):
            answer = page.post(path, {"data": [], "fn_index": number, "session_hash": page.key})
            assert str(ROOT) not in answer.text
    assert page.call("preview", shows="measurement").outputs["measurement"]["src"] == good["measurement"]["src"]


def test_the_time_of_a_run_ends_it(public: Served, monkeypatch):
    short = dataclasses.replace(PUBLIC, seconds=0.0)
    monkeypatch.setattr(public.host, "limits", short)
    page = public.page()
    page.values = {"prior": "gaussian", "reddiff-steps": 900}
    ended = page.call("start", shows="live").outputs["live"]
    assert ended["status"] == "stopped"
    assert ended["i"] < 900
    wanted = dict(operator="blur", sampler="reddiff:steps=900", prior="gaussian", device="cpu", precision="fp32")
    with pytest.raises(ValueError, match="takes longer than the 0 seconds that this host allows"):
        list(Restoration(Settings.read(wanted), images.read(FACE), None, short).news(lambda: None))


def test_the_pages_sliders_end_where_the_host_does(public: Served, home: Served):
    def tops(served: Served) -> dict[str, float]:
        named = {str(props.get("elem_id")): props for props in served.components.values()}
        wanted = ("reddiff-steps", "rsd-steps", "particles", "particles-count")
        return {name: named[name]["maximum"] for name in wanted}

    assert tops(public) == {"reddiff-steps": 1000, "rsd-steps": 1000, "particles": 8, "particles-count": 8}
    assert tops(home)["particles"] == tops(home)["particles-count"] == 16


def header(w: int, h: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + head
        + struct.pack(">I", zlib.crc32(head))
        + bytes(4)
        + b"IDAT"
        + bytes(4)
    )


def test_a_picture_of_forty_megapixels_is_for_home(public: Served, home: Served):
    url = "data:image/png;base64," + base64.b64encode(header(8000, 5000)).decode()
    assert "8000x5000 pixels; at most 16 million" in (degrade(public.page(), url).error or "")
    assert "damaged" in (degrade(home.page(), url).error or "")  # its header alone is let in
    page = public.page()
    path = page.upload("x.png", header(8000, 5000)).json()[0]
    assert "8000x5000 pixels" in page.call("open_picture", picture={"path": path}).toasts[0]


def test_a_body_too_large_is_refused_announced_or_not(public: Served):
    most = PUBLIC.body_mb * 2**20
    answer = public.http.post("/gradio_api/queue/join", content=b" " * (most + 1), headers={"content-type": "application/json"})
    assert (answer.status_code, "at most 24 MB" in answer.json()["error"]) == (413, True)
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        while message["type"] == "http.request":
            seen.append(len(message["body"]))
            message = await receive()
        raise RuntimeError("disconnected")

    sent: list[Any] = []

    async def receive() -> Any:
        assert len(seen) < 20  # it would go on for ever
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/x", "headers": [(b"host", b"localhost")]}
    asyncio.run(gate.Gate(app, local=True, body=1000, uploads=1)(scope, receive, send))
    assert sum(seen) == 1000
    assert sent[0]["status"] == 413
    over = public.page().upload("x.png", bytes(PUBLIC.file_mb * 2**20 + 1))
    assert over.status_code == 413


def test_uploads_stop_when_the_disks_share_is_full(home: Served):
    page = home.page()
    path = page.upload("x.png", FACE.read_bytes()).json()[0]
    full = gate.Gate(None, local=False, body=10**9, uploads=1)
    status, told = full.refused("/gradio_api/upload", {"host": "x"}) or (0, "")
    assert (status, "try again" in told) == (507, True)
    assert full.refused("/gradio_api/queue/join", {"host": "x"}) is None
    Path(path).unlink()


def test_the_queue_has_an_end_and_nothing_goes_past_it(public: Served, monkeypatch):
    free = threading.Event()

    def waiting(self: Restoration, heard: Any) -> Iterator[Any]:
        free.wait(30)
        yield b"", {}, None

    monkeypatch.setattr(Restoration, "news", waiting)
    number = public.event("restore")
    body = {"data": public.filled(number, ["example:face-06", "blur"]), "fn_index": number, "session_hash": "ghost"}
    try:
        for path in ("run/restore", "api/restore"):
            assert public.http.post(f"/gradio_api/{path}", json=body).status_code == 404
        answers = [public.http.post("/gradio_api/queue/join", json=body).status_code for _ in range(PUBLIC.queue + 3)]
    finally:
        free.set()
        queue, until = public.demo._queue, time.monotonic() + 60  # none is left to be made for real when the test is over
        while len(queue) or any(queue.active_jobs):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert answers[0] == 200
    assert answers[-1] == 503
    assert answers.count(200) <= PUBLIC.queue + 2  # those that wait, and who is being served


# ---- pages among each other


def test_one_page_has_nothing_of_another(home: Served):
    mine, other = home.page(), home.page()
    path = mine.upload("mine.png", _png("blue")).json()[0]
    assert mine.call("open_picture", picture={"path": path}).error is None
    blue = mine.call("preview").outputs["measurement"]["src"]
    assert other.call("preview").outputs["measurement"]["src"] != blue
    # Without a hash there is no page that two callers could share.
    assert home.host.sessions.of(None) is not home.host.sessions.of(None)
    assert home.host.sessions.of("") is not home.host.sessions.of("")
    # The address of an upload cannot be guessed from its content, nor looked up.
    assert hashlib.sha256(_png("blue")).hexdigest() not in path
    for folder in (Path(path).parent, Path(path).parent.parent):
        assert home.http.get(f"/gradio_api/file={folder}").status_code in (403, 404)
    home.host.sessions.drop(mine.key)
    assert home.http.get(f"/gradio_api/file={path}").status_code in (403, 404)


def _png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_no_more_pages_are_kept_than_a_host_has_room_for():
    sessions = Sessions(3)
    for k in range(50):
        sessions.of(f"page-{k}").source = Image.new("RGB", (1, 1))
    assert len(sessions) <= 4


# ---- the defaults


def test_at_home_other_names_and_other_sites_pages_are_refused(home: Served, public: Served):
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "0.0.0.0"):
        answer = home.http.get("/config", headers={"host": host})
        assert (answer.status_code, "REDGUI_HOSTS" in answer.json()["error"]) == (403, True), host
    for host in ("localhost:7860", "127.0.0.1", "[::1]:7860", "redgui.localhost"):
        assert home.http.get("/gradio_api/startup-events", headers={"host": host}).status_code == 200
    for origin in ("http://evil.example", "null", "http://localhost.evil.example"):
        answer = home.http.post("/gradio_api/upload", files={"files": ("x.png", b"x")}, headers={"origin": origin})
        assert (answer.status_code, "own page" in answer.json()["error"]) == (403, True), origin
    assert public.http.get("/gradio_api/startup-events", headers={"host": "somewhere.example"}).status_code == 200


def test_a_name_can_be_allowed(monkeypatch):
    assert not gate.is_here("box.lan:7860")
    monkeypatch.setenv(gate.HOSTS, "box.lan, other")
    assert gate.is_here("box.lan:7860")
    assert not gate.is_here("evil.example")


def test_the_app_serves_this_machine_alone_without_a_link_analytics_or_a_network(home: Served, public: Served, monkeypatch):
    assert {*home.called, *public.called} <= {"127.0.0.1", "localhost", None}
    assert home.demo.analytics_enabled is False
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert (home.demo.share, home.demo.enable_monitoring) == (False, False)
    taken: dict[str, Any] = {}

    class Demo:
        host = home.host

        def launch(self, **options: Any) -> None:
            taken.update(options)

        def block_thread(self) -> None:
            taken["blocked"] = True

    from redgui.ui import app as ui

    monkeypatch.setattr(ui, "warm_up", lambda _: None)
    monkeypatch.setenv("GRADIO_SHARE", "True")
    ui.launch(Demo())
    assert taken["share"] is False
    assert taken["strict_cors"] is True
    assert taken["blocked"] is True  # until it is stopped
    assert "server_name" not in taken  # gradio's own is 127.0.0.1
    assert taken["app_kwargs"]["middleware"][0].kwargs["local"] is True


def test_the_prior_is_warmed_up_when_the_page_has_answered(home: Served, monkeypatch):
    """Gradio asks its own page once, for three seconds: on a machine whose cores all compute it did not answer in time."""
    from redgui.ui import app as ui

    told: list[str] = []
    warm = threading.Event()
    monkeypatch.setattr(ui, "warm_up", lambda _: told.append("warm") or warm.set())

    def launch(self: Any, **options: Any) -> str:
        assert options["prevent_thread_lock"]  # it comes back when the page has answered
        assert not warm.wait(0.1)
        told.append("answered")
        return "served"

    demo = type("Demo", (), {"host": home.host, "launch": launch, "block_thread": lambda _: told.append("held")})()
    assert ui.launch(demo, prevent_thread_lock=True) == "served"
    assert warm.wait(5)
    assert told == ["answered", "warm"]


@pytest.mark.parametrize(
    ("options", "environment", "alone"),
    [
        ({}, {}, True),
        ({"server_name": "127.0.0.1"}, {}, True),
        ({"server_name": "::1"}, {}, True),
        ({"server_name": "0.0.0.0"}, {}, False),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"share": True}, {}, False),
    ],
)
def test_who_serves_others_is_told(home: Served, monkeypatch, capsys, options, environment, alone):
    from redgui.ui import app as ui

    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ui, "warm_up", lambda _: None)
    taken: dict[str, Any] = {}
    call = {"launch": lambda _, **given: taken.update(given), "block_thread": lambda _: None}
    demo = type("Demo", (), {"host": home.host, **call})()
    ui.launch(demo, **options)
    assert taken["app_kwargs"]["middleware"][0].kwargs["local"] is alone
    assert ("--public" in capsys.readouterr().err) is not alone


@pytest.mark.parametrize(
    ("words", "environment", "wanted"), [([], {}, False), (["--public"], {}, True), ([], {"SPACE_ID": "a/b"}, True)]
)
def test_the_command_and_a_space_are_public(monkeypatch, words, environment, wanted):
    from redgui import ui

    built: list[bool] = []
    monkeypatch.setattr(ui, "build", lambda *_, public, exact: built.append(public))
    monkeypatch.setattr(ui, "launch", lambda *_, **__: None)
    monkeypatch.delenv("SPACE_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["app.py", "--no-browser", *words])
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
    assert built == [wanted]


def test_an_error_that_nobody_foresaw_names_no_paths_to_strangers(home: Served, public: Served, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("/home/somebody/private is missing")

    for served in (home, public):
        monkeypatch.setattr(served.demo.restore.editing, "_preview", broken)
    assert "/home/somebody" in (home.page().call("preview").error or "")
    told = public.page().call("preview").error or ""
    assert "/home/somebody" not in told
    assert "RuntimeError" in told


def test_every_threat_of_the_document_names_tests_that_there_are():
    text = (ROOT / "docs/security.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    texts = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]
    there = {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}
    assert len(named) > 15
    assert named <= there, named - there
    for of, column in ((HOME, 1), (PUBLIC, 2)):
        for name, value in dataclasses.asdict(of).items():
            row = re.search(rf"^\| `{name}` \|(.*)\|$", text, re.MULTILINE)
            assert row, name
            shown = "none" if value == float("inf") else f"{value:,.10g}"
            assert row[1].split("|")[column].strip() == shown, name
