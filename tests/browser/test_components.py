"""The mask editor in a real browser: strokes are exact, and values go both ways."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.editor import SEEN, Editor, box, picture
from browser.toys import ORDERS, SIZES, demo
from redgui.operators import OperatorError
from redgui.reading import share
from redgui.ui.parts import components


@pytest.fixture(scope="module")
def url(serve) -> str:
    return serve(demo())


@pytest.fixture
def open_editor(url, open_page):
    def open_(name: str = "square", **options) -> Editor:
        SEEN.clear()
        page = open_page(url, **options)
        page.get_by_role("tab", name=name, exact=True).click()
        return Editor(page, name, *SIZES[name])

    return open_


@pytest.mark.parametrize(("name", "width"), [*((name, 1280) for name in SIZES), ("tall", 390)])
def test_strokes_are_exact(open_editor, name, width):
    editor = open_editor(name, viewport={"width": width, "height": 900})
    h, w = SIZES[name]
    places = [(w * 0.2, h * 0.3), (w * 0.7, h * 0.35), (w * 0.72, h * 0.8), (w * 0.3, h * 0.6), (w * 0.2, h * 0.31)]
    for size in (1, 2, 7):
        expected = editor.stroke(places, size)
        editor.count(int(expected.sum()))
        np.testing.assert_array_equal(editor.received(), expected)
        editor.button("Clear").click()


def test_strokes_go_off_every_edge_and_come_back(open_editor):
    editor = open_editor("tall")
    h, w = SIZES["tall"]
    expected = editor.stroke([(w / 2, h / 2), (w + 6, h / 2), (w + 6, h / 4), (-5, 3), (w * 0.4, -4), (w * 0.5, h * 0.2)], 6)
    np.testing.assert_array_equal(editor.received(), expected)
    assert expected[:, -1].any()
    assert expected[:, 0].any()
    assert expected[0].any()


def test_a_click_of_size_one_is_one_pixel_even_in_the_corners(open_editor):
    editor = open_editor("square")
    for x, y in [(0.5, 0.5), (63.5, 0.5), (0.5, 63.5), (63.5, 63.5), (31.5, 12.5)]:
        editor.stroke([(x, y)], 1)
    editor.count(5)
    assert np.argwhere(editor.received()).tolist() == [[0, 0], [0, 63], [12, 31], [63, 0], [63, 63]]


def test_erase_undo_redo_invert_and_clear(open_editor):
    editor = open_editor("square")
    painted = editor.stroke([(10.5, 32.5), (50.5, 32.5)], 9)
    rubbed = editor.stroke([(30.5, 10.5), (30.5, 50.5)], 5, button="right")
    np.testing.assert_array_equal(editor.received(), painted & ~rubbed)
    editor.button("Eraser").click()
    again = editor.stroke([(12.5, 32.5)], 3)
    expected = painted & ~rubbed & ~again
    np.testing.assert_array_equal(editor.received(), expected)
    editor.button("Invert").click()
    np.testing.assert_array_equal(editor.received(), ~expected)
    editor.button("Clear").click()
    editor.count(0)
    editor.canvas.focus()
    for want in (~expected, expected, painted & ~rubbed, painted, painted & False):
        editor.page.keyboard.press("Control+z")
        editor.count(int(want.sum()))
    expect(editor.button("Undo")).to_be_disabled()
    editor.page.keyboard.press("Control+y")
    np.testing.assert_array_equal(editor.received(), painted)


def test_keys_and_wheel(open_editor):
    editor = open_editor("square")
    editor.canvas.focus()
    slider = editor.root.get_by_role("slider")
    slider.fill("5")
    editor.canvas.focus()
    editor.page.keyboard.press("]")
    expect(slider).to_have_value("6")
    editor.page.keyboard.press("[")
    editor.canvas.hover()
    editor.page.keyboard.down("Control")
    editor.page.mouse.wheel(0, -100)
    editor.page.keyboard.up("Control")
    expect(slider).to_have_value("6")
    slider.fill("1")
    editor.canvas.focus()
    editor.page.keyboard.press("ArrowRight")
    editor.page.keyboard.press("Space")
    assert np.argwhere(editor.received()).tolist() == [[32, 33]]


def test_a_mask_goes_out_as_a_picture_and_comes_back(open_editor, tmp_path):
    editor = open_editor("tall")
    expected = editor.stroke([(5, 5), (30, 60), (45, 20)], 4)
    with editor.page.expect_download() as download:
        editor.button("Save the mask").click()
    saved = Image.open(download.value.path()).convert("RGB")
    assert saved.size == (48, 80)
    assert sorted(set(saved.get_flattened_data())) == [(0, 0, 0), (255, 255, 255)]
    np.testing.assert_array_equal(np.asarray(saved)[..., 0] > 0, expected)
    editor.button("Clear").click()
    editor.count(0)
    path = tmp_path / "mask.png"
    saved.save(path)
    editor.root.locator("input[type=file]").set_input_files(path)
    editor.count(int(expected.sum()))
    expect(editor.root.locator(".rg-hint")).to_have_text(share(expected))
    editor.button("Undo").click()  # a file is one step of the history
    editor.count(0)
    editor.button("Redo").click()
    editor.count(int(expected.sum()))
    np.testing.assert_array_equal(editor.received(), expected)


def test_a_generated_mask_is_painted_over_and_undone(open_editor):
    editor = open_editor("square")
    mine = editor.stroke([(8.5, 8.5), (20.5, 8.5)], 5)
    ORDERS["square"] = components.mask_value(None, box(64, 64), 2)
    editor.page.get_by_role("button", name="set square").click()
    editor.count(int(box(64, 64).sum()))
    expect(editor.root).to_have_attribute("data-version", "2")
    expect(editor.root.locator(".rg-mask-picture")).to_be_visible()
    over = editor.stroke([(40.5, 40.5), (60.5, 60.5)], 7)
    np.testing.assert_array_equal(editor.received(), box(64, 64) | over)
    assert SEEN["square"][-1]["version"] == 2
    editor.button("Undo").click()
    editor.button("Undo").click()
    np.testing.assert_array_equal(editor.received(), mine)
    ORDERS["square"] = components.mask_value(picture(64, 64), ~box(64, 64), 3)
    editor.page.get_by_role("button", name="set square").click()
    editor.count(int((~box(64, 64)).sum()))
    expect(editor.button("Undo")).to_be_disabled()
    ORDERS["square"] = None
    editor.page.get_by_role("button", name="set square").click()
    expect(editor.root.get_by_text("Choose a picture first")).to_be_visible()
    expect(editor.button("Invert")).to_be_disabled()


def test_a_mask_that_arrives_in_the_middle_of_a_stroke_is_painted_on(open_editor):
    editor = open_editor("square")
    ORDERS["square"] = components.mask_value(None, box(64, 64), 2)
    editor.root.get_by_role("slider").fill("1")
    editor.page.mouse.move(*editor.at(50.5, 50.5))
    editor.page.mouse.down()
    editor.page.get_by_role("button", name="set square").evaluate("button => button.click()")
    editor.count(int(box(64, 64).sum()))
    editor.page.mouse.move(*editor.at(55.5, 50.5))
    editor.page.mouse.up()
    expected = box(64, 64)
    expected[50, 50:56] = True
    editor.count(int(expected.sum()))
    np.testing.assert_array_equal(editor.received(), expected)


def test_a_mask_survives_being_hidden(open_editor):
    editor = open_editor("square")
    mine = editor.stroke([(8.5, 8.5), (50.5, 20.5)], 5)
    source = editor.root.locator(".rg-mask-picture").get_attribute("src")
    editor.page.get_by_label("show square").uncheck()
    expect(editor.canvas).to_be_hidden()
    editor.page.get_by_label("show square").check()
    expect(editor.canvas).to_be_visible()
    editor.count(int(mine.sum()))
    assert editor.root.locator(".rg-mask-picture").get_attribute("src") == source
    more = editor.stroke([(30.5, 50.5)], 7)
    np.testing.assert_array_equal(editor.received(), mine | more)
    editor.button("Undo").click()
    editor.button("Undo").click()
    editor.count(0)


GOOD = {"w": 9, "h": 3, "mask": base64.b64encode(bytes(4)).decode()}


@pytest.mark.parametrize(
    "value",
    [
        None, "", [], {}, 3, {**GOOD, "w": "9"}, {**GOOD, "w": True}, {**GOOD, "w": 9.0}, {**GOOD, "w": 10}, {**GOOD, "h": -3},
        {**GOOD, "mask": None}, {**GOOD, "mask": "AAAA"}, {**GOOD, "mask": "AAAAA==="}, {**GOOD, "mask": "AA A\nA=="},
        {**GOOD, "mask": "ÄÄÄÄÄÄ=="}, {**GOOD, "mask": base64.b64encode(b"\0\0\0\1").decode()}, {**GOOD, "mask": "A" * 10**6},
    ],
)  # fmt: skip
def test_a_wrong_mask_is_refused(value):
    with pytest.raises(OperatorError):
        components.mask_bits(value, 3, 9)


@pytest.mark.parametrize("shape", [(3, 9), (64, 64), (1, 1), (255, 1)])
def test_masks_round_trip(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    value = json.loads(json.dumps(components.mask_value(picture(*shape), mask, 4)))
    np.testing.assert_array_equal(components.mask_bits(value, *shape), mask)
    shown = Image.open(io.BytesIO(base64.b64decode(value["image"].split(",")[1])))
    assert shown.size == shape[::-1]
    assert value["version"] == 4
    assert "image" not in components.mask_value(None, mask, 4)
