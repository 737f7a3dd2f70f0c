"""The Restore tab of one page, and the session that the server keeps for it."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from browser.editor import Editor
from browser.pages import App, AppPage
from redgui.operators import masks

SIDE = 64  # of the bundled prior's pictures
LONG = 1000  # steps: such a run does not end by itself while a test looks at it


class Restore(AppPage):
    """The Restore tab of one page, and the session that the server keeps for it."""

    def __init__(self, app: App, open_page: Callable[..., Page], query: str = "", **options: Any):
        super().__init__(app, open_page, query, **options)
        self.live = self.page.locator("#live .rg-live")
        self.stage = self.page.locator("#live .rg-live-stage")
        self.result = self.page.locator("#result .rg-result")
        self.canvas = self.page.locator(".rg-canvas")
        self.film = self.page.locator("#film .rg-film")
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
