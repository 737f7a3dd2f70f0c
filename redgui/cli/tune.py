"""`redgui tune`: the knobs for one picture, found without a ground truth."""

import argparse
import json
from pathlib import Path
from typing import Any

from redgui.cli.output import figures_json, spoken
from redgui.cli.restore import add_problem


def add(commands: Any) -> None:
    """Adds `tune` to the commands."""
    tune = commands.add_parser("tune", help="find a sampler's knobs for a picture without its truth, and restore it with them")
    add_problem(tune)
    tune.add_argument("--out", default="tuned", metavar="DIR", help="as of restore, and tune.json with all that was tried")
    tune.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Tunes, restores, and tells what was tried."""
    from redgui import api, knobs

    options = {key: value for key, value in vars(chosen).items() if key not in ("command", "run", "out")}
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)  # fails now, not after the runs
    with spoken():
        result, scores = api.tune(**options)
    result.save(out)
    tried = [{"sampler": knobs.spec(sampler), "score": score} for sampler, score in scores]
    (out / "tune.json").write_text(figures_json({"tried": tried}))
    for row in tried:
        print(f"{row['score']:.4f} {row['sampler']}")
    print(f"wrote {chosen.out}/restored.png, record.json, tune.json and more")
    print(json.dumps(json.loads(figures_json(result.figures)) | {"tried": len(tried)}))
