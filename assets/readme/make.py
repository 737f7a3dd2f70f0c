"""Takes the README's pictures of the running app with a headless Chromium.

python assets/readme/make.py        writes restore.png and restore-phone.png beside this file
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Page, sync_playwright

from redgui import ui

HERE = Path(__file__).parent
SHOTS = (("restore", "light", 1400, 1000), ("restore-phone", "light", 390, 844))


def run(page: Page) -> None:
    """Presses Run and waits for the result."""
    page.wait_for_selector("#run")
    page.wait_for_function("document.querySelector('.rg-picture img')?.src.startsWith('data:')")
    page.wait_for_timeout(1500)
    page.click("#run")
    page.wait_for_function("document.querySelector('.rg-live').dataset.status === 'done'", timeout=300_000)
    page.wait_for_timeout(1500)


def main() -> None:
    demo = ui.build(device="cpu")
    _, url, _ = ui.launch(demo, prevent_thread_lock=True, inbrowser=False)
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name, theme, width, height in SHOTS:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"{url}?__theme={theme}")
            run(page)
            if width < 600:
                page.locator(".rg-live").scroll_into_view_if_needed()
                page.mouse.wheel(0, 500)
                page.wait_for_timeout(500)
            page.screenshot(path=HERE / f"{name}.png")
            page.close()
        browser.close()
    demo.close()


if __name__ == "__main__":
    main()
