"""What a benchmark leaves for people: tables, and a contact sheet and a plot of quality per problem.

`results.csv` has a row per setting, `rows.csv` one per picture with its record as JSON; both as Parquet, too, where pyarrow is
installed. `table.md` is what people read.
"""

import csv
import importlib.util
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from redgui import bench, images, noise, operators
from redgui.runs.problem import Problem
from redgui.sheets import Sheet

Row = dict[str, Any]
LABEL = 150  # pixels for a line's name on a contact sheet
TILE = 64  # smaller pictures are shown this large
PARQUET = 'Parquet needs the package pyarrow, which is not installed: pip install "pyarrow>=19,<27"'
# Heading, key and error of a measure in the table, its factor and digits.
MEASURES = (
    ("PSNR, dB", "psnr", "psnr_error", 1, 2),
    ("SSIM", "ssim", "ssim_error", 1, 3),
    ("LPIPS", "lpips", "lpips_error", 1, 3),
    ("KID × 10³", "kid", "kid_std", 1000, 2),
    ("residual", "residual", "residual_error", 1, 4),
)


def has_parquet(asked: bool | None) -> bool:
    """Whether Parquet is to be written: as asked, or where None if pyarrow is installed. Raises BenchError: asked in vain."""
    there = importlib.util.find_spec("pyarrow") is not None
    if asked and not there:
        raise bench.BenchError(f"{PARQUET}; or leave --parquet out.")
    return there if asked is None else asked


def write(
    rows: Sequence[Row],
    shown: Sequence[bench.Picture],
    out: str | Path,
    *,
    each: Sequence[Row] | None = None,
    judges: bench.Judges = bench.Judges(),  # noqa: B008  frozen
    parquet: bool | None = None,
) -> list[str]:
    """Writes everything about `rows` (of `bench.bench`) to the folder where it ran, and returns the notes below the table.

    Args:
        each: the row of every job; where None all that the folder has of these settings.
        parquet: see `has_parquet`.
    """
    folder = Path(out)
    wanted = {bench.setting(row) for row in rows}
    each = [row for row in bench.read(folder) if bench.setting(row) in wanted] if each is None else each
    with_parquet = has_parquet(parquet)
    for name, members in (("results", rows), ("rows", each)):
        columns = columnwise(members)
        write_csv(columns, folder / f"{name}.csv")
        if with_parquet:
            write_parquet(columns, folder / f"{name}.parquet")
    notes = [
        *judges.lines(),
        *sorted({f"KID: {row['kid_features']}" for row in rows if str(row.get("kid_features"))[:3] == "n/a"}),
    ]
    notes = list(dict.fromkeys(notes))
    if parquet is None and not with_parquet:
        notes.append(PARQUET)
    (folder / "table.md").write_text(table(rows) + "\n" + explained(rows, notes))
    by_problem, done = defaultdict(list), defaultdict(list)
    for members, found in ((rows, by_problem), (each, done)):
        for row in members:
            found[row["operator"], row["sigma_y"]].append(row)
    for (operator, sigma_y), members in by_problem.items():
        name = f"{_slug(operator)}-{sigma_y:g}"
        sheet(done[operator, sigma_y], members, shown[: bench.SHOWN], folder).save(folder / f"sheet-{name}.png")
        budget_plot(members, f"{operator}, σ_y {sigma_y:g}", folder / f"budget-{name}.png")
    return notes


