"""Every sampler on every operator that it takes, as shipped: writes docs/results.md, and sheets of pictures to --out.

    python benchmarks/pairs.py faces-64.zip --out pairs [--pictures 32] [--workers 0/1]

On those of LEAD also RED-diff as its authors published it, with ten times the steps.

The pictures are the first of the zip's `val/`; knobs are the presets', of a budget (forwards + 2 x backwards of the network)
of about 100 per picture (RSD: 200, over four particles; phase retrieval more). Resumable, and more pictures can be added later;
`--workers 0/2` and `1/2` in two processes share the problems out, and `--report` writes the tables of what there is.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
import torch
from tune import FAMILIES

from redgui import bench, knobs, operators, priors
from redgui.bench import judge, report
from redgui.samplers import SAMPLERS

ROOT = Path(__file__).resolve().parents[1]
LEAD, PUBLISHED = ("inpaint", "inpaint:kind=random", "superres", "blur"), "reddiff:compat=true"
PROBLEMS = [(spec, sigma_y) for spec in FAMILIES for sigma_y in (0.0, 0.1) if (spec, sigma_y) != ("denoise", 0.0)]


def matrix(rows: list[dict[str, Any]], key: str, digits: int, best_of: Callable[..., Any] = max) -> str:
    """Markdown: a line per problem, a column per sampler; the best of a line is bold, below the pseudo-inverse is marked."""
    names = [cls.name for cls in SAMPLERS]
    lines = [f"| operator | σ_y | pinv | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    cells: dict[tuple, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        cells[row["operator"], row["sigma_y"]][row["sampler"].partition(":")[0]] = row
    for (operator, sigma_y), found in cells.items():
        start = next(iter(found.values())).get(f"{key}_measurement")
        best = best_of((row[key] for row in found.values() if row[key] is not None), default=None)
        texts = []
        for name in names:
            value = found[name][key] if name in found else None
            text = "" if value is None else f"{value:.{digits}f}"
            if value is not None and value == best:
                text = f"**{text}**"
            texts.append(text + (" ▾" if value is not None and start is not None and value < start else ""))
        first = "" if start is None else f"{start:.{digits}f}"
        lines.append(f"| {operator} | {sigma_y:g} | {first} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def lead(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> str:
    """Markdown: RED-diff as it ships beside RED-diff as published, with their standard errors."""
    ours = {(row["operator"], row["sigma_y"]): row for row in rows if row["sampler"].partition(":")[0] == "reddiff"}
    lines = ["| operator | σ_y | as it ships, 100 calls | as published, 1000 calls | ahead by |", "|---|---|---|---|---|"]
    for theirs in published:
        mine = ours[theirs["operator"], theirs["sigma_y"]]
        texts = [f"{row['psnr']:.2f} ± {row['psnr_error']:.2f}" for row in (mine, theirs)]
        ahead = f"{mine['psnr'] - theirs['psnr']:+.2f}"
        lines.append(f"| {mine['operator']} | {mine['sigma_y']:g} | {' | '.join(texts)} | {ahead} |")
    return "\n".join(lines) + "\n"


def heat_map(rows: list[dict[str, Any]], path: Path) -> None:
    """All of `matrix` as one picture: how far each sampler is behind the best of its line, PSNR in dB."""
    import matplotlib.pyplot as plt

    problems = list(dict.fromkeys((row["operator"], row["sigma_y"]) for row in rows))
    found = {(row["operator"], row["sigma_y"], row["sampler"].partition(":")[0]): row["psnr"] for row in rows}
    psnr = np.array([[found.get((*problem, cls.name)) or np.nan for cls in SAMPLERS] for problem in problems], dtype=float)
    figure, axes = plt.subplots(figsize=(9, 8.5), layout="constrained")
    shown = axes.imshow(psnr - np.nanmax(psnr, 1, keepdims=True), cmap="viridis", vmin=-6, vmax=0, aspect="auto")
    for (i, j), value in np.ndenumerate(psnr):
        if np.isfinite(value):
            bright = value - np.nanmax(psnr[i]) > -2.5
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8, color="black" if bright else "white")
    axes.set_xticks(range(len(SAMPLERS)), [cls.label for cls in SAMPLERS], rotation=40, ha="left", fontsize=9)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(problems)), [f"{operator}, σ_y {sigma_y:g}" for operator, sigma_y in problems], fontsize=8)
    figure.colorbar(shown, label="dB behind the best of the line", shrink=0.5)
    figure.savefig(path, dpi=110)


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
    judges = bench.Judges.named(["lpips"], prior.device, *prior.shape[-2:])
    if not chosen.report:
        for spec, sigma_y in PROBLEMS[index::count]:
            asked = ["all", PUBLISHED] if spec in LEAD else ["all"]
            here = out / f"worker-{index}"
            bench.bench(shown, prior, [spec], asked, sigmas_y=[sigma_y], batch=8, judges=judges, out=here)
            print(spec, sigma_y, flush=True)
        return
    folders = sorted(out.glob("worker-*"))
    done = {row["key"]: row for here in folders for row in judge.with_lpips(here, bench.read(here), judges)}

    def rows_of(problems: list[tuple[str, float]], samplers: list[str]) -> list[dict[str, Any]]:
        wanted = [job for spec, sigma_y in problems for job in bench.jobs(shown, [spec], samplers, [sigma_y])]
        return bench.summarise(done[key] for job in wanted if (key := job.key(prior)) in done)

    rows = rows_of(PROBLEMS, ["all"])
    published = rows_of([problem for problem in PROBLEMS if problem[0] in LEAD], [PUBLISHED])
    text = (ROOT / "benchmarks" / "results.in.md").read_text()
    for name, table in dict(
        PSNR=matrix(rows, "psnr", 2), SSIM=matrix(rows, "ssim", 3), LPIPS=matrix(rows, "lpips", 3, min), COSTS=costs(rows),
        LEAD=lead(rows, published), ALL=report.table(rows), PICTURES=str(min((row["n"] for row in rows), default=0)),
    ).items():  # fmt: skip
        text = text.replace("{" + name + "}", table)
    (ROOT / "docs" / "results.md").write_text(text)
    heat_map(rows, ROOT / "docs" / "results.png")
    for folder in folders:
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
