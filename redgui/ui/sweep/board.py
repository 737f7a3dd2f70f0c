"""From a sweep to what a person sees: pictures, figures and the best cells as the browser draws them, and the files to keep."""

import base64
import csv
import io
import json
import math
import time
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from redgui import images, knobs, metrics
from redgui.runs.problem import Problem
from redgui.runs.sweep import Axis, Cell, Grid, Sweep, text
from redgui.ui.compare.board import font
from redgui.ui.compare.board import opening as compared

SLOW = 1.0  # seconds between two looks at SSIM, which is dear
SHEET_SIDE = 128  # of the pictures on the sheet, at least


@dataclass(frozen=True)
class Figure:
    """A figure that colours the map: its name, the text of a value, and which value is best."""

    key: str
    name: str
    form: str
    best: str  # "high", "low" or "one"
    note: str


FIGURES = (
    Figure("psnr", "PSNR, dB", ".2f", "high", "against the original; more is better"),
    Figure("ssim", "SSIM", ".3f", "high", "against the original; more is better"),
    Figure("ratio", "residual/σ_y", ".2f", "one", "1 is best: below it noise was fitted, above it y ignored"),
    Figure("residual", "residual", ".4f", "low", "|H(x) − y| / √m; without noise less is better"),
)


def offered(problem: Problem) -> list[Figure]:
    """The figures that this problem has: no PSNR without a truth, the residual over the noise where there is noise."""
    truth, noise = problem.x_true is not None, problem.sigma_y > 0
    return [f for f in FIGURES if {"psnr": truth, "ssim": truth, "ratio": noise, "residual": not noise}[f.key]]


def best(rows: dict[str, dict[str, Any]], figures: list[Figure]) -> dict[str, list[str]]:
    """The cells with the best value of each figure as far as its digits tell; none where all are alike."""
    found = {}
    for figure in figures:
        off = {"high": lambda v: -v, "low": lambda v: v, "one": lambda v: abs(v - 1)}[figure.best]
        ranked = {
            key: round(off(round(row[figure.key], int(figure.form[1]))), 6)
            for key, row in rows.items()
            if row.get(figure.key) is not None and math.isfinite(row[figure.key])
        }
        lowest = min(ranked.values(), default=None)
        found[figure.key] = [key for key, v in ranked.items() if v == lowest] if len(set(ranked.values())) > 1 else []
    return found


