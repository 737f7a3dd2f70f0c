"""The mask editor of one page, pictures for it, and what its strokes should paint."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from redgui.ui.parts import components

SEEN: dict[str, list] = {}  # what the server got from each editor, newest last


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

    def see(self) -> None:
        """Has the canvas show the picture that is painted on, where the editor is on one."""
        view = self.page.locator(".rg-canvas", has=self.root).locator("[data-view=input].rg-view")
        if view.count():
            view.click()
        self.canvas.scroll_into_view_if_needed()

    def button(self, label: str) -> Locator:
        self.see()
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
        self.see()
        self.root.get_by_role("slider").fill(str(size))
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
