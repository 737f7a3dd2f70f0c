"""The page for those who use no mouse, see less, or bear no motion: axe-core on every tab, the keyboard, focus and zoom."""

import re
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from browser.pages import PICTURE, AppPage

PRIOR = "gaussian:size=32"
TABS = ("Restore", "Compare", "Sweep", "Particles", "Learn", "History")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
GRAVE = ("serious", "critical")
READY = {  # what a tab shows of itself once it is opened
    "Learn": ("#anatomy .rg-anatomy", "data-status", "ready"), "Compare": ("#compare-measurement img", "src", PICTURE),
    "Sweep": ("#sweep-measurement img", "src", PICTURE), "Particles": ("#particles-measurement img", "src", PICTURE),
}  # fmt: skip
RUNS = {"Restore": ("run", "#live .rg-live"), "Compare": ("compare-run", "#race .rg-race")}
# What a person who cannot see where the keyboard is would be lost at: no outline, neither its own nor one drawn in its stead.
UNMARKED = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const seen = node.matches(".rg-compare-range") ? node.parentElement.querySelector(".rg-compare-grip") : node;
  const name = node.id || node.getAttribute("aria-label") || node.className || node.tagName;
  const { outlineStyle, outlineWidth, opacity } = getComputedStyle(seen);
  return [String(name), outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && Number(opacity) > 0];
}"""

# What lies beyond the right edge, other than in a strip or a table that scrolls by itself.
BEYOND = """() => [...document.querySelectorAll(".gradio-container *")].filter((node) => {
  const { right, width } = node.getBoundingClientRect();
  if (!width || right <= innerWidth + 1 || !node.checkVisibility({ visibilityProperty: true })) return false;
  for (let at = node.parentElement; at; at = at.parentElement) if (getComputedStyle(at).overflowX !== "visible") return false;
  return true;
}).map((node) => node.outerHTML.slice(0, 100))"""


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options): the app on a page of its own."""
    return lambda query="", **options: AppPage(app, open_page, query, **options)


def come_to(tab: AppPage, name: str) -> None:
    tab.open(name)
    if name in READY:
        place, attribute, value = READY[name]
        expect(tab.page.locator(place).first).to_have_attribute(attribute, value)


def violations(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """The serious and critical findings of axe-core, or of a few rules of it, each in a line with the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")  # colours on their way
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    grave = [finding for finding in found if finding["impact"] in GRAVE]
    return [f"{f['id']}: {f['help']}: {[node['target'] for node in f['nodes']]}" for f in grave]


@pytest.mark.parametrize(("theme", "rules"), [("light", ()), ("dark", ("color-contrast",))])  # in the dark only colours differ
def test_axe_finds_nothing_grave_on_any_tab(open_tab, theme, rules):
    tab = open_tab(f"?__theme={theme}")
    tab.type("reddiff-steps", 2)
    found = []
    for name in TABS:
        come_to(tab, name)
        found += [f"{name}: {grave}" for grave in violations(tab.page, rules)]
        if name in RUNS:  # and what it is like with an outcome
            run, outcome = RUNS[name]
            tab.start(run, tab.page.locator(outcome), 0)
            found += [f"{name}, done: {grave}" for grave in violations(tab.page, rules)]
    tab.page.get_by_role("button", name="Keyboard shortcuts").click()
    found += [f"keys: {grave}" for grave in violations(tab.page, rules)]
    assert not found


def test_axe_would_find_something(open_tab):
    tab = open_tab()
    tab.page.evaluate("document.querySelector('.rg-header p').style.color = '#ddd'")
    assert any("color-contrast" in finding for finding in violations(tab.page))


def test_the_keyboard_can_be_seen_wherever_it_goes(open_tab):
    tab = open_tab()
    for name in TABS:
        come_to(tab, name)
        tab.page.get_by_role("tab", name=name).focus()
        seen = []
        for _ in range(60):
            tab.page.keyboard.press("Tab")
            at = tab.page.evaluate(UNMARKED)
            if at is None:
                break
            seen.append(at)
        assert len(seen) >= 3, name
        assert not [what for what, marked in seen if not marked], name


def test_keys_lead_through_the_page(open_tab):
    tab = open_tab()
    dialog = tab.page.get_by_role("dialog", name="Keyboard")
    tab.page.keyboard.press("?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Ctrl + Enter")
    tab.page.keyboard.press("2")  # not while the list is open
    expect(tab.page.get_by_role("tab", name="Restore")).to_have_attribute("aria-selected", "true")
    tab.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for k, name in enumerate(TABS, 1):
        tab.page.keyboard.press(str(k))
        expect(tab.page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    tab.page.keyboard.press("1")
    tab.type("reddiff-steps", 2)
    tab.page.keyboard.press("Control+Enter")
    expect(tab.page.locator("#live .rg-live")).to_have_attribute("data-status", "done")

    box = tab.part("reddiff-steps").locator("input[type=number]")
    box.focus()
    tab.page.keyboard.press("2")  # a digit that is typed
    expect(tab.page.get_by_role("tab", name="Restore")).to_have_attribute("aria-selected", "true")

    tab.page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_role("checkbox").uncheck()
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("?")
    tab.page.keyboard.press("3")
    expect(dialog).to_be_hidden()
    expect(tab.page.get_by_role("tab", name="Restore")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and at 400 %
def test_a_page_that_is_zoomed_does_not_scroll_sideways(open_tab, width):
    tab = open_tab(viewport={"width": width, "height": 450})
    for name in TABS:
        tab.page.get_by_role("tab", name=re.compile(name)).first.click() if width > 400 else tab.page.keyboard.press(
            str(1 + TABS.index(name))
        )
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert tab.page.evaluate(BEYOND) == [], name
