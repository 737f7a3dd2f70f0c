"""The canvas of the Restore tab: picture, mask, film and result in one place, and how much of the settings is shown."""

import functools
import re

import pytest
from playwright.sync_api import expect

from browser.restoring import Restore


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


def test_what_matters_is_seen_at_once_and_a_wide_screen_is_used(open_tab):
    tab = open_tab(viewport={"width": 1440, "height": 900}, mode=None)
    for part in ("#run", "#reddiff-lr", "#reddiff-lam", "#reddiff-weighting", "#result .rg-compare", "#film .rg-film-controls"):
        expect(tab.page.locator(part).first).to_be_in_viewport(ratio=1)
    area = tab.result.locator(".rg-compare").bounding_box()
    assert min(area["width"], area["height"]) >= 700
    tab.page.set_viewport_size({"width": 1920, "height": 1080})
    side = tab.page.locator(".rg-side").bounding_box()
    assert side["x"] + side["width"] > 1860
    assert side["x"] > area["x"] + 850  # the picture has become larger, too


def test_simple_hides_what_expert_shows_and_the_browser_keeps_the_choice(open_tab):
    tab = open_tab(mode=None)
    expect(tab.part("sigma-y")).to_be_hidden()
    expect(tab.part("sampler")).to_be_hidden()
    expect(tab.part("operator")).to_be_visible()
    tab.page.get_by_role("button", name="Expert").click()
    expect(tab.part("sigma-y")).to_be_visible()
    help_text = tab.part("sigma-y").locator(".info-text")
    expect(help_text).to_be_hidden()
    tab.part("sigma-y").hover()
    expect(help_text).to_be_visible()
    tab.page.reload()
    expect(tab.part("sampler")).to_be_visible()


def test_the_film_the_line_and_the_zoom_are_those_of_one_picture(open_tab):
    tab = open_tab(viewport={"width": 1440, "height": 900})
    page, line = tab.page, tab.result.locator(".rg-compare-range")
    expect(tab.canvas).to_have_attribute("data-view", "result")
    line.hover()
    page.mouse.wheel(0, -300)  # there is nothing to scroll up to
    expect(tab.canvas).not_to_have_attribute("style", "")
    zoomed = tab.canvas.evaluate("node => Number(node.style.getPropertyValue('--zoom'))")
    assert zoomed > 1
    page.keyboard.down(" ")
    expect(tab.canvas).to_have_class(re.compile("rg-panning"))
    page.mouse.down()
    page.mouse.move(760, 560, steps=3)
    page.mouse.up()
    page.keyboard.up(" ")
    expect(line).to_have_value("50")  # the picture was moved, not the line
    assert tab.canvas.evaluate("node => parseFloat(node.style.getPropertyValue('--shift-x'))") < 0

    film = tab.film.locator(".rg-film-large")
    last = film.get_attribute("src")
    tab.film.get_by_role("slider").press("Home")
    expect(tab.canvas).to_have_attribute("data-view", "live")
    expect(film).to_be_visible()
    assert film.get_attribute("src") != last
    tab.editor.see()
    assert float(tab.editor.root.get_attribute("data-zoom")) == pytest.approx(zoomed, abs=0.01)
    expect(tab.editor.button("Lasso")).to_be_visible()
    page.get_by_role("button", name="The whole picture").click()
    expect(tab.editor.root).to_have_attribute("data-zoom", "1.00")
