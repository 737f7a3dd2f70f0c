"""Seconds of a RED-diff run over seconds of as many bare network calls, in one process; last line one JSON object.

    python benchmarks/overhead.py [--steps 100] [--rounds 7] [--browser]

Each round times the bare calls, the run, and (with --browser) the run with a headless Chromium watching its page, in turn, so
that a machine's changing speed meets all alike; the ratios are medians over rounds.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redgui import api, images, presets, priors
from redgui.operators import build
from redgui.priors import Counted
from redgui.problem import Problem, measured, solve


def bare(prior: priors.Prior, steps: int) -> float:
    """Seconds of the network alone, called `steps` times as the run calls it."""
    dtype = prior.dtype  # type: ignore[attr-defined]
    x, t = torch.zeros(1, *prior.shape).to(dtype, memory_format=torch.channels_last), torch.full((1,), 500.0)
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(steps):
            prior.net(x, t, return_dict=False)  # type: ignore[attr-defined]
    return time.perf_counter() - began


def full(prior: priors.Prior, problem: Problem, steps: int) -> float:
    """Seconds of a whole run: random numbers, operator, optimiser, metrics and network."""
    sampler = presets.sampler_for(f"reddiff:steps={steps}", problem.H)
    began = time.perf_counter()
    counted = Counted(prior)
    for _ in measured(solve(problem, counted, sampler), problem, counted):
        pass
    return time.perf_counter() - began


class Watched:
    """The app in a headless Chromium; `seconds` is that of a run as the person behind the browser waits for it."""

    def __init__(self, steps: int):
        import shutil

        from playwright.sync_api import sync_playwright

        from redgui import ui

        self.demo = ui.build(device="cpu")
        _, url, _ = ui.launch(self.demo, prevent_thread_lock=True, inbrowser=False)
        self.playwright = sync_playwright().start()
        path = shutil.which("chromium") or shutil.which("google-chrome")
        self.browser = self.playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        self.page = self.browser.new_page(viewport={"width": 1400, "height": 900})
        self.page.goto(url)
        self.page.wait_for_selector("#run")
        self.page.wait_for_timeout(3000)
        self.page.fill("#reddiff-steps input[type=number]", str(steps))
        self.page.keyboard.press("Tab")
        self.page.wait_for_timeout(500)

    def seconds(self) -> tuple[float, float]:
        """Of the solver from its first iteration to its last, and from the click to the first preview that is an iterate."""
        page = self.page
        before = int(page.get_attribute(".rg-live", "data-run") or 0)
        began = time.perf_counter()
        page.click("#run")
        page.wait_for_function(f"+document.querySelector('.rg-live').dataset.run > {before}")
        first = time.perf_counter() - began
        page.wait_for_function("document.querySelector('.rg-live').dataset.status === 'done'", timeout=300_000)
        run = next(iter(self.demo.actions.sessions._sessions.values())).run
        page.wait_for_timeout(300)
        return run.elapsed, first

    def close(self) -> None:
        self.browser.close()
        self.playwright.stop()
        self.demo.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args()
    prior = priors.load("faces-64", device="cpu")
    picture = images.load(api.resolve("example:face-06"), 64, 64)
    problem = Problem.simulate(picture, build("inpaint"))
    bare(prior, 20), full(prior, problem, 20)
    watched = Watched(chosen.steps) if chosen.browser else None
    runs, views, firsts = [], [], []
    for _ in range(chosen.rounds):
        network = bare(prior, chosen.steps)
        runs.append(full(prior, problem, chosen.steps) / network)
        if watched:
            seconds, first = watched.seconds()
            views.append(seconds / network)
            firsts.append(first)
        print(f"network {network:.3f} s, run x{runs[-1]:.3f}" + (f", watched x{views[-1]:.3f}" if views else ""))
    if watched:
        watched.close()
    found = {"steps": chosen.steps, "rounds": chosen.rounds, "network_seconds": network, "run_over_network": median(runs)}
    if views:
        found |= {"watched_over_network": median(views), "first_preview_seconds": median(firsts)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
