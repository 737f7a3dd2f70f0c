"""From a sweep to what a person sees: pictures, figures and the best cells as the browser draws them, and the files to keep."""

import json
import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import figures, images, knobs, metrics
from redgui.runs.problem import Problem
from redgui.runs.stream import Measured
from redgui.runs.sweep import Axis, Cell, Grid, Sweep, text
from redgui.runs.tune import Tuning
from redgui.sheets import Sheet, width_of
from redgui.ui.parts import board
from redgui.ui.parts.board import Figure, Files, best, csv_text, finite, known

SLOW = 1.0  # seconds between two looks at SSIM, which is dear
SHEET_SIDE = 128  # of the pictures on the sheet, at least


FIGURES = (
    Figure("psnr", "PSNR, dB", ".2f", "high", "of the sampler's own estimate against the original; more is better"),
    Figure("ssim", "SSIM", ".3f", "high", "against the original; more is better"),
    Figure("ratio", "residual/σ_y", ".2f", "one", "1 is best: below it noise was fitted, above it y ignored"),
    Figure("residual", "residual", ".4f", "low", "|H(x) − y| / √m; without noise less is better"),
)


def offered(problem: Problem) -> list[Figure]:
    """The figures that this problem has: no PSNR without a truth, the residual over the noise where there is noise."""
    truth, noise = problem.x_true is not None, problem.level > 0
    return [f for f in FIGURES if {"psnr": truth, "ssim": truth, "ratio": noise, "residual": not noise}[f.key]]


