"""How wrong a prior's D is at each noise level: what RED-diff's weighting `calibrated` goes by.

`redgui train` measures it on held-out pictures and writes it into model_index.json, `"redgui": {"rmse": {"0.1": 0.04, ...}}`.
A prior without that table is measured once, on a picture that it draws itself.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from redgui import schedule
from redgui.knobs import shown

if TYPE_CHECKING:
    from redgui.priors.base import Prior

LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
STEPS = 32  # of the picture that a prior without a table draws


class Errors(NamedTuple):
    """Noise levels, ascending, and the root-mean-square error of D per entry at them, both (k,) float64."""

    sigmas: Tensor
    rmse: Tensor


@torch.no_grad()
def measured(prior: "Prior") -> Errors:
    """The errors on one picture that the prior draws, with noise that is always the same: STEPS and at most 11 calls of it.

    They are rounded to three digits, so that the order of a machine's additions is not seen in them.
    """
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(1, *prior.shape, generator=generator).to(prior.device)

    lo, hi = float(prior.sigmas[0]), float(prior.sigmas[-1])
    x = hi * noise()
    for sigma, after in schedule.pairs(schedule.karras(STEPS, lo, hi).tolist()):
        D = prior.denoise(x, sigma)
        x = D + after / sigma * (x - D)
    levels = sorted({lo, hi, *(level for level in LEVELS if lo < level < hi)})
    found = [float((prior.denoise(x + sigma * noise(), sigma) - x).double().square().mean().sqrt()) for sigma in levels]
    rmse = [max(float(f"{error:.3g}"), 1e-9) for error in found]
    return Errors(torch.tensor(levels, dtype=torch.float64), torch.tensor(rmse, dtype=torch.float64))


def table(index: dict[str, Any], where: object) -> Errors | None:
    """The errors in a model_index.json; None where it has none. Raises PriorError."""
    from redgui.priors.base import PriorError

    about = index.get("redgui")
    said = about.get("rmse") if isinstance(about, dict) else None
    if said is None:
        return None
    try:
        rows = sorted((float(sigma), float(error)) for sigma, error in said.items())
        sound = len(rows) > 1 and all(math.isfinite(n) and n > 0 for row in rows for n in row)
    except (AttributeError, TypeError, ValueError):
        rows, sound = [], False
    if not sound:
        raise PriorError(f"the rmse in {where}/model_index.json is an error > 0 at each of several levels; got {shown(said)}.")
    sigmas, rmse = zip(*rows, strict=True)
    return Errors(torch.tensor(sigmas, dtype=torch.float64), torch.tensor(rmse, dtype=torch.float64))


def write(folder: Path, rmse: dict[str, float]) -> None:
    """Writes a table, by the level, into a folder's model_index.json."""
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index["redgui"] = index.get("redgui", {}) | {"rmse": rmse}
    path.write_text(json.dumps(index, indent=2) + "\n")
