"""A real browser for the tests: Chromium, started once."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

import gradio as gr
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from redgui.ui.components import STYLES

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
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
    """serve(demo, **options of launch): an address where the app is until the end of the session."""
    running = []

    def serve_(demo: gr.Blocks, **options) -> str:
        usual = {"ssr_mode": False, "run_history": False, "quiet": True, "css_paths": list(STYLES)}
        _, url, _ = demo.queue().launch(
            server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, **{**usual, **options}
        )
        running.append(demo)
        return url

    yield serve_
    for demo in running:
        demo.close(verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(url, **options of a new page): a page whose errors fail the test."""
    pages, errors = [], []

    def open_(url: str, **options) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        return page

    yield open_
    for page in pages:
        page.close()
    assert not errors, errors
