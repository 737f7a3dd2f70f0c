"""What the boards of Compare, Sweep and Particles share: figures and the best of them, references, and files to take away."""

import csv
import io
import logging
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from redgui import images, knobs
from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.runs.problem import Problem

# Of files, by the ends of their names.
KINDS = {"png": "image/png", "json": "application/json", "csv": "text/csv", "pdf": "application/pdf", "svg": "image/svg+xml",
         "tex": "application/x-tex", "webp": "image/webp", "mp4": "video/mp4", "ipynb": "application/x-ipynb+json"}  # fmt: skip

MOST = 1e300  # of a number in a file
log = logging.getLogger(__name__)
Row = Mapping[str, Any]  # figures by their keys, as far as they are known


@dataclass(frozen=True)
class Figure:
    """A figure of a picture or a run.

    Attributes:
        form: of the text of a value.
        best: which value is best: the "high"est, the "low"est, the nearest to "one" or to the "noise" sigma_y.
        note: what it is, in a line.
    """

    key: str
    name: str
    form: str
    best: str
    note: str

    @property
    def digits(self) -> int:
        """How many digits after the point a person sees."""
        return int(self.form[1]) if self.form.startswith(".") else 0

    def text(self, value: float) -> str:
        """A value as a person sees it."""
        return format(value, self.form) if math.isfinite(value) else "–"

    def off(self, value: float, sigma_y: float) -> float:
        """How far a value is from the best: less is better. Values that a person sees alike are alike."""
        shown = round(value, self.digits)
        far = {"high": -shown, "low": shown, "one": abs(shown - 1), "noise": abs(shown - sigma_y)}[self.best]
        return round(far, self.digits + 1)


def best(rows: Mapping[str, Row], figures: Iterable[Figure], sigma_y: float = 0.0) -> dict[str, list[str]]:
    """The keys of the rows with the best value of each figure; a figure of which all values are alike is left out."""
    winners = {}
    for figure in figures:
        values = {key: finite(row.get(figure.key)) for key, row in rows.items()}
        off = {key: figure.off(value, sigma_y) for key, value in values.items() if value is not None}
        if len(set(off.values())) > 1:
            winners[figure.key] = [key for key, far in off.items() if far == min(off.values())]
    return winners


def mean_and_error(sample: Iterable[float]) -> tuple[float | None, float | None]:
    """Mean and standard error of a sample; no error of one value, nothing of none."""
    values = list(sample)
    if not values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def finite(value: Any) -> float | None:
    """A number as JSON has it: None where it is not finite, or no number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and abs(value) <= MOST else None  # nan is not, either; an int may be larger than any float


def known(row: Row, figures: Iterable[Figure]) -> dict[str, float | None]:
    """The figures of a row as JSON has them."""
    return {figure.key: finite(row.get(figure.key)) for figure in figures}


def opening(number: int, problem: Problem | None) -> dict[str, Any]:
    """What does not change while something is played: its number, the pictures to compare with, and their size."""
    value: dict[str, Any] = {"run": number, "references": {}, "downloads": []}
    if problem is None:
        return value
    h, w = problem.start().shape[-2:]
    pictures = {} if problem.x_true is None else {"original": problem.x_true}
    pictures["measurement"] = problem.H.picture(problem.y)
    return value | {"w": w, "h": h, "references": {name: images.data_url(x) for name, x in pictures.items()}}


def about(problem: Problem, prior: Prior) -> dict[str, Any]:
    """What everything on a board has in common, for a file."""
    return {
        "operator": knobs.spec(problem.H), "sigma_y": problem.sigma_y, "noise": knobs.spec(problem.noise),
        "seed": problem.seed, "prior": prior.name, "device": prior.network_device.type, "precision": prior.precision,
    }  # fmt: skip


Content = str | bytes | Image.Image
Files = Mapping[str, tuple[str, Callable[[], Content]]]  # by their names: the text for people, and what makes the file


def asked(files: Files) -> list[dict[str, Any]]:
    """Files that are made when a person clicks on them, for a view."""
    return [{"name": name, "text": text, "asked": True} for name, (text, _) in files.items()]


def download(name: str, text: str, content: Content) -> dict[str, str]:
    """A file to take away, as a `data:` URL with its text for people."""
    data = images.encode(content) if isinstance(content, Image.Image) else content
    data = data.encode() if isinstance(data, str) else data
    return {"name": name, "text": text, "href": images.file_url(data, KINDS[name.rpartition(".")[2]])}


def made(files: Files, name: str) -> tuple[dict[str, str], str]:
    """A file that a person has asked for, and why there is none, else an empty text; its address is empty then."""
    try:
        if name not in files:
            raise RedguiError("The run of this file is gone; press Run and ask for the file anew.")
        text, make = files[name]
        return download(name, text, make()), ""
    except RedguiError as error:
        wrong = str(error)
    except Exception:  # whatever it is, the page must not wait for ever
        log.exception("%s could not be made", name)
        wrong = "The file could not be made; the log of the server says why."
    return {"name": name, "href": ""}, wrong


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """A table as CSV, None as an empty cell."""
    out = io.StringIO()
    csv.writer(out).writerows(["" if cell is None else cell for cell in line] for line in lines)
    return out.getvalue()
