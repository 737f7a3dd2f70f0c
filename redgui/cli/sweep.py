"""`redgui sweep`: two knobs of a sampler on a grid, each setting a run of its own."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from redgui.cli.output import Bar, figures_json, spoken
from redgui.cli.restore import add_problem

GAP, LINE, SIDE = 6, 18, 128  # pixels on the sheet: between pictures, for a line of text, of a picture at least


def add(commands: Any) -> None:
    """Adds `sweep` to the commands."""
    sweep = commands.add_parser("sweep", help="restore a picture with two knobs of a sampler on a grid")
    add_problem(sweep)
    sweep.add_argument("--rows", required=True, metavar="KNOB=VALUE,...", help="a knob and its values down: lr=0.03,0.1")
    sweep.add_argument("--columns", required=True, metavar="KNOB=VALUE,...", help="another one across: lam=0.1,0.25")
    sweep.add_argument("--out", default="sweep", metavar="DIR", help="sheet, tables, and a folder with its record per setting")
    sweep.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Runs the settings one after the other and writes each as `restore` does, and a sheet and the tables over all."""
    from redgui import api, figures

    options = {key: value for key, value in vars(chosen).items() if key not in ("command", "run", "out")}
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)  # fails now, not after the runs
    names = [side.partition("=")[0].strip() for side in (chosen.rows, chosen.columns)]
    found, rows = [], []
    with spoken(), Bar() as bar:
        for spot, result, error in api.sweep(**options, watch=bar):
            row = {name: getattr(spot.sampler, name) for name in names}
            if result is not None:
                result.save(out / spot.key)
                row |= json.loads(figures_json(result.figures)) | {"record": f"{spot.key}/record.json"}
            rows.append(row | ({"error": error} if error else {}))
            found.append((spot.row, spot.column, result))
    keys = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key) for key in keys} for row in rows]  # a run without one sound step has no figures
    (out / "sweep.json").write_text(json.dumps({"rows": rows}, indent=1))
    with (out / "sweep.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, keys)
        table.writeheader()
        table.writerows(rows)
    sheet(found, rows, names).save(out / "sweep.png")
    figure = heat_map(found, rows, names)
    for kind in figures.KINDS:
        (out / f"sweep.{kind}").write_bytes(figures.encode(figure, kind))
    print(f"wrote {chosen.out}/sweep.png, .pdf, .svg, sweep.csv, sweep.json and a folder per setting")
    print(json.dumps({"rows": rows}))


def heat_map(found: list[tuple[int, int, Any]], rows: list[dict[str, Any]], names: list[str]) -> Any:
    """PSNR over the grid, the residual where there is no original (`redgui.figures`)."""
    import numpy as np

    from redgui import figures

    truth = any(row.get("psnr") is not None for row in rows)
    key, name, form = ("psnr", "PSNR, dB", ".2f") if truth else ("residual", "residual", ".3g")
    height, width = (1 + max(entry[side] for entry in found) for side in (0, 1))
    values, sides = np.full((height, width), np.nan), ([""] * height, [""] * width)
    for (i, j, _), row in zip(found, rows, strict=True):
        values[i, j] = np.nan if row.get("error") or row.get(key) is None else row[key]
        sides[0][i], sides[1][j] = str(row[names[0]]), str(row[names[1]])
    return figures.heat_map(values, (names[0], sides[0]), (names[1], sides[1]), name, form)


def sheet(found: list[tuple[int, int, Any]], rows: list[dict[str, Any]], names: list[str]) -> Any:
    """The pictures as they lie in the grid, a `PIL.Image`; over each its settings and its PSNR (or residual)."""
    from PIL import Image, ImageDraw, ImageFont

    from redgui import images

    font = ImageFont.load_default(13)
    texts = []
    for row in rows:
        measure = "residual" if row.get("psnr") is None else "psnr"
        figure = "failed" if row.get("error") else f"{measure} {row[measure]:.4g}"
        texts.append([*(f"{name} {row[name]}" for name in names), figure])
    pictures = [None if result is None else images.to_pil(result.restored) for _, _, result in found]
    h, w = next(((p.height, p.width) for p in pictures if p is not None), (SIDE, SIDE))
    times = -(-SIDE // max(h, w))
    h, w = h * times, w * times
    width = GAP + max(w, *(int(font.getlength(line)) for lines in texts for line in lines))
    height = h + 3 * LINE + GAP
    columns, lines = (1 + max(entry[side] for entry in found) for side in (1, 0))
    page = Image.new("RGB", (columns * width + GAP, lines * height + GAP), "white")
    draw = ImageDraw.Draw(page)
    for (i, j, _), said, picture in zip(found, texts, pictures, strict=True):
        x, y = GAP + j * width, GAP + i * height
        for k, line in enumerate(said):
            draw.text((x, y + k * LINE), line, fill="black", font=font)
        if picture is not None:
            page.paste(picture.resize((w, h), Image.Resampling.NEAREST), (x, y + 3 * LINE))
    return page
