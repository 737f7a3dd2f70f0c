"""The app in a headless Chromium, as a person behind a browser waits for it: shared by the benchmarks that look at a page."""

import shutil
from collections.abc import Callable
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser_of(playwright: Any) -> Any:
    """A headless Chromium of the machine."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit(f"this needs one of {', '.join(BROWSERS)} (Debian: apt-get install chromium).")
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])


class Watched:
    """The app and one page of it, open and warm."""

    def __init__(self, prepare: Callable[[Any], None] = lambda page: None):
        """`prepare` is given the open page."""
        from playwright.sync_api import sync_playwright

        from redgui import ui

        self.demo = ui.build(device="cpu")
        _, url, _ = ui.launch(self.demo, prevent_thread_lock=True, inbrowser=False)
        self.playwright = sync_playwright().start()
        self.browser = browser_of(self.playwright)
        self.page = self.browser.new_page(viewport={"width": 1400, "height": 900})
        self.page.goto(url)
        self.page.wait_for_selector("#run")
        self.page.wait_for_timeout(3000)
        prepare(self.page)

    @property
    def session(self) -> Any:
        """The server's side of the page."""
        return next(iter(self.demo.host.sessions._sessions.values()))

    def run(self, button: str, board: str) -> None:
        """Presses a button; returns when the page shows the first step of the run that it starts."""
        before = int(self.page.get_attribute(board, "data-run") or 0)
        self.page.click(button)
        self.page.wait_for_function(f"+document.querySelector('{board}').dataset.run > {before}")

    def wait(self, board: str) -> None:
        """Returns when the page shows that the run is over."""
        self.page.wait_for_function(
            f"document.querySelector('{board}').dataset.status === 'done'", timeout=300_000, polling=100
        )

    def close(self) -> None:
        self.browser.close()
        self.playwright.stop()
        self.demo.close()
