"""The columns of a comparison's table: what each is, why it can be missing, and who is best in it."""

from collections.abc import Set
from typing import Any

from redgui.metrics import lpips
from redgui.runs.problem import Problem
from redgui.ui.parts import board
from redgui.ui.parts.board import Figure

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
HEAD = [{"name": column.name, "note": column.note, "key": column.key, "digits": column.digits} for column in COLUMNS]
COSTS = ("nfe", "backward", "seconds")  # compared among those that have ended: less after fewer steps says nothing


def missing(column: str, problem: Problem) -> str:
    """Why a figure cannot be had: a note on "n/a"."""
    if column in ("psnr", "ssim", "lpips") and problem.x_true is None:
        return "n/a: there is no original to compare with"
    if column == "lpips":
        return f"n/a: pictures below {lpips.SIDE} pixels"
    return "n/a: the measurement has no noise" if column == "ratio" else ""


def best(rows: dict[str, dict[str, Any]], sigma_y: float, ended: Set[str], all_ended: bool) -> dict[str, list[str]]:
    """Which contestants have the best value of each column; costs are compared once all have ended, among those `ended`."""
    winners = board.best(rows, [column for column in COLUMNS if column.key not in COSTS], sigma_y)
    if not all_ended:
        return winners
    costs = [column for column in COLUMNS if column.key in COSTS]
    return winners | board.best({key: row for key, row in rows.items() if key in ended}, costs)
