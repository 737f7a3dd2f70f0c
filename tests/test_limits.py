"""What a public host gives at most: time, steps, pixels, bodies, uploads, places in the queue."""

import asyncio
import base64
import dataclasses
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import Served, degrade, restore

from redgui import images, presets
from redgui.operators import OPERATORS, Inpaint
from redgui.runs.settings import Settings
from redgui.runs.sweep import Grid, axis
from redgui.samplers import DAPS, RSD, SAMPLERS, SITCOM, RedDiff
from redgui.ui.calls.restoration import Restoration
from redgui.ui.host import gate
from redgui.ui.host.limits import HOME, PUBLIC, LimitError

ROOT = Path(__file__).parents[1]
FACE = ROOT / "assets/examples/face-06.png"


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
    assert f"{most} 3 runs in a comparison" in raced["message"]
    assert page.call("go_on", shows="live", more=500).outputs["live"]["i"] == 12
    assert "at most 12 steps" in page.call("go_on", shows="live", more=10).outputs["live"]["message"]
    from bad import GOOD

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
