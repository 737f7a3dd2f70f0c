"""Blind deblurring as a person sees it: the kernel forms beside the picture, and is there to take away at the end."""

import functools
import time

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.pages import PICTURE
from browser.restoring import Restore
from redgui.operators import kernel_search, kernels

PRIOR = "gaussian"
SECONDS_PER_CALL = 0.05
EVERY_KERNEL = """live => {
  live.kernels = new Set();
  const note = () => live.querySelectorAll(".rg-beside img").forEach((img) => live.kernels.add(img.src));
  new MutationObserver(note).observe(live, { childList: true, subtree: true });
}"""  # a browser that is asked late would see only the last ones


@pytest.fixture
def open_tab(app, open_page, slowly, monkeypatch):
    quick = kernel_search.simplex

    def slow(kernel: np.ndarray) -> np.ndarray:
        """The search as a whole takes longer than a busy page takes to show some of it."""
        time.sleep(0.1)
        return quick(kernel)

    monkeypatch.setattr(kernel_search, "simplex", slow)
    return functools.partial(Restore, app, open_page)


def test_the_kernel_is_seen_as_it_forms_and_taken_away(open_tab, tmp_path):
    tab = open_tab()
    tab.choose("operator", "Blur")
    tab.choose("blur-kind", "blind")
    tab.type("blur-size", 7)
    tab.changes_the_preview(lambda: tab.type("blur-angle", 40))  # of the motion that makes the measurement
    tab.type("reddiff-steps", 20)
    beside = tab.live.locator(".rg-beside")
    expect(beside).to_be_empty()
    tab.live.evaluate(EVERY_KERNEL)
    tab.part("run").click()
    kernel = beside.locator("img")
    expect(kernel).to_have_attribute("src", PICTURE)
    expect(beside).to_have_text("kernel")
    expect(tab.live).to_have_attribute("data-status", "done")
    assert int(tab.live.get_attribute("data-n")) == kernel_search.turns(7) + 20
    assert tab.live.evaluate("live => live.kernels.size") > 2  # it went on forming
    found = tab.restoring.played.last.found.kernel()
    saved = kernels.read(tab.download("kernel.png", tmp_path))
    assert saved.shape == found.shape
    assert np.abs(saved - found).max() < 0.01
    assert tab.figure("kernel") == f"{kernels.extent(found)} px"

    tab.choose("blur-kind", "gaussian")
    tab.run()
    expect(beside).to_be_empty()
