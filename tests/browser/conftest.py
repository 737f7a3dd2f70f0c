"""A real browser for the tests: Chromium, started once."""

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
# A folder of these tests' own: one in /tmp that another user's gradio has made cannot be written to, and its files are refused.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="redgui-tests-")

import gradio as gr
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from browser.pages import App
from redgui.priors import GaussianPrior
from redgui.ui import build, launch
from redgui.ui.parts.components import HEAD, STYLES

PATIENCE_MS = 120_000  # a machine that is busy with other things, or five times slower, must not fail a test
CUT_OFF = re.compile("signal is aborted without reason|Connection errored out")
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")  # the shell is the lightest
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The browser's path; a test without one fails, since these are the tests of what a person touches."""
    named = os.environ.get("REDGUI_CHROMIUM")
    if named and not shutil.which(named):
        pytest.fail(f"REDGUI_CHROMIUM={named} is no program", pytrace=False)
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.fail(f"no browser found ({', '.join(NAMES)}): apt-get install chromium, or set REDGUI_CHROMIUM", pytrace=False)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """serve(demo, launch, **options of launch): an address where the app is until the end of the session.

    `launch` is how the app itself is served; without it the components alone are.
    """
    running = []

    def plain(demo: gr.Blocks, **options):
        page = {"css_paths": list(STYLES), "head": HEAD}
        return demo.queue().launch(**{"run_history": False, "quiet": True, **page, **options})

    def serve_(demo: gr.Blocks, launch: Callable[..., tuple] = plain, **options) -> str:
        own = {"server_name": "127.0.0.1", "server_port": free_port(), "prevent_thread_lock": True, "ssr_mode": False}
        _, url, _ = launch(demo, **{**own, **options})
        running.append(demo)
        return url

    yield serve_
    for demo in running:
        demo.close(verbose=False)
    shutil.rmtree(os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)


@pytest.fixture(scope="module")
def app(serve, request) -> App:
    """The whole app, with the PRIOR that the test file names or the bundled one."""
    demo = build(**({"prior": request.module.PRIOR} if hasattr(request.module, "PRIOR") else {}), device="cpu")
    return App(serve(demo, launch), demo.host)


@pytest.fixture
def slowly(monkeypatch, request) -> None:
    """A network call is slower than a hand: SECONDS_PER_CALL of the test file, for each picture where it is PER_PICTURE."""
    quick = GaussianPrior.denoise

    def slow(self, x, sigma):
        time.sleep(request.module.SECONDS_PER_CALL * (len(x) if getattr(request.module, "PER_PICTURE", False) else 1))
        return quick(self, x, sigma)

    monkeypatch.setattr(GaussianPrior, "denoise", slow)


# Of a file: as long as it is there, playwright has an event loop in this thread, where other tests want their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(url, before, mode, **options of a new page): a page whose errors fail the test. `before` sees it still blank;
    `mode` is how much of the settings it shows, None as a browser has it that was never here."""
    pages, errors = [], []

    def open_(url: str, before: Callable[[Page], object] = lambda page: None, mode: str | None = "expert", **options) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
        page.set_default_timeout(PATIENCE_MS)
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(f"{line.text} {line.location['url']}") if line.type == "error" else None)
        # Gradio's page calls its own streams that end with it errors.
        page.on("framenavigated", lambda _: errors.__setitem__(slice(None), [e for e in errors if not CUT_OFF.search(e)]))
        if mode:
            page.add_init_script(f"localStorage.setItem('redgui-mode', '{mode}')")
        before(page)
        page.goto(url)
        return page

    yield open_
    for page in pages:
        page.close()
    assert not errors, errors
