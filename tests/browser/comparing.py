"""The Compare tab of one page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from browser.pages import PICTURE, App, AppPage
from redgui.samplers import SAMPLERS
from redgui.ui.compare.tab import Comparison

OVER = re.compile("^(done|stopped|error)$")


class Compare(AppPage):
    """The Compare tab of one page, and the comparison that the server keeps for it."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.root = self.page.locator("#race .rg-race")
        self.list = self.page.locator("#contestants .rg-contestants")
        self.show()

    @property
    def comparison(self) -> Comparison:
        return self.session.state(Comparison)

    def show(self, tab: str = "Compare") -> None:
        self.open(tab)
        if tab == "Compare":
            expect(self.page.locator("#compare-measurement img")).to_have_attribute("src", PICTURE)
            expect(self.list.locator("li").nth(len(SAMPLERS) - 1)).to_be_visible()

    def box(self, key: str) -> Locator:
        return self.list.locator(f"[data-key='{key}'] input")

    def take(self, *keys: str) -> None:
        """Ticks these alone."""
        self.list.get_by_role("button", name="none").click()
        for key in keys:
            self.box(key).check()
        expect(self.list).to_have_attribute("data-ticked", " ".join(keys))

    def tile(self, key: str) -> Locator:
        return self.root.locator(f".rg-tile[data-key='{key}']")

    def view(self, key: str) -> Locator:
        return self.tile(key).locator(".rg-tile-view")

    def run(self, status: str | re.Pattern = "done") -> None:
        self.start("compare-run", self.root, self.comparison.number, status)

    def table(self) -> dict[str, dict[str, tuple[float | None, bool]]]:
        """Row -> column -> (number, whether it is marked as best)."""
        names = self.root.locator("thead th").all_inner_texts()[1:]
        found = {}
        for row in self.root.locator("tbody tr").all():
            cells = {}
            for name, cell in zip(names, row.locator("td").all(), strict=True):
                number = re.match(r"[\d.]+", cell.inner_text())
                cells[name] = (float(number[0]) if number else None, "rg-best" in (cell.get_attribute("class") or ""))
            found[row.get_attribute("data-key")] = cells
        return found

    def transforms(self) -> set[str]:
        """Scale and shift (in shares of the side) of the pictures of all tiles: one text where they are alike."""
        script = """all => all.map((one) => {
          const { a, e, f } = new DOMMatrix(getComputedStyle(one).transform);
          return [a, e / one.clientWidth, f / one.clientHeight].map((x) => x.toFixed(2)).join(" ");
        })"""
        return set(self.root.locator(".rg-tile-layer").evaluate_all(script))

    def download(self, name: str, folder: Path) -> Path:
        return self.save(self.root, name, folder)
