"""Things to try, and the Learn tab, in a real browser with the bundled prior."""

import base64
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser.pages import PICTURE
from redgui import priors, tasks
from redgui.tasks import TASKS
from redgui.ui.learn.anatomy import nearest_level
from redgui.ui.restore.state import Restoring


@pytest.fixture
def open_app(app, open_page) -> Callable[..., Page]:
    """open_app(**options of open_page): the app on a page of its own, ready to be used."""

    def open_(**options) -> Page:
        page = open_page(app.url, **options)
        expect(page.locator("#measurement img")).to_have_attribute("src", PICTURE)
        return page

    return open_


def session(app) -> Any:
    """The session that was seen last."""
    return max(app.sessions.values(), key=lambda found: found.seen)


def pixels(page: Page, place: str) -> np.ndarray:
    shown = page.locator(place).get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))).convert("RGB"))


def card(page: Page, name: str) -> Any:
    return page.locator(f".rg-card[data-name='{name}']")


def opened(page: Page, name: str) -> None:
    """Clicks on a card and waits for its finished result, whose picture is the stored one."""
    card(page, name).click()
    restored = np.asarray(Image.open(tasks.finished(tasks.find(name)).restored).convert("RGB"))
    expect(page.locator("#tasks .rg-cards")).to_have_attribute("data-chosen", name)
    for _ in range(300):
        after = page.locator("#result .rg-compare-after img")
        if after.count() and np.array_equal(pixels(page, "#result .rg-compare-after img"), restored):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the finished result of {name} never came")


def test_a_card_sets_everything_and_shows_its_finished_result(app, open_app):
    page = open_app()
    expect(page.locator(".rg-card")).to_have_count(len(TASKS))
    for name in ("sr", "compose", "motion", "phase", "text", "box"):
        task, stored = tasks.find(name), tasks.finished(tasks.find(name))
        opened(page, name)
        expect(page.locator("#live .rg-live")).to_have_attribute("data-status", "idle")
        expect(page.locator("#live .rg-live-message")).to_contain_text("finished example")
        expect(page.locator("#live .rg-live-image")).to_have_attribute("src", PICTURE)
        expect(page.locator("#operator").get_by_role("combobox")).to_have_value(task.build_operator().label)
        expect(page.locator("#sampler").get_by_role("combobox")).to_have_value(task.build_sampler().label)
        expect(page.locator(f"#knobs-{task.build_operator().name}").first).to_be_visible()
        shown = page.locator("#result .rg-figures").inner_text()
        assert f"{stored.figures['psnr']:.2f} dB" in shown
        assert "seconds" not in shown
        expect(page.locator("#continue").first).to_be_disabled()
        expect(page.locator("#mask")).to_be_visible(visible=task.build_operator().name == "inpaint")


def test_run_after_a_card_is_that_task(app, open_app):
    page = open_app()
    opened(page, "motion")
    page.wait_for_timeout(1500)  # the controls have reported their change, and nothing tunes them again
    page.locator("#run").first.click()
    expect(page.locator("#live .rg-live")).to_have_attribute("data-status", "running")
    task, run = tasks.find("motion"), session(app).state(Restoring).played
    assert run.sampler == task.build_sampler()
    assert task.build_operator() == run.problem.H
    assert (run.problem.sigma_y, run.problem.seed, run.particles) == (task.sigma_y, task.seed, task.particles())
    assert np.array_equal(run.problem.y.numpy(), task.problem().y.numpy())

    # A card in the middle of a run ends it and takes its place.
    opened(page, "hdr")
    until = time.monotonic() + 30
    while run.playing:
        assert time.monotonic() < until
        time.sleep(0.05)
    page.wait_for_timeout(500)
    expect(page.locator("#live .rg-live")).to_have_attribute("data-status", "idle")
    expect(page.locator("#run").first).to_be_enabled()
    expect(page.locator("#stop").first).to_be_disabled()
    expect(page.locator("#continue").first).to_be_disabled()
    assert session(app).state(Restoring).played is None


