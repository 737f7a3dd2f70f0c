"""What a benchmark leaves for people: results.csv, table.md, and a contact sheet and a plot of quality per problem."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from redgui import bench, images, operators
from redgui.problem import Problem

Row = dict[str, Any]
LABEL = 150  # pixels for a line's name on a contact sheet
TILE = 64  # smaller pictures are shown this large


def write(rows: Sequence[Row], shown: Sequence[bench.Picture], out: str | Path) -> None:
    """Writes everything about `rows` (of `bench.bench`) to the folder where it ran."""
    folder = Path(out)
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "table.md").write_text(table(rows))
    done = defaultdict(list)
    wanted = {(row["operator"], row["sigma_y"], row["sampler"]) for row in rows}
    for row in bench.read(folder):
        if (row["operator"], row["sigma_y"], row["sampler"]) in wanted:
            done[row["operator"], row["sigma_y"]].append(row)
    by_problem = defaultdict(list)
    for row in rows:
        by_problem[row["operator"], row["sigma_y"]].append(row)
    for (operator, sigma_y), members in by_problem.items():
        name = f"{_slug(operator)}-{sigma_y:g}"
        sheet(done[operator, sigma_y], members, shown[: bench.SHOWN], folder).save(folder / f"sheet-{name}.png")
        budget_plot(members, f"{operator}, σ_y {sigma_y:g}", folder / f"budget-{name}.png")


def table(rows: Iterable[Row]) -> str:
    """Markdown, a line per setting; the best PSNR and SSIM of each problem are bold."""
    lines = [
        "| operator | σ_y | sampler | PSNR, dB | SSIM | residual | residual/σ_y | forwards | backwards | s/picture | n |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups = defaultdict(list)
    for row in rows:
        groups[row["operator"], row["sigma_y"]].append(row)
    for (operator, sigma_y), members in groups.items():
        first = members[0]
        lines.append(
            f"| {operator} | {sigma_y:g} | *pseudo-inverse* | {_number(first['psnr_measurement'], 2)} | "
            f"{_number(first['ssim_measurement'], 3)} | | | | | | {first['n']} |"
        )
        best = {key: max((row[key] for row in members if row[key] is not None), default=None) for key in ("psnr", "ssim")}
        for row in members:
            cells = {}
            for key, digits in (("psnr", 2), ("ssim", 3)):
                text = _number(row[key], digits)
                if row[f"{key}_error"] is not None and key == "psnr":
                    text += f" ± {row['psnr_error']:.2f}"
                cells[key] = f"**{text}**" if row[key] is not None and row[key] == best[key] else text
            ratio = _number(row["residual"] / sigma_y, 2) if sigma_y and row["residual"] is not None else ""
            count = f"{row['n']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
            lines.append(
                f"| | | {row['sampler']} | {cells['psnr']} | {cells['ssim']} | {_number(row['residual'], 4)} | {ratio} | "
                f"{_number(row['nfe'], 0)} | {_number(row['backward'], 0)} | {_number(row['seconds'], 2)} | {count} |"
            )
    return "\n".join(lines) + "\n"


def sheet(done: Sequence[Row], members: Sequence[Row], shown: Sequence[bench.Picture], folder: Path) -> Image.Image:
    """Truth, measurement, and a line of restored pictures per sampler, for the first pictures of one problem."""
    H = operators.build(members[0]["operator"])
    found = {(row["sampler"], row["index"]): row for row in done if row["seed"] < 100_000}
    problems = [Problem.simulate(picture.x, H, members[0]["sigma_y"], k) for k, picture in enumerate(shown)]
    lines = [("truth", [images.to_pil(p.x) for p in shown]), ("measurement", [images.to_pil(H.picture(p.y)) for p in problems])]
    for row in members:
        tiles = []
        for k in range(len(shown)):
            of = found.get((row["sampler"], k))
            path = folder / "restored" / f"{of['key']}.png" if of else None
            tiles.append(Image.open(path).copy() if path and path.exists() else None)
        lines.append((row["sampler"], tiles))
    h, w = (max(TILE, side) for side in shown[0].x.shape[-2:])
    page = Image.new("RGB", (LABEL + len(shown) * (w + 2), len(lines) * (h + 2)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for line, (name, tiles) in enumerate(lines):
        wrapped = re.sub(r"(.{22})", r"\1\n", name)
        draw.text((4, line * (h + 2) + 2), wrapped, fill="black", font=font)
        for k, tile in enumerate(tiles):
            if tile is not None:
                page.paste(tile.convert("RGB").resize((w, h), Image.Resampling.NEAREST), (LABEL + k * (w + 2), line * (h + 2)))
    return page


def budget_plot(members: Sequence[Row], title: str, path: Path) -> None:
    """PSNR against forwards + 2 x backwards of the network; settings of one sampler are joined by a line."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    by_name = defaultdict(list)
    for row in members:
        if row["psnr"] is not None:
            by_name[row["sampler"].partition(":")[0]].append(
                (row["nfe"] + 2 * row["backward"], row["psnr"], row["psnr_error"] or 0)
            )
    for k, (name, points) in enumerate(by_name.items()):
        x, y, error = zip(*sorted(points), strict=True)
        axes.errorbar(x, y, error, marker="os^Dv<>pP*Xh"[k % 12], markersize=5, linewidth=1, capsize=2, label=name)
    axes.axhline(members[0]["psnr_measurement"], color="grey", linestyle=":", label="pseudo-inverse")
    axes.set(xscale="log", xlabel="budget: forwards + 2 × backwards", ylabel="PSNR, dB", title=title)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=110)


def _number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text)[:80].strip("-")
