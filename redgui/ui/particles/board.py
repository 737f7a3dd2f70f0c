"""From particles to what a person sees: the gallery, mean, maps of spread and coverage, figures, and the files to keep."""

import base64
import json
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from redgui import images, knobs
from redgui.metrics.ensemble import FAR, LEVELS, Ensemble
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.stream import Measured
from redgui.ui.compare.board import font
from redgui.ui.compare.board import opening as compared

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
        shown: dict[str, Any] = {"status": status, "message": message, "i": 0, "n": 0}
        if step is None:
            return {**self._fixed, **shown}
        found, over = self.ensemble(step), status != "running"
        figures = found.figures()
        shown |= {"i": step.i + 1, "n": step.n, "cards": json.dumps(cards(figures)), "notes": json.dumps(notes(figures))}
        frames = {}
        for key, picture in self.pictures(found).items():
            exact = over or isinstance(picture, Image.Image)
            frames[key] = images.data_url(picture) if exact else images.data_url(picture, "jpeg", quality=88)
        shown |= {"frames": frames, "legend": json.dumps({"stops": STOPS, "top": self._top})}
        if over:
            shown["downloads"] = self.downloads(found)
        return {**self._fixed, **shown}

    def pictures(self, found: Ensemble) -> dict[str, Tensor | Image.Image]:
        """All pictures by their keys: mean, std, with a truth beyond and outside, and the particles p0, p1, ..."""
        spread = found.std_map.cpu().numpy() * LEVELS
        self._top = next((top for top in TOPS if top >= np.quantile(spread, 0.995)), TOPS[-1])
        shown: dict[str, Tensor | Image.Image] = {"mean": found.mean, "std": coloured(spread / self._top)}
        if found.x_true is not None:
            shown["beyond"] = marked(found.mean, found.beyond, MARKS["beyond"])
            shown["outside"] = marked(found.mean, found.outside, MARKS["outside"])
        return shown | {f"p{k}": x for k, x in enumerate(found.particles.split(1))}

    # ---- to take away

    def downloads(self, found: Ensemble) -> list[dict[str, str]]:
        """A sheet of all pictures, the record that reproduces them, and the figures, as `data:` URLs."""
        figures = {"format": "redgui-particles", "version": 1, "sampler": knobs.spec(self.run.sampler)}
        files = (
            ("particles.png", "Sheet (PNG)", "image/png", images.encode(self.sheet(found))),
            ("record.json", "record.json", "application/json", self.run.record().to_json().encode()),
            ("particles.json", "Figures (JSON)", "application/json", json.dumps(figures | found.figures(), indent=1).encode()),
        )
        return [{"name": n, "text": t, "href": f"data:{kind};base64,{base64.b64encode(d).decode()}"} for n, t, kind, d in files]

    def sheet(self, found: Ensemble) -> Image.Image:
        """Measurement, original, mean and maps, then the particles, each with its name and figure."""
        p, named, said = self.problem, {key: name for key, name, _ in tiles(self.problem, 0)}, notes(found.figures())
        entries: list[tuple[str, Tensor | Image.Image]] = [("measurement", p.H.picture(p.y))]
        entries += [("original", p.x_true)] if p.x_true is not None else []
        for key, picture in self.pictures(found).items():
            name = named.get(key, f"particle {key[1:]}" if key[1:].isdigit() else key)
            note = said.get(key, f"0 to {self._top} levels" if key == "std" else "")
            entries.append((f"{name}  {note}", picture))
        h, w = p.start().shape[-2:]
        times = max(1, -(-SHEET_SIDE // max(h, w)))
        h, w, gap, line = h * times, w * times, 10, 22
        w_cell = max(w, 170)
        columns = min(len(entries), 6)
        page = Image.new("RGB", (gap + columns * (w_cell + gap), gap + -(-len(entries) // columns) * (h + line + gap)), "white")
        draw = ImageDraw.Draw(page)
        for k, (name, picture) in enumerate(entries):
            x, y = gap + (k % columns) * (w_cell + gap), gap + (k // columns) * (h + line + gap)
            picture = picture if isinstance(picture, Image.Image) else images.to_pil(picture)
            page.paste(picture.convert("RGB").resize((w, h), Image.Resampling.NEAREST), (x, y))
            draw.text((x, y + h + 3), name, fill="black", font=font(12))
        return page


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
        whole += [("beyond", f"truth beyond {FAR:g} std", "maps"), ("outside", "truth outside min..max", "maps")]
    return whole + [(f"p{k}", f"particle {k + 1}", "particles") for k in range(n)]


def notes(figures: dict[str, Any]) -> dict[str, str]:
    """What stands under the tiles, by their keys."""
    if "psnr_mean" not in figures:
        return {}
    each = {f"p{k}": f"{psnr:.2f} dB" for k, psnr in enumerate(figures["psnr_each"])}
    return each | {"mean": f"{figures['psnr_mean']:.2f} dB"} | {key: f"{100 * figures[key]:.1f} %" for key in MARKS}


def cards(figures: dict[str, Any]) -> list[dict[str, str]]:
    """The figures as cards: name, text, and a note that puts it in proportion."""
    n, found = figures["n"], []
    if "psnr_mean" in figures:
        gain = figures["psnr_mean"] - figures["psnr_particle"]
        found.append(
            {"name": "PSNR of the mean", "text": f"{figures['psnr_mean']:.2f} dB", "note": f"{gain:+.2f} on one particle"}
        )
        low, high = min(figures["psnr_each"]), max(figures["psnr_each"])
        one = {"name": "PSNR of one particle", "text": f"{figures['psnr_particle']:.2f} dB", "note": f"{low:.2f} to {high:.2f}"}
        found.append(one)
    std = figures["mean_std"]
    found.append({"name": "mean std", "text": f"{std * LEVELS:.1f} levels", "note": f"{std:.4f} of [0, 1]"})
    if "psnr_mean" in figures:
        ratio = figures["spread_over_error"]
        text = "–" if ratio is None else f"{ratio:.2f}"
        found.append({"name": "spread / error", "text": text, "note": "1 is calibrated; below it the sampler is too sure"})
        for key, name in (("beyond", f"truth beyond {FAR:g} std"), ("outside", "truth outside min..max")):
            law = "normal and calibrated" if key == "beyond" else "calibrated"
            wanted = f"{100 * figures[f'{key}_calibrated']:.1f} % if {law} (n = {n})"
            text = f"{100 * figures[f'{key}_unsettled']:.1f} %"
            found.append(
                {"name": f"{name}, where unsettled", "text": text, "note": f"{wanted}; {100 * figures[key]:.1f} % of all"}
            )
    return found


def opening(number: int, problem: Problem | None = None, n: int = 0) -> dict[str, Any]:
    """What does not change while a run goes on: its tiles and the pictures to compare with."""
    value: dict[str, Any] = {"run": number, "tiles": "[]", "references": {}, "frames": {}, "downloads": [], "absent": ""}
    if problem is None:
        return value
    start = problem.start()
    listed = [{"key": key, "name": name, "group": group} for key, name, group in tiles(problem, n)]
    value |= {"tiles": json.dumps(listed), "w": start.shape[-1], "h": start.shape[-2]}
    value |= {"absent": NO_TRUTH if problem.x_true is None else "", "start": images.data_url(start, "jpeg", quality=88)}
    return value | {"references": compared(number, problem, [])["references"]}


def blank(number: int, status: str, message: str, problem: Problem | None = None, n: int = 0) -> dict[str, Any]:
    """The component's value before the first step, its tiles in their places, or for an error without any."""
    return opening(number, problem, n) | {"status": status, "message": message, "i": 0, "n": 0}