def test_cards_by_keyboard(open_app):
    page = open_app()
    card(page, "box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(card(page, "strokes")).to_be_focused()
    page.keyboard.press("End")
    expect(card(page, TASKS[-1].name)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(card(page, "text")).to_have_attribute("aria-current", "")
    expect(page.locator("#result .rg-compare")).to_be_visible()
    assert page.locator(".rg-card[tabindex='0']").count() == 1


def test_cards_leave_room_for_the_main_job(open_app):
    laptop = open_app(viewport={"width": 1366, "height": 768})
    for place in ("#run", "#stop", "#result .rg-compare", "#live .rg-live-line", "#operator"):
        box = laptop.locator(place).first.bounding_box()
        assert box["y"] + box["height"] <= 768, place
    for width in (1130, 1366, 1440, 1920):  # neither the line at the top nor a card's name runs into its neighbour
        laptop.set_viewport_size({"width": width, "height": 1080})
        about, last = (laptop.locator(place).bounding_box() for place in (".rg-header p", "[role=tab]:has-text('History')"))
        assert about["x"] > last["x"] + last["width"], width
        assert laptop.locator(".rg-card").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)"), width
    phone = open_app(viewport={"width": 390, "height": 844})
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    strip = phone.locator(".rg-cards-strip")
    assert strip.evaluate("node => node.scrollWidth > 2 * node.clientWidth")
    opened(phone, "strokes")
    expect(phone.locator("#result .rg-compare")).to_be_in_viewport()  # the page went to where the result is


def anatomy(page: Page) -> Any:
    return page.locator("#anatomy .rg-anatomy")


def to_learn(page: Page) -> None:
    page.get_by_role("tab", name="Learn").click()
    expect(anatomy(page)).to_have_attribute("data-status", "ready")


def note(page: Page, key: str) -> str:
    return page.locator(f"[data-piece={key}] .rg-piece-note").inner_text()


def test_an_iteration_is_taken_apart_at_the_chosen_level(open_app):
    hosts: set[str] = set()
    page = open_app(before=lambda page: page.on("request", lambda r: hosts.add(r.url.split("/")[2].split(":")[0])
                                                if r.url.startswith("http") else None))  # fmt: skip
    to_learn(page)
    sigmas = priors.load("faces-64", "cpu").sigmas
    level = nearest_level(sigmas, 1.0)
    expect(anatomy(page)).to_have_attribute("data-sigma", str(level))
    expect(page.locator("#learn-idea .katex").first).to_be_visible()  # typeset without the network
    expect(page.locator("#learn-weights .rg-weights")).to_have_attribute("data-chosen", "linear")
    assert float(page.locator("#learn-weights .rg-weights").get_attribute("data-now")) == pytest.approx(level)
    expect(page.locator("#schedule .rg-schedule")).to_have_attribute("data-steps", "100")
    expect(page.locator("[data-piece] img")).to_have_count(10)
    assert note(page, "data").startswith("zero")  # the pseudo-inverse of a mask explains all that was measured
    assert "rms" in note(page, "prior")

    before = pixels(page, "[data-piece=x0_hat] img")
    page.locator("#learn-sigma input[type=number]").fill("6")
    page.locator("#learn-sigma input[type=number]").press("Tab")
    expect(anatomy(page)).to_have_attribute("data-sigma", str(nearest_level(sigmas, 6.0)))
    vague = pixels(page, "[data-piece=x0_hat] img")
    assert np.abs(vague.astype(int) - before).mean() > 4
    assert page.locator("#schedule .rg-chosen").inner_text() == "σ 5.98"
    expect(page.locator("#schedule .rg-plot-legend b")).to_have_text("1.99")  # the run's own nearest: it begins at 2

    page.locator("#schedule button").last.click()
    expect(anatomy(page)).to_have_attribute("data-sigma", str(nearest_level(sigmas, 0.05)))
    expect(page.locator("#learn-sigma .rg-slider")).to_have_attribute("data-value", "0.0502")
    mu, near = pixels(page, "[data-piece=mu] img"), pixels(page, "[data-piece=x0_hat] img")
    assert np.abs(near.astype(int) - mu).mean() < 6

    noise = pixels(page, "[data-piece=eps] img")
    page.locator("#learn-seed input").fill("5")
    page.locator("#learn-seed input").press("Tab")
    expect(anatomy(page)).to_have_attribute("data-seed", "5")
    assert (pixels(page, "[data-piece=eps] img") != noise).any()
    assert hosts == {"127.0.0.1"}


def test_where_mu_starts(app, open_app):
    page = open_app()
    page.locator("#reddiff-steps input[type=number]").fill("3")
    page.locator("#reddiff-steps input[type=number]").press("Tab")
    to_learn(page)
    start = note(page, "mu")
    page.get_by_label("Ground truth").check()
    expect(page.locator("[data-piece=mu] .rg-piece-note")).to_have_text("PSNR 100.00 dB")
    page.get_by_label("Last iterate").check()
    expect(anatomy(page)).to_have_attribute("data-status", "wrong")
    expect(page.locator(".rg-anatomy-message")).to_contain_text("press Run on the Restore tab")

    page.get_by_role("tab", name="Restore").click()
    page.locator("#run").first.click()
    expect(page.locator("#live .rg-live")).to_have_attribute("data-status", "done")
    psnr = session(app).state(Restoring).played.last.psnr
    to_learn(page)
    expect(page.locator("[data-piece=mu] .rg-piece-note")).to_have_text(f"PSNR {psnr:.2f} dB")
    page.get_by_label("Pseudo-inverse").check()
    expect(page.locator("[data-piece=mu] .rg-piece-note")).to_have_text(start)


def test_the_learn_tab_on_a_phone(open_app):
    page = open_app(viewport={"width": 390, "height": 844})
    to_learn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for place in ("#schedule svg.rg-plot-svg", "#learn-weights svg.rg-plot-svg", "#anatomy .rg-anatomy"):
        box = page.locator(place).first.bounding_box()
        assert box["x"] >= 0, place
        assert box["x"] + box["width"] <= 390, place
