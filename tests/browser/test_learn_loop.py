"""The Learn tab as a thing to play with: the plane, the loop a step at a time, and the ways to Restore and from History."""

import functools

import pytest
from playwright.sync_api import expect

from browser.tabs import Tabs

PRIOR = "gaussian:size=32"


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): a page of its own."""
    return functools.partial(Tabs, app, open_page)


def test_samplers_walk_on_a_plane(open_tab):
    tab = open_tab()
    tab.open("Learn")
    walk = tab.page.locator("#walk .rg-walk")
    expect(walk).to_have_attribute("data-sampler", "RED-diff")
    expect(walk).to_have_attribute("data-step", "149")  # where less motion is wished it is shown at its end
    share = walk.locator("tbody tr").first.locator("td")
    expect(share.first).to_have_text("71 %")
    expect(share.last).to_have_text("92 %")

    tab.choose("walk-sampler", "VML-MAP")
    expect(walk).to_have_attribute("data-steps", "60")
    expect(share.last).to_have_text("100 %")
    expect(tab.part("walk-reddiff-lam")).to_be_hidden()
    steps = walk.get_by_role("slider", name="Step of the walk")
    steps.focus()
    tab.page.keyboard.press("Home")
    expect(walk).to_have_attribute("data-step", "0")
    tab.page.keyboard.press("End")

    tab.type("walk-y", -0.55)  # the line through the third mode
    expect(walk.locator("tbody tr").first.locator("th")).to_have_text("-0.55, 0.30")
    box = walk.locator("canvas").bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] * (0.5 + 0.45 / 2.4), box["y"] + 20)
    expect(tab.part("walk-y").locator("input[type=number]")).to_have_value("0.45")

    tab.type("walk-vml-map-steps", 30)
    expect(walk).to_have_attribute("data-steps", "30")
    tab.page.locator("#walk-open").click()
    expect(tab.part("sampler").get_by_role("combobox")).to_have_value("VML-MAP")
    expect(tab.part("vml-map-steps").locator("input[type=number]")).to_have_value("30")


def test_the_loop_is_walked_through(open_tab):
    tab = open_tab()
    tab.type("reddiff-steps", 2)
    tab.open("Learn")
    note = tab.page.locator("[data-piece=mu] .rg-piece-note")
    expect(tab.page.locator("#anatomy .rg-anatomy")).to_have_attribute("data-status", "ready")
    for text in ("iteration 1 of 2", "iteration 2 of 2", "iteration 1 of 2"):
        tab.page.locator("#learn-step").click()
        expect(note).to_contain_text(text)
    prior = tab.page.locator("[data-piece=prior] .rg-piece-note")
    before = prior.inner_text()
    tab.type("learn-lam", 3)
    expect(prior).not_to_have_text(before)
    expect(note).not_to_contain_text("iteration")
    tab.page.locator("#learn-open").click()
    expect(tab.part("reddiff-lam").locator("input[type=number]")).to_have_value("3")


def test_a_run_of_history_is_explained(open_tab):
    tab = open_tab()
    tab.type("reddiff-lam", 0.7)
    tab.run(3)
    tab.type("reddiff-lam", 0.1)
    tab.see_runs(1)
    tab.show().get_by_role("button", name="Explain in Learn").click()
    expect(tab.page.get_by_role("tab", name="Learn")).to_have_attribute("aria-selected", "true")
    expect(tab.part("learn-lam").locator("input[type=number]")).to_have_value("0.7")
    expect(tab.page.locator("#anatomy .rg-anatomy")).to_have_attribute("data-status", "ready")
