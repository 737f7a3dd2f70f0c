"""From a race to what a person sees: tiles, table and curves as the browser draws them. `take_away` has its files."""

import json
import math
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from redgui import figures, images, knobs, metrics
from redgui.metrics import perceptual
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.ui.compare import take_away
from redgui.ui.compare.columns import COLUMNS, HEAD, best, missing
from redgui.ui.compare.take_away import Pinned
from redgui.ui.parts import board
from redgui.ui.parts.board import Files
from redgui.ui.parts.components import series_text

SLOW = 1.0  # seconds between two looks at what is dear (SSIM) or changes slowly (the curves)
POINTS = 150  # of a curve


def verdict(race: Race) -> str:
    """Who won, by the PSNR of those all of whose runs are done, and by how much over the best of the other camp: classics or
    networks. With several pictures or seeds these are means, and their difference has its own standard error, run by run.

    Empty where there is no truth, or nobody to beat.
    """
    samples = {c: race.sample(c.key, _psnr) for c in race.contestants if _all(race, c, "done")}
    known = [(board.mean_and_error(sample.values())[0], c) for c, sample in samples.items()]
    ranked = sorted([(mean, c) for mean, c in known if mean is not None], key=lambda entry: -entry[0])
    if len(ranked) < 2:
        return ""
    (most, first), rest = ranked[0], ranked[1:]
    classic = not first.run.sampler.learned
    # A classic that wins is told against the best network, a network against the best classic, and among alike the second.
    others = [(psnr, c) for psnr, c in rest if c.run.sampler.learned == classic] or rest
    psnr, second = others[0]
    camp = "the best with a network" if classic and second.run.sampler.learned else ""
    _, error = board.mean_and_error(samples[first][unit] - samples[second][unit] for unit in samples[first])
    gain = f"{most - psnr:.2f}" + ("" if error is None else f" ± {error:.2f}")
    mean = "" if error is None else f" on average over {len(samples[first])} {race.units}"
    return f"{first.label} won with {most:.2f} dB{mean}, {gain} dB above {second.label}{f', {camp}' if camp else ''}."


def _psnr(one: Contestant) -> float | None:
    return one.run.last.psnr if one.run.last else None


