"""From particles to what a person sees: the gallery, mean, maps of spread and coverage, figures, and the files to keep."""

import json
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import images, knobs
from redgui.metrics.ensemble import FAR, LEVELS, Ensemble
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.stream import Measured
from redgui.sheets import Sheet
from redgui.ui.parts import board
from redgui.ui.parts.board import Files

STOPS = ("#000004", "#2c115f", "#721f81", "#b73779", "#f1605d", "#feb078", "#fcfdbf")  # magma
TOPS = (2, 5, 10, 20, 50, 100, 128)  # of the scale, in 8-bit levels: few, so that the colours stay for most of a run
MARKS = {"beyond": (255, 138, 0), "outside": (255, 45, 146)}
SHEET_SIDE = 128  # of the pictures on the sheet, at least
NO_TRUTH = (
    "There is no coverage: your picture is itself the measurement, so the truth is not known. The spread says how sure the "
    "sampler is, and nothing here says whether it is right to be."
)


class ParticleBoard:
    """The value of the particles' component."""

    def __init__(self, run: Run, number: int):
        self.run, self.problem = run, run.problem.to(run.prior.device)
        self._fixed = opening(number, run.problem, run.particles)
        self._top = TOPS[-1]

    def ensemble(self, step: Measured) -> Ensemble:
        """The particles of a step; of an ambiguous operator each as it is nearest to the truth, or else to the first."""
        x, x_true = step.x0_hat, self.problem.x_true
        x = self.problem.H.aligned(x, x[:1] if x_true is None else x_true)
        return Ensemble(x, x_true)

    def value(self, status: str, message: str = "") -> dict[str, Any]:
        """Everything that the browser draws, as of the newest step."""
        step = self.run.last
        value: dict[str, Any] = {"status": status, "message": message, "i": 0, "n": 0}
        if step is None:
            return {**self._fixed, **value}
        ensemble, over = self.ensemble(step), status != "running"
        figures = ensemble.figures()
        value |= {"i": step.i + 1, "n": step.n, "cards": json.dumps(cards(figures)), "notes": json.dumps(notes(figures))}
        frames = {}
        for key, picture in self.pictures(ensemble).items():
            exact = over or isinstance(picture, Image.Image)
            frames[key] = images.data_url(picture) if exact else images.data_url(picture, "jpeg", quality=88)
        value |= {"frames": frames, "legend": json.dumps({"stops": STOPS, "top": self._top})}
        if over and figures.get("coverage"):  # a plot that is drawn anew four times a second is dear for a page
            shown = {"levels": figures["levels"], "shares": [round(share, 4) for share in figures["coverage"]]}
            value["coverage"] = json.dumps(shown)
        if over:
            value["downloads"] = board.asked(self.files())
        return {**self._fixed, **value}

    def pictures(self, ensemble: Ensemble) -> dict[str, Tensor | Image.Image]:
        """All pictures by their keys: mean, std, with a truth std calibrated, beyond and outside, and the particles p0, p1, ...

        Mean and particles are as they are given back; maps and figures are of the sampler's own.
        """
        spread = ensemble.std_map.cpu().numpy() * LEVELS
        factor = None if ensemble.x_true is None else ensemble.std_factor
        self._top = next((top for top in TOPS if top >= max(1.0, factor or 1.0) * np.quantile(spread, 0.995)), TOPS[-1])
        pictures: dict[str, Tensor | Image.Image] = {"mean": self.run.given_back(ensemble.mean)}
        pictures["std"] = coloured(spread / self._top)
        if factor is not None:
            pictures["calibrated"] = coloured(factor * spread / self._top)
        if ensemble.x_true is not None:
            pictures["beyond"] = marked(ensemble.mean, ensemble.beyond, MARKS["beyond"])
            pictures["outside"] = marked(ensemble.mean, ensemble.outside, MARKS["outside"])
        return pictures | {f"p{k}": x for k, x in enumerate(self.run.given_back(ensemble.particles).split(1))}

    # ---- to take away

    def files(self) -> Files:
        """A sheet of all pictures, the record that reproduces them, and the figures."""
        return {
            "particles.png": ("Sheet (PNG)", self.sheet),
            "record.json": ("record.json", lambda: self.run.record().to_json()),
            "particles.json": ("Figures (JSON)", self.to_json),
        }

    def newest(self) -> Ensemble:
        """The particles as they are now, of a run that has made a step."""
        assert self.run.last is not None
        return self.ensemble(self.run.last)

    def to_json(self) -> str:
        """All figures."""
        about = {"format": "redgui-particles", "version": 1, "sampler": knobs.spec(self.run.sampler)}
        return json.dumps(about | self.newest().figures(), indent=1)

    def sheet(self) -> Image.Image:
        """Measurement, original, mean and maps, then the particles, each with its name and figure."""
        ensemble = self.newest()
        p, named, said = self.problem, {key: name for key, name, _ in tiles(self.problem, 0)}, notes(ensemble.figures())
        entries: list[tuple[str, Tensor | Image.Image]] = [("measurement", p.H.picture(p.y))]
        entries += [("original", p.x_true)] if p.x_true is not None else []
        for key, picture in self.pictures(ensemble).items():
            name = named.get(key, f"particle {key[1:]}" if key[1:].isdigit() else key)
            note = said.get(key, f"0 to {self._top} levels" if key == "std" else "")
            entries.append((f"{name}  {note}", picture))
        columns = min(len(entries), 6)
        h, w = p.start().shape[-2:]
        sheet = Sheet(-(-len(entries) // columns), columns, (h, w), least=SHEET_SIDE, caption=22, width=170)
        for k, (name, picture) in enumerate(entries):
            sheet.picture(*divmod(k, columns), picture)
            sheet.caption(*divmod(k, columns), name, size=12)
        return sheet.page


def coloured(shares: np.ndarray) -> Image.Image:
    """A map (h, w) of shares of the scale, 0 to 1, in its colours."""
    stops = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in STOPS], dtype=np.float64)
    at = np.nan_to_num(shares, nan=1.0).clip(0, 1) * (len(stops) - 1)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


