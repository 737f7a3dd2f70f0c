"""Tabs on which nothing has run yet show a finished run, to look at, to scrub and to take to Restore."""

import csv
import io
import re

from playwright.sync_api import Locator, expect

from browser.pages import PICTURE, AppPage


def scrubbed(root: Locator, picture: Locator) -> None:
    """At the first moment a picture is another one, and at the end it is the one of before."""
    expect(picture).to_have_attribute("src", PICTURE)
    last = picture.get_attribute("src")
    scrubber = root.get_by_role("slider", name="Moment of the run")
    scrubber.press("Home")
    expect(picture).not_to_have_attribute("src", last)
    scrubber.press("End")
    expect(picture).to_have_attribute("src", last)


def test_tabs_without_a_run_show_one_that_is_finished(app, open_page, tmp_path):
    tab = AppPage(app, open_page)
    race, sweep, ensemble = (tab.page.locator(f"#{name} .rg") for name in ("race", "sweep", "ensemble"))
    assert not race.locator("img").count(), "the page itself does not carry it"

    tab.open("Particles")
    scrubbed(ensemble, ensemble.locator("[data-key=p7] img"))
    tab.open("Sweep")
    scrubbed(sweep, sweep.locator("[data-key='2-2'] img"))
    sweep.locator("button[data-key='0-2']").click()
    expect(sweep.locator(".rg-sweep-detail")).to_contain_text("PSNR, dB")
    sweep.get_by_role("button", name="Take to Restore").click()
    expect(tab.part("reddiff-lam").locator("input[type=number]")).to_have_value("1")

    # A run of one's own, pinned, is a row beside whatever Compare shows.
    tab.type("reddiff-steps", 2)
    tab.start("run", tab.page.locator("#live .rg-live"), 0)
    tab.open("History")
    tab.page.locator("#history .rg-run-open").click()
    tab.page.get_by_role("button", name="Pin to Compare").click()

    tab.open("Compare")
    scrubbed(race, race.locator("[data-key=dps] img"))
    expect(race.locator("tbody tr")).to_have_count(5 + 1)
    tab.page.set_viewport_size({"width": 1440, "height": 900})
    expect(race.locator(".rg-tile")).to_have_count(7)  # in one row, without a gap at its end
    rows = "new Set([...document.querySelectorAll('#race .rg-tile')].map((one) => one.offsetTop)).size"
    tab.page.wait_for_function(f"{rows} === 1")
    assert race.locator(".rg-tile-name").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    psnr = tab.restoring.played.last.psnr
    expect(race.locator("tbody tr").last).to_contain_text(f"{psnr:.2f}")
    expect(race.locator(".rg-chip")).to_have_text("Ready")
    tab.page.locator("#contestants").get_by_role("button", name="none").click()
    tab.page.locator("#contestants [data-key=classic] input").check()
    tab.page.locator("#compare-seeds input").fill("2")
    tab.start("compare-run", race, 0)
    expect(race.get_by_role("slider", name="Moment of the run")).to_be_hidden()
    expect(race.locator("tbody tr")).to_have_count(1 + 1)
    expect(race.locator("tbody tr").first).to_contain_text("±")
    expect(race.locator(".rg-spread-run")).to_have_count(2)
    lines = list(csv.DictReader(io.StringIO(tab.save(race, "comparison.csv", tmp_path).read_text())))
    assert [line["status"] for line in lines] == ["done", "done", "pinned"]
    assert (float(lines[2]["psnr"]), lines[2]["nfe"], lines[2]["picture"]) == (psnr, "2", "face-06")
    tab.open("History")
    tab.page.get_by_role("button", name="Pin to Compare").click()
    tab.open("Compare")
    expect(race.locator("tbody tr")).to_have_count(1)
    assert "pinned" not in tab.save(race, "comparison.csv", tmp_path).read_text()  # the file is made anew
    tab.open("Sweep")  # whose own is still there
    expect(sweep.locator("[data-key='2-2'] img")).to_have_attribute("src", re.compile("webp"))
