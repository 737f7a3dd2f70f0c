"""What an app does for whom: pages among each other, the defaults at home, and what a host for strangers changes.

Each threat of docs/security.md has its tests here, or in test_closed_doors.py, test_limits.py or test_bad_input.py.
"""

import dataclasses
import hashlib
import io
import os
import re
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from wire import Served

from redgui.ui.host import gate
from redgui.ui.host.limits import HOME, PUBLIC
from redgui.ui.host.sessions import Sessions

ROOT = Path(__file__).parents[1]
FACE = ROOT / "assets/examples/face-06.png"


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
