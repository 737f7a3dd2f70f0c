"""Every sampler on every operator that it takes, as shipped: writes docs/results.md, and sheets of pictures to --out.

    python benchmarks/pairs.py faces-64.zip --out pairs [--pictures 32] [--workers 0/1]

The pictures are the first of the zip's `val/`; knobs are the presets', of a budget (forwards + 2 x backwards of the network)
of about 100 per picture (RSD: 200, over four particles; phase retrieval more). Resumable, and more pictures can be added later;
`--workers 0/2` and `1/2` in two processes share the problems out, and `--report` writes the tables of what there is.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import torch
from tune import FAMILIES

from redgui import bench, knobs, operators, priors
from redgui.bench import report
from redgui.samplers import SAMPLERS

ROOT = Path(__file__).resolve().parents[1]
PROBLEMS = [(spec, sigma_y) for spec in FAMILIES for sigma_y in (0.0, 0.1) if (spec, sigma_y) != ("denoise", 0.0)]


def matrix(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    """Markdown: a line per problem, a column per sampler; the best of a line is bold, below the pseudo-inverse is marked."""
    names = [cls.name for cls in SAMPLERS]
    lines = [f"| operator | σ_y | pinv | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    cells: dict[tuple, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        cells[row["operator"], row["sigma_y"]][row["sampler"].partition(":")[0]] = row
    for (operator, sigma_y), found in cells.items():
        start = next(iter(found.values())).get(f"{key}_measurement")
        best = max((row[key] for row in found.values() if row[key] is not None), default=None)
        texts = []
        for name in names:
            value = found[name][key] if name in found else None
            text = "" if value is None else f"{value:.{digits}f}"
            if value is not None and value == best:
                text = f"**{text}**"
            texts.append(text + (" ▾" if value is not None and start is not None and value < start else ""))
        lines.append(f"| {operator} | {sigma_y:g} | {start:.{digits}f} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def costs(rows: list[dict[str, Any]]) -> str:
    """Markdown: what a sampler costs, over all problems."""
    by_name = defaultdict(list)
    for row in rows:
        by_name[row["sampler"].partition(":")[0]].append(row)
    lines = ["| sampler | forwards | backwards | s/picture |", "|---|---|---|---|"]
    for cls in SAMPLERS:
        found = by_name.get(cls.name)
        if found:
            spans = [
                _span([row[key] for row in found], digits) for key, digits in (("nfe", 0), ("backward", 0), ("seconds", 2))
            ]
            lines.append(f"| {cls.label} | {' | '.join(spans)} |")
    return "\n".join(lines) + "\n"


def _span(values: list[float], digits: int) -> str:
    lo, hi = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return lo if lo == hi else f"{lo} to {hi}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", default="0/1", help="index/count")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--out", default="pairs")
    chosen = parser.parse_args()
    torch.set_grad_enabled(False)
    prior = priors.load("faces-64", precision=chosen.precision)
    shown = bench.pictures(chosen.images, *prior.shape[-2:], chosen.pictures)
    index, count = map(int, chosen.workers.split("/"))
    out = Path(chosen.out)
    if not chosen.report:
        for spec, sigma_y in PROBLEMS[index::count]:
            bench.bench(shown, prior, [spec], ["all"], sigmas_y=[sigma_y], batch=8, out=out / f"worker-{index}")
            print(spec, sigma_y, flush=True)
        return
    done = {row["key"]: row for folder in sorted(out.glob("worker-*")) for row in bench.read(folder)}
    rows = []
    for spec, sigma_y in PROBLEMS:
        wanted = bench.jobs(shown, [spec], ["all"], [sigma_y])
        rows += bench.summarise(done[key] for job in wanted if (key := job.key(prior)) in done)
    text = (ROOT / "benchmarks" / "results.in.md").read_text()
    for name, table in dict(
        PSNR=matrix(rows, "psnr", 2), SSIM=matrix(rows, "ssim", 3), COSTS=costs(rows), ALL=report.table(rows),
        PICTURES=str(min((row["n"] for row in rows), default=0)),
    ).items():  # fmt: skip
        text = text.replace("{" + name + "}", table)
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "results.md").write_text(text)
    for folder in sorted(out.glob("worker-*")):
        for spec, sigma_y in PROBLEMS:
            members = [row for row in rows if (row["operator"], row["sigma_y"]) == (knobs.spec(operators.build(spec)), sigma_y)]
            mine = (
                [row for row in bench.read(folder) if (row["operator"], row["sigma_y"]) == (members[0]["operator"], sigma_y)]
                if members
                else []
            )
            if mine:
                name = f"{spec.replace(':', '-').replace('=', '-')}-{sigma_y:g}.png"
                report.sheet(mine, members, shown[: bench.SHOWN], folder).save(out / f"sheet-{name}")


if __name__ == "__main__":
    main()
