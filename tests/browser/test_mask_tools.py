"""The mask editor's tools in a real browser: rectangle and lasso are exact; zoom and pan paint nothing, strokes stay exact."""

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from browser.editor import SEEN, Editor, picture
from redgui.ui.parts import components

H, W = 240, 360


@pytest.fixture(scope="module")
def url(serve):
    with gr.Blocks() as demo:
        for name, (h, w) in {"photo": (H, W), "small": (64, 64)}.items():
            empty = components.mask_value(picture(h, w), np.zeros((h, w), bool), 1)
            editor = components.mask_editor(elem_id=name, value=empty)
            editor.input(lambda value, name=name: SEEN.setdefault(name, []).append(value), editor, None)
    return serve(demo)


@pytest.fixture
def photo(url, open_page) -> Editor:
    SEEN.clear()
    editor = Editor(open_page(url), "photo", H, W)
    editor.root.scroll_into_view_if_needed()
    return editor


def drag(editor: Editor, places: list[tuple[float, float]], button: str = "left") -> list[tuple[float, float]]:
    """Drags through places (in picture pixels); where that was, exactly, in picture pixels."""
    points = [editor.at(*place) for place in places]
    area = editor.canvas.bounding_box()
    editor.page.mouse.move(*points[0])
    editor.page.mouse.down(button=button)
    for point in points[1:]:
        editor.page.mouse.move(*point)
    editor.page.mouse.up(button=button)
    return [((x - area["x"]) * W / area["width"], (y - area["y"]) * H / area["height"]) for x, y in points]


def test_a_rectangle_is_all_pixels_between_two_places(photo):
    photo.button("Rectangle").click()
    (x0, y0), (x1, y1) = drag(photo, [(200.5, 150.5), (80.5, 40.5)])
    expected = np.zeros((H, W), bool)
    expected[int(y1) : int(y0) + 1, int(x1) : int(x0) + 1] = True
    np.testing.assert_array_equal(photo.received(), expected)
    photo.button("Eraser").click()
    (x0, y0), (x1, y1) = drag(photo, [(100.5, 60.5), (140.5, 400)])  # beyond the picture's edge
    expected[int(y0) :, int(x0) : int(x1) + 1] = False
    np.testing.assert_array_equal(photo.received(), expected)
    photo.button("Undo").click()
    photo.count(int(expected.sum()) + int((151 - int(y0)) * (int(x1) - int(x0) + 1)))


def test_a_lasso_fills_what_it_goes_around(photo):
    photo.page.keyboard.press("Escape")
    photo.canvas.focus()
    photo.page.keyboard.press("l")
    expect(photo.button("Lasso")).to_have_attribute("aria-pressed", "true")
    points = drag(photo, [(60, 60), (300, 80), (200, 120), (280, 200), (90, 180)])
    drawn = Image.new("1", (16 * W, 16 * H))  # at 16 times the size: what lies a pixel from the line is in or out for certain
    ImageDraw.Draw(drawn).polygon([(16 * x, 16 * y) for x, y in points], fill=1)
    share = np.asarray(drawn).reshape(H, 16, W, 16).mean((1, 3))
    got = photo.received()
    assert got[share == 1].all()
    touched = np.pad(share > 0, 1)
    near = np.lib.stride_tricks.sliding_window_view(touched, (3, 3)).any((2, 3))
    assert not got[~near].any()  # the line itself may lie a pixel beside a corner
    assert 0.97 < got.sum() / share.sum() < 1.06


def test_a_lasso_that_crosses_itself_has_no_hole(photo):
    photo.button("Lasso").click()
    turns = [(100, 100), (250, 100), (250, 200), (100, 200), (100, 100), (250, 100), (250, 200), (100, 200)]
    drag(photo, turns)
    assert photo.received()[110:190, 110:240].all()


def test_wheel_and_space_show_another_part_and_strokes_stay_exact(photo):
    page = photo.page
    whole = photo.canvas.bounding_box()
    page.mouse.move(*photo.at(240, 80))
    page.mouse.wheel(0, -400) if whole["width"] < W else photo.canvas.focus()
    for _ in range(6):
        page.mouse.wheel(0, -200)
    expect(photo.root).not_to_have_attribute("data-zoom", "1.00")
    large = photo.canvas.bounding_box()
    assert large["width"] > 3 * whole["width"]
    x, y = photo.at(240, 80)  # the place under the mouse stays there
    stage = photo.root.locator(".rg-mask-stage").bounding_box()
    assert stage["x"] < x < stage["x"] + stage["width"]
    assert stage["y"] < y < stage["y"] + stage["height"]

    expected = photo.stroke([(236, 76), (244, 84)], 3)
    np.testing.assert_array_equal(photo.received(), expected)

    sent = len(SEEN["photo"])
    page.mouse.move(*photo.at(240, 80))
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(x - 60, y + 30, steps=3)
    page.mouse.up()
    page.keyboard.up(" ")
    moved = photo.canvas.bounding_box()
    assert moved["x"] < large["x"] - 20
    page.wait_for_timeout(200)
    assert len(SEEN["photo"]) == sent, "a drag that moves the picture paints nothing"

    expected |= photo.stroke([(250, 70), (252, 70)], 5)
    np.testing.assert_array_equal(photo.received(), expected)
    page.keyboard.press("0")
    assert photo.canvas.bounding_box()["width"] == pytest.approx(whole["width"])
    expect(photo.root).to_have_attribute("data-zoom", "1.00")


TOUCHES = """(canvas) => {
  const area = canvas.getBoundingClientRect();
  const send = (name, id, x, y) => {
    const place = { clientX: area.x + x * area.width, clientY: area.y + y * area.height };
    const button = name === "pointermove" ? -1 : 0;
    const finger = { pointerId: id, pointerType: "touch", isPrimary: id === 11, button, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new PointerEvent(name, { ...finger, ...place }));
  };
  canvas.setPointerCapture = () => {};
  send("pointerdown", 11, 0.45, 0.5);
  send("pointermove", 11, 0.44, 0.5);
  send("pointerdown", 12, 0.55, 0.5);
  send("pointermove", 11, 0.30, 0.5);
  send("pointermove", 12, 0.70, 0.5);
  send("pointerup", 12, 0.70, 0.5);
  send("pointermove", 11, 0.40, 0.6);
  send("pointerup", 11, 0.40, 0.6);
}"""


def test_two_fingers_zoom_and_leave_no_mark(photo):
    photo.canvas.evaluate(TOUCHES)
    assert float(photo.root.get_attribute("data-zoom")) > 2.5
    photo.count(0)
    assert not SEEN.get("photo")


def test_a_wheel_over_a_small_picture_scrolls_the_page(url, open_page):
    editor = Editor(open_page(url, viewport={"width": 900, "height": 500}), "small", 64, 64)
    editor.canvas.hover()
    before = editor.page.evaluate("document.scrollingElement.scrollTop")
    editor.page.mouse.wheel(0, -150)
    editor.page.wait_for_timeout(200)
    assert editor.page.evaluate("document.scrollingElement.scrollTop") < before
    assert editor.root.get_attribute("data-zoom") in (None, "1.00")
