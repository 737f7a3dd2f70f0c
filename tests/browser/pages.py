"""What the browser tests share: the app that is served, and one page of it with the session that the server keeps for it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from redgui.ui.host.host import Host
from redgui.ui.host.sessions import Session
from redgui.ui.restore.state import Restoring

PICTURE = re.compile("^data:image/")


@dataclass(frozen=True)
class App:
    """The app that is served, seen from the server's side."""

    url: str
    host: Host

    @property
    def sessions(self) -> dict[str, Session]:
        return self.host.sessions._sessions


def within(true: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Waits until something on the server is true, and gives it."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)
    return found


class AppPage:
    """One page of the app, ready to be used: its measurement is there, and so is its session on the server."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        known = set(app.sessions)
        self.app, self.page = app, open_page(app.url + query, **options)
        expect(self.part("measurement").locator("img")).to_have_attribute("src", PICTURE)
        self.key = within(lambda: set(app.sessions) - known, "a session of the page").pop()

    @property
    def session(self) -> Session:
        return self.app.sessions[self.key]

    @property
    def restoring(self) -> Restoring:
        """The state of its Restore tab."""
        return self.session.state(Restoring)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab).click()

    def part(self, name: str) -> Locator:
        return self.page.locator(f"#{name}").first

    def choose(self, name: str, label: str) -> None:
        self.part(name).get_by_role("combobox").click()
        self.page.get_by_role("option", name=label, exact=True).click()

    def type(self, name: str, value: object) -> None:
        """Into the box for exact numbers, then on to the next control."""
        box = self.part(name).locator("input[type=number]")
        box.fill(str(value))
        box.press("Tab")

    def start(self, button: str, outcome: Locator, number: int, status: str | re.Pattern = "done") -> None:
        """Clicks on a button and waits until its run, the one after run `number`, has this status."""
        self.part(button).click()
        expect(outcome).to_have_attribute("data-run", str(number + 1))
        expect(outcome).to_have_attribute("data-status", status)

    def save(self, outcome: Locator, name: str, folder: Path) -> Path:
        """Clicks on the link of a file and puts it into the folder."""
        with self.page.expect_download() as download:
            outcome.locator(f"a[download='{name}']").click()
        download.value.save_as(folder / name)
        return folder / name
