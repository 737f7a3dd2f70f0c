"""A mask's file on the page: the server reads it, and what the page shows is what Python reads, to the pixel."""


import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import expect

from browser.pages import AppPage
from redgui import fitting, reading
from redgui.ui.parts.controls import fit_name

PRIOR = "gaussian:size=64"
SIZE = (160, 320)  # h, w


def shown(tab: AppPage) -> np.ndarray:
    """The mask that the page shows, by what it saves."""
    with tab.page.expect_download() as download:
        tab.part("mask").get_by_role("button", name="Save the mask").click()
    return np.asarray(Image.open(download.value.path()).convert("L")) > 0


def test_a_mask_of_a_file_follows_every_fit_as_python_reads_it(app, open_page, tmp_path):
    h, w = SIZE
    y, x = np.mgrid[:h, :w]
    Image.fromarray(np.stack([255 * x // w, 255 * y // h, 0 * x + 90], -1).astype(np.uint8)).save(tmp_path / "photo.png")
    soft = Image.new("L", (w, h))
    draw = ImageDraw.Draw(soft)
    draw.rectangle((88, 58, 132, 102), fill=255)
    soft = soft.filter(ImageFilter.GaussianBlur(2))
    ImageDraw.Draw(soft).line((200, 0, 203, h), fill=255)
    soft.save(tmp_path / "soft.png")
    np.save(tmp_path / "box.npy", (x > 100) & (x < 160) & (y > 30) & (y < 90))
    clear = np.zeros((h, w, 4), np.uint8)
    clear[40:80, 140:200] = (0, 0, 255, 255)
    Image.fromarray(clear).save(tmp_path / "clear.webp", lossless=True)

    tab = AppPage(app, open_page)
    root, hint = tab.page.locator("#mask .rg-mask"), tab.page.locator("#mask .rg-hint")
    tab.part("picture").locator("input[type=file]").first.set_input_files(tmp_path / "photo.png")
    expect(tab.part("fit")).to_contain_text("320×160")
    before = ""
    for how, name in zip(("crop", "pad", "stretch", "native"), ("soft.png", "box.npy", "clear.webp", "soft.png"), strict=True):
        fitted = fitting.plan(SIZE, (64, 64), how, multiple=1)
        tab.part("fit").get_by_label(fit_name(how)).check()
        expect(root).to_have_attribute("data-w", str(fitted.size[1]))
        if before:  # the mask that was given follows its picture
            follows, _ = fitting.read_mask(tmp_path / before, fitted)
            expect(root).to_have_attribute("data-count", str(int(follows.sum())))
            np.testing.assert_array_equal(shown(tab), follows)
        before = name
        root.locator("input[type=file]").set_input_files(tmp_path / name)
        wanted, _ = fitting.read_mask(tmp_path / name, fitted)
        expect(root).to_have_attribute("data-count", str(int(wanted.sum())))
        np.testing.assert_array_equal(shown(tab), wanted)
        expect(hint).to_have_text(reading.share(wanted).capitalize() + ".")
    expect(tab.part("inpaint-kind").get_by_role("combobox")).to_have_value("mask")

    # What cannot be read right changes nothing, and says why.
    Image.new("L", (50, 50), 255).save(tmp_path / "square.png")
    root.locator("input[type=file]").set_input_files(tmp_path / "square.png")
    expect(tab.page.get_by_text("the mask is 50x50 and the picture 320x160")).to_be_visible()
    np.testing.assert_array_equal(shown(tab), wanted)
    tab.part("mask").get_by_role("button", name="Undo").click()  # a file is one step of the history
    expect(root).not_to_have_attribute("data-count", str(int(wanted.sum())))


def test_what_is_transparent_in_a_picture_is_in_the_editor(app, open_page, tmp_path):
    layer = np.full((64, 64, 4), (200, 120, 40, 255), np.uint8)
    layer[10:20, 30:50, 3] = 0
    Image.fromarray(layer).save(tmp_path / "erased.png")
    tab = AppPage(app, open_page)
    root = tab.page.locator("#mask .rg-mask")
    tab.part("picture").locator("input[type=file]").first.set_input_files(tmp_path / "erased.png")
    expect(tab.page.locator("#mask .rg-hint")).to_contain_text("What is transparent is to be filled in")
    expect(root).to_have_attribute("data-count", "200")
    np.testing.assert_array_equal(shown(tab), layer[..., 3] == 0)
