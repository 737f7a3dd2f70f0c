"""From a race to what a person sees: tiles, table and curves as the browser draws them, and the files to take away."""

import json
import math
import time
from typing import Any

from PIL import Image
from torch import Tensor

from redgui import figures, images, knobs, metrics
from redgui.metrics import lpips, perceptual
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.sheets import Sheet
from redgui.ui.parts import board
from redgui.ui.parts.board import Figure, Files, csv_text, known
from redgui.ui.parts.components import series_text

SLOW = 1.0  # seconds between two looks at what is dear (SSIM) or changes slowly (the curves)
POINTS = 150  # of a curve
SHEET_SIDE = 160  # of the tiles on a contact sheet, at least


COLUMNS = (
    Figure("psnr", "PSNR, dB", ".2f", "high", "of the sampler's own estimate against the original; more is better"),
    Figure("ssim", "SSIM", ".3f", "high", "structural similarity to the original; more is better"),
    Figure("lpips", "LPIPS", ".3f", "low", "perceptual distance to the original (AlexNet); less is better"),
    Figure("residual", "residual", ".4f", "noise", "|H(x) − y| / √m: nearest to σ_y is best, without noise the least"),
    Figure("ratio", "residual/σ_y", ".2f", "one", "1 is best: far below it noise was fitted, far above it y ignored"),
    Figure("nfe", "forwards", ".0f", "low", "forward passes of the network"),
    Figure("backward", "backwards", ".0f", "low", "backward passes through the network"),
    Figure("seconds", "seconds", ".2f", "low", "of its own steps, with its share of the calls that were made together"),
)
HEAD = [{"name": column.name, "note": column.note} for column in COLUMNS]
COSTS = ("nfe", "backward", "seconds")  # compared among those that have ended: less after fewer steps says nothing


def missing(column: str, problem: Problem) -> str:
    """Why a figure cannot be had: a note on "n/a"."""
    if column in ("psnr", "ssim", "lpips") and problem.x_true is None:
        return "n/a: there is no original to compare with"
    if column == "lpips":
        return f"n/a: pictures below {lpips.SIDE} pixels"
    return "n/a: the measurement has no noise" if column == "ratio" else ""


def best(rows: dict[str, dict[str, Any]], sigma_y: float, ended: set[str], all_ended: bool) -> dict[str, list[str]]:
    """Which contestants have the best value of each column; costs are compared once all have ended, among those `ended`."""
    winners = board.best(rows, [column for column in COLUMNS if column.key not in COSTS], sigma_y)
    if not all_ended:
        return winners
    costs = [column for column in COLUMNS if column.key in COSTS]
    return winners | board.best({key: row for key, row in rows.items() if key in ended}, costs)


def verdict(race: Race) -> str:
    """Who won, by the PSNR of those that are done, and by how much over the best of the other camp: classics or networks.

    Empty where there is no truth, or nobody to beat.
    """
    known = []
    for c in race.contestants:
        steps = [one.run.last for one in race.seeds(c.key) if one.status == "done"]
        mean, _ = board.spread([{"psnr": step.psnr} for step in steps if step], "psnr")
        known += [] if mean is None else [(mean, c)]
    if len(known) < 2:
        return ""
    ranked = sorted(known, key=lambda entry: -entry[0])
    (most, first), rest = ranked[0], ranked[1:]
    classic = not first.run.sampler.learned
    # A classic that wins is told against the best network, a network against the best classic, and among alike the second.
    others = [(psnr, c) for psnr, c in rest if c.run.sampler.learned == classic] or rest
    psnr, second = others[0]
    camp = "the best with a network" if classic and second.run.sampler.learned else ""
    return f"{first.label} won with {most:.2f} dB, {most - psnr:.2f} dB above {second.label}{f', {camp}' if camp else ''}."


