"""The page fetches what forms, past Gradio; where it cannot, Gradio shows the same. A page that rests asks for no frames."""

import functools
import re

import pytest
from playwright.sync_api import expect

from browser.restoring import LONG, Restore

PRIOR = "gaussian:size=64"
SECONDS_PER_CALL = 0.05
FEED = re.compile(r"/gradio_api/redgui/feed/")


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


def shows(tab: Restore, frames: int) -> None:
    """Waits until so many pictures of the run were shown."""
    tab.page.wait_for_function("n => document.querySelector('#live .rg-live').dataset.frames >= n", arg=frames)


def test_pictures_are_fetched_and_the_end_comes_through_gradio(open_tab, slowly):
    tab = open_tab()
    tab.type("reddiff-steps", LONG)
    fetched = []
    tab.page.on("response", lambda answer: fetched.append(answer.status) if FEED.search(answer.url) else None)
    tab.run("running")
    first = int(tab.live.get_attribute("data-frames"))
    shows(tab, first + 5)
    assert fetched.count(200) > 4
    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")
    expect(tab.result.locator(".rg-compare")).to_be_visible()
    assert int(tab.live.get_attribute("data-i")) == tab.restoring.played.last.i + 1
    tab.part("continue").click()  # another feed, from where the run stands
    expect(tab.live).to_have_attribute("data-status", "running")
    tab.reach(tab.restoring.played.last.i + 10)
    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")


def test_where_nothing_can_be_fetched_gradio_shows_the_run(open_tab, slowly):
    tab = open_tab(before=lambda page: page.route(FEED, lambda route: route.fulfill(status=204)))
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    shows(tab, 5)
    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")


def test_where_fetching_breaks_off_in_mid_run_gradio_goes_on(open_tab, slowly):
    answered = []

    def answer(route) -> None:
        answered.append(route)
        if len(answered) <= 3:
            route.continue_()
        else:
            route.fulfill(status=200, body="a proxy's own page")

    tab = open_tab(before=lambda page: page.route(FEED, answer))
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    shows(tab, 10)
    assert len(answered) == 4, "it is not asked again"
    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")


def test_a_page_that_rests_asks_for_no_frames(open_tab):
    counting = "window.asked = 0; const ask = requestAnimationFrame; window.requestAnimationFrame = (f) => (asked++, ask(f))"
    tab = open_tab(before=lambda page: page.add_init_script(counting))

    def asked_in_two_seconds() -> int:
        before = tab.page.evaluate("asked")
        tab.page.wait_for_timeout(2000)
        return tab.page.evaluate("asked") - before

    # Gradio's own clock would go on to ask, a hundred times or more; a page that is still being built asks, too.
    assert any(asked_in_two_seconds() < 10 for _ in range(20))
