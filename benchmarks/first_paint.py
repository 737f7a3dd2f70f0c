"""Milliseconds until the page is painted and until it can be used, on loopback in a headless Chromium; last line JSON.

    python benchmarks/first_paint.py [--rounds 5]

`first_contentful_paint` is the browser's own entry, `run_visible` when the Run button is there, `measurement_visible` when the
server's first answer is; medians over rounds, each in a context of its own, so without a cache. `html_kb` and `loaded_kb` are
what is transferred, `components` how many gradio makes. The load of the machine is told, since it is what varies most.
"""

import argparse
import json
import os
import socket
import time
from statistics import median

import checkout  # noqa: F401
from playwright.sync_api import Browser, sync_playwright
from watched import browser_of

from redgui.ui import build, launch

ENTRIES = """() => ({
  paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  html: performance.getEntriesByType("navigation")[0].transferSize,
  loaded: performance.getEntriesByType("resource").reduce((sum, entry) => sum + entry.transferSize, 0),
})"""


def opened(browser: Browser, url: str) -> dict[str, float]:
    """One look at the page by somebody who has never seen it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("#run").wait_for(state="visible")
    usable = time.perf_counter() - began
    page.locator("#measurement img[src^='data:']").first.wait_for(state="attached")  # another view may be in front
    answered = time.perf_counter() - began
    seen = page.evaluate(ENTRIES)
    context.close()
    times = {"first_contentful_paint": seen["paint"], "run_visible": 1000 * usable, "measurement_visible": 1000 * answered}
    return times | {"html_kb": seen["html"] / 1000, "loaded_kb": seen["loaded"] / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = build(device="cpu")
    _, url, _ = launch(demo, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, ssr_mode=False)
    with sync_playwright() as playwright:
        browser = browser_of(playwright)
        rows = [opened(browser, url) for _ in range(rounds + 1)][1:]  # the first also waits for the prior that is warmed up
        browser.close()
    for row in rows:
        print(", ".join(f"{name} {value:.0f}" for name, value in row.items()))
    told = {name: round(median(row[name] for row in rows)) for name in rows[0]}
    cores = os.cpu_count() or 1
    print(
        json.dumps(
            told | {"components": len(demo.blocks), "rounds": rounds, "load_per_core": round(os.getloadavg()[0] / cores, 2)}
        )
    )
    demo.close(verbose=False)


if __name__ == "__main__":
    main()
