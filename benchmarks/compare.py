"""Seconds of a comparison of five samplers over the sum of their solo runs, in one process; last line one JSON object.

    python benchmarks/compare.py [--rounds 3] [--browser]

Each round times every sampler alone, then all of them in one race watched as the app watches it, and (with --browser) the
Compare tab in a headless Chromium, in turn, so that a machine's changing speed meets all alike; the ratios are medians over
rounds. `previews_per_second` is that of all tiles together.
"""

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redgui import api, images, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.problem import Problem, measured, solve
from redgui.samplers import build as sampler
from redgui.ui.compare import HZ
from redgui.ui.race import Contestant, Race
from redgui.ui.runs import Run, newest
from redgui.ui.scoreboard import Scoreboard

FIVE = {"reddiff": 40, "vml-map": 20, "ddrm": 20, "diffpir": 30, "dps": 20}  # and their steps


def alone(prior: priors.Prior, problem: Problem) -> float:
    """Seconds of the five, one after the other, with nobody watching."""
    began = time.perf_counter()
    for name, steps in FIVE.items():
        counted = Counted(prior)
        for _ in measured(solve(problem, counted, sampler(f"{name}:steps={steps}")), problem, counted):
            pass
    return time.perf_counter() - began


def together(prior: priors.Prior, problem: Problem, picture) -> tuple[float, int]:
    """Seconds of the race and how many pictures were encoded for the page meanwhile."""
    chosen = [sampler(f"{name}:steps={steps}") for name, steps in FIVE.items()]
    race = Race([Contestant(s.name, s.label, Run(picture, problem, prior, s)) for s in chosen])
    board, previews, before = Scoreboard(race, 1), 0, {}
    with closing(newest(race.play(), race.stop)) as turns:
        for _ in turns:
            shown = time.perf_counter()
            now = board.value("running")["frames"]
            previews += sum(now[key] != before.get(key) for key in now)
            before = now
            time.sleep(max(0.0, shown + 1 / HZ - time.perf_counter()))
    return race.elapsed, previews


class Watched:
    """The app in a headless Chromium."""

    def __init__(self):
        import shutil

        from playwright.sync_api import sync_playwright

        from redgui import presets, ui

        for name, steps in FIVE.items():  # short runs, as the solo ones
            presets.PRESETS[name, "inpaint"] = {"steps": steps}
        self.demo = ui.build(device="cpu")
        _, url, _ = ui.launch(self.demo, prevent_thread_lock=True, inbrowser=False)
        self.playwright = sync_playwright().start()
        path = shutil.which("chromium") or shutil.which("google-chrome")
        self.browser = self.playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        self.page = self.browser.new_page(viewport={"width": 1400, "height": 900})
        self.page.goto(url)
        self.page.wait_for_selector("#run")
        self.page.wait_for_timeout(3000)
        self.page.get_by_role("tab", name="Compare").click()
        self.page.wait_for_selector("#contestants li")
        self.page.wait_for_timeout(1000)

    def seconds(self) -> tuple[float, int]:
        """Of the race, and how many pictures the page has shown."""
        page = self.page
        before = int(page.get_attribute(".rg-race", "data-run") or 0)
        page.click("#compare-run")
        page.wait_for_function(f"+document.querySelector('.rg-race').dataset.run > {before}")
        page.wait_for_function("document.querySelector('.rg-race').dataset.status === 'done'", timeout=300_000)
        race = next(iter(self.demo.actions.sessions._sessions.values())).comparison.race
        shown = page.evaluate(
            "[...document.querySelectorAll('.rg-tile:not(.rg-reference)')].reduce((n, t) => n + +t.dataset.frames, 0)"
        )
        page.wait_for_timeout(300)
        steps = {c.key: c.run.last.i + 1 for c in race.contestants}
        if steps != FIVE:
            raise SystemExit(f"the page ran {steps} instead of {FIVE}")
        return race.elapsed, shown

    def close(self) -> None:
        self.browser.close()
        self.playwright.stop()
        self.demo.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args()
    prior = priors.load("faces-64", device="cpu")
    picture = images.load(api.resolve("example:face-06"), 64, 64)
    problem = Problem.simulate(picture, build("inpaint"))
    alone(prior, problem)  # warm
    watched = Watched() if chosen.browser else None
    ratios, rates, page_ratios, page_rates = [], [], [], []
    for _ in range(chosen.rounds):
        solo = alone(prior, problem)
        seconds, previews = together(prior, problem, picture)
        ratios.append(seconds / solo)
        rates.append(previews / seconds)
        line = f"solo {solo:.2f} s, race x{ratios[-1]:.3f}, {rates[-1]:.1f} previews/s"
        if watched:
            seconds, previews = watched.seconds()
            page_ratios.append(seconds / solo)
            page_rates.append(previews / seconds)
            line += f", in a browser x{page_ratios[-1]:.3f}, {page_rates[-1]:.1f} previews/s"
        print(line)
    if watched:
        watched.close()
    found = {"samplers": FIVE, "rounds": chosen.rounds, "solo_seconds": solo, "race_over_solo": median(ratios)}
    found["previews_per_second"] = median(rates)
    if watched:
        found |= {"browser_over_solo": median(page_ratios), "browser_previews_per_second": median(page_rates)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
