"""Eight visitors who press Run at the same moment, over the same visitors one after the other; last line one JSON object.

    python benchmarks/eight.py [--visitors 8] [--steps 100] [--rounds 2] [--prior faces-64]

The app runs in a process of its own, as at home; the visitors are pages without a browser, each with a picture, a mask, a seed
and knobs of their own. `together_over_in_turn` is the ratio of the seconds until all are done, the median over rounds.
`first_preview_max` is the longest time from a click to the first iterate that a page was shown, over all visitors and rounds.
"""

import argparse
import asyncio
import json
import os
import time
from statistics import median

import checkout  # noqa: F401
from load import App, served
from person import Person
from visitor import Visitor

from redgui import priors


async def visit(person: Person, app: App, ready: asyncio.Barrier | None) -> tuple[float, float, float]:
    """The moments of the click, of the first iterate and of the end."""
    async with Visitor(app.url) as visitor:
        await visitor.open()
        await person.settle(visitor)
        if ready is not None:
            await ready.wait()
        clicked, first = time.monotonic(), 0.0
        async for name, value in visitor.run():
            if not first and name == "live" and value.get("i"):
                first = time.monotonic()
        if visitor.shown["live"]["status"] != "done":
            raise SystemExit(f"visitor {person.number}: {visitor.shown['live']['message']}")
        return clicked, first, time.monotonic()


async def measured(app: App, people: list[Person]) -> tuple[float, float, float]:
    """Seconds of all one after the other, of all at once, and the longest wait for a first preview at once."""
    in_turn = 0.0
    for person in people:
        clicked, _, done = await visit(person, app, None)
        in_turn += done - clicked
    ready = asyncio.Barrier(len(people))
    seen = await asyncio.gather(*(visit(person, app, ready) for person in people))
    together = max(done for _, _, done in seen) - min(clicked for clicked, _, _ in seen)
    return in_turn, together, max(first - clicked for clicked, first, _ in seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prior", default="faces-64")
    chosen = parser.parse_args()
    prior = priors.load(chosen.prior, "cpu")
    people = [Person(k, prior.picture_shape[-1], steps=chosen.steps) for k in range(chosen.visitors)]
    ratios, previews = [], []
    with served(chosen.prior) as app:
        asyncio.run(visit(Person(99, prior.picture_shape[-1], steps=5), app, None))  # warm
        for _ in range(chosen.rounds):
            in_turn, together, preview = asyncio.run(measured(app, people))
            ratios.append(together / in_turn)
            previews.append(preview)
            print(f"in turn {in_turn:.1f} s, together {together:.1f} s (x{ratios[-1]:.3f}), first preview {preview:.2f} s")
    found = {"visitors": chosen.visitors, "steps": chosen.steps, "rounds": chosen.rounds, "in_turn_seconds": round(in_turn, 2)}
    found |= {"together_over_in_turn": round(median(ratios), 3), "first_preview_max": round(max(previews), 2)}
    cores = os.cpu_count() or 1
    load = round(os.getloadavg()[0] / cores, 2)
    print(json.dumps(found | {"prior": chosen.prior, "precision": prior.precision, "cores": cores, "load_per_core": load}))


if __name__ == "__main__":
    main()