class SweepBoard:
    """The value of the sweep's component, encoded anew only where something has changed."""

    columns: ClassVar[tuple[Figure, ...]] = ()  # the figures, where they do not depend on the problem

    def __init__(self, sweep: Sweep | Tuning, number: int):
        self.sweep, self.problem = sweep, sweep.problem.to(sweep.prior.device)
        self.figures = self.columns or offered(self.problem)
        self.listed = self.columns or FIGURES
        self.rows: dict[str, dict[str, Any]] = {cell.key: {} for cell in sweep.cells}
        self.frames: dict[str, str] = {}
        self._at: dict[str, tuple[int, int, bool]] = {}  # run and step that a frame shows, and whether it is the final picture
        self._slow_at = -math.inf
        self._fixed = opening(number, sweep.problem, sweep.grid, self.figures)

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of now."""
        due = time.monotonic() - self._slow_at > SLOW or status != "running"
        if due:
            self._slow_at = time.monotonic()
        for cell in self.sweep.cells:
            self._update(cell, due, final=status != "running")
        changing = {
            "status": status, "message": message, "progress": round(self.sweep.progress, 4),
            "cells": {cell.key: self._cell(cell) for cell in self.sweep.cells}, "frames": dict(self.frames),
            "best": json.dumps(best(self._good(), self.figures)),
        }  # fmt: skip
        if status != "running" and any(cell.last for cell in self.sweep.cells):
            changing["downloads"] = board.asked(self.files())
        return {**self._fixed, **changing}

    def _good(self) -> dict[str, dict[str, Any]]:
        return {cell.key: self.rows[cell.key] for cell in self.sweep.cells if cell.status != "error"}

    def _update(self, cell: Cell, due: bool, final: bool) -> None:
        step = cell.last
        if step is None:
            return
        at = (id(cell.run), step.i, final)
        anew = self._at.get(cell.key) != at
        if not anew and not due:
            return
        self._at[cell.key] = at
        if anew:
            shown = self.problem.aligned(cell.run.given_back(step.estimate) if final else step.estimate)
            self.frames[cell.key] = images.data_url(shown) if final else images.data_url(shown, "jpeg", quality=88)
            self.rows[cell.key] |= {"nfe": step.nfe, "steps": step.i + 1}
        self._judge(cell, step, anew, due, final)

    def _judge(self, cell: Cell, step: Measured, anew: bool, due: bool, final: bool) -> None:
        """The figures of a cell's newest step, those that are dear where they are due."""
        row, x_true = self.rows[cell.key], self.problem.x_true
        if anew:
            row |= {"psnr": step.psnr, "residual": step.residual}
        if x_true is not None and (anew or row.get("ssim_at") != step.i) and due:
            row |= {"ssim": float(metrics.ssim(self.problem.aligned(step.estimate), x_true)), "ssim_at": step.i}
        if final and anew and cell.status != "error":
            result = cell.run.record().result  # the figures of the picture itself, as the record has them
            row |= {key: result[key] for key in ("psnr", "ssim", "residual")}
        if self.problem.level > 0:
            row["ratio"] = row["residual"] / self.problem.level

    def picture(self, cell: Cell) -> Tensor:
        """What a cell has made (1, c, h, w), as it is given back; the figures are of the sampler's own estimate."""
        return self.problem.aligned(cell.run.given_back(cell.last.estimate) if cell.last else self.problem.start())

    def _cell(self, cell: Cell) -> str:
        step, row = cell.last, self.rows[cell.key]
        at = {"i": step.i + 1 if step else 0, "n": step.n if step else 0, "nfe": step.nfe if step else 0}
        return json.dumps({**self._said(cell), "spec": knobs.spec(cell.sampler), **at, **known(row, self.listed)})

    def _said(self, cell: Cell) -> dict[str, Any]:
        return {"status": cell.status, "message": cell.message}

    # ---- to take away

    def files(self) -> Files:
        """The grid as a picture and a heat map, its records as JSON and its figures as CSV."""
        return {
            "sweep.png": ("Grid (PNG)", self.sheet), "sweep.json": ("Records (JSON)", self.to_json),
            "sweep.csv": ("Table (CSV)", self.to_csv),
            "sweep.pdf": ("Heat map (PDF)", lambda: figures.encode(self.heat_map(), "pdf")),
            "sweep.svg": ("Heat map (SVG)", lambda: figures.encode(self.heat_map(), "svg")),
        }  # fmt: skip

    def heat_map(self) -> Any:
        """The first of the figures over the grid, for a paper (`redgui.figures`)."""
        figure, axes = self.figures[0], self.sweep.grid.axes
        sides = [(label(axis), [text(value) for value in axis.values]) for axis in axes]
        columns = sides[1] if len(sides) > 1 else ("", [""])
        values = np.full((len(sides[0][1]), len(columns[1])), np.nan)
        for cell in self.sweep.cells:
            found = finite(self.rows[cell.key].get(figure.key))
            if found is not None and cell.status != "error":
                values[cell.row, cell.column] = found
        return figures.heat_map(values, sides[0], columns, figure.name, figure.form)

    def to_json(self) -> str:
        """All figures, and of each cell the record that reproduces it; the picture is held once, in `image`."""
        entries, image = [], None
        for cell in self.sweep.cells:
            record = None
            if cell.last is not None and cell.status != "error":
                record = json.loads(cell.run.record().to_json())
                image = record.pop("image")
            where = self.sweep.grid.at(cell.row, cell.column)
            entry = {"knobs": where, "sampler": knobs.spec(cell.sampler), "status": cell.status, "message": cell.message}
            entries.append(entry | {"figures": known(self.rows[cell.key], FIGURES), "record": record})
        shared = board.about(self.problem, self.sweep.prior) | {"particles": self.sweep.particles}
        note = "a record with the image is what `redgui replay` reads; alone a run differs by the rounding of a batched network"
        return json.dumps(
            {"format": "redgui-sweep", "version": 1, "note": note, **shared, "image": image, "cells": entries}, indent=1
        )

    def to_csv(self) -> str:
        """A line per cell."""
        swept = [axis.knob.name for axis in self.sweep.grid.axes]
        lines: list[list[Any]] = [[*swept, "sampler", "status", "steps", "nfe", *(f.key for f in self.listed)]]
        for cell in self.sweep.cells:
            at = [text(value) for value in self.sweep.grid.at(cell.row, cell.column).values()]
            steps, nfe = (cell.last.i + 1, cell.last.nfe) if cell.last else (0, 0)
            figures = known(self.rows[cell.key], self.listed).values()
            lines.append([*at, knobs.spec(cell.sampler), cell.status, steps, nfe, *figures])
        return csv_text(lines)

    def sheet(self) -> Image.Image:
        """The grid of pictures with both knobs' names and values, and under each picture its first figure."""
        grid, figure, p = self.sweep.grid, self.figures[0], self.problem
        winners = best(self._good(), self.figures).get(figure.key, [])
        rows, *more = [[f"{label(axis)} {value}" for value in axis.texts] for axis in grid.axes]
        columns = more[0] if more else [""]
        h, w = p.start().shape[-2:]
        gap, line, widest = 6, 20, max(width_of(name, 14) for name in (*rows, *columns))
        margins = dict(left=min(widest, 260) + 2 * gap, top=line + 2 * gap, bottom=line)
        sheet = Sheet(len(rows), len(columns), (h, w), least=SHEET_SIDE, gap=gap, caption=line, width=widest, **margins)
        for j, name in enumerate(columns):
            sheet.write(sheet.place(0, j)[0], gap, name, 14)
        for i, name in enumerate(rows):
            sheet.write(gap, sheet.place(i, 0)[1] + sheet.h // 2 - 8, name, 14)
        for cell in self.sweep.cells:
            failed, value = cell.status == "error", self.rows[cell.key].get(figure.key)
            note = "failed" if failed else "–" if value is None else figure.text(value)
            note += " (best)" if cell.key in winners else ""
            sheet.picture(cell.row, cell.column, self.picture(cell) if cell.last else None)
            sheet.caption(cell.row, cell.column, note, down=2, colour="#b00020" if failed else "#222222")
        about = f"{grid.sampler.label}, {p.H.label}, {p.noise_text}, seed {p.seed}: {figure.name}"
        sheet.write(gap, sheet.page.height - line, about, colour="#444444")
        return sheet.page


def label(axis: Axis) -> str:
    """What a knob is called in a header."""
    return axis.knob.label.replace("_", " ")


def opening(
    number: int, problem: Problem | None = None, grid: Grid | None = None, figures: Sequence[Figure] = ()
) -> dict[str, Any]:
    """What does not change while a sweep goes on: its axes, its figures, and the pictures to compare with."""
    value = {**board.opening(number, problem), "grid": "", "figures": "[]"}
    if problem is None or grid is None:
        return value
    drawn = {"columns": {"name": "", "label": "", "values": [""]}}  # of a single column
    for side, axis in zip(("rows", "columns"), grid.axes, strict=False):
        texts = [value.replace("_", " ") for value in axis.texts]
        drawn[side] = {"name": axis.knob.name, "label": label(axis), "values": texts}
    shown = [{"key": f.key, "name": f.name, "best": f.best, "note": f.note, "digits": f.digits}
             for f in figures or offered(problem)]  # fmt: skip
    start = images.data_url(problem.start(), "jpeg", quality=88)
    return value | {"grid": json.dumps(drawn), "figures": json.dumps(shown), "start": start}


def blank(
    number: int, status: str, message: str, problem: Problem | None = None, grid: Grid | None = None,
    figures: Sequence[Figure] = (),
) -> dict[str, Any]:  # fmt: skip
    """The component's value before the first step, the grid of its right size, or for an error without any."""
    cells = {}
    if grid is not None:
        for cell in grid.cells:
            cells[cell.key] = json.dumps({"status": "waiting", "message": "", "spec": knobs.spec(cell.sampler), "i": 0, "n": 0})
    changed = {"status": status, "message": message, "progress": 0.0, "cells": cells, "frames": {}, "best": "{}"}
    return opening(number, problem, grid, figures) | changed