def _all(race: Race, c: Contestant, status: str) -> bool:
    return all(one.status == status for one in race.runs(c.key))


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
            "spread": json.dumps(self._spread()),
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
        row, problem = self.rows[c.key], c.run.problem
        row |= {"psnr": step.psnr, "residual": step.residual, "nfe": step.nfe, "backward": step.backward}
        row |= {"seconds": step.seconds}
        if not c.of:
            shown = self.picture(c)
            self.frames[c.key] = images.data_url(shown) if over else images.data_url(shown, "jpeg", quality=90)
        if over or (not c.of and (due or c.key not in self.curves)):  # of the repeats only the end is looked at closely
            if not c.of:
                seconds, used, psnr = zip(*list(c.curve), strict=True) if c.curve else ((), (), ())
                self.curves[c.key] = series_text({"seconds": seconds, "used": used, "psnr": psnr}, POINTS)
            if problem.x_true is not None:
                picture = problem.aligned(step.estimate)
                row["ssim"] = float(metrics.ssim(picture, problem.x_true.to(picture.device)))
        if over and c.status != "error":
            result = c.run.record().result  # the figures of the picture itself, as the record has them
            row |= {key: result[key] for key in ("psnr", "ssim", "residual")}
            distance = perceptual.lpips_of(problem.aligned(step.estimate), problem.x_true)
            row |= {} if distance is None else {"lpips": distance}
        if problem.level > 0:
            row["ratio"] = row["residual"] / problem.level

    def picture(self, c: Contestant) -> Tensor:
        """What a contestant has so far (1, c, h, w), at its end as it is given back; the figures are of its own estimate."""
        run = c.run
        if run.last is None:
            return run.problem.aligned(run.problem.start())
        return run.problem.aligned(run.given_back(run.last.estimate) if c.over else run.last.estimate)

    def _tile(self, c: Contestant) -> str:
        step, row, runs = c.run.last, self.rows[c.key], self.race.runs(c.key)
        going = c.over and not all(one.over for one in runs)
        failed = next((one.message for one in runs if one.status == "error"), "")
        counted = f"{sum(one.over for one in runs)} of {len(runs)} runs" if len(runs) > 1 else ""
        tile = {
            "status": "running" if going else c.status, "message": " · ".join(filter(None, (counted, failed or c.message))),
            "i": step.i + 1 if step else 0, "n": step.n if step else 0,
            "psnr": board.finite(row.get("psnr")), "used": c.used, "budget": c.budget,
        }  # fmt: skip
        return json.dumps(tile)

    def table(self) -> dict[str, Any]:
        """Columns with their notes, and a row of cells per contestant: of several runs the mean and its standard error.

        One of whose runs failed is not compared: its mean is that of other pictures.
        """
        over, problem = all(c.over for c in self.race.members), self.problem
        spreads = {c.key: {column.key: self.spread(c, column.key) for column in COLUMNS} for c in self.race.contestants}
        means = {key: {name: mean for name, (mean, _) in spread.items()} for key, spread in spreads.items()}
        failed = {c.key for c in self.race.contestants if any(one.status == "error" for one in self.race.runs(c.key))}
        good = {key: row for key, row in means.items() if key not in failed}
        winners = best(good, problem.level, {c.key for c in self.race.contestants if _all(self.race, c, "done")}, over)
        rows = []
        for c in self.race.contestants:
            cells, ended = [], all(one.over for one in self.race.runs(c.key))
            for column in COLUMNS:
                (value, error), note = spreads[c.key][column.key], ""
                if value is None:
                    note = self._missing[column.key] if self.rows[c.key] else ""
                    waits = column.key == "lpips" and problem.x_true is not None and not ended
                    text = "–" if not note or waits else "n/a"
                else:
                    counted = error == 0 and not column.digits  # as many calls in every run
                    text = column.text(value) + ("" if error is None or counted else f" ± {column.text(error)}")
                cells.append({"text": text, "note": note, "best": c.key in winners.get(column.key, ())})
            rows.append({"key": c.key, "name": c.label, "failed": c.key in failed, "cells": cells})
        return {"columns": HEAD, "rows": rows}

    def spread(self, c: Contestant, key: str) -> tuple[float | None, float | None]:
        """Mean and standard error of a column over the runs of a contestant that did not fail.

        The error is over pictures where there are several, each the mean of its seeds; else over the seeds (`Race.sample`).
        """
        if all(one.status == "error" for one in self.race.runs(c.key)):
            return board.finite(self.rows[c.key].get(key)), None
        return board.mean_and_error(self.race.sample(c.key, lambda one: board.finite(self.rows[one.key].get(key))).values())

    def _measured(self, c: Contestant) -> list[Contestant]:
        runs = [one for one in self.race.runs(c.key) if one.status != "error"]
        return [one for one in runs if board.finite(self.rows[one.key].get("psnr")) is not None]

    def psnr_of_runs(self) -> list[figures.Spread]:
        """The PSNR of each contestant, of all runs with mean and standard error; empty with one run each or without a truth."""
        if len(self.race.members) == len(self.race.contestants) or self.problem.x_true is None:
            return []
        values = {c: [self.rows[one.key]["psnr"] for one in self._measured(c)] for c in self.race.contestants}
        return [figures.Spread(c.label, psnr, *self.spread(c, "psnr")) for c, psnr in values.items()]

    def _spread(self) -> dict[str, Any]:
        """The same for the browser, with the picture and the seed of each run."""
        rows = []
        for c, spread in zip(self.race.contestants, self.psnr_of_runs(), strict=False):
            said = [f"{one.picture}, seed {one.run.problem.seed}" for one in self._measured(c)]
            rows.append({"runs": spread.values, "said": said, "mean": spread.mean, "error": spread.error})
        return {"rows": rows, "of": self.race.units} if rows else {}

    def files(self, pinned: Sequence[Pinned] = ()) -> Files:
        """What can be taken away; `pinned`: runs of History that are rows of the table, too."""
        return take_away.files(self, pinned)


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
        "table": json.dumps({"columns": HEAD, "rows": rows}) if rows else "", "spread": "",
    }  # fmt: skip
