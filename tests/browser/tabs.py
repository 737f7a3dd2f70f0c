"""The tabs of one page, and what its browser keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from browser.pages import App, AppPage


def at(page: Page) -> Callable[[str], Page]:
    """As `open_page`, on a page that there is already."""

    def go(url: str) -> Page:
        page.goto(url)
        return page

    return go


class Tabs(AppPage):
    """One page of the app, and what its browser keeps."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.live = self.page.locator("#live .rg-live")
        self.history = self.page.locator("#history .rg-history")
        self.cards = self.page.locator("#history .rg-run")
        self.toasts = self.page.get_by_test_id("toast-body")

    def run(self, steps: int = 2) -> None:
        self.open("Restore")
        self.type("reddiff-steps", steps)
        number = int(self.live.get_attribute("data-run") or 0)
        self.page.locator("#run").click()
        expect(self.live).to_have_attribute("data-run", str(number + 1))
        self.ended()

    def ended(self, status: str = "done") -> None:
        expect(self.live).to_have_attribute("data-status", status)
        expect(self.page.locator("#run")).to_be_enabled()

    def see_runs(self, n: int) -> None:
        self.open("History")
        expect(self.history).to_have_attribute("data-runs", str(n))

    def show(self, k: int = 0) -> Locator:
        self.cards.nth(k).locator(".rg-run-open").click()
        large = self.history.locator(".rg-run-large")
        expect(large).to_be_visible()
        return large

    def text(self, name: str) -> str:
        return self.history.locator(f"[data-name={name}] code").text_content()

    def drop(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "record.json").write_text(text)
        self.history.locator("input[type=file]").set_input_files(tmp_path / "record.json")
