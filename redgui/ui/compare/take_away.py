"""What a comparison gives to take away: contact sheet, figure and table for a paper, JSON and CSV."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from redgui import figures, knobs
from redgui.sheets import Sheet
from redgui.ui.compare.columns import COLUMNS
from redgui.ui.parts import board
from redgui.ui.parts.board import Files, csv_text, known

if TYPE_CHECKING:
    from redgui.ui.compare.board import Scoreboard

SHEET_SIDE = 160  # of the tiles on a contact sheet, at least
MOST_PINNED, LONGEST_TEXT, MOST_STEPS = 24, 200, 10**6  # runs that a browser keeps, characters of a text, steps of a run
TEXTS = ("sampler", "knobs", "title", "of", "prior")  # of a card, in the order of the fields of `Pinned`


@dataclass(frozen=True)
class Pinned:
    """A run of History that is pinned, as the browser knows it: it may be of another picture and another degradation.

    Attributes:
        figures: of `COLUMNS` by their keys, None where it has none.
    """

    sampler: str
    knobs: str
    degradation: str
    picture: str
    prior: str
    steps: int | None
    figures: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """As the table calls it."""
        return ", ".join((self.sampler, self.degradation, self.picture))


def pinned_of(value: Any) -> list[Pinned]:
    """The pinned runs that a page sent, which may be any JSON: what is none is left out, texts are cut, numbers are finite."""
    found = []
    for card in value[:MOST_PINNED] if isinstance(value, list) else ():
        texts = [card.get(name) for name in TEXTS] if isinstance(card, dict) else []
        said = ["".join(c for c in text if c.isprintable())[:LONGEST_TEXT] for text in texts if isinstance(text, str)]
        if len(said) < len(TEXTS):
            continue
        steps, row = card.get("steps"), card.get("figures")
        whole = steps if type(steps) is int and 0 < steps < MOST_STEPS else None
        found.append(Pinned(*said, steps=whole, figures=known(row if isinstance(row, dict) else {}, COLUMNS)))
    return found


def files(made: "Scoreboard", pinned: Sequence[Pinned] = ()) -> Files:
    """All of it, made when it is asked for; `pinned` are in the tables, too."""
    return {
        "comparison.png": ("Contact sheet (PNG)", lambda: sheet(made)),
        "comparison.json": ("Records (JSON)", lambda: to_json(made, pinned)),
        "comparison.csv": ("Table (CSV)", lambda: to_csv(made, pinned)),
        "comparison.pdf": ("Figure (PDF)", lambda: figures.encode(figure(made), "pdf")),
        "comparison.svg": ("Figure (SVG)", lambda: figures.encode(figure(made), "svg")),
        "comparison.tex": ("Table (LaTeX)", lambda: to_latex(made, pinned)),
    }


def figure(made: "Scoreboard") -> Any:
    """The figure for a paper, of `redgui.figures`: original, measurement and results of the first picture, with PSNR and LPIPS
    below; with several runs of each then the PSNR of all, as mean ± standard error."""
    p = made.problem
    panels = [] if p.x_true is None else [figures.Panel("original", p.x_true)]
    panels.append(figures.Panel("measurement", p.H.picture(p.y), p.noise_text))
    for c in made.race.contestants:
        row = known(made.rows[c.key], COLUMNS)
        said = [f"{row[key]:{form}}" for key, form in (("psnr", ".2f"), ("lpips", ".3f")) if row[key] is not None]
        note = " / ".join(said) if c.status != "error" else c.status
        panels.append(figures.Panel(c.label, made.picture(c) if c.run.last else None, note))
    about = f"PSNR, dB: a point for each run, mean ± standard error over {made.race.units}"
    return figures.comparison(panels, spreads=made.psnr_of_runs(), about=about)


def to_latex(made: "Scoreboard", pinned: Sequence[Pinned] = ()) -> str:
    """The page's table, with the best of each column in bold and pinned runs at its end."""
    table, race, problem = made.table(), made.race, made.problem
    rows = [[row["name"], *(cell["text"] for cell in row["cells"])] for row in table["rows"]]
    bold = {(i, j + 1) for i, row in enumerate(table["rows"]) for j, cell in enumerate(row["cells"]) if cell["best"]}
    for run in pinned:
        shown = [(column, run.figures[column.key]) for column in COLUMNS]
        rows.append([run.name, *("–" if value is None else column.text(value) for column, value in shown)])
    about = f"{problem.H.label}, {problem.noise_text}"
    about += f", {len(race.pictures)} pictures" if len(race.pictures) > 1 else ""
    about += f", seeds {race.seeds[0]} to {race.seeds[-1]}" if len(race.seeds) > 1 else f", seed {race.seeds[0]}"
    about += f", mean ± standard error over {race.units}" if len(race.members) > len(race.contestants) else ""
    last = f"The last {len(pinned)} rows are" if len(pinned) > 1 else "The last row is"
    about += f". {last} of single runs of their own." if pinned else "."
    return figures.latex(["sampler", *(column.name for column in COLUMNS)], rows, bold, about)


