"""Seconds of a RED-diff run over seconds of as many bare network calls, in one process; last line one JSON object.

    python benchmarks/overhead.py [--steps 100] [--rounds 7] [--browser]

Each round times the bare calls, the run, and (with --browser) the run with a headless Chromium watching its page, in turn, so
that a machine's changing speed meets all alike; the ratios are medians over rounds.
"""

import argparse
import json
import time
from statistics import median

import checkout  # noqa: F401
from timing import bare, face, full
from watched import Watched

from redgui import priors
from redgui.runs import cores
from redgui.runs.watch import compute
from redgui.ui.restore.state import Restoring


def open_at(steps: int) -> Watched:
    """The Restore tab, set to so many steps."""

    def prepare(page) -> None:
        page.fill("#reddiff-steps input[type=number]", str(steps))
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)

    return Watched(prepare)


def seconds(watched: Watched) -> tuple[float, float]:
    """Of the solver from its first iteration to its last, and from the click to the first preview that is an iterate."""
    began = time.perf_counter()
    watched.run("#run", ".rg-live")
    first = time.perf_counter() - began
    watched.wait(".rg-live")
    run = watched.session.state(Restoring).played
    watched.page.wait_for_timeout(300)
    return run.elapsed, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args()
    cores.share_out(left=1)  # as the app does at home: the engine computes, whoever looks on works alone
    prior = priors.load("faces-64", device="cpu")
    _, problem = face(prior)
    compute(lambda: (bare(prior, 20), full(prior, problem, 20)))
    watched = open_at(chosen.steps) if chosen.browser else None
    runs, views, firsts = [], [], []
    for _ in range(chosen.rounds):
        network = compute(lambda: bare(prior, chosen.steps))
        runs.append(compute(lambda: full(prior, problem, chosen.steps)) / network)
        if watched:
            shown, first = seconds(watched)
            views.append(shown / network)
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