def columnwise(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows as columns: every key that any row has, None where a row lacks it, records as JSON."""
    names = dict.fromkeys(key for row in rows for key in row)
    found = {name: [row.get(name) for row in rows] for name in names}
    return {name: [json.dumps(v) if isinstance(v, dict) else v for v in values] for name, values in found.items()}


def write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    """What is None is an empty cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    """The same columns with their types; a column that is all None is one of floats."""
    import pyarrow as pa
    import pyarrow.parquet

    def typed(values: list[Any]) -> pa.Array:
        number = all(v is None or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in values)
        whole = number and any(v is not None for v in values) and not any(isinstance(v, float) for v in values)
        return pa.array(values, pa.int64() if whole else pa.float64() if number else None)

    pyarrow.parquet.write_table(pa.table({name: typed(values) for name, values in columns.items()}), path)


def table(rows: Iterable[Row]) -> str:
    """Markdown, a line per setting: mean ± standard error (KID ± std over subsets); the best of each problem are bold."""
    rows = list(rows)
    measures = [m for m in MEASURES if any(row.get(m[1]) is not None for row in rows) or m[1] in ("psnr", "ssim", "residual")]
    heads = ["operator", "σ_y", "sampler", *(m[0] for m in measures), "residual/σ_y", "forwards", "backwards", "s/picture", "n"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    groups = defaultdict(list)
    for row in rows:
        groups[row["operator"], row["sigma_y"]].append(row)
    for (operator, sigma_y), members in groups.items():
        first = members[0]
        start = [
            _number(first.get(f"{key}_measurement"), digits) if key in ("psnr", "ssim") else ""
            for _, key, _, _, digits in measures
        ]
        model = noise.build(first["noise"])
        said = f"{sigma_y:g}" + ("" if isinstance(model, noise.Gaussian) else f", {first['noise']}")
        lines.append(f"| {operator} | {said} | *pseudo-inverse* | {' | '.join(start)} | | | | | {first['n']} |")
        best = {
            key: pick(values)
            for key, pick in (("psnr", max), ("ssim", max), ("lpips", min), ("kid", min))
            if (values := [row[key] for row in members if row.get(key) is not None])
        }
        for row in members:
            cells = []
            for _, key, error, factor, digits in measures:
                value, spread = row.get(key), row.get(error)
                text = _number(value, digits, factor) + ("" if spread is None else f" ± {_number(spread, digits, factor)}")
                cells.append(f"**{text}**" if value is not None and value == best.get(key) else text)
            level = model.level(sigma_y)
            ratio = _number(row["residual"] / level, 2) if level and row["residual"] is not None else ""
            count = f"{row['n']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
            costs = (_number(row["nfe"], 0), _number(row["backward"], 0), _number(row["seconds"], 2))
            lines.append(f"| | | {row['sampler']} | {' | '.join(cells)} | {ratio} | {' | '.join(costs)} | {count} |")
    return "\n".join(lines) + "\n"


def explained(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """What the table's figures are, in a list below it."""
    lines = [
        "mean ± standard error over n pictures and seeds",
        "PSNR and SSIM (Gaussian window of 11): values clipped to [0, 1], data range 1",
    ]
    if any(note.startswith(("LPIPS", "KID")) for note in notes):
        lines.append("LPIPS and KID: of 8-bit pictures; less is better")
    sizes = sorted({(row["kid_subset_size"], row["kid_subsets"]) for row in rows if row.get("kid") is not None})
    for size, subsets in sizes:
        lines.append(f"KID: against the pictures' own truths; mean ± std over {subsets} subsets of {size}")
    return "".join(f"- {line}\n" for line in [*lines, *notes])


def sheet(done: Sequence[Row], members: Sequence[Row], shown: Sequence[bench.Picture], folder: Path) -> Image.Image:
    """Truth, measurement, and a line of restored pictures per sampler, for the first pictures of one problem."""
    H = operators.build(members[0]["operator"])
    found = {(row["sampler"], row["index"]): row for row in done if row["seed"] < 100_000}
    sigma_y, model = members[0]["sigma_y"], noise.build(members[0]["noise"])
    problems = [Problem.simulate(picture.x, H, sigma_y, k, model) for k, picture in enumerate(shown)]
    measured = [images.to_pil(p.H.picture(p.y)) for p in problems]
    lines = [("truth", [images.to_pil(p.x) for p in shown]), ("measurement", measured)]
    for row in members:
        tiles = []
        for k in range(len(shown)):
            of = found.get((row["sampler"], k))
            path = folder / "restored" / f"{of['key']}.png" if of else None
            tiles.append(Image.open(path).copy() if path and path.exists() else None)
        lines.append((row["sampler"], tiles))
    h, w = (max(TILE, side) for side in shown[0].x.shape[-2:])
    sheet = Sheet(len(lines), len(shown), (h, w), gap=2, left=LABEL, top=0)
    for line, (name, tiles) in enumerate(lines):
        sheet.write(4, line * sheet.step[1] + 2, re.sub(r"(.{22})", r"\1\n", name), 11)
        for k, tile in enumerate(tiles):
            if tile is not None:
                sheet.picture(line, k, tile)
    return sheet.page


def budget_plot(members: Sequence[Row], title: str, path: Path) -> None:
    """PSNR, SSIM and (where known) LPIPS against forwards + 2 x backwards; a line joins the settings of one sampler."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    shown = [m for m in MEASURES[:3] if any(row.get(m[1]) is not None for row in members)]
    if not shown:
        return
    figure = Figure(figsize=(5 * len(shown), 4), layout="constrained")
    names = list(dict.fromkeys(row["sampler"].partition(":")[0] for row in members))
    for axes, (heading, key, spread, _, _) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for k, name in enumerate(names):
            points = [
                (row["nfe"] + 2 * row["backward"], row[key], row.get(spread) or 0)
                for row in members
                if row["sampler"].partition(":")[0] == name and row.get(key) is not None
            ]
            if points:
                x, y, error = zip(*sorted(points), strict=True)
                marker = "os^Dv<>pP*Xh"[k % 12]
                axes.errorbar(x, y, error, marker=marker, markersize=5, linewidth=1, capsize=2, label=name, color=f"C{k}")
        if (start := members[0].get(f"{key}_measurement")) is not None:
            axes.axhline(start, color="grey", linestyle=":", label="pseudo-inverse")
        axes.set(xscale="log", xlabel="budget: forwards + 2 × backwards", ylabel=heading)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
    figure.suptitle(title)
    figure.axes[0].legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=110)


def _number(value: float | None, digits: int, factor: float = 1) -> str:
    return "n/a" if value is None else f"{value * factor:.{digits}f}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text)[:80].strip("-")
