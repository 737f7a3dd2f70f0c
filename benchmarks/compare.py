"""Seconds of a comparison of five samplers over the sum of their solo runs, in one process; last line one JSON object.

    python benchmarks/compare.py [--rounds 3] [--browser]

Each round times every sampler alone, then all of them in one race watched as the app watches it, and (with --browser) the
Compare tab in a headless Chromium, in turn, so that a machine's changing speed meets all alike; the ratios are medians over
rounds. `previews_per_second` is that of all tiles together.
"""

import argparse
import json
import time
from statistics import median

import checkout  # noqa: F401
from timing import face
from watched import Watched

from redgui import knobs, presets, priors
from redgui.priors import Counted
from redgui.runs import cores
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.runs.stream import measured, solve
from redgui.runs.watch import compute, watch
from redgui.samplers import Sampler
from redgui.ui.compare.board import Scoreboard
from redgui.ui.compare.tab import Comparison
from redgui.ui.parts.running_tab import HZ

FIVE = ("reddiff", "vml-map", "ddrm", "diffpir", "dps")  # with their presets


def five(problem: Problem) -> list[Sampler]:
    return [presets.sampler_for(name, problem.H) for name in FIVE]


def alone(prior: priors.Prior, problem: Problem) -> float:
    """Seconds of the five, one after the other, with nobody watching."""
    began = time.perf_counter()
    for sampler in five(problem):
        counted = Counted(prior)
        for _ in measured(solve(problem, counted, sampler), problem, counted):
            pass
    return time.perf_counter() - began


def together(prior: priors.Prior, problem: Problem, picture) -> tuple[float, int]:
    """Seconds of the race and how many pictures were encoded for the page meanwhile."""
    race = Race([Contestant(s.name, s.label, Run(picture, problem, prior, s)) for s in five(problem)])
    board, previews, before = Scoreboard(race, 1), 0, {}
    for _ in watch(race, HZ):
        now = board.value("running")["frames"]
        previews += sum(now[key] != before.get(key) for key in now)
        before = now
    return race.elapsed, previews


def open_compare() -> Watched:
    """The Compare tab as it opens."""

    def prepare(page) -> None:
        page.get_by_role("tab", name="Compare").click()
        page.wait_for_selector("#contestants li")
        page.wait_for_timeout(1000)

    return Watched(prepare)


def seconds_and_previews(watched: Watched) -> tuple[float, int]:
    """Of the race, and how many pictures the page has shown."""
    watched.run("#compare-run", ".rg-race")
    watched.wait(".rg-race")
    race = watched.session.state(Comparison).played
    shown = watched.page.evaluate(
        "[...document.querySelectorAll('.rg-tile:not(.rg-reference)')].reduce((n, t) => n + +t.dataset.frames, 0)"
    )
    watched.page.wait_for_timeout(300)
    if {c.run.sampler for c in race.contestants} != set(five(race.problem)):
        raise SystemExit(f"the page ran {[c.run.sampler for c in race.contestants]}")
    return race.elapsed, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args()
    cores.share_out(left=1)  # as the app does at home: the engine computes, whoever looks on works alone
    prior = priors.load("faces-64", device="cpu")
    picture, problem = face(prior)
    compute(lambda: alone(prior, problem))  # warm
    watched = open_compare() if chosen.browser else None
    ratios, rates, page_ratios, page_rates = [], [], [], []
    for _ in range(chosen.rounds):
        solo = compute(lambda: alone(prior, problem))
        seconds, previews = together(prior, problem, picture)
        ratios.append(seconds / solo)
        rates.append(previews / seconds)
        line = f"solo {solo:.2f} s, race x{ratios[-1]:.3f}, {rates[-1]:.1f} previews/s"
        if watched:
            seconds, previews = seconds_and_previews(watched)
            page_ratios.append(seconds / solo)
            page_rates.append(previews / seconds)
            line += f", in a browser x{page_ratios[-1]:.3f}, {page_rates[-1]:.1f} previews/s"
        print(line)
    if watched:
        watched.close()
    found = {
        "samplers": [knobs.spec(one) for one in five(problem)],
        "rounds": chosen.rounds,
        "solo_seconds": solo,
        "race_over_solo": median(ratios),
        "previews_per_second": median(rates),
    }
    if watched:
        found |= {"browser_over_solo": median(page_ratios), "browser_previews_per_second": median(page_rates)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
