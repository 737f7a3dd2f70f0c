"""Makes the finished runs that Compare, Sweep and Particles show until something has run there (`redgui.ui.parts.finished`).

    python -m assets.finished.make             all three: a minute
    python -m assets.finished.make ensemble    one of race, sweep, ensemble

Each is the first of the tasks (`redgui/tasks.py`) with the bundled prior. Writes VIEW.json beside this file, pictures as WebP.
"""

import io
import json
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.request import urlopen

from PIL import Image

from redgui import bundled, images, knobs, presets, priors
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.run import Run
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.samplers import DDRM, RedDiff
from redgui.tasks import TASKS
from redgui.ui.compare import board as racing
from redgui.ui.compare.tab import AT_FIRST
from redgui.ui.particles.board import ParticleBoard
from redgui.ui.sweep import board as sweeping

MOMENTS = 8  # and the end
LR, LAM, PARTICLES = "0.03, 0.1, 0.3", "0.1, 0.25, 1", 8
STILL = ("status", "message", "curves", "downloads")  # of a value: as at the end at every moment
SAID = "A finished run{}, to scrub. Press {} to make your own."


def light(value: Any, exact: bool = True) -> Any:
    """A value with its pictures as WebP, without loss or small."""
    if isinstance(value, dict):
        return {key: light(part, exact) for key, part in value.items()}
    if isinstance(value, str) and value.startswith("data:image/"):
        picture, buffer = Image.open(urlopen(value)).convert("RGB"), io.BytesIO()
        picture.save(buffer, "webp", lossless=exact, quality=100 if exact else 75, method=6)
        return images.file_url(buffer.getvalue(), "image/webp")
    return value


def write(
    view: str, board: Any, run: Iterable[Any], progress: Callable[[], float], button: str, specs: dict[str, str], of: str = ""
) -> None:
    """Plays a run and writes what its board had at its moments and at its end."""
    moments: list[dict[str, Any]] = []
    for _ in run:
        if len(moments) < MOMENTS and progress() >= ((len(moments) + 0.5) / MOMENTS) ** 1.5:  # most happens early
            moments.append(board.value("running") | {"said": f"{math.floor(100 * progress())} %"})
    value = light(board.value("done") | {"status": "idle", "message": SAID.format(of, button), "downloads": []})
    early = [light(moment, exact=False) for moment in moments]
    kept = [{key: part for key, part in m.items() if key not in STILL and value.get(key) != part} for m in early]
    body = {"prior": TASKS[0].prior, "specs": specs, "value": value | {"moments": json.dumps(kept)}}
    path = bundled.FINISHED / f"{view}.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    print(f"{view}: {path.stat().st_size / 1000:.0f} kB, {len(kept)} moments")


def race(picture: Any, problem: Problem, prior: priors.Prior) -> None:
    """Those that are ticked at first, with their presets."""
    members = []
    for name in AT_FIRST:
        sampler = presets.sampler_for(name, problem.H, problem.level, prior.name)
        members.append(Contestant(name, sampler.label, Run(picture, problem, prior, sampler)))
    made = Race(members)
    specs = {c.key: knobs.spec(c.run.sampler) for c in members}
    write("race", racing.Scoreboard(made, 0), made.play(), lambda: made.progress, "Compare", specs)


def sweep(picture: Any, problem: Problem, prior: priors.Prior) -> None:
    """The paper's ablation around the presets."""
    tuned = presets.sampler_for(RedDiff.name, problem.H, problem.level, prior.name)
    made = Sweep(picture, problem, prior, Grid(tuned, axis(RedDiff, "lr", LR), axis(RedDiff, "lam", LAM)))
    specs = {cell.key: knobs.spec(cell.sampler) for cell in made.cells}
    write("sweep", sweeping.SweepBoard(made, 0), made.play(), lambda: made.progress, "Sweep", specs)


def ensemble(picture: Any, problem: Problem, prior: priors.Prior) -> None:
    """Particles that are meant as draws from the posterior."""
    run = Run(picture, problem, prior, presets.sampler_for(DDRM.name, problem.H, problem.level, prior.name), PARTICLES)
    write("ensemble", ParticleBoard(run, 0), run.play(), lambda: run.progress, "Run particles", {}, f" of {DDRM.label}")


def main(words: list[str]) -> None:
    task = TASKS[0]
    prior, problem = priors.load(task.prior, "cpu", "fp32"), task.problem()
    racing.SLOW = sweeping.SLOW = 0.0  # every moment is looked at closely
    for make in (race, sweep, ensemble):
        if not words or make.__name__ in words:
            make(problem.x_true, problem, prior)


if __name__ == "__main__":
    main(sys.argv[1:])