class SweepBoard:
    """The value of the sweep's component, encoded anew only where something has changed."""

    def __init__(self, sweep: Sweep, number: int):
        self.sweep, self.problem = sweep, sweep.problem.to(sweep.prior.device)
        self.figures = offered(self.problem)
        self.rows: dict[str, dict[str, Any]] = {cell.key: {} for cell in sweep.cells}
        self.frames: dict[str, str] = {}
        self._at: dict[str, tuple[int, str]] = {}
        self._slow_at = -math.inf
        self._fixed = opening(number, sweep.problem, sweep.grid)

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of now."""
        due = time.monotonic() - self._slow_at > SLOW or status != "running"
        if due:
            self._slow_at = time.monotonic()
        for cell in self.sweep.cells:
            self._update(cell, due, final=status != "running")
        shown = {
            "status": status,
            "message": message,
            "progress": round(self.sweep.progress, 4),
            "cells": {cell.key: self._cell(cell) for cell in self.sweep.cells},
            "frames": dict(self.frames),
            "best": json.dumps(best(self._good(), self.figures)),
        }
        if status != "running" and any(cell.last for cell in self.sweep.cells):
            shown["downloads"] = self.downloads()
        return {**self._fixed, **shown}

    def _good(self) -> dict[str, dict[str, Any]]:
        return {cell.key: self.rows[cell.key] for cell in self.sweep.cells if cell.status != "error"}

    def _update(self, cell: Cell, due: bool, final: bool) -> None:
        step = cell.last
        if step is None or (self._at.get(cell.key) == (step.i, "final" if final else "") and not due):
            return
        anew = self._at.get(cell.key) != (step.i, "final" if final else "")
        self._at[cell.key] = (step.i, "final" if final else "")
        row, picture = self.rows[cell.key], self.picture(cell)
        if anew:
            self.frames[cell.key] = images.data_url(picture) if final else images.data_url(picture, "jpeg", quality=88)
            row |= {"psnr": step.psnr, "residual": step.residual, "nfe": step.nfe, "steps": step.i + 1}
        x_true = self.problem.x_true
        if x_true is not None and (anew or row.get("ssim_at") != step.i) and due:
            row |= {"ssim": float(metrics.ssim(picture, x_true)), "ssim_at": step.i}
        if final and anew and cell.status != "error":
            result = cell.run.record().result  # the figures of the picture itself, as the record has them
            row |= {key: result[key] for key in ("psnr", "ssim", "residual")}
        if self.problem.sigma_y > 0:
            row["ratio"] = row["residual"] / self.problem.sigma_y

    def picture(self, cell: Cell) -> Tensor:
        """What a cell has so far, (1, c, h, w)."""
        return self.problem.aligned(cell.last.estimate if cell.last else self.problem.start())

    def _cell(self, cell: Cell) -> str:
        step, row = cell.last, self.rows[cell.key]
        known = {f.key: _finite(row.get(f.key)) for f in FIGURES}
        at = {"i": step.i + 1 if step else 0, "n": step.n if step else 0, "nfe": step.nfe if step else 0}
        return json.dumps({"status": cell.status, "message": cell.message, "spec": knobs.spec(cell.sampler), **at, **known})

    # ---- to take away

    def downloads(self) -> list[dict[str, str]]:
        """The grid as a picture, its records as JSON and its figures as CSV, as `data:` URLs."""
        files = (
            ("sweep.png", "Grid (PNG)", "image/png", images.encode(self.sheet())),
            ("sweep.json", "Records (JSON)", "application/json", self.to_json().encode()),
            ("sweep.csv", "Table (CSV)", "text/csv", self.to_csv().encode()),
        )
        return [{"name": n, "text": t, "href": f"data:{kind};base64,{base64.b64encode(d).decode()}"} for n, t, kind, d in files]

    def to_json(self) -> str:
        """All figures, and of each cell the record that reproduces it; the picture is held once, in `image`."""
        p, prior, grid = self.problem, self.sweep.prior, self.sweep.grid
        entries, image = [], None
        for cell in self.sweep.cells:
            record = None
            if cell.last is not None and cell.status != "error":
                record = json.loads(cell.run.record().to_json())
                image = record.pop("image")
            where = {grid.rows.knob.name: grid.rows.values[cell.row], grid.columns.knob.name: grid.columns.values[cell.column]}
            entry = {"knobs": where, "sampler": knobs.spec(cell.sampler), "status": cell.status, "message": cell.message}
            entries.append(entry | {"figures": self._figures(cell), "record": record})
        about = {"operator": knobs.spec(p.H), "sigma_y": p.sigma_y, "seed": p.seed, "prior": prior.name}
        about |= {"device": prior.device.type, "precision": prior.precision, "particles": self.sweep.particles}
        note = "a record with the image is what `redgui replay` reads; alone a run differs by the rounding of a batched network"
        return json.dumps(
            {"format": "redgui-sweep", "version": 1, "note": note, **about, "image": image, "cells": entries}, indent=1
        )

    def to_csv(self) -> str:
        """A line per cell."""
        out, grid = io.StringIO(), self.sweep.grid
        writer = csv.writer(out)
        writer.writerow(
            [grid.rows.knob.name, grid.columns.knob.name, "sampler", "status", "steps", "nfe", *(f.key for f in FIGURES)]
        )
        for cell in self.sweep.cells:
            figures, at = self._figures(cell), (text(grid.rows.values[cell.row]), text(grid.columns.values[cell.column]))
            steps, nfe = (cell.last.i + 1, cell.last.nfe) if cell.last else (0, 0)
            found = ["" if figures[f.key] is None else figures[f.key] for f in FIGURES]
            writer.writerow([*at, knobs.spec(cell.sampler), cell.status, steps, nfe, *found])
        return out.getvalue()

    def _figures(self, cell: Cell) -> dict[str, float | None]:
        row = self.rows[cell.key]
        return {f.key: _finite(row.get(f.key)) for f in FIGURES}

    def sheet(self) -> Image.Image:
        """The grid of pictures with both knobs' names and values, and under each picture its first figure."""
        grid, figure = self.sweep.grid, self.figures[0]
        winners = best(self._good(), self.figures)[figure.key]
        h, w = self.problem.start().shape[-2:]
        times = max(1, -(-SHEET_SIDE // max(h, w)))
        h, w, gap, line = h * times, w * times, 6, 20
        names = [f"{label(axis)} {value}" for axis in (grid.rows, grid.columns) for value in axis.texts]
        ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
        widest = max(int(ruler.textlength(name, font(14))) for name in names)
        left, top, w_cell = min(widest, 260) + 2 * gap, line + 2 * gap, max(w, widest)
        rows, columns = len(grid.rows.values), len(grid.columns.values)
        page = Image.new("RGB", (left + columns * (w_cell + gap), top + rows * (h + line + gap) + line), "white")
        draw = ImageDraw.Draw(page)
        for j, value in enumerate(grid.columns.texts):
            draw.text((left + j * (w_cell + gap), gap), f"{label(grid.columns)} {value}", fill="black", font=font(14))
        for i, value in enumerate(grid.rows.texts):
            draw.text(
                (gap, top + i * (h + line + gap) + h // 2 - 8), f"{label(grid.rows)} {value}", fill="black", font=font(14)
            )
        for cell in self.sweep.cells:
            x, y = left + cell.column * (w_cell + gap), top + cell.row * (h + line + gap)
            if cell.last is None:
                draw.rectangle((x, y, x + w - 1, y + h - 1), fill="#dddddd")
            else:
                page.paste(images.to_pil(self.picture(cell)).convert("RGB").resize((w, h), Image.Resampling.NEAREST), (x, y))
            found = self.rows[cell.key].get(figure.key)
            note = "failed" if cell.status == "error" else "–" if found is None else format(found, figure.form)
            note += " (best)" if cell.key in winners else ""
            draw.text((x, y + h + 2), note, fill="#b00020" if cell.status == "error" else "#222222", font=font(13))
        p = self.problem
        about = f"{grid.sampler.label}, {p.H.label}, σ_y {p.sigma_y:g}, seed {p.seed}: {figure.name}"
        draw.text((gap, page.height - line), about, fill="#444444", font=font(13))
        return page


def label(axis: Axis) -> str:
    """What a knob is called in a header."""
    return axis.knob.label.replace("_", " ")


def opening(number: int, problem: Problem | None = None, grid: Grid | None = None) -> dict[str, Any]:
    """What does not change while a sweep goes on: its axes, its figures, and the pictures to compare with."""
    value: dict[str, Any] = {"run": number, "grid": "", "figures": "[]", "references": {}, "downloads": []}
    if problem is None or grid is None:
        return value
    drawn = {
        side: {"name": axis.knob.name, "label": label(axis), "values": [t.replace("_", " ") for t in axis.texts]}
        for side, axis in (("rows", grid.rows), ("columns", grid.columns))
    }
    figures = [
        {"key": f.key, "name": f.name, "best": f.best, "note": f.note, "digits": int(f.form[1])} for f in offered(problem)
    ]
    start = problem.start()
    value |= {"grid": json.dumps(drawn), "figures": json.dumps(figures), "w": start.shape[-1], "h": start.shape[-2]}
    references = compared(number, problem, [])["references"]
    return value | {"references": references, "start": images.data_url(start, "jpeg", quality=88)}


def blank(number: int, status: str, message: str, problem: Problem | None = None, grid: Grid | None = None) -> dict[str, Any]:
    """The component's value before the first step, the grid of its right size, or for an error without any."""
    cells = {}
    if grid is not None:
        for cell in grid.cells:
            cells[cell.key] = json.dumps({"status": "waiting", "message": "", "spec": knobs.spec(cell.sampler), "i": 0, "n": 0})
    changed = {"status": status, "message": message, "progress": 0.0, "cells": cells, "frames": {}, "best": "{}"}
    return opening(number, problem, grid) | changed


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
