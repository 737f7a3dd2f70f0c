"""The Sweep tab as a person meets it, with a closed-form prior on small pictures, in a real browser."""

import csv
import functools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.pages import PICTURE, App, AppPage, within
from redgui.priors import GaussianPrior
from redgui.runs.record import Record
from redgui.runs.sweep import Sweep
from redgui.ui.sweep.tab import Sweeping

PRIOR = "gaussian:size=32"
SECONDS_PER_CALL = 0.1


class Tab(AppPage):
    """The Sweep tab of one page, and the sweep that the server keeps for it."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.root = self.page.locator("#sweep .rg-sweep")
        self.show()

    @property
    def sweep(self) -> Sweep:
        return self.session.state(Sweeping).played

    def show(self, tab: str = "Sweep") -> None:
        self.open(tab)
        if tab == "Sweep":
            expect(self.page.locator("#sweep-measurement img")).to_have_attribute("src", PICTURE)
            expect(self.values("rows")).to_have_value(re.compile("."))
            expect(self.page.locator(".rg-sweep-note")).to_contain_text("cells")

    def steps(self, n: int) -> None:
        """RED-diff's steps in the Restore tab."""
        self.show("Restore")
        self.type("reddiff-steps", n)
        self.show()
        expect(self.page.locator(".rg-sweep-note")).to_contain_text(f"{n} steps each")

    def values(self, side: str) -> Locator:
        return self.page.locator(f"#sweep-{side}-values").locator("input, textarea")

    def cell(self, key: str) -> Locator:
        return self.root.locator(f".rg-sweep-cell[data-key='{key}']")

    def run(self, status: str = "done") -> None:
        self.start("sweep-run", self.root, self.session.state(Sweeping).number, status)


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Sweep tab on a page of its own."""
    return functools.partial(Tab, app, open_page)


def test_a_grid_streams_and_a_cell_goes_to_restore(open_tab, slowly, tmp_path):
    tab = open_tab()
    expect(tab.root.locator(".rg-sweep-empty")).to_be_visible()
    expect(tab.page.locator("#sweep-measurement .rg-caption")).to_contain_text(PRIOR)
    tab.steps(40)
    expect(tab.values("rows")).to_have_value("0.01, 0.03, 0.1")
    expect(tab.values("columns")).to_have_value("0.03, 0.1, 0.3")
    tab.values("rows").fill("0.05, 0.2")
    expect(tab.page.locator(".rg-sweep-note")).to_contain_text("2 × 3 = 6 cells")
    tab.page.locator("#sweep-run").click()
    expect(tab.root.locator(".rg-sweep-cell")).to_have_count(6)
    first = tab.cell("1-2").bounding_box()
    expect(tab.root).to_have_attribute("data-status", "running")
    for key in ("0-0", "1-2"):
        expect(tab.cell(key)).to_have_attribute("data-i", re.compile("^[1-9]"))
        expect(tab.cell(key).locator(".rg-sweep-value")).to_have_text(re.compile(r"^\d+\.\d\d$"))
    expect(tab.root).to_have_attribute("data-status", "done")
    assert int(tab.cell("1-2").get_attribute("data-frames")) >= 3, "the cells stream, and do not appear at the end"
    assert tab.cell("1-2").bounding_box() == first, "nothing may jump"

    assert {cell.last.nfe for cell in tab.sweep.cells} == {40}
    for cell in tab.sweep.cells:
        expect(tab.cell(cell.key).locator(".rg-sweep-value")).to_have_text(f"{cell.last.psnr:.2f}")
    winner = max(tab.sweep.cells, key=lambda cell: round(cell.last.psnr, 2))
    expect(tab.cell(winner.key).locator(".rg-sweep-star")).to_be_visible()
    heat = [tab.cell(c.key).evaluate("node => getComputedStyle(node).backgroundColor") for c in tab.sweep.cells]
    assert heat[tab.sweep.cells.index(winner)] == "rgb(253, 231, 37)"
    assert len(set(heat)) > 2

    tab.root.locator(".rg-sweep-head select").select_option("ssim")
    expect(tab.cell("0-0").locator(".rg-sweep-value")).to_have_text(re.compile(r"^0\.\d{3}$"))
    with tab.page.expect_download() as download:
        tab.root.locator("a[download='sweep.json']").click()
    download.value.save_as(tmp_path / "sweep.json")
    found = json.loads((tmp_path / "sweep.json").read_text())
    record = Record.from_json(json.dumps({**found["cells"][-1]["record"], "image": found["image"]}))
    *_, last = record.replay(GaussianPrior(size=32))
    assert last.psnr == pytest.approx(tab.sweep.cells[-1].last.psnr, abs=1e-2)

    tab.cell("1-2").click()
    detail = tab.root.locator(".rg-sweep-detail")
    expect(detail.locator("h3")).to_have_text("learning rate 0.2, λ 0.3")
    expect(detail.locator("code")).to_contain_text("lr=0.2, lam=0.3")
    expect(detail.locator(".rg-compare-image").nth(1)).to_have_attribute(
        "src", tab.cell("1-2").locator("img").get_attribute("src")
    )
    detail.get_by_role("button", name="Take to Restore").click()
    expect(tab.page.locator("#run")).to_be_visible()
    expect(tab.page.locator("#reddiff-lr input[type=number], #reddiff-lr .rg-number").first).to_have_value("0.2")
    expect(tab.page.locator("#reddiff-lam input[type=number], #reddiff-lam .rg-number").first).to_have_value("0.3")
    tab.page.locator("#run").click()
    expect(tab.page.locator("#live .rg-live")).to_have_attribute("data-status", "done")
    run = tab.restoring.played
    assert run.last.psnr == pytest.approx(tab.sweep.cells[-1].last.psnr, abs=1e-2)
    tab.show()
    expect(tab.values("rows")).to_have_value("0.05, 0.2")  # the axes stay as they were


def test_tune_in_restore_plays_its_rounds_here_and_the_winner_goes_back(open_tab, tmp_path):
    tab = open_tab()
    tab.steps(16)
    tab.show("Restore")
    tab.page.get_by_role("button", name="Expert").click()
    tab.page.locator("#tune").click()
    expect(tab.root).to_have_attribute("data-status", "done")
    tuning = tab.session.state(Sweeping).played
    assert [len(group.members) for group in tuning.rounds] == [8, 2]
    expect(tab.root.locator(".rg-sweep-cell[data-status='dropped']")).to_have_count(7)
    (winner,) = [cell for cell in tuning.cells if not cell.dropped]
    expect(tab.cell(winner.key).locator(".rg-sweep-star")).to_be_visible()
    expect(tab.cell(winner.key).locator(".rg-sweep-value")).to_have_text(f"{winner.score:.4f}")
    lines = tab.save(tab.root, "tuning.csv", tmp_path).read_text().splitlines()
    assert len(lines) == 9, "the file is made when it is clicked on"
    tab.root.get_by_role("button", name="Take to Restore").click()
    expect(tab.part("reddiff-lr").locator("input[type=number], .rg-number").first).to_have_value(f"{tuning.winner.lr:g}")


def test_stop_keeps_what_there_is(open_tab, slowly):
    tab = open_tab()
    tab.steps(500)
    tab.run("running")
    expect(tab.page.locator("#sweep-run")).to_be_disabled()
    expect(tab.cell("2-2")).to_have_attribute("data-i", re.compile("^[2-9]|^..+"))
    at = tab.sweep.cells[0].last.i
    tab.page.locator("#sweep-stop").click()
    expect(tab.root).to_have_attribute("data-status", "stopped")
    assert tab.sweep.cells[0].last.i < at + 100, "the steps of ten seconds: the stop does not wait for the end"
    assert not tab.sweep.playing
    assert {cell.status for cell in tab.sweep.cells} == {"stopped"}
    expect(tab.root.locator(".rg-sweep-message")).to_contain_text("9 of 9 stopped")
    expect(tab.cell("0-0").locator("img")).to_have_attribute("src", re.compile("^data:image/png"))
    expect(tab.page.locator("#sweep-run")).to_be_enabled()


def test_a_page_that_is_closed_ends_its_sweep(open_tab, slowly):
    tab = open_tab()
    tab.steps(500)
    tab.run("running")
    sweep = tab.sweep
    within(lambda: sweep.playing, "the sweep")
    tab.page.close()
    within(lambda: not sweep.playing, "its end")


def test_wrong_values_are_told_while_they_are_typed(open_tab):
    tab = open_tab()
    tab.values("rows").fill("0.1, fast")
    note = tab.page.locator(".rg-sweep-note")
    expect(note).to_have_attribute("role", "alert")
    expect(note).to_contain_text("fast")
    tab.run("error")
    expect(tab.root.locator(".rg-sweep-message")).to_contain_text("fast")
    expect(tab.page.locator("#sweep-run")).to_be_enabled()
    tab.choose("sweep-columns-knob", "learning rate")
    tab.values("rows").fill("0.1, 0.2")
    expect(note).to_contain_text("both axes are lr")


def test_weightings_and_another_sampler(open_tab, tmp_path):
    tab = open_tab()
    tab.steps(6)
    tab.page.locator("#sweep-weightings").click()
    expect(tab.values("rows")).to_have_value(re.compile("^linear, sqrt"))
    tab.values("columns").fill("0.1")
    tab.run()
    expect(tab.root.locator(".rg-sweep-cell")).to_have_count(8)
    tab.choose("sweep-sampler", "DPS")
    expect(tab.values("rows")).to_have_value(re.compile(r"0\.2"))
    tab.page.locator("#sweep-columns-knob input").click()
    options = tab.page.get_by_role("option").all_inner_texts()
    assert "η" in " ".join(options)
    assert "learning rate" not in " ".join(options)
    tab.page.keyboard.press("Escape")
    tab.run()
    assert {cell.sampler.name for cell in tab.sweep.cells} == {"dps"}
    with tab.page.expect_download() as download:
        tab.root.locator("a[download='sweep.csv']").click()
    download.value.save_as(tmp_path / "sweep.csv")
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert len(list(csv.DictReader(lines))) == len(tab.sweep.cells)


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_on_a_phone_the_page_does_not_scroll_sideways(open_tab, query):
    tab = open_tab(query, viewport={"width": 390, "height": 844}, has_touch=True)
    tab.steps(4)
    tab.page.locator("#sweep-weightings").click()
    expect(tab.values("rows")).to_have_value(re.compile("^linear"))
    tab.run()
    tab.cell("0-0").click()
    expect(tab.root.locator(".rg-sweep-detail")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = tab.root.locator(".rg-sweep-detail").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
