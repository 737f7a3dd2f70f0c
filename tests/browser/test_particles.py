"""The Particles tab as a person meets it, with a closed-form prior on small pictures, in a real browser."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from browser.pages import PICTURE, App, AppPage, within
from redgui.metrics.ensemble import Ensemble
from redgui.priors import GaussianPrior
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.ui.particles.tab import Particles

PRIOR = "gaussian:size=32"
SECONDS_PER_CALL = 0.1


class Tab(AppPage):
    """The Particles tab of one page, and the run that the server keeps for it."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.root = self.page.locator("#ensemble .rg-particles")

    @property
    def particles(self) -> Run:
        return self.session.state(Particles).played

    def show(self, tab: str = "Particles") -> None:
        self.open(tab)
        if tab == "Particles":
            expect(self.page.locator("#particles-measurement img")).to_have_attribute("src", PICTURE)

    def tile(self, key: str) -> Locator:
        return self.root.locator(f".rg-particle[data-key='{key}']")

    def card(self, name: str) -> Locator:
        return self.root.locator(f".rg-figures [data-name='{name}'] b")

    def run(self, status: str = "done") -> None:
        self.start("particles-run", self.root, self.session.state(Particles).number, status)


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): a page of its own, still on the Restore tab."""
    return functools.partial(Tab, app, open_page)


def test_particles_stream_with_their_maps_and_figures(open_tab, slowly, tmp_path):
    tab = open_tab()
    tab.type("reddiff-steps", 40)
    tab.show()
    expect(tab.root.locator(".rg-particles-empty")).to_be_visible()
    expect(tab.page.locator(".rg-particles-note")).to_contain_text("Independent runs")
    tab.type("particles-count", 5)
    tab.run("running")
    expect(tab.root.locator(".rg-particle")).to_have_count(5 + 5)
    places = [tab.tile(key).locator(".rg-particle-view") for key in ("mean", "outside", "p4")]
    expect(tab.tile("p4").locator(".rg-particle-note")).to_have_text(re.compile("dB$"))
    expect(tab.root).to_have_attribute("data-status", "done")
    assert int(tab.tile("p4").get_attribute("data-frames")) >= 3, "they stream, and do not appear at the end"
    assert all(round(box["width"]) == round(box["height"]) for box in (place.bounding_box() for place in places))

    found = Ensemble(tab.particles.last.x0_hat, tab.particles.problem.x_true).figures()
    expect(tab.card("PSNR of the mean")).to_have_text(f"{found['psnr_mean']:.2f} dB")
    expect(tab.card("PSNR of one particle")).to_have_text(f"{found['psnr_particle']:.2f} dB")
    expect(tab.card("mean std")).to_have_text(f"{255 * found['mean_std']:.1f} levels")
    expect(tab.card("spread / error")).to_have_text(f"{found['spread_over_error']:.2f}")
    expect(tab.tile("beyond").locator(".rg-particle-note")).to_have_text(f"{100 * found['beyond']:.1f} %")
    expect(tab.root.locator(".rg-std-ticks")).to_have_text(re.compile(r"^0[\d.]+ ?\d+ levels \(0\.\d{3}\)$"))
    with tab.page.expect_download() as download:
        tab.root.locator("a[download='record.json']").click()
    download.value.save_as(tmp_path / "record.json")
    *_, last = Record.from_json((tmp_path / "record.json").read_text()).replay(GaussianPrior(size=32))
    assert torch.equal(last.x0_hat, tab.particles.last.x0_hat)
    with tab.page.expect_download() as download:
        tab.root.locator("a[download='particles.json']").click()
    download.value.save_as(tmp_path / "particles.json")
    assert json.loads((tmp_path / "particles.json").read_text())["psnr_mean"] == pytest.approx(found["psnr_mean"])

    tab.tile("outside").click()
    detail = tab.root.locator(".rg-particles-detail")
    expect(detail).to_contain_text("below every particle or above all of them")
    detail.locator("select").select_option("mean")
    before = detail.locator(".rg-compare-image").first
    expect(before).to_have_attribute("src", tab.tile("mean").locator("img").get_attribute("src"))
    detail.get_by_role("button", name="Close").click()
    expect(detail).to_be_hidden()


def test_repulsive_particles_and_posterior_samples(open_tab):
    tab = open_tab()
    tab.show()
    tab.type("particles-count", 3)
    for option, said, name in (
        ("RSD (repulsive)", "repel each other", "rsd"),
        ("DAPS (posterior samples)", "a draw from the posterior", "daps"),
    ):
        tab.choose("particles-sampler", option)
        expect(tab.page.locator(".rg-particles-note")).to_contain_text(said)
        tab.run()
        assert (tab.particles.sampler.name, len(tab.particles.last.x0_hat)) == (name, 3)
    tab.show("Restore")
    tab.page.locator("#operator input").click()
    tab.page.get_by_role("option", name="High dynamic range", exact=True).click()
    tab.show()
    tab.choose("particles-sampler", "DDRM (posterior samples)")
    tab.run("error")
    expect(tab.root.locator(".rg-particles-message")).to_contain_text("DDRM")
    expect(tab.page.locator("#particles-run")).to_be_enabled()


def test_stop_and_a_page_that_is_closed(open_tab, slowly):
    tab = open_tab()
    tab.type("reddiff-steps", 500)
    tab.show()
    tab.run("running")
    expect(tab.page.locator("#particles-run")).to_be_disabled()
    expect(tab.root).to_have_attribute("data-i", re.compile("[1-9]"))
    at = tab.particles.last.i
    tab.page.locator("#particles-stop").click()
    expect(tab.root).to_have_attribute("data-status", "stopped")
    assert tab.particles.last.i < at + 100, "the steps of ten seconds: the stop does not wait for the end"
    expect(tab.tile("p7").locator("img")).to_have_attribute("src", re.compile("^data:image/png"))
    expect(tab.page.locator("#particles-run")).to_be_enabled()
    tab.run("running")
    run = within(lambda: tab.particles.playing and tab.particles, "the second run")
    tab.page.close()
    within(lambda: not run.playing, "its end")


def test_a_given_picture_has_no_coverage(open_tab):
    tab = open_tab()
    tab.type("reddiff-steps", 6)
    tab.page.locator("#given input").check()
    expect(tab.page.locator("#measurement .rg-caption")).to_contain_text("as you gave it")
    tab.show()
    tab.run()
    expect(tab.root.locator(".rg-particles-absent")).to_contain_text("the truth is not known")
    expect(tab.tile("std")).to_be_visible()
    expect(tab.tile("beyond")).to_have_count(0)
    expect(tab.root.locator(".rg-figures > div")).to_have_count(1)


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_on_a_phone_the_page_does_not_scroll_sideways(open_tab, query):
    tab = open_tab(query, viewport={"width": 390, "height": 844}, has_touch=True)
    tab.type("reddiff-steps", 4)
    tab.show()
    tab.run()
    tab.tile("std").click()
    expect(tab.root.locator(".rg-particles-detail")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    for key in ("std", "outside", "p7"):
        box = tab.tile(key).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