def marked(mean: Tensor, where: Tensor, colour: tuple[int, int, int]) -> Image.Image:
    """The mean in dark grey under a colour where something holds, the stronger the more of the channels it holds for."""
    grey = images.to_uint8(mean).mean(2, keepdims=True) * 0.55
    share = where.float().mean(0).cpu().numpy()[..., None]
    strength = np.where(share > 0, 0.4 + 0.6 * share, 0.0)
    return Image.fromarray((grey * (1 - strength) + np.array(colour) * strength).round().astype(np.uint8))


def tiles(problem: Problem, n: int) -> list[tuple[str, str, str]]:
    """Key, name and group of all tiles: those of the ensemble, then the particles."""
    whole = [("mean", "mean", "maps"), ("std", "std over particles", "maps")]
    if problem.x_true is not None:
        whole += [("calibrated", "std, calibrated", "maps")]
        whole += [("beyond", f"truth beyond {FAR:g} std", "maps"), ("outside", "truth outside min..max", "maps")]
    return whole + [(f"p{k}", f"particle {k + 1}", "particles") for k in range(n)]


def notes(figures: dict[str, Any]) -> dict[str, str]:
    """What stands under the tiles, by their keys."""
    if "psnr_mean" not in figures:
        return {}
    each = {f"p{k}": f"{psnr:.2f} dB" for k, psnr in enumerate(figures["psnr_each"])}
    factor = figures["std_factor"]
    each["calibrated"] = "no factor does it" if factor is None else f"× {factor:.2f}"
    return each | {"mean": f"{figures['psnr_mean']:.2f} dB"} | {key: f"{100 * figures[key]:.1f} %" for key in MARKS}


def cards(figures: dict[str, Any]) -> list[dict[str, str]]:
    """The figures as cards: name, text, and a note that puts it in proportion."""
    n, shown = figures["n"], []
    if "psnr_mean" in figures:
        gain = figures["psnr_mean"] - figures["psnr_particle"]
        shown.append(
            {"name": "PSNR of the mean", "text": f"{figures['psnr_mean']:.2f} dB", "note": f"{gain:+.2f} on one particle"}
        )
        low, high = min(figures["psnr_each"]), max(figures["psnr_each"])
        one = {"name": "PSNR of one particle", "text": f"{figures['psnr_particle']:.2f} dB", "note": f"{low:.2f} to {high:.2f}"}
        shown.append(one)
    std = figures["mean_std"]
    shown.append({"name": "mean std", "text": f"{std * LEVELS:.1f} levels", "note": f"{std:.4f} of [0, 1]"})
    if "psnr_mean" in figures:
        ratio = figures["spread_over_error"]
        text = "–" if ratio is None else f"{ratio:.2f}"
        shown.append({"name": "spread / error", "text": text, "note": "1 is calibrated; below it the sampler is too sure"})
        for key, name in (("beyond", f"truth beyond {FAR:g} std"), ("outside", "truth outside min..max")):
            law = "normal and calibrated" if key == "beyond" else "calibrated"
            expected = f"{100 * figures[f'{key}_calibrated']:.1f} % if {law} (n = {n})"
            text = f"{100 * figures[f'{key}_unsettled']:.1f} %"
            shown.append(
                {"name": f"{name}, where unsettled", "text": text, "note": f"{expected}; {100 * figures[key]:.1f} % of all"}
            )
    return shown


def opening(number: int, problem: Problem | None = None, n: int = 0) -> dict[str, Any]:
    """What does not change while a run goes on: its tiles and the pictures to compare with."""
    value = {**board.opening(number, problem), "tiles": "[]", "frames": {}, "absent": ""}
    if problem is None:
        return value
    listed = [{"key": key, "name": name, "group": group} for key, name, group in tiles(problem, n)]
    start = images.data_url(problem.start(), "jpeg", quality=88)
    return value | {"tiles": json.dumps(listed), "absent": NO_TRUTH if problem.x_true is None else "", "start": start}


def blank(number: int, status: str, message: str, problem: Problem | None = None, n: int = 0) -> dict[str, Any]:
    """The component's value before the first step, its tiles in their places, or for an error without any."""
    return opening(number, problem, n) | {"status": status, "message": message, "i": 0, "n": 0}
