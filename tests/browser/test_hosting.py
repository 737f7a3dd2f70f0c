"""The app behind a reverse proxy under a path of its own, with runs in a worker that ZeroGPU forks, in a real browser."""

import contextlib
import http.client
import mmap
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from browser.pages import within
from redgui.priors import load
from redgui.runs import zero_gpu
from redgui.runs.record import Record
from redgui.ui import build, launch
from redgui.ui.restore.state import Restoring

PATH = "/tools/redgui"
stray: list[str] = []  # what was asked of the proxy outside of the path
HOP = {"connection", "keep-alive", "transfer-encoding", "host", "te", "upgrade", "proxy-connection"}  # for one hop alone


@pytest.fixture(scope="module")
def proxied() -> Iterator[Callable[[str], str]]:
    """proxied(url): an address under PATH on another port, from where a small reverse proxy asks the app; elsewhere is 404."""
    servers = []

    def proxied_(url: str) -> str:
        target = urlsplit(url)

        stray.clear()

        class Proxy(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/favicon.ico":  # a browser looks for it at the root by itself
                    self.send_response(204)
                    self.end_headers()
                    return
                if not self.path.startswith(PATH + "/"):
                    stray.append(self.path)
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                ours = f"127.0.0.1:{self.server.server_port}"
                kept |= {"Host": ours, "X-Forwarded-Host": ours, "X-Forwarded-Proto": "http"}
                asked = http.client.HTTPConnection(target.hostname, target.port)
                asked.request(self.command, self.path.removeprefix(PATH), body, kept)
                answer = asked.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                if answer.getheader("Content-Length") is None:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                try:
                    while part := answer.read1(65536):  # as it comes: a stream must not wait for its end
                        self.wfile.write(part)
                        self.wfile.flush()
                except OSError:
                    pass  # the page has gone
                asked.close()

            do_POST = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}{PATH}/"

    yield proxied_
    for server in servers:
        server.shutdown()
        server.server_close()


def run(page: Page, steps: int) -> None:
    """Sets the steps and presses Run."""
    expect(page.locator("#measurement img")).to_have_attribute("src", re.compile("^data:image/"))
    box = page.locator("#reddiff-steps input[type=number]").first
    box.fill(str(steps))
    box.press("Tab")
    page.locator("#run").click()


def reach(page: Page, i: int) -> None:
    page.wait_for_function("i => +document.querySelector('#live .rg-live').dataset.i >= i", arg=i)


def test_behind_a_proxy_with_a_path_the_page_loads_and_a_run_streams(serve, proxied, open_page):
    demo = build("gaussian:size=32", device="cpu")
    url = proxied(serve(demo, launch, root_path=PATH))
    missing: list[str] = []
    asked: list[str] = []

    def watch(page: Page) -> None:
        page.on("response", lambda r: missing.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.on("request", lambda r: asked.append(r.url))

    page = open_page(url, watch)
    run(page, 1500)
    reach(page, 2)
    reach(page, 600)
    live = page.locator("#live .rg-live")
    expect(live).to_have_attribute("data-status", "done")
    assert int(live.get_attribute("data-frames")) >= 3
    assert any("/redgui/feed/" in url_ for url_ in asked)
    # examples, styles and the app's own pictures come through the path, and nothing goes past it
    expect(page.locator("#examples img").first).to_have_js_property("complete", True)
    assert page.locator("#examples img").first.evaluate("img => img.naturalWidth") > 0
    assert page.locator(".rg-columns > .rg-left").evaluate("one => getComputedStyle(one).gap") == "8px"  # of assets/layout.css
    assert not missing, missing
    assert not stray, stray
    assert all(
        url_ in ("about:blank",) or url_.startswith((url.rstrip("/"), "data:", "blob:")) or url_.endswith("/favicon.ico")
        for url_ in asked
    )
    # a file of one's own
    page.locator("#picture input[type=file]").first.set_input_files(Path(demo.host.examples[2]))
    expect(page.locator("#mask [data-version]").first).to_have_attribute("data-version", re.compile("[2-9]"))
    assert not missing


def test_on_zero_gpu_a_run_is_tuned_stopped_and_gone_on_with_and_its_record_replays(serve, open_page, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "zero_gpu"))
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    import spaces

    monkeypatch.setattr(zero_gpu, "_lent", spaces.GPU(duration=zero_gpu._seconds)(zero_gpu._work))
    monkeypatch.setattr(zero_gpu.Wishes, "_memory", mmap.mmap(-1, zero_gpu.SLOTS * zero_gpu.SLOT_BYTES))
    monkeypatch.setattr(zero_gpu, "LEAST", 3600)  # the run ends where the test says, however slow the machine is
    monkeypatch.setattr(zero_gpu, "LONGEST", 3600)
    demo = build()  # the bundled network, which takes its time
    page = open_page(serve(demo, launch))
    live = page.locator("#live .rg-live")
    expect(page.locator(".rg-lent").first).to_contain_text("lends a GPU to each run")
    run(page, 5000)
    reach(page, 3)
    (session,) = demo.host.sessions._sessions.values()
    box = page.locator("#reddiff-lr input.rg-number")
    typed = []

    def made_so_far() -> list[dict]:
        return [change.knobs for change in session.state(Restoring).played.changes]

    def changed() -> bool:
        # Another one, where news of the page came in between: the same is no change.
        typed.append(round(0.02 + 0.01 * len(typed), 2))
        box.fill(f"{typed[-1]:g}")
        box.press("Tab")
        with contextlib.suppress(AssertionError):
            return within(lambda: {"lr": typed[-1]} in made_so_far(), "", 20)
        return False

    within(changed, "the change has come to the worker, and its news back")
    page.locator("#stop").click()
    expect(live).to_have_attribute("data-status", "stopped")
    made = session.state(Restoring).played.last.i
    assert made_so_far()[-1] == {"lr": typed[-1]}
    assert all(knobs in [{"lr": value} for value in typed] for knobs in made_so_far())
    page.locator("#continue").click()
    expect(live).to_have_attribute("data-status", "running")
    reach(page, made + 4)
    page.locator("#stop").click()
    expect(live).to_have_attribute("data-status", "stopped")
    assert session.state(Restoring).played.last.i > made
    assert session.state(Restoring).played.counted.forwards == 0  # not in this process
    with page.expect_download() as download:
        page.locator("#result a[download='record.json']").click()
    download.value.save_as(tmp_path / "record.json")
    record = Record.read(tmp_path / "record.json")
    *_, last = record.replay(load(record.settings.prior, record.settings.device, record.settings.precision))
    assert record.reproduces(last)
    assert record.steps == session.state(Restoring).played.last.i + 1
    assert len(spaces.asked) == 2