def to_json(made: "Scoreboard", pinned: Sequence[Pinned] = ()) -> str:
    """All figures, of each run the record that reproduces it, and what the browser knows of pinned runs."""
    entries, shared = [], board.about(made.problem, made.race.contestants[0].run.prior)
    for c in made.race.members:
        record = json.loads(c.run.record().to_json()) if c.run.last is not None and c.status != "error" else None
        entry = {"name": c.label, "sampler": knobs.spec(c.run.sampler), "status": c.status, "message": c.message}
        entry |= {"picture": c.picture, "seed": c.run.problem.seed}
        entries.append(entry | {"budget": c.budget, "figures": known(made.rows[c.key], COLUMNS), "record": record})
    body = {"format": "redgui-comparison", "version": 1, **shared, "contestants": entries}
    return json.dumps(body | {"pinned": [asdict(run) for run in pinned]}, indent=1)


def to_csv(made: "Scoreboard", pinned: Sequence[Pinned] = ()) -> str:
    """A line per contestant, picture and seed, then one per pinned run."""
    keys = [column.key for column in COLUMNS]
    lines: list[list[Any]] = [["name", "picture", "seed", "sampler", "status", "steps", "budget", *keys]]
    for c in made.race.members:
        steps = c.run.last.i + 1 if c.run.last else 0
        row, spec = known(made.rows[c.key], COLUMNS), knobs.spec(c.run.sampler)
        lines.append([c.label, c.picture, c.run.problem.seed, spec, c.status, steps, c.budget, *row.values()])
    for run in pinned:
        said = f"{run.sampler}: {run.knobs}"
        lines.append([run.name, run.picture, None, said, "pinned", run.steps, None, *(run.figures[key] for key in keys)])
    return csv_text(lines)


def sheet(made: "Scoreboard") -> Image.Image:
    """Original, measurement and results of the first picture on one page, with names and PSNR."""
    p = made.problem
    tiles: list[tuple[str, str, Tensor | None]] = [("original", "", p.x_true)] if p.x_true is not None else []
    tiles.append(("measurement", p.noise_text, p.H.picture(p.y)))
    for c in made.race.contestants:
        psnr = made.rows[c.key].get("psnr")
        note = f"{psnr:.2f} dB" if psnr is not None and c.status != "error" else ""
        note += f"{' · ' if note else ''}{c.status}" if c.status in ("error", "stopped") else ""
        tiles.append((c.label, note, made.picture(c) if c.run.last else None))
    columns = min(len(tiles), max(2, math.ceil(math.sqrt(len(tiles)))))
    h, w = p.start().shape[-2:]
    sheet = Sheet(-(-len(tiles) // columns), columns, (h, w), least=SHEET_SIDE, caption=40)
    for k, (name, note, picture) in enumerate(tiles):
        at = divmod(k, columns)
        sheet.picture(*at, picture)
        sheet.caption(*at, name, size=14)
        sheet.caption(*at, note, down=21, colour="#444444")
    return sheet.page
