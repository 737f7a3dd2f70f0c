"""The app as a person meets it: the Restore tab with the bundled prior, in a real browser."""

import base64
import functools
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from browser.pages import App, AppPage, within
from browser.test_components import Editor
from redgui import cli, fitting, images, presets
from redgui.operators import OPERATORS, Inpaint, masks
from redgui.runs.record import Record
from redgui.samplers.reddiff import WEIGHTINGS
from redgui.ui.host.uploads import same
from redgui.ui.parts import components, views
from redgui.ui.restore.state import Restoring

SIDE = 64  # of the bundled prior's pictures
LONG = 1000  # steps: such a run does not end by itself while a test looks at it


class Restore(AppPage):
    """The Restore tab of one page, and the session that the server keeps for it."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.live = self.page.locator("#live .rg-live")
        self.stage = self.page.locator("#live .rg-live-stage")
        self.result = self.page.locator("#result .rg-result")
        self.picture = self.page.locator("#measurement img")
        self.caption = self.page.locator("#measurement .rg-caption")
        self.editor = Editor(self.page, "mask", SIDE, SIDE)

    def chosen(self, name: str) -> Locator:
        return self.part(name).get_by_role("combobox")

    def preview(self) -> np.ndarray:
        """The measurement on the page, h w 3."""
        shown = base64.b64decode(self.picture.get_attribute("src").split(",")[1])
        return np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"))

    def expect_preview_of(self, hole: np.ndarray) -> None:
        """Waits until the measurement on the page is that of this mask: mid grey where it is."""
        for _ in range(300):
            if np.array_equal((self.preview() == 128).all(-1), hole):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("the measurement never showed the mask")

    def changes_the_preview(self, act: Callable[[], object]) -> None:
        before = self.picture.get_attribute("src")
        act()
        expect(self.picture).not_to_have_attribute("src", before)

    def run(self, status: str = "done") -> None:
        self.start("run", self.live, self.restoring.number, status)

    def reach(self, i: int) -> None:
        self.page.wait_for_function("i => document.querySelector('#live .rg-live').dataset.i >= i", arg=i)

    def figure(self, name: str) -> str:
        figure = self.result.locator(".rg-figures > div").filter(has=self.page.get_by_text(name, exact=True))
        return figure.locator("b").inner_text()

    def download(self, name: str, folder: Path) -> Path:
        return self.save(self.result, name, folder)

    def upload(self, path: Path) -> None:
        self.part("picture").locator("input[type=file]").first.set_input_files(path)

    def uploaded(self, path: Path) -> None:
        """Uploads a good picture and waits until the editor has it."""
        version = int(self.editor.root.get_attribute("data-version"))
        self.upload(path)
        expect(self.editor.root).to_have_attribute("data-version", str(version + 1))

    def edited(self, h: int, w: int) -> Editor:
        """The editor of a picture that is worked on at this size."""
        self.editor = Editor(self.page, "mask", h, w)
        return self.editor

    def edited_picture(self) -> np.ndarray:
        shown = self.editor.root.locator(".rg-mask-picture").get_attribute("src")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))))

    def hole(self) -> np.ndarray:
        """The mask of the last run, as its record has it."""
        operator = json.loads(self.restoring.played.record().to_json())["operator"]
        assert operator["knobs"]["kind"] == "mask"
        return masks.decode(operator["knobs"]["painted"])


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


def photo(h: int, w: int) -> Image.Image:
    y, x = np.mgrid[:h, :w]
    return Image.fromarray(np.stack([255 * x // w, 255 * y // h, 0 * x + 90], -1).astype(np.uint8))


def test_a_stroke_is_the_servers_mask_to_the_pixel(open_tab):
    tab = open_tab()
    tab.type("reddiff-steps", 1)
    for size, places in ((1, [(10, 50), (30.5, 8), (63.5, 20)]), (9, [(20, 20), (40, 44), (70, 63), (63, 66)])):
        tab.changes_the_preview(tab.editor.button("Clear").click)
        expected = {}
        tab.changes_the_preview(lambda s=size, p=places, e=expected: e.update(hole=tab.editor.stroke(p, s)))
        expected = expected["hole"]
        assert expected[:, -1].any()
        tab.editor.count(int(expected.sum()))
        expect(tab.chosen("inpaint-kind")).to_have_value("mask")
        expect(tab.part("inpaint-fraction")).to_be_hidden()
        tab.expect_preview_of(expected)
        tab.run()
        np.testing.assert_array_equal(tab.hole(), expected)


def test_run_with_nothing_touched(open_tab):
    requests = []
    tab = open_tab(before=lambda page: page.on("request", lambda request: requests.append(request)))
    expect(tab.page.locator("#result")).to_be_hidden()
    expect(tab.page.locator("#film")).to_be_hidden()
    places = ("#live .rg-live-stage", "#live .rg-bar", "#live .rg-plots", "#weights", "#knobs-reddiff", "#mask", "#measurement")

    def boxes() -> list[dict]:
        return [tab.page.locator(place).first.bounding_box() for place in places]

    before = boxes()
    opened = len(requests)
    tab.part("run").click()
    tab.reach(3)
    expect(tab.part("run")).to_be_disabled()
    assert boxes() == before
    expect(tab.live).to_have_attribute("data-status", "done")
    assert boxes() == before
    assert tab.live.get_attribute("data-i") == tab.live.get_attribute("data-n") == "100"
    assert int(tab.live.get_attribute("data-frames")) >= 3
    expect(tab.part("continue")).to_have_text("Continue")
    expect(tab.part("continue")).to_be_enabled()
    expect(tab.part("stop")).to_be_disabled()

    psnr = float(tab.figure("PSNR").removesuffix(" dB"))
    of_measurement = float(re.search(r"([\d.]+) dB", tab.caption.inner_text())[1])
    assert psnr > of_measurement + 2
    thumbs = tab.page.locator("#film .rg-thumb")
    assert thumbs.count() >= 10
    expect(thumbs.last).to_have_text("100")
    hosts = {urlsplit(request.url).hostname for request in requests if not request.url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    while_running = [request.url for request in requests[opened:]]
    assert not [url for url in while_running if "upload" in url or "/file=" in url]


def test_tuned_stopped_gone_on_with_and_replayed(open_tab, tmp_path, capsys):
    tab = open_tab()
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    tab.reach(5)
    run = tab.restoring.played
    asked, tune, stop = {}, run.tune, run.stop

    def last() -> int:
        return run.last.i

    run.tune = lambda sampler: (asked.setdefault("tune", last()), tune(sampler))
    run.stop = lambda: (asked.setdefault("stop", last()), stop())
    tab.type("reddiff-lr", 0.2)
    within(lambda: run.changes, "the learning rate of the run")
    assert run.changes[0].knobs == {"lr": 0.2}
    assert asked["tune"] <= run.changes[0].after <= asked["tune"] + 1
    expect(tab.live.locator(".rg-mark-text").first).to_have_text("lr 0.2")
    expect(tab.live.locator(".rg-plot").first.locator(".rg-mark")).to_have_count(1)

    tab.part("stop").click()
    expect(tab.live).to_have_attribute("data-status", "stopped")
    assert last() <= asked["stop"] + 1
    assert not run.playing
    assert tab.live.get_attribute("data-i") == str(last() + 1)
    shown = views.live(run, tab.restoring.number, "stopped")["frame"]
    expect(tab.live.locator(".rg-live-image")).to_have_attribute("src", shown)
    expect(tab.page.locator("#film .rg-thumb").last).to_have_text(str(last() + 1))
    expect(tab.part("continue")).to_have_text("Continue (rest)")
    before = last()

    tab.part("continue").click()
    tab.reach(before + 4)
    assert tab.restoring.played is run
    tab.type("reddiff-steps", 30)  # the run gets shorter: as many steps, or one more if they are made already
    expect(tab.live).to_have_attribute("data-status", "done")
    assert tab.live.get_attribute("data-i") == tab.live.get_attribute("data-n")
    ended = last() + 1
    assert before < ended < LONG
    tab.choose("more", "+10 steps")
    tab.part("continue").click()
    expect(tab.live).to_have_attribute("data-i", str(ended + 10))
    expect(tab.live).to_have_attribute("data-status", "done")

    saved = tab.download("record.json", tmp_path)
    restored = tab.download("restored.png", tmp_path)
    record = Record.read(saved)
    assert record.steps == ended + 10
    assert [set(change.knobs) for change in record.changes] == [{"lr"}, {"steps"}, {"steps"}]
    assert cli.main(["replay", str(saved), "--out", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["same_pixels"] is True
    again = Image.open(tmp_path / "again" / "restored.png")
    np.testing.assert_array_equal(np.asarray(again), np.asarray(Image.open(restored)))


def test_closing_the_page_ends_the_run(open_tab, app):
    tab = open_tab()
    tab.type("reddiff-steps", LONG)
    tab.run("running")
    tab.reach(3)
    run = tab.restoring.played
    assert run.playing
    tab.page.close()
    within(lambda: not run.playing, "the end of the run")
    within(lambda: tab.key not in app.sessions, "the end of the session")
    i = run.last.i
    time.sleep(0.3)
    assert run.last.i == i < LONG - 1


def test_a_reload_in_mid_run_finds_the_run_and_its_settings_and_it_goes_on(open_tab, app):
    tab = open_tab()
    tab.type("reddiff-steps", 60)
    tab.type("reddiff-lam", 0.7)
    stroke = tab.editor.stroke([(20, 20), (40, 30)], 5)
    tab.expect_preview_of(stroke | Inpaint().hole(SIDE, SIDE))
    tab.run("running")
    tab.reach(3)
    run, before = tab.restoring.played, tab.key
    tab.page.reload()
    now = within(lambda: [key for key, session in app.sessions.items() if session.state(Restoring).played is run], "the run")
    assert now != [before]
    expect(tab.live).to_have_attribute("data-status", "done")
    assert run.finished
    assert run.last.n == 60
    assert not run.changes
    for name, value in (("reddiff-steps", "60"), ("reddiff-lam", "0.7")):
        expect(tab.part(name).locator("input[type=number]")).to_have_value(value)
    tab.expect_preview_of(stroke | Inpaint().hole(SIDE, SIDE))
    tab.open("History")
    expect(tab.page.locator("#history .rg-run")).to_have_count(1)


def test_two_people_do_not_see_each_others_work(open_tab, tmp_path):
    photo(80, 120).save(tmp_path / "mine.png")
    one, two = open_tab(), open_tab()
    assert one.key != two.key
    two.uploaded(tmp_path / "mine.png")
    stroke = one.editor.stroke([(20, 20), (40, 30)], 5)
    other = two.edited(80, 120).stroke([(30, 50), (50, 50)], 3)  # at its own size, under an empty mask
    one.type("reddiff-lr", 0.3)
    two.type("reddiff-lam", 0.7)
    one.type("reddiff-steps", LONG)
    two.type("reddiff-steps", 4)
    one.run("running")
    two.run("done")  # both at once
    one.part("stop").click()
    expect(one.live).to_have_attribute("data-status", "stopped")
    np.testing.assert_array_equal(one.hole(), one.restoring.played.problem.H.hole(SIDE, SIDE))
    records = []
    for tab, drawn in ((one, stroke), (two, other)):
        box = Inpaint().hole(SIDE, SIDE) if tab is one else False  # what was painted on
        np.testing.assert_array_equal(tab.hole(), box | drawn)
        (tmp_path / tab.key).mkdir()
        records.append(Record.read(tab.download("record.json", tmp_path / tab.key)))
    assert [record.settings.sampler.lr == 0.3 for record in records] == [True, False]
    assert [record.settings.sampler.lam == 0.7 for record in records] == [False, True]
    assert records[0].image != records[1].image
    assert records[1].steps == 4
    assert same(two.session.source, images.read(tmp_path / "mine.png"))
    assert not same(one.session.source, two.session.source)


def test_pictures_of_all_sorts_and_files_that_are_none(open_tab, tmp_path):
    tab = open_tab()
    tab.editor.stroke([(12, 12), (30, 40)], 6)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    photo(90, 150).convert("P").save(tmp_path / "palette.png", exif=turned)
    photo(70, 50).convert("LA").save(tmp_path / "grey-alpha.png")
    Image.fromarray((np.mgrid[:80, :96][1] * 680).astype(np.uint16)).save(tmp_path / "deep.png")
    photo(2000, 3000).save(tmp_path / "huge.jpg", exif=turned)
    for name in ("palette.png", "grey-alpha.png", "deep.png", "huge.jpg"):
        tab.uploaded(tmp_path / name)
        mine = images.read(tmp_path / name)
        fitted = tab.restoring.fitted
        assert (fitted.how, fitted.original) == ("native", (mine.height, mine.width))
        want, found = np.asarray(images.preview(fitted.apply(mine))), tab.edited_picture()
        assert found.shape == want.shape
        lossy = name == "huge.jpg"  # shown by a smaller JPEG
        assert np.abs(found.astype(int) - want).mean() <= (3 if lossy else 0)
        tab.edited(*fitted.size).count(0)  # what was painted was painted over another picture
    assert tab.session.source.size == (2000, 3000)
    tab.changes_the_preview(lambda: tab.editor.stroke([(40, 40), (60, 90)], 20))
    hole = components.mask_bits(tab.page.evaluate(PAINTED), *fitted.size)
    assert hole.any()

    (tmp_path / "text.png").write_text("no picture at all")
    before = tab.edited_picture()
    tab.upload(tmp_path / "text.png")
    expect(tab.page.get_by_text("text.png is not a picture that can be read")).to_be_visible()
    assert tab.session.source.size == (2000, 3000)  # huge.jpg stays
    np.testing.assert_array_equal(tab.edited_picture(), before)
    tab.editor.count(int(hole.sum()))
    expect(tab.part("picture").locator("img").first).to_be_visible()
    within(lambda: tab.part("picture").locator("img").first.evaluate("image => image.naturalWidth") > 1, "the earlier picture")

    tab.page.get_by_label("My picture is already damaged").check()
    expect(tab.caption).to_contain_text("as you gave it")
    tab.type("reddiff-steps", 3)
    tab.run()
    assert tab.hole().sum() == hole.sum()  # in the part of the picture around it
    assert tab.restoring.played.problem.x_true is None
    expect(tab.result.locator(".rg-figures")).to_contain_text("residual")
    expect(tab.result.locator(".rg-figures")).not_to_contain_text("PSNR")
    expect(tab.live.get_by_text("PSNR")).to_be_hidden()


def test_a_photo_of_another_shape_is_fitted_and_comes_back_at_its_own_size(open_tab, tmp_path):
    tab = open_tab()
    expect(tab.part("fit")).to_be_hidden()  # the example has the prior's shape
    mine = photo(200, 300)
    mine.save(tmp_path / "wide.png")
    tab.uploaded(tmp_path / "wide.png")
    expect(tab.part("taken")).to_contain_text("300×200, worked on at its own size by photos")
    expect(tab.part("fit").get_by_label("Own size")).to_be_checked()
    tab.page.get_by_role("button", name="Cropped for faces-64").click()  # its click, and all is as that prior takes it
    expect(tab.part("taken")).to_contain_text("worked on at 64×64 by faces-64")
    expect(tab.part("fit")).to_contain_text("300×200")
    tab.edited(SIDE, SIDE)
    expect(tab.part("fit").get_by_label("Own size")).to_have_count(0)  # the bundled prior takes 64x64 alone
    for way in ("Stretch", "Pad"):
        version = int(tab.editor.root.get_attribute("data-version"))
        tab.part("fit").get_by_label(way).check()
        expect(tab.editor.root).to_have_attribute("data-version", str(version + 1))
        want = fitting.plan((200, 300), (SIDE, SIDE), way.lower()).apply(mine)
        np.testing.assert_array_equal(tab.edited_picture(), np.asarray(want))
    tab.changes_the_preview(lambda: tab.editor.stroke([(20, 30), (44, 34)], 7))
    tab.type("reddiff-steps", 3)
    tab.run()
    hole = fitting.plan((200, 300), (SIDE, SIDE), "pad").hole_of_picture(tab.hole())
    full = np.asarray(Image.open(tab.download("restored-full.png", tmp_path)))
    assert full.shape == (200, 300, 3)
    np.testing.assert_array_equal(full[~hole], np.asarray(mine)[~hole])
    assert (full != np.asarray(mine)).any(-1)[hole].mean() > 0.9
    assert Record.read(tab.download("record.json", tmp_path)).settings.fit == "pad"

    tab.part("examples").locator("button").first.click()
    expect(tab.part("fit")).to_be_hidden()
    expect(tab.part("taken")).to_be_hidden()


def test_every_degradation_runs(open_tab):
    tab = open_tab()
    tab.type("reddiff-steps", 3)
    for operator in [*OPERATORS[::-1], Inpaint]:
        if tab.chosen("operator").input_value() == operator.label:
            continue
        tab.choose("operator", operator.label)
        for other in OPERATORS:
            group = tab.page.locator(f"#knobs-{other.name}").first
            expect(group).to_be_visible(visible=other is operator and group.locator("input").count() > 0)
        expect(tab.editor.canvas).to_be_visible(visible=operator is Inpaint)
        tab.run()
        problem = tab.restoring.played.problem
        assert problem.H.name == operator.name
        expect(tab.picture).to_have_attribute("src", images.data_url(problem.H.picture(problem.y)))
        assert tab.figure("PSNR").endswith(" dB")
    expect(tab.part("inpaint-fraction")).to_be_visible()
    expect(tab.part("inpaint-side")).to_be_hidden()  # belongs to another kind of mask
    expect(tab.part("inpaint-text")).to_be_hidden()


def test_generated_masks_come_into_the_editor_and_are_painted_over(open_tab):
    tab = open_tab()
    dice = tab.page.locator("#inpaint-seed-dice")
    lr = tab.part("reddiff-lr").locator("input[type=number]")
    shown = (("random", 0, 0, 1), ("text", 0, 1, 0), ("half", 1, 0, 0), ("stripes", 0, 0, 0), ("freeform", 0, 0, 1))
    for kind, side, text, seed in shown:
        tab.choose("inpaint-kind", kind)
        tab.expect_preview_of(generated := Inpaint(kind=kind).hole(SIDE, SIDE))
        tab.editor.count(int(generated.sum()))
        for part, there in (("inpaint-side", side), ("inpaint-text", text), ("inpaint-seed", seed)):
            expect(tab.part(part)).to_be_visible(visible=bool(there))
        expect(dice).to_be_visible(visible=bool(seed))
        expect(lr).to_have_value(str(presets.preset("reddiff", "inpaint", kind)["lr"]))
    tab.type("inpaint-fraction", 0.5)
    tab.expect_preview_of(Inpaint(kind="freeform", fraction=0.5).hole(SIDE, SIDE))
    tab.changes_the_preview(dice.click)
    seed = int(tab.part("inpaint-seed").locator("input").input_value())
    generated = Inpaint(kind="freeform", fraction=0.5, seed=seed).hole(SIDE, SIDE)
    tab.expect_preview_of(generated)
    tab.editor.count(int(generated.sum()))
    expected = generated | tab.editor.stroke([(3, 3), (61, 60)], 4)
    expect(tab.chosen("inpaint-kind")).to_have_value("mask")
    tab.type("reddiff-steps", 1)
    tab.run()
    np.testing.assert_array_equal(tab.hole(), expected)


def test_weightings_are_drawn(open_tab):
    tab = open_tab()
    plot = tab.page.locator("#weights .rg-weights")
    exponent = tab.part("reddiff-exponent")
    for weighting in ("const", "posterior", "power", "linear"):
        tab.choose("reddiff-weighting", weighting)
        expect(plot).to_have_attribute("data-chosen", weighting)
        expect(exponent).to_be_visible(visible=weighting == "power")
        assert plot.get_attribute("data-curves") == str(len(WEIGHTINGS) + 1 + (weighting == "power"))


def test_particles_and_the_dice(open_tab, tmp_path):
    tab = open_tab()
    seed = tab.part("seed").locator("input")
    tab.page.locator("#seed-dice").click()
    expect(seed).not_to_have_value("0")
    tab.type("particles", 3)
    tab.type("reddiff-steps", 4)
    tab.run()
    record = Record.read(tab.download("record.json", tmp_path))
    assert record.settings.particles == 3
    assert record.settings.seed == int(seed.input_value())
    names = tab.result.locator("figcaption")
    expect(names).to_have_text(["mean", "spread (std)", "particle 1", "particle 2", "particle 3"])
    sources = [tile.get_attribute("src") for tile in tab.result.locator(".rg-gallery img").all()]
    assert len(set(sources)) == 5


def test_a_phone(open_tab):
    tab = open_tab(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = tab.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(tab.editor.root.get_by_text("wheel")).to_have_count(0)  # there is none
    page.evaluate("window.scrollTo(0, 0)")
    tab.type("reddiff-steps", LONG)
    page.evaluate("window.scrollTo(0, 0)")
    for name in ("run", "stop", "continue"):
        expect(tab.part(name)).to_be_in_viewport(ratio=1)
    tab.part("run").tap()
    tab.reach(2)
    expect(tab.stage).to_be_in_viewport(ratio=0.9)  # the page went where the picture forms
    tab.part("stop").tap()
    expect(tab.live).to_have_attribute("data-status", "stopped")
    expect(tab.part("continue")).to_have_text("Continue (rest)")
    for name in ("run", "stop", "continue"):  # no label is cut off
        assert tab.part(name).evaluate("button => button.scrollWidth <= button.clientWidth")
        expect(tab.part(name)).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# The mask of the editor as it was sent, read where the browser keeps it.
PAINTED = """() => {
  const { w, h, sent } = window.redguiMasks.get("mask");
  return { w, h, mask: sent };
}"""

CONTRAST = """element => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const lightWith = (colour) => { // relative luminance once this is painted on top, whatever its notation and alpha
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  };
  const chain = [];
  for (let at = element; at; at = at.parentElement) chain.unshift(at);
  const back = chain.map((at) => lightWith(getComputedStyle(at).backgroundColor)).at(-1);
  const front = lightWith(getComputedStyle(element).color);
  return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), back];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(open_tab, theme):
    tab = open_tab(f"?__theme={theme}")
    page = tab.page
    page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=theme == "dark")
    places = (
        "#operator [data-testid=block-info]", "#reddiff-steps [data-testid=block-info]", "#reddiff-steps .info-text",
        "#reddiff-lr .rg-slider-label", "#reddiff-lr .rg-slider-help", "#measurement .rg-caption", "#mask .rg-hint",
        "#live .rg-plot-title", ".rg-header h1", ".rg-header p",
    )  # fmt: skip
    for place in places:
        contrast, back = page.locator(place).first.evaluate(CONTRAST)
        assert contrast >= 4.5, place
        assert (back < 0.1) == (theme == "dark"), place


