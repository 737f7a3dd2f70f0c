"""The choice of a prior: what it is good for, a hole that is too wide for it, and its own presets."""

from dataclasses import replace

from playwright.sync_api import expect

from browser.restoring import Restore
from redgui import presets
from redgui.priors import catalogue

PRIOR = "gaussian"


def test_another_prior_says_what_it_is_good_for_and_brings_its_presets(app, open_page, monkeypatch):
    few = tuple(replace(card, widest=8) if card.name == "photos" else card for card in catalogue.OWN)
    monkeypatch.setattr(catalogue, "OWN", few)
    tab = Restore(app, open_page)
    told, usual, own = tab.part("advice"), presets.preset("reddiff", "inpaint", "box"), presets.preset(
        "reddiff", "inpaint", "box", 0.0, "photos"
    )  # fmt: skip
    expect(told).to_contain_text("checking mathematics")
    expect(tab.part("reddiff-steps").locator("input[type=number]")).to_have_value(str(usual.get("steps", 100)))
    tab.choose("prior", "photos")
    expect(told).to_contain_text("not objects")
    expect(told).to_contain_text("The hole is 23 pixels wide.")
    expect(tab.part("reddiff-steps").locator("input[type=number]")).to_have_value(str(own["steps"]))
    expect(tab.part("reddiff-lr").locator(".rg-slider")).to_have_attribute("data-value", str(own["lr"]))
    tab.type("inpaint-fraction", 0.1)
    expect(told).not_to_contain_text("pixels wide")
    expect(told).to_contain_text("not objects")
