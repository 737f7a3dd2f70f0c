"""A tuning on the Sweep tab's map: the settings that are tried, their score without the truth, and who was dropped when."""

import json
from typing import Any, cast

from redgui import knobs
from redgui.runs.stream import Measured
from redgui.runs.sweep import Cell
from redgui.runs.tune import LAST, Candidate, Tuning
from redgui.ui.parts.board import Figure, Files
from redgui.ui.sweep.board import SweepBoard

SCORE = Figure("score", "hidden-value error", ".4f", "low", "root mean square error on values that were hidden; less is better")


class TuneBoard(SweepBoard):
    """The value of the sweep's component for a tuning; `tuning` is what it shows."""

    columns = (SCORE,)

    def __init__(self, tuning: Tuning, number: int):
        super().__init__(tuning, number)
        self.tuning = tuning

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        if status == "running" and not message:
            group = self.tuning.rounds[-1]
            steps = getattr(group.members[0].run.sampler, "steps", 0)
            message = (
                f"Round {len(self.tuning.rounds)} of {LAST}: {len(group.members)} settings, {steps} steps each"
            )
        value = super().value(status, message)
        if status != "done":
            return value
        winner = self.tuning.ranked[0].key
        return value | {"best": json.dumps({SCORE.key: [winner]}), "winner": winner}

    def _good(self) -> dict[str, dict[str, Any]]:
        return {m.key: self.rows[m.key] for m in self.tuning.rounds[-1].members if m.status != "error"}  # of equal steps

    def _judge(self, cell: Cell, step: Measured, anew: bool, due: bool, final: bool) -> None:
        if anew:
            self.rows[cell.key][SCORE.key] = self.tuning.judge.score(step.x0_hat)

    def _said(self, cell: Cell) -> dict[str, Any]:
        candidate = cast(Candidate, cell)
        if not candidate.dropped or candidate.status == "error":
            return super()._said(cell)
        return {"status": "dropped", "message": f"dropped after round {candidate.round}", "round": candidate.round}

    def files(self) -> Files:
        """The map as a picture and its figures as CSV: records are of whole runs, and these were of a harder problem."""
        return {"tuning.png": ("Grid (PNG)", self.sheet), "tuning.csv": ("Table (CSV)", self.to_csv)}


def told(tuning: Tuning) -> tuple[str, str]:
    """Status and message at the end."""
    late = next((m.message for m in tuning.rounds[-1].members if m.status == "stopped" and m.message), "")
    if tuning.stopping or late:
        return "stopped", ". ".join(part for part in ("Stopped before the last round was over", late) if part) + "."
    if not any(m.status == "done" for group in tuning.rounds for m in group.members):
        return "error", "No setting could be run; the cells say why."
    best = knobs.spec(tuning.winner, tuning.grid.sampler).partition(":")[2].replace(",", ", ") or "as the knobs were"
    runs = tuning.calls / tuning.steps
    return "done", f"Best of {len(tuning.ranked)} settings, for the network calls of {runs:.1f} runs: {best}."