def test_numbers_that_are_none(open_tab):
    tab = open_tab()
    box = tab.part("reddiff-lr").locator("input[type=number]")
    tab.type("reddiff-lr", 50)
    expect(box).to_have_value("2")  # the highest there is
    tab.type("reddiff-lr", -1)
    expect(box).to_have_value("0.0001")
    for nothing in ("", "e"):
        box.fill("")
        box.press_sequentially(nothing) if nothing else None
        box.press("Tab")
        expect(box).to_have_value("0.0001")
    tab.type("reddiff-lr", 0.1)
    tab.type("reddiff-steps", 99_999)
    expect(tab.part("reddiff-steps").locator("input[type=number]")).to_have_value("1000")
    tab.type("particles", 999)
    expect(tab.part("particles").locator("input[type=number]")).to_have_value("16")
    tab.type("particles", 1)
    tab.type("reddiff-steps", 2)
    tab.type("seed", -3)
    expect(tab.caption).to_contain_text("seed lies in 0 to 2147483647; got -3.")
    tab.run("error")
    expect(tab.live.locator(".rg-live-message")).to_contain_text("got -3.")
    expect(tab.part("run")).to_be_enabled()
    tab.type("seed", 7)
    expect(tab.caption).to_contain_text("dB PSNR")
    tab.run()
    knobs = json.loads(tab.restoring.played.record().to_json())
    assert (knobs["seed"], knobs["particles"], knobs["steps"], knobs["sampler"]["knobs"]["lr"]) == (7, 1, 2, 0.1)


def test_a_sampler_that_ends_says_so_and_noise_has_its_own_presets(open_tab, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, ("*", "ddrm", "*@noisy"), {"steps": 7})
    tab = open_tab()
    tab.choose("sampler", "DDRM")
    steps = tab.part("ddrm-steps").locator("input[type=number]")
    before = steps.input_value()
    tab.type("sigma-y", 0.1)
    expect(steps).to_have_value("7")
    tab.type("sigma-y", 0)
    expect(steps).to_have_value(before)
    many = tab.part("particles").locator("input[type=number]")
    tab.choose("sampler", "RSD")
    expect(many).to_have_value("4")
    tab.choose("sampler", "DDRM")
    expect(many).to_have_value("1")
    tab.type("ddrm-steps", 4)
    tab.run("done")
    expect(tab.live).to_contain_text("ended at its lowest noise level")
    expect(tab.part("continue")).to_be_disabled()
    tab.choose("sampler", "RED-diff")
    tab.type("reddiff-steps", 4)
    tab.run("done")
    expect(tab.part("continue")).to_be_enabled()
