"""Who takes part in a comparison: what the operator allows, settings of Restore, and on a phone."""

import functools

import pytest
from playwright.sync_api import expect

from browser.comparing import OVER, Compare
from redgui import presets
from redgui.operators import Inpaint

PRIOR = "gaussian:size=32"


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Compare tab on a page of its own."""
    return functools.partial(Compare, app, open_page)


def test_the_operator_decides_who_can_take_part(open_tab):
    tab = open_tab()
    tab.show("Restore")
    tab.page.locator("#operator").get_by_role("combobox").click()
    tab.page.get_by_role("option", name="High dynamic range", exact=True).click()
    tab.type("sigma-y", 0.05)
    expect(tab.page.locator("#knobs-hdr").first).to_be_visible()
    tab.show()
    expect(tab.page.locator("#compare-measurement .rg-caption")).to_contain_text("High dynamic range, σ_y 0.05")
    for key in ("ddrm", "ddnm", "pigdm", "repaint"):
        expect(tab.box(key)).to_be_disabled()
    expect(tab.list.locator("[data-key='ddrm'] code")).to_contain_text("needs a spectral operator")
    expect(tab.box("dps")).to_be_enabled()
    tab.run(OVER)
    assert {c.key for c in tab.comparison.played.contestants} == {"reddiff", "vml-map", "dps"}  # of the five that are ticked
    assert {c.run.problem.H.name for c in tab.comparison.played.contestants} == {"hdr"}
    assert tab.comparison.played["reddiff"].run.sampler == presets.sampler_for("reddiff", tab.comparison.played.problem.H, 0.05)


def test_settings_of_restore_take_part_and_go_back_there(open_tab):
    tab = open_tab()
    tab.show("Restore")
    tab.type("reddiff-steps", 33)
    tab.type("reddiff-lr", 0.2)
    tab.show()
    tab.page.locator("#compare-add").click()
    expect(tab.box("reddiff-2")).to_be_checked()
    expect(tab.list.locator("[data-key='reddiff-2'] code")).to_contain_text("steps=33, lr=0.2")
    for k in (3, 4, 5):
        tab.page.locator("#compare-add").click()
        expect(tab.box(f"reddiff-{k}")).to_be_checked()
    tab.page.locator("#compare-add").click()
    expect(tab.page.get_by_text("There are 4 settings of RED-diff already")).to_be_visible()
    tab.list.get_by_role("button", name="Remove RED-diff 4").click()
    expect(tab.box("reddiff-4")).to_have_count(0)
    tab.take("reddiff", "reddiff-2", "dps")
    tab.run()
    expect(tab.tile("reddiff-2").locator(".rg-tile-name")).to_have_text("RED-diff 2")
    assert tab.comparison.played["reddiff-2"].run.sampler.lr == 0.2
    tab.tile("reddiff").get_by_role("button", name="Open RED-diff in Restore").click()
    expect(tab.page.locator("#run")).to_be_visible()
    expect(tab.page.locator("#reddiff-steps input[type=number]").first).to_have_value("100")
    expect(tab.page.locator("#reddiff-lr input[type=number]").first).to_have_value("0.03")
    tab.show()
    tab.tile("dps").get_by_role("button", name="Open DPS in Restore").click()
    expect(tab.page.locator("#knobs-dps").first).to_be_visible()
    expect(tab.page.locator("#sampler").get_by_role("combobox")).to_have_value("DPS")
    tab.page.locator("#run").click()
    expect(tab.page.locator("#live .rg-live")).to_have_attribute("data-status", "done")
    restored = tab.restoring.played
    assert restored.sampler == tab.comparison.played["dps"].run.sampler == presets.sampler_for("dps", Inpaint())
    assert (restored.last.x0_hat == tab.comparison.played["dps"].run.last.x0_hat).all()


def test_nothing_ticked_is_told(open_tab):
    tab = open_tab()
    tab.take()
    tab.run("error")
    expect(tab.root.locator(".rg-race-message")).to_contain_text("tick at least one")
    expect(tab.page.locator("#compare-run")).to_be_enabled()


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_a_phone_has_nothing_beyond_its_edge(open_tab, query):
    tab = open_tab(query, viewport={"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth"
    assert tab.page.evaluate(wide) <= 390
    tab.run()
    tab.view("original").click()
    tab.view("reddiff").click()
    assert tab.page.evaluate(wide) <= 390
    table = tab.root.locator(".rg-race-table")
    assert table.evaluate("node => node.scrollWidth > node.clientWidth")
    assert table.bounding_box()["x"] + table.bounding_box()["width"] <= 390
    first, second = (tab.view(key).bounding_box() for key in ("original", "measurement"))
    assert first["y"] == second["y"]  # two in a row
    assert first["width"] > 140
