"""Somebody who waits for the solver sees where they stand, on every tab that runs something."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

from redgui.priors import GaussianPrior
from redgui.ui import build, launch


@pytest.fixture
def app(serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The app on a closed-form prior that answers only while it is free."""
    free, plain = threading.Event(), GaussianPrior.denoise
    free.set()
    monkeypatch.setattr(GaussianPrior, "denoise", lambda *of: plain(*of) if free.wait(120) else 1 / 0)
    demo = build("gaussian:size=16", device="cpu")
    demo.host.queue.places = 1
    yield SimpleNamespace(url=serve(demo, launch), free=free, line=demo.host.queue)
    free.set()


def opened(page: Page) -> Page:
    page.locator("#measurement img[src^='data:']").wait_for(state="attached")
    return page


def test_who_waits_is_told_where_they_stand_and_can_leave(app, open_page):
    first, second = opened(open_page(app.url)), opened(open_page(app.url))
    app.free.clear()
    first.locator("#run").first.click()
    expect(first.locator("#live .rg-live")).to_have_attribute("data-status", "running")
    second.locator("#run").first.click()
    place = second.locator("#live .rg-remaining")
    expect(place).to_have_text("You are next")
    expect(place).to_be_in_viewport()
    second.get_by_role("tab", name="Compare").click()
    second.locator("#compare-run").first.click()
    compared = second.locator("#race .rg-race-message")
    expect(compared).to_have_text("2nd in line")
    second.get_by_role("tab", name="Restore").click()
    second.locator("#stop").first.click()
    expect(second.locator("#live .rg-live")).to_have_attribute("data-status", "stopped")
    expect(place).to_have_text("")
    expect(second.locator("#run").first).to_be_enabled()
    second.get_by_role("tab", name="Compare").click()
    expect(compared).to_have_text("You are next")
    second.locator("#compare-stop").first.click()
    expect(compared).to_have_text("Stopped before it began.")
    assert len(app.line) == 1
    app.free.set()
    expect(first.locator("#live .rg-live")).to_have_attribute("data-status", "done")