class Scoreboard:
    """The value of the comparison's component, encoded anew only where something has changed."""

    def __init__(self, race: Race, number: int):
        self.race, self.number = race, number
        self.problem = race.problem
        self.rows: dict[str, dict[str, Any]] = {c.key: {} for c in race.members}
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
        for c in self.race.members:
            self._update(c, due)
        changed = {
            "status": status, "message": message, "tiles": {c.key: self._tile(c) for c in self.race.contestants},
            "frames": dict(self.frames), "curves": dict(self.curves), "table": json.dumps(self.table()),
        }  # fmt: skip
        if status != "running":
            changed["downloads"] = board.asked(self.files())
        return {**self._fixed, **changed}

    def _update(self, c: Contestant, due: bool) -> None:
        step, now = c.run.last, (c.run.last.i if c.run.last else -1, c.status)
        if step is None or self._at.get(c.key) == now:
            return
        over = c.over  # read before the step: the contestant may end meanwhile
        self._at[c.key] = now
        row = self.rows[c.key]
        row |= {"psnr": step.psnr, "residual": step.residual, "nfe": step.nfe, "backward": step.backward}
        row |= {"seconds": step.seconds}
        if not c.of:
            shown = self.picture(c)
            self.frames[c.key] = images.data_url(shown) if over else images.data_url(shown, "jpeg", quality=90)
        picture = self.problem.aligned(step.estimate)
        if due or over or c.key not in self.curves:
            seconds, used, psnr = zip(*list(c.curve), strict=True) if c.curve else ((), (), ())
            self.curves[c.key] = series_text({"seconds": seconds, "used": used, "psnr": psnr}, POINTS)
            if self.problem.x_true is not None:
                row["ssim"] = float(metrics.ssim(picture, self.problem.x_true.to(picture.device)))
        if over and c.status != "error":
            result = c.run.record().result  # the figures of the picture itself, as the record has them
            row |= {key: result[key] for key in ("psnr", "ssim", "residual")}
            distance = perceptual.lpips_of(picture, self.problem.x_true)
            row |= {} if distance is None else {"lpips": distance}
        if self.problem.level > 0:
            row["ratio"] = row["residual"] / self.problem.level

    def picture(self, c: Contestant) -> Tensor:
        """What a contestant has so far (1, c, h, w), at its end as it is given back; the figures are of its own estimate."""
        if c.run.last is None:
            return self.problem.aligned(self.problem.start())
        return self.problem.aligned(c.run.given_back(c.run.last.estimate) if c.over else c.run.last.estimate)

    def _tile(self, c: Contestant) -> str:
        step, row, seeds = c.run.last, self.rows[c.key], self.race.seeds(c.key)
        several = f"{sum(one.over for one in seeds)} of {len(seeds)} seeds" if len(seeds) > 1 else ""
        tile = {
            "status": c.status, "message": c.message or several, "i": step.i + 1 if step else 0, "n": step.n if step else 0,
            "psnr": row.get("psnr"), "used": c.used, "budget": c.budget,
        }  # fmt: skip
        return json.dumps(tile)

    def table(self) -> dict[str, Any]:
        """Columns with their notes, and a row of cells per contestant: of several seeds the mean and its standard error."""
        over = all(c.over for c in self.race.members)
        spreads = {c.key: self.spreads(c) for c in self.race.contestants}
        means = {key: {name: mean for name, (mean, _) in spread.items()} for key, spread in spreads.items()}
        good = {c.key: means[c.key] for c in self.race.contestants if c.status != "error"}
        winners = best(good, self.problem.level, {c.key for c in self.race.contestants if c.status == "done"}, over)
        rows = []
        for c in self.race.contestants:
            cells = []
            for column in COLUMNS:
                (value, error), note = spreads[c.key][column.key], ""
                if value is None:
                    note = self._missing[column.key] if self.rows[c.key] else ""
                    measurable = self.problem.x_true is not None
                    waits = column.key == "lpips" and measurable and not c.over
                    text = "–" if not note or waits else "n/a"
                else:
                    text = column.text(value) + ("" if error is None else f" ± {column.text(error)}")
                cells.append({"text": text, "note": note, "best": c.key in winners.get(column.key, ())})
            rows.append({"key": c.key, "name": c.label, "failed": c.status == "error", "cells": cells})
        return {"columns": HEAD, "rows": rows}

    def spreads(self, c: Contestant) -> dict[str, tuple[float | None, float | None]]:
        """Mean and standard error of every column over the seeds of a contestant that did not fail."""
        rows = [self.rows[one.key] for one in self.race.seeds(c.key) if one.status != "error"] or [self.rows[c.key]]
        return {column.key: board.spread(rows, column.key) for column in COLUMNS}

    # ---- to take away

    def files(self) -> Files:
        """Contact sheet, figure and table for a paper, JSON and CSV."""
        return {
            "comparison.png": ("Contact sheet (PNG)", self.sheet), "comparison.json": ("Records (JSON)", self.to_json),
            "comparison.csv": ("Table (CSV)", self.to_csv),
            "comparison.pdf": ("Figure (PDF)", lambda: figures.encode(self.figure(), "pdf")),
            "comparison.svg": ("Figure (SVG)", lambda: figures.encode(self.figure(), "svg")),
            "comparison.tex": ("Table (LaTeX)", self.to_latex),
        }  # fmt: skip

    def figure(self) -> Any:
        """The figure for a paper, of `redgui.figures`: original, measurement and results, with PSNR and LPIPS below."""
        p = self.problem
        panels = [] if p.x_true is None else [figures.Panel("original", p.x_true)]
        panels.append(figures.Panel("measurement", p.H.picture(p.y), p.noise_text))
        for c in self.race.contestants:
            row = known(self.rows[c.key], COLUMNS)
            said = [f"{row[key]:{form}}" for key, form in (("psnr", ".2f"), ("lpips", ".3f")) if row[key] is not None]
            note = " / ".join(said) if c.status != "error" else c.status
            panels.append(figures.Panel(c.label, self.picture(c) if c.run.last else None, note))
        return figures.comparison(panels)

    def to_latex(self) -> str:
        """The page's table, with the best of each column in bold."""
        table = self.table()
        rows = [[row["name"], *(cell["text"] for cell in row["cells"])] for row in table["rows"]]
        bold = {(i, j + 1) for i, row in enumerate(table["rows"]) for j, cell in enumerate(row["cells"]) if cell["best"]}
        many, seed = len(self.race.members) // len(self.race.contestants), self.problem.seed
        seeds = f"seed {seed}" if many == 1 else f"seeds {seed} to {seed + many - 1}, mean ± standard error"
        about = f"{self.problem.H.label}, {self.problem.noise_text}, {seeds}."
        return figures.latex(["sampler", *(column.name for column in COLUMNS)], rows, bold, about)

    def to_json(self) -> str:
        """All figures, and of each contestant the record that reproduces it."""
        entries, shared = [], board.about(self.problem, self.race.contestants[0].run.prior)
        for c in self.race.members:
            record = json.loads(c.run.record().to_json()) if c.run.last is not None and c.status != "error" else None
            entry = {"name": c.label, "sampler": knobs.spec(c.run.sampler), "status": c.status, "message": c.message}
            entry |= {"seed": c.run.problem.seed}
            entries.append(entry | {"budget": c.budget, "figures": known(self.rows[c.key], COLUMNS), "record": record})
        return json.dumps({"format": "redgui-comparison", "version": 1, **shared, "contestants": entries}, indent=1)

    def to_csv(self) -> str:
        """A line per contestant and seed."""
        lines: list[list[Any]] = [["name", "seed", "sampler", "status", "steps", "budget", *(column.key for column in COLUMNS)]]
        for c in self.race.members:
            steps = c.run.last.i + 1 if c.run.last else 0
            figures = known(self.rows[c.key], COLUMNS).values()
            lines.append([c.label, c.run.problem.seed, knobs.spec(c.run.sampler), c.status, steps, c.budget, *figures])
        return csv_text(lines)

    def sheet(self) -> Image.Image:
        """Original, measurement and results on one page, with names and PSNR."""
        p = self.problem
        tiles: list[tuple[str, str, Tensor | None]] = [("original", "", p.x_true)] if p.x_true is not None else []
        tiles.append(("measurement", p.noise_text, p.H.picture(p.y)))
        for c in self.race.contestants:
            psnr = self.rows[c.key].get("psnr")
            note = f"{psnr:.2f} dB" if psnr is not None and c.status != "error" else ""
            note += f"{' · ' if note else ''}{c.status}" if c.status in ("error", "stopped") else ""
            tiles.append((c.label, note, self.picture(c) if c.run.last else None))
        columns = min(len(tiles), max(2, math.ceil(math.sqrt(len(tiles)))))
        h, w = p.start().shape[-2:]
        sheet = Sheet(-(-len(tiles) // columns), columns, (h, w), least=SHEET_SIDE, caption=40)
        for k, (name, note, picture) in enumerate(tiles):
            at = divmod(k, columns)
            sheet.picture(*at, picture)
            sheet.caption(*at, name, size=14)
            sheet.caption(*at, note, down=21, colour="#444444")
        return sheet.page


def opening(number: int, problem: Problem | None, names: list[tuple[str, str, str]]) -> dict[str, Any]:
    """What does not change while a race goes on: its number, the pictures to compare with, and (key, label, spec) of all."""
    order = [{"key": key, "label": label, "spec": spec} for key, label, spec in names]
    value = {**board.opening(number, problem), "order": json.dumps(order)}
    return value if problem is None else value | {"truth": problem.x_true is not None}


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
