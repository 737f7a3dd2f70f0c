"""The views of a run in a real browser: frames, plots, and a phone; what is sent to them is finite."""

import json

import pytest
from playwright.sync_api import expect

from browser.editor import SEEN, Editor, box
from browser.toys import FILM, demo, frame_of
from redgui.ui.parts import components


@pytest.fixture(scope="module")
def url(serve) -> str:
    return serve(demo())


def test_a_run_is_shown_and_leaves_the_editors_alone(url, open_page):
    SEEN.clear()
    page = open_page(url)
    page.get_by_role("tab", name="run").click()
    root = page.locator("#live .rg-live")
    expect(root).to_have_attribute("data-status", "idle")
    expect(root.get_by_text("Press Run and watch")).to_be_visible()
    expect(page.locator("#film .rg-film")).to_be_hidden()
    expect(page.locator("#empty").get_by_text("Choose a picture first")).to_be_visible()
    stage = root.locator(".rg-live-stage").bounding_box()
    editor = Editor(page, "beside", 64, 64)
    editor.canvas.evaluate("node => { node.dataset.same = 'yes' }")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("button", name="go", exact=True).click()
    expect(root).to_have_attribute("data-status", "running")
    editor.stroke([(5.5, 5.5)], 1)  # while the run goes on
    expect(root).to_have_attribute("data-status", "done")
    assert root.get_attribute("data-run") == "7"
    assert root.get_attribute("data-i") == root.get_attribute("data-n") == "10"
    assert 5 <= int(root.get_attribute("data-frames")) <= 10
    assert root.locator(".rg-live-image").get_attribute("src") == frame_of(200)
    expect(root.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(root.locator(".rg-facts")).to_contain_text("step 10/10")
    expect(root.locator(".rg-plot")).to_have_count(3)
    expect(root.locator(".rg-mark-text")).to_have_text("lr 0.5")
    expect(root.locator(".rg-level")).to_have_count(1)
    assert root.locator(".rg-live-stage").bounding_box()["width"] == stage["width"]
    editor.count(int(box(64, 64).sum()) + 1)
    editor.received()
    assert len(SEEN["beside"]) == 1
    assert "empty" not in SEEN
    assert editor.canvas.get_attribute("data-same") == "yes"
    assert not [address for address in requests if "upload" in address or "file=" in address]
    svg = root.locator(".rg-plot-svg").first
    svg.hover(position={"x": 60, "y": 50})
    expect(root.locator(".rg-plot-at").first).to_contain_text("step")

    film = page.locator("#film .rg-film")
    expect(film).to_have_attribute("data-chosen", "4")
    scrubber = film.get_by_role("slider")
    scrubber.focus()
    page.keyboard.press("ArrowLeft")
    expect(film.locator(".rg-film-caption")).to_have_text("step 40 · σ 2 · 24.0 dB")
    page.keyboard.press("Home")
    expect(film.locator(".rg-film-large")).to_have_attribute("src", FILM["frames"][0]["src"])
    film.get_by_role("button", name="Play").click()
    expect(film).to_have_attribute("data-chosen", "4")
    expect(film.get_by_role("button", name="Play")).to_be_visible()

    weights = page.locator("#weights .rg-weights")
    expect(weights.locator(".rg-end.rg-strong")).to_have_text("linear")
    expect(weights.locator(".rg-now")).to_have_count(1)
    page.get_by_role("button", name="other").click()
    expect(weights.locator(".rg-end.rg-strong")).to_have_text("constant")
    expect(weights.locator(".rg-now")).to_have_count(0)


def test_a_scalar_that_only_a_sampler_knows_of_has_a_plot(url, open_page):
    page = open_page(url)
    page.get_by_role("tab", name="run").click()
    root = page.locator("#live .rg-live")
    page.get_by_role("button", name="surprise").click()
    expect(root).to_have_attribute("data-run", "8")
    plots = root.locator(".rg-plot")
    expect(plots).to_have_count(4)
    expect(plots.last.locator(".rg-plot-title")).to_have_text("surprise")
    expect(plots.last.locator("svg")).to_have_attribute("aria-label", "surprise:  1.0e5")
    expect(plots.last.locator(".rg-tick").first).to_have_text("10")  # decades: it spans five
    page.get_by_role("button", name="go", exact=True).click()
    expect(root).to_have_attribute("data-run", "7")
    expect(plots.last).to_be_hidden()


def test_a_phone_is_not_scrolled_sideways(url, open_page):
    page = open_page(url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_role("tab", name="large").tap()
    editor = Editor(page, "large", 256, 256)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert editor.canvas.bounding_box()["width"] > 320
    for button in editor.root.get_by_role("button").all():
        area = button.bounding_box()
        assert min(area["width"], area["height"]) >= 36
    page.touchscreen.tap(*editor.at(100, 100))
    assert editor.received()[100, 100]


def test_series_are_thinned_and_finite():
    steps = list(range(1, 1002))
    text = components.series_text({"i": steps, "data": [float("nan"), *map(float, steps[1:])], "psnr": None})
    series = json.loads(text)
    assert series["i"] == [*range(1, 1002, 4)]
    assert series["data"][0] is None
    assert len(series["data"]) == len(series["i"])
    assert series["psnr"] is None
    assert json.loads(components.series_text({"i": steps[:-1]}))["i"][-2:] == [997, 1000]
    assert components.series_text({"i": [], "data": []}) == '{"i":[],"data":[]}'
