"""Links to a run, in a real browser: with an example, with a picture of one's own, and those that cannot be opened."""

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.tabs import Tabs, at
from redgui import api, images
from redgui.operators import masks
from redgui.runs.settings import picture_number
from redgui.ui.restore.state import Restoring

PRIOR = "gaussian:size=16"


@pytest.fixture
def tabs(app, open_page):
    """tabs(query, before): the app on a new page."""
    return functools.partial(Tabs, app, open_page)


@pytest.fixture
def mine(tmp_path) -> Path:
    y, x = np.mgrid[:16, :16]
    Image.fromarray(np.stack([x * 15, y * 15, 255 - x * 9], -1).astype(np.uint8)).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def test_the_link_of_an_own_picture(mine, browser, app):
    context = browser.new_context(reduced_motion="reduce")
    context.add_init_script("localStorage.setItem('redgui-mode', 'expert')")
    tab = Tabs(app, at(context.new_page()))
    tab.page.locator("#picture input[type=file]").first.set_input_files(mine)
    expect(tab.page.locator("#mask .rg-mask")).to_have_attribute("data-version", "2")
    tab.type("sigma-y", 0.1)
    tab.page.locator("#mask .rg-mask-canvas").click(position={"x": 10, "y": 10})
    expect(tab.page.locator("#inpaint-kind").get_by_role("combobox")).to_have_value("mask")
    tab.run(4)
    record = tab.restoring.played.record()
    assert record.image != ""
    tab.see_runs(1)
    tab.show()
    expect(tab.history.locator("[data-name=link]")).to_contain_text("this browser knows it")
    link = tab.text("link")
    assert f"picture={picture_number(record)}" in link
    painted = tab.history.locator("a[download='mask.png']").get_attribute("href")
    assert painted.startswith("data:image/png")

    # In the same browser: the very run.
    same = Tabs(app, at(context.new_page()), link.removeprefix(app.url))
    page = same.page
    expect(page.locator("#reddiff-steps input[type=number]")).to_have_value("4")
    expect(page.locator("#inpaint-kind").get_by_role("combobox")).to_have_value("mask")
    page.locator("#run").click()
    same.ended()
    assert record.reproduces(same.restoring.played.last)
    expect(same.toasts).to_have_count(0)
    same.see_runs(2)
    expect(tab.history).to_have_attribute("data-runs", "2")  # the other page knows at once

    # In another: the settings, and a word about the picture.
    query = link.partition("/?")[2]
    other = Tabs(app, at(browser.new_page(reduced_motion="reduce")), f"?{query}")
    expect(other.toasts).to_contain_text("give the picture")
    expect(other.page.locator("#reddiff-steps input[type=number]")).to_have_value("4")
    session = other.session
    assert session.source == images.read(app.host.examples[0])
    other.page.locator("#run").click()
    other.ended()
    assert (session.state(Restoring).played.problem.H.hole(16, 16) == masks.decode(record.settings.H.painted)).all()
    other.page.close()
    context.close()


def test_a_link_with_an_example(tabs):
    tab = tabs(
        "?example=face-37&operator=superres:factor=2,kernel=bicubic&sampler=dps:steps=2,zeta=0.7&sigma_y=0.04&seed=9&particles=3"
    )
    expect(tab.page.locator("#operator").get_by_role("combobox")).to_have_value("Super-resolution")
    expect(tab.page.locator("#dps-steps input[type=number]")).to_have_value("2")
    tab.page.locator("#run").click()
    tab.ended()
    record = tab.restoring.played.record()
    wanted = api.restore("example:face-37", operator="superres:factor=2,kernel=bicubic", sampler="dps:steps=2,zeta=0.7",
                         sigma_y=0.04, seed=9, particles=3, prior=PRIOR, device="cpu", precision="fp32").record  # fmt: skip
    assert record.result["pixels_sha256"] == wanted.result["pixels_sha256"]
    expect(tab.toasts).to_have_count(0)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?operator=blur&utm=1", "'utm', which this app does not know"),
        ("?operator=blur&prior=somebody/model", "not listed here"),
        ("?operator=blur&particles=40", "particles"),
    ],
)
def test_a_link_that_cannot_be_opened_changes_nothing(tabs, query, message):
    tab = tabs(query)
    expect(tab.toasts).to_have_count(1)
    expect(tab.toasts).to_contain_text("This link cannot be opened")
    expect(tab.toasts).to_contain_text(message)
    expect(tab.toasts).to_contain_text("Nothing was changed")
    expect(tab.page.locator("#operator").get_by_role("combobox")).to_have_value("Inpainting")
