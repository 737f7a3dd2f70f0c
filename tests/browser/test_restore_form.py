"""The form of the Restore tab: on a phone, in both themes, with numbers that are none, and presets."""

import functools
import json

import pytest
from playwright.sync_api import expect

from browser.restoring import LONG, Restore
from redgui import presets


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


def test_a_phone(open_tab):
    tab = open_tab(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = tab.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(tab.editor.root.get_by_text("wheel")).to_have_count(0)  # there is none
    page.evaluate("window.scrollTo(0, 0)")
    tab.type("reddiff-steps", LONG)
    page.evaluate("window.scrollTo(0, 0)")
    for name in ("run", "stop", "continue"):
        expect(tab.part(name)).to_be_in_viewport(ratio=1)
    tab.part("run").tap()
    tab.reach(2)
    expect(tab.stage).to_be_in_viewport(ratio=0.9)  # the page went where the picture forms
    tab.part("stop").tap()
    expect(tab.live).to_have_attribute("data-status", "stopped")
    expect(tab.part("continue")).to_have_text("Continue (rest)")
    for name in ("run", "stop", "continue"):  # no label is cut off
        assert tab.part(name).evaluate("button => button.scrollWidth <= button.clientWidth")
        expect(tab.part(name)).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


CONTRAST = """element => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const lightWith = (colour) => { // relative luminance once this is painted on top, whatever its notation and alpha
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  };
  const chain = [];
  for (let at = element; at; at = at.parentElement) chain.unshift(at);
  const back = chain.map((at) => lightWith(getComputedStyle(at).backgroundColor)).at(-1);
  const front = lightWith(getComputedStyle(element).color);
  return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), back];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(open_tab, theme):
    tab = open_tab(f"?__theme={theme}")
    page = tab.page
    page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=theme == "dark")
    places = (
        "#operator [data-testid=block-info]", "#reddiff-steps [data-testid=block-info]", "#reddiff-steps .info-text",
        "#reddiff-lr .rg-slider-label", "#reddiff-lr .rg-slider-help", "#measurement .rg-caption", "#mask .rg-hint",
        "#live .rg-plot-title", ".rg-header h1", ".rg-header p",
    )  # fmt: skip
    for place in places:
        contrast, back = page.locator(place).first.evaluate(CONTRAST)
        assert contrast >= 4.5, place
        assert (back < 0.1) == (theme == "dark"), place


def test_numbers_that_are_none(open_tab):
    tab = open_tab()
    box = tab.part("reddiff-lr").locator("input[type=number]")
    tab.type("reddiff-lr", 50)
    expect(box).to_have_value("2")  # the highest there is
    tab.type("reddiff-lr", -1)
    expect(box).to_have_value("0.0001")
    for nothing in ("", "e"):
        box.fill("")
        box.press_sequentially(nothing) if nothing else None
        box.press("Tab")
        expect(box).to_have_value("0.0001")
    tab.type("reddiff-lr", 0.1)
    tab.type("reddiff-steps", 99_999)
    expect(tab.part("reddiff-steps").locator("input[type=number]")).to_have_value("1000")
    tab.type("particles", 999)
    expect(tab.part("particles").locator("input[type=number]")).to_have_value("16")
    tab.type("particles", 1)
    tab.type("reddiff-steps", 2)
    tab.type("seed", -3)
    expect(tab.caption).to_contain_text("seed lies in 0 to 2147483647; got -3.")
    tab.run("error")
    expect(tab.live.locator(".rg-live-message")).to_contain_text("got -3.")
    expect(tab.part("run")).to_be_enabled()
    tab.type("seed", 7)
    expect(tab.caption).to_contain_text("dB PSNR")
    tab.run()
    knobs = json.loads(tab.restoring.played.record().to_json())
    assert (knobs["seed"], knobs["particles"], knobs["steps"], knobs["sampler"]["knobs"]["lr"]) == (7, 1, 2, 0.1)


def test_a_sampler_that_ends_says_so_and_noise_has_its_own_presets(open_tab, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, ("*", "ddrm", "*@noisy"), {"steps": 7})
    tab = open_tab()
    tab.choose("sampler", "DDRM")
    steps = tab.part("ddrm-steps").locator("input[type=number]")
    before = steps.input_value()
    tab.type("sigma-y", 0.1)
    expect(steps).to_have_value("7")
    tab.type("sigma-y", 0)
    expect(steps).to_have_value(before)
    many = tab.part("particles").locator("input[type=number]")
    tab.choose("sampler", "RSD")
    expect(many).to_have_value("4")
    tab.choose("sampler", "DDRM")
    expect(many).to_have_value("1")
    tab.type("ddrm-steps", 4)
    tab.run("done")
    expect(tab.live).to_contain_text("ended at its lowest noise level")
    expect(tab.part("continue")).to_be_disabled()
    tab.choose("sampler", "RED-diff")
    tab.type("reddiff-steps", 4)
    tab.run("done")
    expect(tab.part("continue")).to_be_enabled()


def test_noise_may_be_written_in_the_units_of_the_file(open_tab):
    tab = open_tab()
    before = tab.caption.inner_text()
    box = tab.part("sigma-y-part").locator("input, textarea")
    box.fill("12.75/255")
    box.press("Enter")
    expect(tab.part("sigma-y").locator("input[type=number]")).to_have_value("0.1")
    expect(box).to_have_value("")
    expect(tab.caption).not_to_have_text(before)  # the measurement has it at once
