"""Takes the README's pictures of the running app, one or more of every tab, with a headless Chromium.

python -m assets.readme.make [NAME ...]        writes NAME.png beside this file, or all of them
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright

from redgui import ui

HERE = Path(__file__).parent
PATIENCE = 600_000  # milliseconds of a comparison on a slow machine


def wait(page: Page, selector: str, status: str = "done") -> None:
    """Until an element's data-status is this one, and its pictures are drawn."""
    page.wait_for_selector(f"{selector}[data-status='{status}']", timeout=PATIENCE, state="attached")
    page.wait_for_timeout(1500)


def restore(page: Page) -> None:
    page.click("#run")
    wait(page, "#live .rg-live")


def tab(name: str, after: Callable[[Page], None]) -> Callable[[Page], None]:
    """Opens a tab, then does what belongs to it."""

    def act(page: Page) -> None:
        page.get_by_role("tab", name=name).click()
        page.wait_for_timeout(2500)
        after(page)

    return act


def play(name: str, view: str) -> Callable[[Page], None]:
    """Presses the button of a tab and waits for the end."""

    def act(page: Page) -> None:
        page.click(f"#{name}-run")
        wait(page, view)

    return act


def compare(page: Page) -> None:
    play("compare", "#race .rg-race")(page)
    for key in ("reddiff", "ddrm"):  # these two under the line
        page.locator(f".rg-tile[data-key='{key}'] .rg-tile-view").click()
    page.wait_for_timeout(800)


def sweep(page: Page) -> None:
    play("sweep", "#sweep .rg-sweep")(page)
    page.locator("#sweep [data-key='1-1']").first.click()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(800)


def history(page: Page) -> None:
    restore(page)
    tab("History", lambda page: page.locator("#history button:has(img)").first.click())(page)
    page.wait_for_timeout(1500)


def marked(folder: Path) -> Path:
    """A photograph that is free to use (NASA's of Eileen Collins, as scikit-image has it) with a watermark, as a JPEG."""
    from skimage import data

    photo = Image.fromarray(data.astronaut()).crop((0, 0, 512, 400))
    draw, font = ImageDraw.Draw(photo), ImageFont.load_default(size=30)
    draw.text((40, 330), "SAMPLE  SAMPLE", fill=(235, 235, 235), font=font, stroke_width=1)
    photo.save(folder / "photo.jpg", quality=92)
    return folder / "photo.jpg"


def own_photo(page: Page) -> None:
    """Uploads it, paints over the watermark with the rectangle, and runs."""
    with tempfile.TemporaryDirectory() as folder:
        page.locator("#picture input[type=file]").first.set_input_files(marked(Path(folder)))
        page.wait_for_selector("#taken .rg-taken-text:has-text('512')")
    page.wait_for_timeout(1000)
    page.locator("#mask [aria-label^=Rectangle]").click()
    canvas = page.locator("#mask .rg-mask-canvas")
    canvas.scroll_into_view_if_needed()
    area = canvas.bounding_box() or {}
    places = [(area["x"] + x * area["width"] / 512, area["y"] + y * area["height"] / 400) for x, y in ((34, 328), (292, 368))]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()
    page.wait_for_timeout(800)
    restore(page)
    page.evaluate("window.scrollTo(0, 0)")


def phone(page: Page) -> None:
    restore(page)
    page.evaluate("document.querySelector('.rg-stage').scrollIntoView()")
    page.wait_for_timeout(800)


# name -> theme, width, height of the window, what is done on the page
SHOTS: dict[str, tuple[str, int, int, Callable[[Page], None]]] = {
    "restore": ("light", 1440, 900, restore),
    "restore-dark": ("dark", 1440, 900, restore),
    "restore-phone": ("light", 390, 844, phone),
    "own-photo": ("light", 1440, 900, own_photo),
    "compare": ("light", 1400, 1080, tab("Compare", compare)),
    "sweep": ("light", 1400, 1080, tab("Sweep", sweep)),
    "particles": ("light", 1400, 1080, tab("Particles", play("particles", "#ensemble .rg-particles"))),
    "learn": ("light", 1400, 1500, tab("Learn", lambda page: page.wait_for_selector("#anatomy img, .rg-anatomy img"))),
    "history": ("light", 1400, 1080, history),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHOTS)}")
    chosen = parser.parse_args().names or list(SHOTS)
    demo = ui.build(device="cpu")
    _, url, _ = ui.launch(demo, prevent_thread_lock=True, inbrowser=False)
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name in chosen:
            theme, width, height, act = SHOTS[name]
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(120_000)
            page.goto(f"{url}?__theme={theme}")
            page.wait_for_function("document.querySelector('.rg-picture img')?.src.startsWith('data:')")
            page.wait_for_timeout(1500)
            act(page)
            file = HERE / f"{name}.png"
            page.screenshot(path=file)
            page.close()
            # 256 colours are enough for a page, and a third of the bytes.
            Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
            print(file, f"{file.stat().st_size / 1000:.0f} kB")
        browser.close()
    demo.close()


if __name__ == "__main__":
    main()
