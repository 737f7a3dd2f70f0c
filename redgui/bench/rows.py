"""Finished jobs: lines of JSON in `rows-*.jsonl`, what they sum up to, and the record of each."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from types import MappingProxyType
from typing import Any, TextIO

from redgui.bench.plan import Picture
from redgui.runs.record import Record, encoded

Row = dict[str, Any]
MEANS = ("psnr", "ssim", "psnr_measurement", "ssim_measurement", "residual", "nfe", "backward", "seconds", "steps")
ERRORS = ("psnr", "ssim", "residual", "lpips")  # those with a standard error


def opened(path: Path) -> TextIO:
    """A file of lines to append to. What a killed process left of its last line is cut off, since a line that is
    appended to it would be lost with it."""
    if path.exists():
        with path.open("rb+") as file:
            kept = file.read().rfind(b"\n") + 1
            file.truncate(kept)
    return path.open("a")


def lines_of(folder: str | Path, name: str) -> list[Row]:
    """All lines of a folder's files `name`-*.jsonl that are whole, in the order of the files."""
    found = []
    for path in sorted(Path(folder).glob(f"{name}-*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:  # what no newline ends is being written, or never was to the end
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "key" in row:
                found.append(row)
    return found


def read(folder: str | Path) -> list[Row]:
    """All finished jobs of a folder, each key once; a line that a killed run left unfinished is passed over."""
    found: dict[str, Row] = {}
    for row in lines_of(folder, "rows"):
        found.setdefault(row["key"], row)
    return list(found.values())


def summarise(rows: Iterable[Row], more: Mapping[tuple, Row] = MappingProxyType({})) -> list[Row]:
    """One row per setting: means over pictures and seeds, their standard errors, `n`, and how many failed.

    A standard error is the sample's standard deviation over sqrt(n), None of a single picture.

    Args:
        more: further columns by `setting`, such as those of `judge.kids`.
    """
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[setting(row)].append(row)
    summary_rows = []
    for which, members in groups.items():
        good = [row for row in members if "error" not in row]
        same = {key: members[0][key] for key in ("prior", "operator", "sampler", "sigma_y", "particles", "device", "precision")}
        averaged = (*MEANS, "lpips") if "lpips" in members[0] else MEANS
        figures: Row = {}
        for key in averaged:
            values = [row[key] for row in good if row.get(key) is not None]
            figures[key] = mean(values) if values else None
            if key in ERRORS:
                figures[f"{key}_error"] = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        seeds = sorted({row["seed"] // 100_000 for row in members})
        same |= {"noise": members[0].get("noise", "gaussian")}  # rows are older than models
        figures |= same | {"n": len(good), "failed": len(members) - len(good), "seed": seeds[0], "seeds": len(seeds)}
        if "lpips" in members[0]:
            figures["lpips_network"] = members[0]["lpips_network"]
        summary_rows.append(figures | more.get(which, {}))
    return summary_rows


def setting(row: Row) -> tuple:
    """What the rows that are averaged have in common."""
    return row["operator"], row["sigma_y"], row["sampler"], row["particles"], row["prior"], row.get("noise", "gaussian")


def record_of(row: Row, picture: Picture) -> Record:
    """The record that reproduces a finished job on its picture."""
    return Record.from_json(json.dumps(row["record"] | {"image": encoded(picture.x)}))


def as_line(row: Row) -> str:
    """A row as its line of a file; JSON has no nan or inf."""
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(clean) + "\n"
