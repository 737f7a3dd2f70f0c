"""The components in a real browser: strokes are exact, values go both ways, runs are shown."""

import base64
import io
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from redgui import images
from redgui.knobs import knob
from redgui.operators import Operator, OperatorError, build
from redgui.priors import GaussianPrior
from redgui.reading import read_hole, share
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.samplers import Sampler, Step
from redgui.ui.host.uploads import data_of
from redgui.ui.parts import components, views
from redgui.ui.parts.wiring import sent

SIZES = {"square": (64, 64), "tall": (80, 48), "large": (256, 256), "odd": (37, 255)}  # h, w
SEEN: dict[str, list] = {}  # what the server got from each editor, newest last
ORDERS: dict[str, object] = {}  # what a click on "set" sends to the editor


def picture(h: int, w: int) -> Image.Image:
    y, x = np.mgrid[:h, :w]
    return Image.fromarray(np.stack([255 * x // w, 255 * y // h, 0 * x + 90], -1).astype(np.uint8))


def box(h: int, w: int) -> np.ndarray:
    mask = np.zeros((h, w), bool)
    mask[h // 4 : h // 2, w // 4 : w // 2] = True
    return mask


def brush(h: int, w: int, size: int, cx: int, cy: int) -> np.ndarray:
    """The pixels within size/2 of the middle of a brush whose middle pixel is cx, cy."""
    middle = -0.5 if size % 2 == 0 else 0.0
    y, x = np.mgrid[:h, :w]
    return (x - cx - middle) ** 2 + (y - cy - middle) ** 2 <= size * size / 4


def line(x0: int, y0: int, x1: int, y1: int) -> Iterator[tuple[int, int]]:
    dx, dy = abs(x1 - x0), -abs(y1 - y0)
    error = dx + dy
    while True:
        yield x0, y0
        if (x0, y0) == (x1, y1):
            return
        doubled = 2 * error
        if doubled >= dy:
            error, x0 = error + dy, x0 + (1 if x0 < x1 else -1)
        if doubled <= dx:
            error, y0 = error + dx, y0 + (1 if y0 < y1 else -1)


class Editor:
    """A mask editor on a page, driven with the mouse."""

    def __init__(self, page: Page, name: str, h: int, w: int):
        self.page, self.name, self.h, self.w = page, name, h, w
        self.root = page.locator(f"#{name} .rg-mask")
        self.canvas = self.root.locator(".rg-mask-canvas")
        expect(self.root).to_have_attribute("data-w", str(w))
        self.canvas.scroll_into_view_if_needed()

    def button(self, label: str) -> Locator:
        return self.root.get_by_role("button", name=label)

    def count(self, pixels: int) -> None:
        expect(self.root).to_have_attribute("data-count", str(pixels))

    def received(self) -> np.ndarray:
        """What the server has, once it is what the page shows."""
        want = int(self.root.get_attribute("data-count"))
        for _ in range(100):
            value = SEEN.get(self.name, [None])[-1]
            if value and value["count"] == want:
                assert set(value) == {"w", "h", "mask", "version", "count"}
                mask = components.mask_bits(value, self.h, self.w)
                assert mask.sum() == want
                return mask
            self.page.wait_for_timeout(30)
        raise AssertionError(f"the server never got {want} pixels")

    def at(self, x: float, y: float) -> tuple[int, int]:
        """A place in the picture as whole page pixels."""
        area = self.canvas.bounding_box()
        return round(area["x"] + x * area["width"] / self.w), round(area["y"] + y * area["height"] / self.h)

    def cells(self, points: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
        area = self.canvas.bounding_box()
        half = 0 if size % 2 else 0.5
        sx, sy = self.w / area["width"], self.h / area["height"]
        return [(math.floor((x - area["x"]) * sx + half), math.floor((y - area["y"]) * sy + half)) for x, y in points]

    def stroke(self, places: list[tuple[float, float]], size: int, button: str = "left") -> np.ndarray:
        """Draws through the places (in picture pixels); gives the pixels that must have changed."""
        self.root.get_by_role("slider").fill(str(size))
        self.root.scroll_into_view_if_needed()
        points = [self.at(x, y) for x, y in places]
        self.page.mouse.move(*points[0])
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*point)
        self.page.mouse.up(button=button)
        cells = self.cells(points, size)
        touched = brush(self.h, self.w, size, *cells[0])
        for (x0, y0), (x1, y1) in itertools.pairwise(cells):
            for x, y in line(x0, y0, x1, y1):
                touched |= brush(self.h, self.w, size, x, y)
        return touched


def frame_of(level: int) -> str:
    return images.data_url(Image.new("RGB", (64, 64), (level, 80, 120)))


def live_value(i: int, n: int, run: int = 1, status: str = "running", psnr: bool = True) -> dict:
    steps = list(range(1, i + 1))
    return {
        "run": run, "status": status, "message": "", "frame": frame_of(20 * i), "w": 64, "h": 64, "i": i, "n": n,
        "sigma": 80 / i, "left": 0.1 * (n - i), "rate": 10.0, "sigma_y": 0.05, "marks": [{"i": 2, "text": "lr 0.5"}],
        "series": components.series_text({
            "i": steps, "sigma": [80 / k for k in steps], "data": [100 / k for k in steps], "prior": [0.01 * k for k in steps],
            "psnr": [10 + k for k in steps] if psnr else None, "residual": [1 / k for k in steps],
        }),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Toy(Sampler):
    """A sampler with a scalar that nothing else knows of."""

    name, label, paper, about = "toy", "Toy", "none", "starts from noise and stays there"
    needs = Operator
    steps: int = knob(6, 1, 100, help="steps")

    def __call__(self, prior, H, y, sigma_y, *, generator):
        for i in range(self.steps):
            yield Step(i, self.steps, 1.0, torch.zeros(len(y), *prior.shape), {"surprise": torch.full((len(y),), 10.0**i)})


def surprising() -> dict:
    """The live view of a run of the toy."""
    prior = GaussianPrior(size=16)
    picture = prior.sample(1, torch.Generator().manual_seed(3)).clamp(-1, 1)
    run = Run(picture, Problem.simulate(picture, build("denoise"), 0.1), prior, Toy())
    list(run.play())
    return views.live(run, 8, "done")


def streamed() -> Iterator[dict]:
    """A run of ten steps, which waits at its second until somebody has painted."""
    for i in range(1, 11):
        until = time.monotonic() + 30
        while i == 3 and not SEEN.get("beside") and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        yield live_value(i, 10, run=7, status="done" if i == 10 else "running")


FILM = {
    "frames": [{"src": frame_of(40 * k), "i": 10 * k, "sigma": 8 / k, "psnr": 20.0 + k} for k in range(1, 6)],
    "w": 64,
    "h": 64,
}
SIGMA = np.geomspace(0.01, 100, 30)
CURVES = [{"name": "linear", "values": SIGMA.tolist()}, {"name": "constant", "values": [1.0] * 30}]
WEIGHTS = {"sigma": SIGMA.tolist(), "curves": CURVES, "chosen": "linear", "now": 2.0}


def heard(editor: gr.HTML, name: str) -> None:
    """Keeps what the editor sends. A stroke may follow the last one faster than the answer: the newest must arrive."""
    keep = SEEN.setdefault
    editor.input(lambda value: keep(name, []).append(value), editor, None, show_progress="hidden", trigger_mode="always_last")


def given(value: dict, event: gr.EventData) -> dict:
    """What the server makes of a mask's file."""
    hole = read_hole(data_of(sent(event)["file"]))
    return components.mask_value(None, hole, value["version"]) | {"said": share(hole)}


def demo() -> gr.Blocks:
    with gr.Blocks() as blocks, gr.Tabs():
        for name, (h, w) in SIZES.items():
            with gr.Tab(name):
                with gr.Group():
                    value = components.mask_value(picture(h, w), np.zeros((h, w), bool), 1)
                    editor = components.mask_editor(name, value=value)
                shown = gr.Checkbox(True, label=f"show {name}")
                kind = gr.Button(f"set {name}")
            heard(editor, name)
            editor.upload(given, editor, editor, show_progress="hidden")
            kind.click(lambda name=name: ORDERS[name], None, editor, show_progress="hidden")
            shown.change(lambda on: gr.update(visible=on), shown, editor, show_progress="hidden")
        with gr.Tab("run"):
            live = components.live_view()
            film = components.film_strip()
            weights = components.weights_plot(value=WEIGHTS)
            beside = components.mask_editor("beside", value=components.mask_value(picture(64, 64), box(64, 64), 1))
            empty = components.mask_editor("empty")
            go = gr.Button("go")
            other = gr.Button("other")
            surprise = gr.Button("surprise")
        go.click(streamed, None, live, show_progress="hidden").then(lambda: FILM, None, film)
        other.click(lambda: {**WEIGHTS, "chosen": "constant", "now": None}, None, weights)
        surprise.click(surprising, None, live, show_progress="hidden")
        heard(beside, "beside")
        heard(empty, "empty")
    return blocks


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


def test_a_run_is_shown_and_leaves_the_editors_alone(url, open_page):
    SEEN.clear()
    page = open_page(url)
    page.get_by_role("tab", name="run").click()
    root = page.locator("#live .rg-live")
    expect(root).to_have_attribute("data-status", "idle")
    expect(root.get_by_text("Press Run and watch")).to_be_visible()
    expect(page.locator("#film .rg-film")).to_be_hidden()
    expect(page.locator("#empty").get_by_text("Choose a picture first")).to_be_visible()
    stage = root.locator(".rg-live-stage").bounding_box()
    editor = Editor(page, "beside", 64, 64)
    editor.canvas.evaluate("node => { node.dataset.same = 'yes' }")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("button", name="go", exact=True).click()
    expect(root).to_have_attribute("data-status", "running")
    editor.stroke([(5.5, 5.5)], 1)  # while the run goes on
    expect(root).to_have_attribute("data-status", "done")
    assert root.get_attribute("data-run") == "7"
    assert root.get_attribute("data-i") == root.get_attribute("data-n") == "10"
    assert 5 <= int(root.get_attribute("data-frames")) <= 10
    assert root.locator(".rg-live-image").get_attribute("src") == frame_of(200)
    expect(root.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(root.locator(".rg-facts")).to_contain_text("step 10/10")
    expect(root.locator(".rg-plot")).to_have_count(3)
    expect(root.locator(".rg-mark-text")).to_have_text("lr 0.5")
    expect(root.locator(".rg-level")).to_have_count(1)
    assert root.locator(".rg-live-stage").bounding_box()["width"] == stage["width"]
    editor.count(int(box(64, 64).sum()) + 1)
    editor.received()
    assert len(SEEN["beside"]) == 1
    assert "empty" not in SEEN
    assert editor.canvas.get_attribute("data-same") == "yes"
    assert not [address for address in requests if "upload" in address or "file=" in address]
    svg = root.locator(".rg-plot-svg").first
    svg.hover(position={"x": 60, "y": 50})
    expect(root.locator(".rg-plot-at").first).to_contain_text("step")

    film = page.locator("#film .rg-film")
    expect(film).to_have_attribute("data-chosen", "4")
    scrubber = film.get_by_role("slider")
    scrubber.focus()
    page.keyboard.press("ArrowLeft")
    expect(film.locator(".rg-film-caption")).to_have_text("step 40 · σ 2 · 24.0 dB")
    film.locator(".rg-thumb").first.click()
    expect(film.locator(".rg-film-large")).to_have_attribute("src", FILM["frames"][0]["src"])
    film.get_by_role("button", name="Play").click()
    expect(film).to_have_attribute("data-chosen", "4")
    expect(film.get_by_role("button", name="Play")).to_be_visible()

    weights = page.locator("#weights .rg-weights")
    expect(weights.locator(".rg-end.rg-strong")).to_have_text("linear")
    expect(weights.locator(".rg-now")).to_have_count(1)
    page.get_by_role("button", name="other").click()
    expect(weights.locator(".rg-end.rg-strong")).to_have_text("constant")
    expect(weights.locator(".rg-now")).to_have_count(0)


def test_a_scalar_that_only_a_sampler_knows_of_has_a_plot(url, open_page):
    page = open_page(url)
    page.get_by_role("tab", name="run").click()
    root = page.locator("#live .rg-live")
    page.get_by_role("button", name="surprise").click()
    expect(root).to_have_attribute("data-run", "8")
    plots = root.locator(".rg-plot")
    expect(plots).to_have_count(4)
    expect(plots.last.locator(".rg-plot-title")).to_have_text("surprise")
    expect(plots.last.locator("svg")).to_have_attribute("aria-label", "surprise:  1.0e5")
    expect(plots.last.locator(".rg-tick").first).to_have_text("10")  # decades: it spans five
    page.get_by_role("button", name="go", exact=True).click()
    expect(root).to_have_attribute("data-run", "7")
    expect(plots.last).to_be_hidden()


def test_a_phone_is_not_scrolled_sideways(url, open_page):
    page = open_page(url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_role("tab", name="large").tap()
    editor = Editor(page, "large", 256, 256)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert editor.canvas.bounding_box()["width"] > 320
    for button in editor.root.get_by_role("button").all():
        area = button.bounding_box()
        assert min(area["width"], area["height"]) >= 36
    page.touchscreen.tap(*editor.at(100, 100))
    assert editor.received()[100, 100]


def test_series_are_thinned_and_finite():
    steps = list(range(1, 1002))
    text = components.series_text({"i": steps, "data": [float("nan"), *map(float, steps[1:])], "psnr": None})
    series = json.loads(text)
    assert series["i"] == [*range(1, 1002, 4)]
    assert series["data"][0] is None
    assert len(series["data"]) == len(series["i"])
    assert series["psnr"] is None
    assert json.loads(components.series_text({"i": steps[:-1]}))["i"][-2:] == [997, 1000]
    assert components.series_text({"i": [], "data": []}) == '{"i":[],"data":[]}'


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
