"""Pictures and masks at the Restore tab: what is painted and uploaded is what the server has."""

import functools

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.editor import picture
from browser.pages import within
from browser.restoring import SIDE, Restore
from redgui import fitting, images, presets
from redgui.operators import Inpaint
from redgui.runs.record import Record
from redgui.ui.parts import components


@pytest.fixture
def open_tab(app, open_page):
    """open_tab(query, **options of open_page): the Restore tab on a page of its own."""
    return functools.partial(Restore, app, open_page)


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


def test_pictures_of_all_sorts_and_files_that_are_none(open_tab, tmp_path):
    tab = open_tab()
    tab.editor.stroke([(12, 12), (30, 40)], 6)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    picture(90, 150).convert("P").save(tmp_path / "palette.png", exif=turned)
    picture(70, 50).convert("LA").save(tmp_path / "grey-alpha.png")
    Image.fromarray((np.mgrid[:80, :96][1] * 680).astype(np.uint16)).save(tmp_path / "deep.png")
    picture(2000, 3000).save(tmp_path / "huge.jpg", exif=turned)
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
    mine = picture(200, 300)
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


# The mask of the editor as it was sent, read where the browser keeps it.
PAINTED = """() => {
  const { w, h, sent } = window.redguiMasks.get("mask");
  return { w, h, mask: sent };
}"""
