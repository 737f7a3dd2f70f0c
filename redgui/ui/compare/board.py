"""From a race to what a person sees: tiles, table and curves as the browser draws them, and the files to take away."""

import base64
import csv
import io
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from redgui import images, knobs, metrics
from redgui.metrics import perceptual
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.ui.parts.components import series_text

SLOW = 1.0  # seconds between two looks at what is dear (SSIM) or changes slowly (the curves)
POINTS = 150  # of a curve
SHEET_SIDE = 160  # of the tiles on a contact sheet, at least


@dataclass(frozen=True)
class Column:
    """A figure: its name, the text of a value, and which value is best: the highest, the lowest, the nearest to sigma_y."""

    key: str
    name: str
    form: str
    best: str
    note: str


COLUMNS = (
    Column("psnr", "PSNR, dB", ".2f", "high", "peak signal-to-noise ratio against the original; more is better"),
    Column("ssim", "SSIM", ".3f", "high", "structural similarity to the original; more is better"),
    Column("lpips", "LPIPS", ".3f", "low", "perceptual distance to the original (AlexNet); less is better"),
    Column("residual", "residual", ".4f", "noise", "|H(x) − y| / √m: nearest to σ_y is best, without noise the least"),
    Column("ratio", "residual/σ_y", ".2f", "one", "1 is best: far below it noise was fitted, far above it y ignored"),
    Column("nfe", "forwards", "d", "low", "forward passes of the network"),
    Column("backward", "backwards", "d", "low", "backward passes through the network"),
    Column("seconds", "seconds", ".2f", "low", "of its own steps, the others' left out"),
    Column("memory", "peak memory", "", "low", "most memory on the accelerator that it held at once, besides the network"),
)
HEAD = [{"name": column.name, "note": column.note} for column in COLUMNS]
COSTS = ("nfe", "backward", "seconds", "memory")  # compared among those that have ended: less after fewer steps says nothing
ON_CPU = "n/a: one process holds all samplers, and a CPU's memory cannot be told apart in it"


def missing(column: str, problem: Problem) -> str:
    """Why a figure cannot be had: a note on "n/a"."""
    if column in ("psnr", "ssim", "lpips") and problem.x_true is None:
        return "n/a: there is no original to compare with"
    if column == "lpips":
        small = min(problem.start().shape[-2:]) < perceptual.LPIPS_SIDE
        return (
            f"n/a: pictures below {perceptual.LPIPS_SIDE} pixels"
            if small
            else f"n/a: {perceptual.lpips_missing() or 'its weights cannot be read'}"
        )
    if column == "ratio":
        return "n/a: the measurement has no noise"
    return ON_CPU if column == "memory" else ""


def best(rows: dict[str, dict[str, Any]], sigma_y: float, ended: set[str], all_ended: bool) -> dict[str, set[str]]:
    """Which contestants have the best value of each column, as far as its digits tell; none where all are alike."""
    found: dict[str, set[str]] = {}
    for column in COLUMNS:
        members = [k for k in rows if rows[k].get(column.key) is not None and (column.key not in COSTS or k in ended)]
        if column.key in COSTS and not all_ended:
            members = []
        off = {
            "high": lambda v: -v,
            "low": lambda v: v,
            "noise": lambda v: abs(v - sigma_y),
            "one": lambda v: abs(v - 1),
        }[column.best]
        digits = int(column.form[1]) if column.form.startswith(".") else 0
        ranked = {k: round(off(round(rows[k][column.key], digits)), digits + 1) for k in members}
        if len(set(ranked.values())) > 1:
            found[column.key] = {k for k, value in ranked.items() if value == min(ranked.values())}
    return found


