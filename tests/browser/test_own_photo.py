"""A person's own photo from upload to download, in a real browser: what is by itself, what is offered, and what comes back."""

import functools
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser.editor import Editor
from browser.pages import within
from browser.restoring import Restore
from redgui import api, images
from redgui.runs.record import Record
from redgui.ui.host.uploads import same


@pytest.fixture
def open_tab(app, open_page):
    return functools.partial(Restore, app, open_page)


def scene(w: int, h: int) -> Image.Image:
    """Soft colours, as a photo has them, and a dark bar that should go."""
    y, x = np.mgrid[:h, :w]
    light = 120 + 60 * np.sin(x / 40) * np.cos(y / 50)
    picture = np.stack([light, light * 0.9 + 10, 220 - light], -1)
    picture[h // 2 : h // 2 + 6, w // 4 : 3 * w // 4] = 20
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def phone(image: Image.Image, quality: int = 88) -> bytes:
    """A photo as a phone writes it: lying on its side, with the tag that says so."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Phone"
    buffer = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(buffer, "jpeg", quality=quality, subsampling=2, exif=exif)
    return buffer.getvalue()


def portrait() -> Image.Image:
    sheet = Image.new("RGB", (180, 240), (120, 110, 100))
    sheet.paste(images.read(api.resolve("example:face-13")).resize((120, 120), Image.Resampling.BICUBIC), (30, 45))
    return sheet


def carried(page: Page, name: str, kind: str, data: bytes, event: str) -> None:
    """Drops a file on the page's header, or pastes it."""
    page.evaluate(
        """([name, kind, bytes, event]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type: kind }));
          const init = { bubbles: true, cancelable: true };
          const [Made, field] = event === "paste" ? [ClipboardEvent, "clipboardData"] : [DragEvent, "dataTransfer"];
          const made = new Made(event, { ...init, [field]: data });
          document.querySelector(".rg-header").dispatchEvent(made);
        }""",
        [name, kind, list(data), event],
    )


def test_a_phones_photo_from_upload_to_download(open_tab, tmp_path):
    upright, file = scene(120, 160), tmp_path / "IMG_1.jpg"
    file.write_bytes(phone(upright))
    mine = np.asarray(images.read(file))
    assert mine.shape == (160, 120, 3)

    tab = open_tab()
    tab.type("reddiff-steps", 3)
    tab.uploaded(file)
    expect(tab.part("taken")).to_contain_text("120×160, worked on at its own size by photos")
    expect(tab.caption).to_contain_text("paint over what should go")
    editor = tab.edited(*tab.restoring.fitted.size)
    editor.count(0)

    tab.run("error")  # nothing is painted yet
    expect(tab.live.locator(".rg-live-message")).to_contain_text("Nothing is painted yet")

    hole = tab.restoring.fitted.hole_of_picture(editor.stroke([(28, 83), (92, 83)], 12))
    tab.run()
    run = tab.restoring.played
    assert (run.prior.name, run.fitting.how, run.problem.x_true) == ("photos", "native", None)
    figures = tab.result.locator(".rg-figures")
    expect(figures).not_to_contain_text("PSNR")  # the bar was to go: without it nothing is worse
    expect(figures).to_contain_text("120×160")

    full = np.asarray(Image.open(tab.download("restored-full.png", tmp_path)))
    np.testing.assert_array_equal(full[~hole], mine[~hole])
    assert (full[hole] != mine[hole]).any(-1).mean() > 0.9
    came = Image.open(tab.download("restored-full.jpg", tmp_path))
    assert came.size == (120, 160)
    assert came.quantization == Image.open(file).quantization
    assert (came.getexif().get(0x0112, 1), came.getexif()[0x010F]) == (1, "Phone")
    far = ~hole & ~np.roll(hole, 16, 0) & ~np.roll(hole, -16, 0)
    assert abs(np.asarray(came).astype(int) - full)[far].mean() < 2
    record = Record.read(tab.download("record.json", tmp_path))
    assert (record.settings.given, record.settings.prior, record.settings.fit) == (True, "photos", "native")
    again, same = api.replay(record)
    assert same
    assert again.figures["psnr"] is None

    # The result is gone on with: its pixels, its format, an empty mask, and no result beside it.
    tab.result.get_by_role("button", name="Use as input").click()
    expect(tab.page.locator("#result")).to_be_hidden()
    tab.edited(*tab.restoring.fitted.size).count(0)
    within(lambda: np.array_equal(np.asarray(tab.session.source), full), "the result as the picture")
    expect(tab.live).to_have_attribute("data-status", "idle")


def test_a_portrait_is_offered_aligned_and_comes_back_into_the_photo(open_tab, tmp_path):
    sheet = portrait()
    sheet.save(tmp_path / "portrait.png")
    tab = open_tab()
    tab.type("reddiff-steps", 2)
    tab.uploaded(tmp_path / "portrait.png")
    whole = tab.edited(*tab.restoring.fitted.size)
    hole = tab.restoring.fitted.hole_of_picture(whole.stroke([(75, 112), (105, 112)], 6))
    tab.page.get_by_role("button", name="The face, aligned").click()
    expect(tab.part("taken")).to_contain_text("its face worked on at 64×64 by faces-64")
    expect(tab.part("taken").locator("[data-name=face]")).to_have_attribute("aria-pressed", "true")
    edited = tab.edited(64, 64)
    assert int(edited.root.get_attribute("data-count")) > 20  # what was painted came along
    tab.run()
    run = tab.restoring.played
    assert (run.prior.name, run.fitting.how) == ("faces-64", "face")
    there = run.fitting.hole_of_picture(run.problem.H.hole(64, 64))
    assert there[hole].all()
    full = np.asarray(Image.open(tab.download("restored-full.png", tmp_path)))
    np.testing.assert_array_equal(full[~there], np.asarray(sheet)[~there])
    tab.page.get_by_role("button", name="Whole picture", exact=True).click()
    expect(tab.page.locator("#result")).to_be_hidden()
    expect(tab.part("taken")).to_contain_text("at its own size by photos")
    expect(tab.part("inpaint-kind").get_by_role("combobox")).to_have_value("mask")


def test_a_card_keeps_the_picture_and_another_picture_prior_or_task_clears_the_result(open_tab, tmp_path):
    scene(96, 64).save(tmp_path / "mine.png")
    tab = open_tab()
    result = tab.page.locator("#result")
    tab.type("reddiff-steps", 2)

    def run() -> None:
        tab.run()
        expect(result).to_be_visible()

    def cleared() -> None:
        expect(result).to_be_hidden()
        expect(tab.page.locator("#film")).to_be_hidden()
        expect(tab.live).to_have_attribute("data-status", "idle")
        assert tab.restoring.played is None

    run()
    tab.uploaded(tmp_path / "mine.png")
    cleared()
    tab.page.locator(".rg-card[data-name=blur]").click()
    expect(tab.chosen("operator")).to_have_value("Blur")
    expect(tab.live.locator(".rg-live-message")).to_contain_text("your own picture")
    assert same(tab.session.source, images.read(tmp_path / "mine.png"))
    expect(tab.part("taken")).to_contain_text("by photos")
    tab.type("reddiff-steps", 2)
    run()
    assert (tab.restoring.played.problem.H.name, tab.restoring.played.prior.name) == ("blur", "photos")
    assert tab.figure("PSNR")
    tab.choose("operator", "Denoising")
    cleared()
    run()
    tab.part("examples").locator("button").nth(1).click()
    cleared()
    expect(tab.part("taken")).to_be_hidden()
    tab.page.locator(".rg-card[data-name=box]").click()
    expect(result).to_be_visible()  # of an example the card shows its finished result
    expect(tab.live.locator(".rg-live-message")).to_contain_text("finished example")


def test_the_longest_side_is_chosen_on_the_page(open_tab, tmp_path):
    scene(240, 160).save(tmp_path / "mine.png")
    tab = open_tab()
    expect(tab.part("longest")).to_be_hidden()
    tab.uploaded(tmp_path / "mine.png")
    tab.edited(*tab.restoring.fitted.size).stroke([(60, 40), (100, 60)], 12)
    tab.choose("longest", "128 pixels")
    expect(tab.part("taken")).to_contain_text("240×160, all of it worked on at 128×")
    tab.type("reddiff-steps", 2)
    tab.run()
    assert max(tab.restoring.played.picture.shape[-2:]) == 128
    assert tab.restoring.played.problem.H.hole(*tab.restoring.played.picture.shape[-2:]).any()
    expect(tab.result.locator(".rg-figures")).to_contain_text("of 240×160")
    tab.part("fit").get_by_label("Crop").check()
    expect(tab.part("longest")).to_be_hidden()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_anywhere(open_tab, event):
    tab = open_tab()
    tab.open("Learn")
    buffer = io.BytesIO()
    scene(90, 70).save(buffer, "png")
    carried(tab.page, "mine.png", "image/png", buffer.getvalue(), event)
    expect(tab.part("taken")).to_contain_text("90×70")
    expect(tab.page.get_by_role("tab", name="Restore")).to_have_attribute("aria-selected", "true")
    assert tab.session.own


def test_the_result_is_copied(app, browser, tmp_path):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce")

    def open_page(url: str, **options) -> Page:
        page = context.new_page()
        page.goto(url)
        return page

    tab = Restore(app, open_page)
    tab.type("reddiff-steps", 1)
    tab.run()
    tab.result.get_by_role("button", name="Copy").click()
    expect(tab.result.get_by_text("Copied")).to_be_visible()
    sizes = """async () => {
      const [item] = await navigator.clipboard.read();
      const bitmap = await createImageBitmap(await item.getType("image/png"));
      return [bitmap.width, bitmap.height];
    }"""
    assert tab.page.evaluate(sizes) == [64, 64]
    context.close()


def test_an_own_photo_on_a_phone(open_tab, tmp_path):
    (tmp_path / "IMG_1.jpg").write_bytes(phone(scene(120, 160)))
    tab = open_tab(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.uploaded(tmp_path / "IMG_1.jpg")
    expect(tab.part("taken")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    editor: Editor = tab.edited(*tab.restoring.fitted.size)
    expect(editor.root).to_contain_text("two fingers")
    for label in ("Brush", "Rectangle", "Lasso", "Eraser"):
        expect(editor.button(label)).to_be_visible()


def test_a_reload_brings_picture_and_mask_back_to_a_server_that_knows_neither_until_they_are_forgotten(open_tab, tmp_path):
    file = tmp_path / "mine.png"
    scene(96, 72).save(file)
    tab = open_tab()
    tab.uploaded(file)
    editor = tab.edited(*tab.restoring.fitted.size)
    hole = editor.stroke([(24, 30), (60, 40)], 8)

    def reload() -> None:
        known = set(tab.app.sessions)
        tab.page.reload()
        tab.key = within(lambda: set(tab.app.sessions) - known, "a session of the page").pop()

    reload()
    assert tab.session.source is None or not tab.session.own  # what was never run the server has forgotten
    expect(tab.part("taken")).to_contain_text("96×72")
    expect(tab.editor.root).to_have_attribute("data-count", str(int(hole.sum())))
    within(lambda: same(tab.session.source, images.read(file)), "the picture of before")
    tab.part("taken").get_by_role("button", name="forget it").click()
    expect(tab.part("taken")).to_be_hidden()
    assert not tab.session.own
    assert not tab.session.files
    reload()
    expect(tab.editor.root).to_have_attribute("data-w", "64")
    tab.page.wait_for_timeout(500)
    assert not tab.session.own
