"""The Compare tab as a person meets it, with a closed-form prior on small pictures, in a real browser."""

import base64
import csv
import functools
import io
import json
import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.comparing import Compare
from browser.pages import within
from redgui import knobs, presets
from redgui.operators import Inpaint
from redgui.priors import load
from redgui.runs.record import Record
from redgui.samplers import SAMPLERS, DiffPIR

PRIOR = "gaussian:size=32"
SECONDS_PER_CALL = 0.2
PER_PICTURE = True  # contestants who share a call would otherwise be done before a hand is there


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Compare tab on a page of its own."""
    return functools.partial(Compare, app, open_page)


def test_everybody_in_a_live_grid_with_a_table(open_tab):
    requests = []
    tab = open_tab(before=lambda page: page.on("request", lambda request: requests.append(request)))
    expect(tab.root.locator(".rg-race-empty")).to_be_visible()
    caption = tab.page.locator("#compare-measurement .rg-caption")
    expect(caption).to_contain_text("seed 0")
    expect(caption).to_contain_text(PRIOR)
    for name in ("ddrm", "vml-map"):
        tuned = knobs.spec(presets.sampler_for(name, Inpaint())).partition(":")[2].replace(",", ", ")
        expect(tab.list.locator(f"[data-key='{name}'] code")).to_have_text(tuned)
    tab.list.get_by_role("button", name="all that fit").click()
    expect(tab.list.locator("input:checked")).to_have_count(len(SAMPLERS))
    tab.take("reddiff", "vml-map", "ddrm", "diffpir", "dps")
    opened = len(requests)
    tab.page.locator("#compare-run").click()
    expect(tab.root.locator(".rg-tile")).to_have_count(7)
    places = [
        *map(tab.view, ("original", "reddiff", "dps")),
        tab.root.locator(".rg-race-table"),
        tab.root.locator(".rg-race-plots"),
    ]
    first = [place.bounding_box() for place in places]
    expect(tab.root).to_have_attribute("data-status", "done")
    assert [place.bounding_box() for place in places] == first
    assert all(round(box["width"]) == round(box["height"]) for box in first[:3])
    expect(tab.tile("reddiff").locator(".rg-tile-facts")).to_have_text("100/100 · Done")
    expect(tab.tile("reddiff").locator("code")).to_contain_text("reddiff:lr=0.03, lam=0.1")
    assert int(tab.tile("reddiff").get_attribute("data-frames")) >= 1
    while_running = [request.url for request in requests[opened:]]
    assert not [url for url in while_running if "upload" in url or "/file=" in url]
    assert {urlsplit(request.url).hostname for request in requests if not request.url.startswith("data:")} == {"127.0.0.1"}

    table, race = tab.table(), tab.comparison.played
    assert len({c.run.problem.y.data_ptr() for c in race.contestants}) == 1
    assert len({c.run.problem.seed for c in race.contestants}) == 1
    for column, ranked in (("PSNR, dB", max), ("SSIM", max), ("residual", min), ("forwards", min), ("seconds", min)):
        values = {key: row[column][0] for key, row in table.items()}
        chosen = {key for key, value in values.items() if value == ranked(values.values())}
        assert {key for key, row in table.items() if row[column][1]} == chosen, column
    for c in race.contestants:
        assert table[c.key]["PSNR, dB"][0] == pytest.approx(c.run.last.psnr, abs=0.006)
        assert table[c.key]["forwards"][0] == c.run.last.nfe
    lpips = {key: row["LPIPS"][0] for key, row in table.items()}
    assert min(lpips.values()) > 0
    assert {key for key, row in table.items() if row["LPIPS"][1]} == {key for key in lpips if lpips[key] == min(lpips.values())}
    for plot in tab.root.locator(".rg-plot:not(.rg-spread) .rg-plot-svg").all():
        expect(plot.locator(".rg-line")).to_have_count(5)
        expect(plot.locator(".rg-shape")).to_have_count(5)
        assert sorted(plot.locator(".rg-end").all_text_contents()) == sorted(c.label for c in race.contestants)


def test_an_equal_budget_is_kept_and_shown(open_tab):
    tab = open_tab()
    tab.take("reddiff", "vml-map", "dps", "sitcom")
    tab.page.locator("#compare-equal input").check()
    tab.page.locator("#compare-budget input").fill("60")
    tab.run()
    steps = {c.key: c.run.last.n for c in tab.comparison.played.contestants}
    assert steps == {"reddiff": 60, "vml-map": 30, "dps": 20, "sitcom": 4}
    expect(tab.tile("dps").locator(".rg-tile-budget")).to_have_text("network budget 60/60")
    expect(tab.tile("sitcom").locator(".rg-tile-budget")).to_have_text("network budget 52/60")
    tab.page.locator("#compare-budget input").fill("3")
    tab.run("error")
    expect(tab.root.locator(".rg-race-message")).to_contain_text("10 to 5000")


def test_one_is_stopped_and_then_all(open_tab, slowly):
    tab = open_tab()
    tab.take("reddiff", "ddrm", "diffpir")
    tab.run("running")
    expect(tab.page.locator("#compare-run")).to_be_disabled()
    expect(tab.tile("reddiff")).to_have_attribute("data-i", re.compile("[1-9]"))
    tab.tile("reddiff").get_by_role("button", name="Stop RED-diff").click()
    expect(tab.tile("reddiff")).to_have_attribute("data-status", "stopped")
    at = tab.comparison.played["reddiff"].run.last.i
    before = within(lambda: tab.comparison.played["diffpir"].run.last, "the first step of another").i
    within(lambda: tab.comparison.played["diffpir"].run.last.i > before + 2, "the others to go on")
    expect(tab.root).to_have_attribute("data-status", "running")
    tab.page.locator("#compare-stop").click()
    expect(tab.root).to_have_attribute("data-status", "stopped")
    assert tab.comparison.played["reddiff"].run.last.i == at
    assert not tab.comparison.played.playing
    assert {c.status for c in tab.comparison.played.contestants} <= {"stopped", "done"}
    expect(tab.page.locator("#compare-run")).to_be_enabled()
    expect(tab.tile("diffpir").locator(".rg-tile-facts")).to_contain_text("Stopped")


def test_a_page_that_is_closed_ends_its_race(open_tab, slowly):
    tab = open_tab()
    tab.run("running")
    race = tab.comparison.played
    within(lambda: race.playing, "the race")
    tab.page.close()
    within(lambda: not race.playing, "its end")
    assert "stopped" in {c.status for c in race.contestants}


def test_an_error_marks_one_tile(open_tab, monkeypatch):
    good = DiffPIR.proximal

    def bad(self, H, denoised, y, sigma, sigma_y):
        return good(self, H, denoised, y, sigma, sigma_y) * (float("nan") if sigma < 1 else 1)

    monkeypatch.setattr(DiffPIR, "proximal", bad)
    tab = open_tab()
    tab.take("ddrm", "diffpir", "dps")
    tab.run("done")
    expect(tab.tile("diffpir")).to_have_attribute("data-status", "error")
    expect(tab.tile("diffpir").locator(".rg-tile-note")).to_contain_text("finite numbers")
    expect(tab.tile("dps")).to_have_attribute("data-status", "done")
    expect(tab.root.locator(".rg-race-message")).to_contain_text("1 of 3")
    assert not any(best for _, best in tab.table()["diffpir"].values())


def test_two_pictures_under_a_line(open_tab):
    tab = open_tab()
    tab.take("ddrm", "diffpir")
    tab.run()
    wipe = tab.root.locator(".rg-compare")
    expect(wipe).to_be_hidden()
    tab.view("original").click()
    tab.view("diffpir").focus()
    tab.page.keyboard.press("Enter")
    expect(wipe).to_be_visible()
    expect(tab.view("diffpir")).to_have_attribute("aria-pressed", "true")
    names = wipe.locator(".rg-compare-name")
    expect(names).to_have_text(["original", "DiffPIR"])
    assert wipe.locator("img").nth(1).get_attribute("src") == tab.tile("diffpir").locator("img").get_attribute("src")
    range_ = wipe.get_by_role("slider", name="original on the left, DiffPIR on the right")
    range_.focus()
    before = wipe.evaluate("node => node.style.getPropertyValue('--at')")
    tab.page.keyboard.press("Home")
    assert (before, wipe.evaluate("node => node.style.getPropertyValue('--at')")) == ("50%", "0%")
    tab.view("ddrm").click()  # the older of the two makes room
    expect(names).to_have_text(["DiffPIR", "DDRM"])
    tab.view("ddrm").click()
    expect(wipe).to_be_hidden()


def test_columns_sort_and_empty_ones_are_left_out(open_tab):
    tab = open_tab()
    tab.take("reddiff", "dps", "ddrm")
    tab.run()
    names = tab.root.locator("thead th").all_inner_texts()
    assert "PSNR, dB" in names
    assert "residual/σ_y" not in names  # there is no noise, so that no row has one
    rows = tab.root.locator("tbody tr")

    def order() -> list[str]:
        return [row.get_attribute("data-key") for row in rows.all()]

    at_first, forwards = order(), tab.root.locator("thead").get_by_role("button", name="forwards")
    values = {c.key: c.run.last.nfe for c in tab.comparison.played.contestants}
    forwards.focus()
    tab.page.keyboard.press("Enter")
    assert order() == sorted(values, key=lambda key: -values[key])
    expect(tab.root.locator("th[aria-sort=descending]")).to_have_text("forwards")
    expect(forwards).to_be_focused()
    tab.page.keyboard.press("Enter")
    assert order() == sorted(values, key=lambda key: values[key])
    tab.page.keyboard.press("Enter")
    assert order() == at_first


def test_error_maps_are_one_key_away(open_tab):
    tab = open_tab()
    tab.take("ddrm")
    tab.run()
    error = tab.tile("ddrm").locator("canvas")
    expect(error).to_be_hidden()
    tab.view("ddrm").focus()
    tab.page.keyboard.press("e")
    expect(error).to_be_visible()
    shown = np.array(error.evaluate("node => [...node.getContext('2d').getImageData(0, 0, 32, 32).data]")).reshape(32, 32, 4)

    def levels(key: str) -> np.ndarray:
        source = tab.tile(key).locator("img").get_attribute("src")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB")).astype(float)

    heat = np.abs(levels("ddrm") - levels("original")).mean(2) / 64
    wanted = 255 * np.clip(3 * heat[..., None] - np.arange(3), 0, 1)
    assert heat.max() > 0.1
    assert np.abs(shown[..., :3] - wanted).max() <= 1
    tab.root.get_by_role("button", name="Error maps").click()
    expect(error).to_be_hidden()


def test_one_zoom_for_all(open_tab):
    tab = open_tab()
    tab.take("ddrm", "diffpir")
    tab.run()
    whole = tab.transforms()
    assert len(whole) == 1
    tab.view("ddrm").focus()
    tab.page.keyboard.press("+")
    tab.page.keyboard.press("+")
    expect(tab.root).to_have_attribute("data-zoom", "2.25")
    zoomed = tab.transforms()
    assert len(zoomed) == 1
    tab.page.keyboard.press("ArrowRight")
    moved = tab.transforms()
    assert len(moved | zoomed | whole) == 3
    box = tab.view("diffpir").bounding_box()
    tab.page.mouse.move(box["x"] + 40, box["y"] + 40)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 70, box["y"] + 60, steps=4)
    tab.page.mouse.up()
    assert len(tab.transforms() | moved) == 2
    expect(tab.view("diffpir")).to_have_attribute("aria-pressed", "false")  # a drag is no click
    tab.page.mouse.wheel(0, -120)
    expect(tab.root).not_to_have_attribute("data-zoom", "2.25")
    tab.view("ddrm").dblclick()
    expect(tab.root).to_have_attribute("data-zoom", "1.00")
    assert tab.transforms() == whole
    tab.root.get_by_role("button", name="Zoom in").click()
    expect(tab.root).to_have_attribute("data-zoom", "1.50")
    tab.root.get_by_role("button", name="Whole pictures").click()
    expect(tab.root).to_have_attribute("data-zoom", "1.00")


def test_the_files_of_several_pictures_are_downloaded_and_the_records_replay(open_tab, tmp_path):
    tab = open_tab()
    tab.take("reddiff", "ddrm")
    pictures = tab.page.locator("#compare-pictures")
    pictures.locator("[data-key='photo-cat'] input").check()
    Image.new("RGB", (50, 40), "olive").save(tmp_path / "meadow.png")
    (tmp_path / "notes.png").write_text("no picture")
    tab.page.locator("input[type=file][multiple]").set_input_files([tmp_path / "meadow.png", tmp_path / "notes.png"])
    expect(tab.page.get_by_text("notes.png is not a picture")).to_be_visible()
    expect(pictures.locator("input:checked")).to_have_count(2)
    expect(pictures.get_by_role("button", name="Remove meadow")).to_be_visible()
    expect(tab.root.locator(".rg-spread")).to_be_hidden()
    tab.run()
    expect(tab.tile("ddrm").locator(".rg-tile-note")).to_have_text("3 of 3 runs")
    expect(tab.root.locator(".rg-spread-run")).to_have_count(6)
    expect(tab.root.locator(".rg-spread .rg-shape")).to_have_count(2)
    told = re.compile(r"over pictures: RED-diff [\d.]+ ± [\d.]+, DDRM")
    expect(tab.root.locator(".rg-spread svg")).to_have_attribute("aria-label", told)
    sheet = Image.open(tab.download("comparison.png", tmp_path))
    assert sheet.width > 2 * 160
    found = json.loads(tab.download("comparison.json", tmp_path).read_text())
    assert [entry["picture"] for entry in found["contestants"]] == ["face-06", "photo-cat", "meadow"] * 2
    for entry, c in zip(found["contestants"], tab.comparison.played.members, strict=True):
        record = Record.from_json(json.dumps(entry["record"]))
        *_, last = record.replay(load(PRIOR))
        assert record.reproduces(last)
        assert entry["figures"]["psnr"] == c.run.last.psnr
        if c.of:
            continue
        shown = tab.tile(c.key).locator("img").get_attribute("src")
        picture = Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1])))
        assert (shown.startswith("data:image/png"), picture.size) == (True, (32, 32))
    lines = list(csv.DictReader(io.StringIO(tab.download("comparison.csv", tmp_path).read_text())))
    assert [line["name"] for line in lines] == ["RED-diff"] * 3 + ["DDRM"] * 3
    assert [int(line["nfe"]) for line in lines] == [100] * 3 + [20] * 3
