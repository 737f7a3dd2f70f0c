r"""Figures and tables for a paper: pictures with an enlarged part and their figures, error bars, heat maps (PDF, SVG), LaTeX.

    panels = [Panel("Original", result.picture), Panel("RED-diff", result.raw, "28.1 dB, LPIPS 0.05")]
    Path("figure.pdf").write_bytes(encode(comparison(panels), "pdf"))

No function here draws on a screen or touches matplotlib's state, so that they may be called from any thread.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from redgui import images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: the text of a page in two columns
KINDS: tuple[Literal["pdf", "svg"], ...] = ("pdf", "svg")
COLUMNS = 6  # panels side by side, at most
ZOOM = 4  # times that the enlarged part is narrower than the picture
ESCAPED = {"\\": r"\textbackslash{}", **{c: "\\" + c for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
           "σ": r"$\sigma$", "Π": r"$\Pi$", "λ": r"$\lambda$", "×": r"$\times$", "±": r"$\pm$", "−": "$-$"}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """A picture (1, c, h, w) of a comparison, None where there is none, with its name and a line below it."""

    name: str
    picture: Tensor | None
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """A figure of several runs with its mean and standard error, None where there is none."""

    name: str
    values: Sequence[float]
    mean: float | None
    error: float | None


def comparison(
    panels: Sequence[Panel], box: tuple[int, int, int] | None = None, spreads: Sequence[Spread] = (), about: str = ""
) -> "Figure":
    """Pictures side by side, a part of each enlarged in its corner, and error bars below them.

    Args:
        box: row, column and side of the part, in pixels; where the pictures differ most if not given.
        spreads: a line of points and an error bar each, none where it is empty.
        about: the text below their axis.
    """
    from matplotlib.figure import Figure

    shown = [None if panel.picture is None else images.to_uint8(panel.picture) for panel in panels]
    sizes = [picture.shape[:2] for picture in shown if picture is not None]
    largest = max(sizes, default=(1, 1))
    box = box or parted([picture for picture in shown if picture is not None and picture.shape[:2] == largest])
    columns = min(COLUMNS, max(1, len(panels)))
    rows = -(-len(panels) // columns)
    tall = WIDTH / columns * largest[0] / largest[1] + 0.45  # the text
    bars = 0.5 + 0.2 * len(spreads) if spreads else 0.0
    figure = Figure(figsize=(WIDTH, rows * tall + bars), layout="constrained")
    page: Any = figure
    if spreads:
        parts: Any = figure.subfigures(2, 1, height_ratios=[rows * tall, bars])
        page = parts[0]
        _error_bars(parts[1].subplots(), spreads, about)
    axes = [*page.subplots(rows, columns, squeeze=False).flat]
    for axis, panel, picture in zip(axes, panels, shown, strict=False):
        axis.set(xticks=[], yticks=[])
        axis.set_title(panel.name, fontsize=8, pad=3)
        axis.set_xlabel(panel.note, fontsize=7, labelpad=2)
        if picture is None:
            continue
        axis.imshow(picture, interpolation="nearest")
        if picture.shape[:2] == largest and box[2]:  # a measurement of another size has no such part
            _enlarge(axis, picture, box)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def _error_bars(axis: Any, spreads: Sequence[Spread], about: str) -> None:
    """A line for each from above to below: its points, and mean ± standard error on them."""
    for k, spread in enumerate(spreads):
        colour = f"C{k % 10}"
        axis.plot(spread.values, [k] * len(spread.values), "o", color=colour, alpha=0.45, markersize=3, markeredgewidth=0)
        if spread.mean is not None:
            axis.errorbar(spread.mean, k, xerr=spread.error, fmt="D", color=colour, markersize=4, capsize=3, linewidth=1.2)
    axis.set_yticks(range(len(spreads)), [spread.name for spread in spreads], fontsize=7)
    axis.set_ylim(len(spreads) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", linewidth=0.4, alpha=0.5)
    axis.set_xlabel(about, fontsize=7)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _enlarge(axis: object, picture: np.ndarray, box: tuple[int, int, int]) -> None:
    from matplotlib.patches import Rectangle

    row, column, side = box
    axis.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor="#e8a33d", linewidth=0.8))  # type: ignore[attr-defined]
    left = 0.0 if column + side / 2 > picture.shape[1] / 2 else 0.55  # away from the part itself
    inset = axis.inset_axes((left, 0.0, 0.45, 0.45))  # type: ignore[attr-defined]
    inset.imshow(picture[row : row + side, column : column + side], interpolation="nearest")
    inset.set(xticks=[], yticks=[])
    for spine in inset.spines.values():
        spine.set(edgecolor="#e8a33d", linewidth=0.8)


def parted(pictures: Sequence[np.ndarray]) -> tuple[int, int, int]:
    """Row, column and side of the square in which pictures (h, w, 3) of one size differ most: the variance over them."""
    if not pictures:
        return 0, 0, 0
    h, w = pictures[0].shape[:2]
    side = max(min(h, w, 8), min(h, w) // ZOOM)
    spread = np.var(np.stack(pictures).astype(float), axis=0).sum(-1)
    total = np.pad(spread.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # sums of squares by the table of sums
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(row), int(column), side


def heat_map(
    values: np.ndarray, rows: tuple[str, Sequence[str]], columns: tuple[str, Sequence[str]], name: str, form: str = ".2f"
) -> "Figure":
    """A grid of figures (rows, columns) as colours with the numbers on them; NaN is an empty cell.

    Args:
        rows, columns: the name of the knob and the text of each of its values.
        name: of the figure, beside the scale.
        form: of the numbers.
    """
    from matplotlib.figure import Figure

    height = 0.9 + 0.36 * len(values)
    figure = Figure(figsize=(min(WIDTH, 1.9 + 0.62 * values.shape[1]), height), layout="constrained")
    axis = figure.subplots()
    drawn = axis.imshow(np.ma.masked_invalid(values), cmap="viridis", aspect="auto")
    axis.set_xticks(range(values.shape[1]), list(columns[1]), fontsize=7)
    axis.set_yticks(range(values.shape[0]), list(rows[1]), fontsize=7)
    axis.set_xlabel(columns[0], fontsize=8)
    axis.set_ylabel(rows[0], fontsize=8)
    lo, hi = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 0.0)
    for (i, j), value in np.ndenumerate(values):
        if math.isfinite(value):
            dark = hi == lo or (value - lo) / (hi - lo) < 0.6
            axis.text(j, i, format(value, form), ha="center", va="center", fontsize=7, color="white" if dark else "black")
    figure.colorbar(drawn, ax=axis).set_label(name, fontsize=8)
    return figure


def encode(figure: "Figure", kind: Literal["pdf", "svg"]) -> bytes:
    """The bytes of a file: text stays text, and the same figure is the same bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "redgui"}):
        figure.savefig(buffer, format=kind, dpi=300, metadata={"CreationDate": None} if kind == "pdf" else {"Date": None})
    return buffer.getvalue()


def latex(head: Sequence[str], rows: Sequence[Sequence[str]], bold: set[tuple[int, int]], caption: str = "") -> str:
    r"""A table for the package booktabs.

    Args:
        head: names of the columns, the first that of the rows.
        rows: the texts of the cells.
        bold: (row, column) of the best cells.
    """
    lines = [[rf"\textbf{{{escaped(cell)}}}" if (i, j) in bold else escaped(cell) for j, cell in enumerate(row)]
             for i, row in enumerate(rows)]  # fmt: skip
    body = "\n".join("    " + " & ".join(line) + r" \\" for line in lines)
    said = f"  \\caption{{{escaped(caption)}}}\n" if caption else ""
    columns = "l" + "r" * (len(head) - 1)
    return (
        f"% \\usepackage{{booktabs}}\n\\begin{{table}}\n  \\centering\n{said}  \\begin{{tabular}}{{{columns}}}\n"
        f"    \\toprule\n    {' & '.join(map(escaped, head))} \\\\\n    \\midrule\n{body}\n    \\bottomrule\n"
        "  \\end{tabular}\n\\end{table}\n"
    )


def escaped(text: str) -> str:
    """A text as LaTeX shows it."""
    return "".join(ESCAPED.get(c, c) for c in text)