class Scoreboard:
    """The value of the comparison's component, encoded anew only where something has changed."""

    def __init__(self, race: Race, number: int):
        self.race, self.number = race, number
        self.problem = race.problem
        self.rows: dict[str, dict[str, Any]] = {c.key: {} for c in race.contestants}
        self.frames: dict[str, str] = {}
        self.curves: dict[str, str] = {}
        self._missing = {column.key: missing(column.key, self.problem) for column in COLUMNS}
        self._at: dict[str, tuple[int, str]] = {}  # the step and the status that a contestant's frame shows
        self._slow_at = -math.inf  # when the dear figures were last taken
        self._fixed = opening(number, self.problem, [(c.key, c.label, knobs.spec(c.run.now)) for c in race.contestants])

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of now."""
        due = time.monotonic() - self._slow_at > SLOW  # for all at once, so that the page draws its curves once
        if due:
            self._slow_at = time.monotonic()
        for c in self.race.contestants:
            self._update(c, due)
        changed = {
            "status": status,
            "message": message,
            "tiles": {c.key: self._tile(c) for c in self.race.contestants},
            "frames": dict(self.frames),
            "curves": dict(self.curves),
            "table": json.dumps(self.table()),
        }
        if status != "running":
            changed["downloads"] = self.downloads()
        return {**self._fixed, **changed}

    def _update(self, c: Contestant, due: bool) -> None:
        step, now = c.run.last, (c.run.last.i if c.run.last else -1, c.status)
        if step is None or self._at.get(c.key) == now:
            return
        over = c.over  # read before the step: the contestant may end meanwhile
        self._at[c.key] = now
        row = self.rows[c.key]
        row |= {"psnr": step.psnr, "residual": step.residual, "nfe": step.nfe, "backward": step.backward}
        row |= {"seconds": step.seconds, "memory": None}
        picture = self.picture(c)
        self.frames[c.key] = images.data_url(picture) if over else images.data_url(picture, "jpeg", quality=90)
        if due or over or c.key not in self.curves:
            seconds, used, psnr = zip(*list(c.curve), strict=True) if c.curve else ((), (), ())
            self.curves[c.key] = series_text({"seconds": seconds, "used": used, "psnr": psnr}, POINTS)
            if self.problem.x_true is not None:
                row["ssim"] = float(metrics.ssim(picture, self.problem.x_true.to(picture.device)))
        if over and c.status != "error":
            result = c.run.record().result  # the figures of the picture itself, as the record has them
            row |= {key: result[key] for key in ("psnr", "ssim", "residual")}
            distance = perceptual.lpips_at_hand()
            if distance and self.problem.x_true is not None and min(picture.shape[-2:]) >= perceptual.LPIPS_SIDE:
                row["lpips"] = float(distance(picture, self.problem.x_true))
        if self.problem.sigma_y > 0:
            row["ratio"] = row["residual"] / self.problem.sigma_y

    def picture(self, c: Contestant) -> Tensor:
        """What a contestant has so far, (1, c, h, w)."""
        return self.problem.aligned(c.run.last.estimate if c.run.last else self.problem.start())

    def _tile(self, c: Contestant) -> str:
        step, row = c.run.last, self.rows[c.key]
        tile = {
            "status": c.status, "message": c.message, "i": step.i + 1 if step else 0, "n": step.n if step else 0,
            "psnr": row.get("psnr"), "used": c.used, "budget": c.budget,
        }  # fmt: skip
        return json.dumps(tile)

    def table(self) -> dict[str, Any]:
        """Columns with their notes, and a row of cells per contestant."""
        over = all(c.over for c in self.race.contestants)
        good = {c.key: self.rows[c.key] for c in self.race.contestants if c.status != "error"}
        winners = best(good, self.problem.sigma_y, {c.key for c in self.race.contestants if c.status == "done"}, over)
        rows = []
        for c in self.race.contestants:
            cells = []
            for column in COLUMNS:
                value, note = self.rows[c.key].get(column.key), ""
                if value is None:
                    note = self._missing[column.key] if self.rows[c.key] else ""
                    measurable = self.problem.x_true is not None and perceptual.lpips_at_hand()
                    waits = column.key == "lpips" and measurable and not c.over
                    text = "–" if not note or waits else "n/a"
                else:
                    text = _text(column, value)
                cells.append({"text": text, "note": note, "best": c.key in winners.get(column.key, ())})
            rows.append({"key": c.key, "name": c.label, "failed": c.status == "error", "cells": cells})
        return {"columns": HEAD, "rows": rows}

    # ---- to take away

    def downloads(self) -> list[dict[str, str]]:
        """Contact sheet, JSON and CSV as `data:` URLs."""
        files = (
            ("comparison.png", "Contact sheet (PNG)", "image/png", images.encode(self.sheet())),
            ("comparison.json", "Records (JSON)", "application/json", self.to_json().encode()),
            ("comparison.csv", "Table (CSV)", "text/csv", self.to_csv().encode()),
        )
        return [{"name": n, "text": t, "href": f"data:{kind};base64,{base64.b64encode(d).decode()}"} for n, t, kind, d in files]

    def to_json(self) -> str:
        """All figures, and of each contestant the record that reproduces it."""
        p, prior = self.problem, self.race.contestants[0].run.prior
        entries = []
        for c in self.race.contestants:
            record = json.loads(c.run.record().to_json()) if c.run.last is not None and c.status != "error" else None
            entry = {"name": c.label, "sampler": knobs.spec(c.run.sampler), "status": c.status, "message": c.message}
            entries.append(entry | {"budget": c.budget, "figures": self._figures(c), "record": record})
        about = {"operator": knobs.spec(p.H), "sigma_y": p.sigma_y, "seed": p.seed, "prior": prior.name}
        about |= {"device": prior.device.type, "precision": prior.precision}
        return json.dumps({"format": "redgui-comparison", "version": 1, **about, "contestants": entries}, indent=1)

    def to_csv(self) -> str:
        """A line per contestant."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["name", "sampler", "status", "steps", "budget", *(k.key for k in COLUMNS)])
        for c in self.race.contestants:
            figures = self._figures(c)
            steps = c.run.last.i + 1 if c.run.last else 0
            cells = ["" if figures[k.key] is None else figures[k.key] for k in COLUMNS]
            writer.writerow([c.label, knobs.spec(c.run.sampler), c.status, steps, "" if c.budget is None else c.budget, *cells])
        return out.getvalue()

    def _figures(self, c: Contestant) -> dict[str, Any]:
        row = self.rows[c.key]
        finite = {k: v for k, v in row.items() if v is not None and math.isfinite(v)}
        return {k.key: finite.get(k.key) for k in COLUMNS}

    def sheet(self) -> Image.Image:
        """Original, measurement and results on one page, with names and PSNR."""
        p = self.problem
        tiles = [("original", "", p.x_true)] if p.x_true is not None else []
        tiles.append(("measurement", f"σ_y {p.sigma_y:g}", p.H.picture(p.y)))
        for c in self.race.contestants:
            psnr = self.rows[c.key].get("psnr")
            note = f"{psnr:.2f} dB" if psnr is not None and c.status != "error" else ""
            note += f"{' · ' if note else ''}{c.status}" if c.status in ("error", "stopped") else ""
            tiles.append((c.label, note, self.picture(c) if c.run.last else None))
        h, w = p.start().shape[-2:]
        times = max(1, -(-SHEET_SIDE // max(h, w)))
        h, w, gap, text = h * times, w * times, 10, 40
        columns = min(len(tiles), max(2, math.ceil(math.sqrt(len(tiles)))))
        rows = -(-len(tiles) // columns)
        page = Image.new("RGB", (gap + columns * (w + gap), gap + rows * (h + text + gap)), "white")
        draw = ImageDraw.Draw(page)
        for k, (name, note, picture) in enumerate(tiles):
            x, y = gap + (k % columns) * (w + gap), gap + (k // columns) * (h + text + gap)
            if picture is None:
                draw.rectangle((x, y, x + w - 1, y + h - 1), fill="#dddddd")
            else:
                page.paste(images.to_pil(picture).convert("RGB").resize((w, h), Image.Resampling.NEAREST), (x, y))
            draw.text((x, y + h + 3), name, fill="black", font=font(14))
            draw.text((x, y + h + 21), note, fill="#444444", font=font(13))
        return page


def opening(number: int, problem: Problem | None, names: list[tuple[str, str, str]]) -> dict[str, Any]:
    """What does not change while a race goes on: its number, the pictures to compare with, and (key, label, spec) of all."""
    order = [{"key": key, "label": label, "spec": spec} for key, label, spec in names]
    value: dict[str, Any] = {"run": number, "order": json.dumps(order), "references": {}, "downloads": []}
    if problem is not None:
        start = problem.start()
        value |= {"w": start.shape[-1], "h": start.shape[-2], "truth": problem.x_true is not None}
        pictures = {"measurement": problem.H.picture(problem.y)}
        if problem.x_true is not None:
            pictures = {"original": problem.x_true, **pictures}
        value["references"] = {name: images.data_url(x) for name, x in pictures.items()}
    return value


def blank(
    number: int,
    status: str,
    message: str,
    problem: Problem | None = None,
    names: list[tuple[str, str, str]] | None = None,
    budget: int | None = None,
) -> dict[str, Any]:
    """The component's value before the first step, its tiles and table of the right size, or for an error without any."""
    tile = json.dumps({"status": "waiting", "message": "", "i": 0, "n": 0, "used": 0, "budget": budget})
    cells = [{"text": "–", "note": "", "best": False}] * len(COLUMNS)
    rows = [{"key": key, "name": label, "failed": False, "cells": cells} for key, label, _ in names or []]
    return opening(number, problem, names or []) | {
        "status": status, "message": message, "tiles": {key: tile for key, _, _ in names or []}, "frames": {}, "curves": {},
        "table": json.dumps({"columns": HEAD, "rows": rows}) if rows else "",
    }  # fmt: skip


def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own: Pillow's has no Greek."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def _text(column: Column, value: float) -> str:
    if column.key == "memory":
        return f"{value / 2**20:.0f} MB"
    return format(value, column.form) if math.isfinite(value) else "–"
