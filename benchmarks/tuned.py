"""How far the setting that `redgui tune` finds lies from the best of those that it tried, by the PSNR that it never sees.

    python benchmarks/tuned.py faces-64.zip --out tuned [--faces 4] [--tasks inpaint blur,0.1 ...] [--sampler reddiff]

For each of the first val faces and each task the tuning is played, and then each of its settings as a whole run on the
measurement itself. A task is an operator and, after a comma, sigma_y. Resumable: what ran is read from --out. Writes
`tuned.md` there, a line for each task.
"""

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
import torch

from redgui import bench, knobs, priors
from redgui.runs.settings import Settings
from redgui.runs.sweep import Sweep
from redgui.runs.tune import Tuning

TASKS = ("inpaint", "inpaint:kind=random", "superres:factor=4", "blur,0.1", "colorize,0.1", "denoise,0.1")
NEAR = 0.3  # dB
HEAD = ("task", "σ_y", f"within {NEAR} dB", "mean gap, dB", "largest", "untuned, dB", "spread of all, dB", "runs' calls")


def measured(picture: torch.Tensor, name: str, task: str, sampler: str, prior: priors.Prior) -> dict[str, Any]:
    """Tunes on one problem, and runs each setting that was tried."""
    operator, _, sigma_y = task.partition(",")
    seed = zlib.crc32(name.encode()) % 1000
    settings = Settings.read({"operator": operator, "sigma_y": float(sigma_y or 0), "sampler": sampler, "seed": seed})
    problem = settings.problem(picture)
    tuning = Tuning(picture, problem, prior, settings.sampler)
    for _ in tuning.play():
        pass
    whole = Sweep(picture, problem, prior, tuning.grid)
    for _ in whole.play():
        pass
    psnr = {knobs.spec(cell.sampler): cell.last.psnr if cell.status == "done" and cell.last else None for cell in whole.cells}
    rounds = [{knobs.spec(member.sampler): member.score for member in group.members} for group in tuning.rounds]
    steps = getattr(settings.sampler, "steps", 1)
    won, own = knobs.spec(tuning.winner), knobs.spec(settings.sampler)
    runs = tuning.calls / steps + 1
    return {"task": task, "picture": name, "winner": won, "own": own, "psnr": psnr, "rounds": rounds, "runs": runs}


def line(task: str, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """The figures of a task as a line of the table."""
    found = []
    for row in rows:
        known = [psnr for psnr in row["psnr"].values() if psnr is not None]
        worst, best = min(known), max(known)
        found.append((best - (row["psnr"][row["winner"]] or worst), best - (row["psnr"][row["own"]] or worst), best - worst))
    gap, own, spread = np.array(found).T
    share = f"{(gap <= NEAR).sum()} of {len(rows)}"
    means = (gap.mean(), gap.max(), own.mean(), spread.mean())
    operator, _, sigma_y = task.partition(",")
    return (
        operator,
        sigma_y or "0",
        share,
        *(f"{mean:.2f}" for mean in means),
        f"{np.mean([row['runs'] for row in rows]):.1f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--sampler", default="reddiff")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--faces", type=int, default=4)
    parser.add_argument("--out", default="tuned")
    chosen = parser.parse_args()
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_grad_enabled(False)
    prior = priors.load(chosen.prior, precision=chosen.precision)
    log = out / "tuned.jsonl"
    rows = [json.loads(text) for text in log.read_text().splitlines()] if log.exists() else []
    for name, picture in ((p.name, p.x) for p in bench.pictures(chosen.images, *prior.shape[-2:], chosen.faces)):
        for task in chosen.tasks:
            if not any((row["task"], row["picture"]) == (task, name) for row in rows):
                rows.append(measured(picture, name, task, chosen.sampler, prior))
                with log.open("a") as file:
                    print(json.dumps(rows[-1]), file=file)
                print(" ".join((name, *line(task, rows[-1:]), rows[-1]["winner"])), flush=True)
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [line(task, found) for task in chosen.tasks if (found := [row for row in rows if row["task"] == task])]
    lines.append(("all", "", *line("", [row for row in rows if row["task"] in chosen.tasks])[2:]))
    (out / "tuned.md").write_text("\n".join(f"| {' | '.join(texts)} |" for texts in lines) + "\n")


if __name__ == "__main__":
    main()
