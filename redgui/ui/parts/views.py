"""From Steps to what a person sees: the values of the browser components."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import api, finishing, images, knobs, metrics, saving, snippets
from redgui.metrics import perceptual
from redgui.noise import Gaussian
from redgui.operators import LinearOperator
from redgui.operators.blind import BlindBlur
from redgui.priors.calibration import Errors
from redgui.runs import movie
from redgui.runs.blind import found_kernel, kernel_picture
from redgui.runs.problem import Problem
from redgui.runs.record import Change, Record
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import Measured, summary
from redgui.samplers.reddiff import WEIGHTINGS, RedDiff
from redgui.ui.parts.board import Files, asked, download
from redgui.ui.parts.components import EXACT, series_text

DRAG = 2.0  # seconds, at most, between two changes of one movement
LIVE, PREVIEW = 1024, 512  # longest sides of the picture that forms, and of the measurement's preview
SHOWN = 8  # particles in the live picture, at most


def live(run: Run, number: int, status: str, message: str = "", rate: float | None = None) -> dict[str, Any]:
    """The live view's value for the newest Step of a run."""
    step = run.last
    sigma_y = run.problem.level  # of the noise, beside which residuals are drawn
    if step is None:
        n = getattr(run.now, "steps", 0)
        return blank(number, status, message, run.problem.start()) | {"n": n, "sigma_y": sigma_y}
    frame = reduced(images.row(list(step.x0_hat[:SHOWN].split(1)), per_row=_columns(len(step.x0_hat))), LIVE)
    left = None if not rate else (step.n - step.i - 1) / rate
    return {
        "run": number, "status": status, "message": message, "frame": images.data_url(frame, "jpeg", quality=90),
        "w": frame.width, "h": frame.height, "i": step.i + 1, "n": step.n, "sigma": step.sigma, "left": left, "rate": rate,
        "series": series_text(run.series), "sigma_y": sigma_y,
        "marks": _marks(run), "pictures": _pictures(step),
    }  # fmt: skip


def _pictures(step: Measured) -> list[dict[str, Any]]:
    """What is found beside the restoration, as small pictures with their names."""
    kernel = found_kernel(step)
    return [] if kernel is None else [{"name": "kernel", "src": images.data_url(kernel_picture(kernel)), "w": len(kernel)}]


def blank(number: int, status: str, message: str = "", picture: Tensor | None = None) -> dict[str, Any]:
    """The live view's value before the first Step, or for an error."""
    value: dict[str, Any] = {"run": number, "status": status, "message": message, "i": 0, "n": 0, "series": {}, "marks": []}
    if picture is not None:
        frame = reduced(images.to_pil(picture), LIVE)
        value |= {"frame": images.data_url(frame, "jpeg", quality=90), "w": frame.width, "h": frame.height}
    return value


def film(run: Run) -> dict[str, Any]:
    """The filmstrip's value."""
    h, w = run.problem.start().shape[-2:]
    return {"frames": [vars(frame) for frame in run.film()], "w": w, "h": h}


def films(run: Run) -> Files:
    """The run as a film to take away, in the formats that this machine writes."""
    kinds = {"WebP": movie.webp} | ({"MP4": movie.mp4} if movie.has_mp4() else {})
    return {f"run.{kind.lower()}": (f"Film ({kind})", partial(_filmed, run, write)) for kind, write in kinds.items()}


def _filmed(run: Run, write: Callable[[Sequence[Image.Image]], bytes]) -> bytes:
    return write(movie.frames(run.film(), run.problem))


def result(run: Run, number: int) -> dict[str, Any] | None:
    """The result's value: before and after, figures, particles, downloads. None before the first Step."""
    if run.last is None:
        return None
    problem, particles = run.problem.to(run.last.x0_hat.device), run.last.x0_hat
    raw = run.last.estimate
    restored = run.given_back(raw)
    record = run.record()
    image = finishing.fitted(restored, run.source, run.fitting, problem.H)
    png = images.data_url(image)
    differs = not np.array_equal(images.to_uint8(restored), images.to_uint8(raw))
    befores = sources(problem, restored)
    gallery = []
    if len(particles) > 1:
        reported = "mean" if run.last.best is None else "least residual"
        spread = images.data_url(api.std_picture(particles))
        gallery = [{"name": reported, "src": png}, {"name": "spread (std)", "src": spread}]
        each = run.given_back(particles).split(1)
        gallery += [{"name": f"particle {k + 1}", "src": images.data_url(p)} for k, p in enumerate(each)]
    full = run.full()
    downloads: list[dict[str, Any]] = [{"name": "restored.png", "text": "Picture (PNG)", "href": png}]
    if full is not None:
        downloads.insert(0, download("restored-full.png", "Full-size picture (PNG)", full))
    if (jpeg := saving.as_it_came(image if full is None else full)) is not None:
        link = {"name": "restored-full.jpg", "text": "As it came (JPEG)"}
        downloads.insert(0, {**link, "href": images.file_url(jpeg, "image/jpeg")})
    if differs:
        downloads.append(download("restored-raw.png", "As the sampler left it (PNG)", images.encode(raw)))
    for found in _pictures(run.last):
        downloads.append({"name": f"{found['name']}.png", "text": f"The {found['name']} (PNG)", "href": found["src"]})
    downloads.append(download("record.json", "record.json", record.to_json()))
    downloads.append(download("run.ipynb", "Notebook", snippets.notebook(record)))
    downloads += asked(films(run))
    address, note = link_of(record)
    row = summary(run.last, problem) | {"lpips": perceptual.lpips_of(problem.aligned(raw), problem.x_true)}
    cards = figures(row, problem, differs)
    if run.fitting is not None and full is not None:
        (h0, w0), (h, w) = run.fitting.original, run.fitting.size
        note = "its own size" if (h, w) == (h0, w0) else f"of {w0}×{h0}"
        cards.append({"name": "worked on at", "text": f"{w}×{h}", "note": note})
    return {
        "run": number, "w": restored.shape[-1], "h": restored.shape[-2], "befores": befores,
        "after": {"name": "restored", "src": to_see(image)}, "figures": cards, "gallery": gallery, "downloads": downloads,
        "next": True, "link": address, "link_note": note,
    }  # fmt: skip


def link_of(record: Record) -> tuple[str, str]:
    """A link of this server to a run's settings and what is to be known about it; or none, and why."""
    try:
        text = snippets.link(record)
    except snippets.LinkError as error:
        return "", str(error)
    notes = []
    if Settings.of(record).picture:
        notes.append("It works on this server only, without the picture: this browser knows it, elsewhere it has to be given.")
    if record.changes:
        notes.append("The link has the knobs at the start; what was changed in mid-run is in record.json.")
    return text, " ".join(notes)


def sources(problem: Problem, restored: Tensor, url: Callable[[Tensor], str] | None = None) -> list[dict[str, str]]:
    """What a restoration is compared with: the measurement, the picture to start from, and the original where it is known."""
    found = {"measurement": _to_shape(problem.H.picture(problem.y), restored), start_name(problem): problem.start()}
    if problem.x_true is not None:
        found["original"] = problem.x_true
    return [{"name": name, "src": (url or to_see)(picture)} for name, picture in found.items()]


def to_see(picture: Tensor | Image.Image) -> str:
    """A picture for the page alone: exact, but a JPEG of its size where that would be megabytes."""
    image = picture if isinstance(picture, Image.Image) else images.to_pil(picture)
    large = image.width * image.height > EXACT and image.mode in ("RGB", "L")
    return images.data_url(image, "jpeg" if large else "png")


def reduced(image: Image.Image, longest: int) -> Image.Image:
    """A picture no larger than it is shown."""
    if max(image.size) <= longest:
        return image
    small = image.copy()
    small.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2)
    return small


def figures(row: dict[str, Any], problem: Problem, raw: bool = False) -> list[dict[str, str]]:
    """The figures of a run as cards: name, text and a note that puts it in proportion.

    Args:
        raw: the picture that is shown is not the sampler's own, of which the figures are.
    """
    cards = []
    if row["psnr"] is not None:
        gain = row["psnr"] - row["psnr_measurement"]
        turned = ", the better of upright and turned" if row["aligned"] else ""
        turned += ", of restored-raw.png" if raw else ""
        cards.append({"name": "PSNR", "text": f"{row['psnr']:.2f} dB", "note": f"{gain:+.2f} on the measurement{turned}"})
        gain = row["ssim"] - row["ssim_measurement"]
        cards.append({"name": "SSIM", "text": f"{row['ssim']:.3f}", "note": f"{gain:+.3f} on the measurement"})
    if row.get("lpips") is not None:
        cards.append({"name": "LPIPS", "text": f"{row['lpips']:.3f}", "note": "perceptual distance (AlexNet); less is better"})
    if row["psnr"] is None:
        cards.append({"name": "original", "text": "none", "note": "nothing to compare the result with"})
    gaussian = isinstance(problem.noise, Gaussian)
    against = f"noise {'σ_y ' if gaussian else ''}{problem.level:.3g}" if problem.level > 0 else "no noise"
    cards.append({"name": "residual", "text": f"{row['residual']:.4f}", "note": against})
    if "kernel" in row:
        cards.append({"name": "kernel", "text": f"{row['kernel']} px", "note": "across, found"})
    cards.append({"name": "network calls", "text": str(row["nfe"]), "note": f"{row['backward']} backward"})
    rate = row["steps"] / max(row["seconds"], 1e-9)
    cards.append({"name": "seconds", "text": f"{row['seconds']:.1f}", "note": f"{rate:.0f} steps/s"})
    return cards


def measurement(problem: Problem, version: int) -> dict[str, Any]:
    """The preview of a measurement with its own PSNR."""
    picture = problem.H.picture(problem.y)
    caption = "The measurement y"
    if problem.x_true is not None:
        psnr = float(metrics.psnr(problem.aligned(problem.start()), problem.x_true))
        caption += f": its {start_name(problem)} has {psnr:.1f} dB PSNR"
    else:
        caption += ", as you gave it"
    src = images.data_url(reduced(images.to_pil(picture), PREVIEW))
    return {"src": src, "alt": "The measurement", "caption": caption, "version": version}


def unpainted(picture: Image.Image, version: int) -> dict[str, Any]:
    """The measurement's place before anything is painted over: the picture itself, as it is fitted."""
    caption = "Nothing is missing yet: paint over what should go."
    return {"src": images.data_url(reduced(picture, PREVIEW)), "alt": "Your picture", "caption": caption, "version": version}


def wrong(error: Exception) -> dict[str, Any]:
    """The measurement's place taken by what is wrong with its knobs."""
    return {"src": None, "caption": str(error), "wrong": True}


def shared(problem: Problem, version: int, prior: str) -> dict[str, Any]:
    """The preview of the measurement that several runs are given, with all that they share."""
    preview = measurement(problem, version)
    changed = {k.name: getattr(problem.H, k.name) for k in knobs.knobs(type(problem.H)) if k.shown}
    plain = knobs.build(type(problem.H), changed)  # without what has no words, such as a painted mask
    kind = knobs.spec(plain).partition(":")[2].replace(",", ", ")
    setting = [problem.H.label + (f" ({kind})" if kind else ""), problem.noise_text, f"seed {problem.seed}"]
    return preview | {"caption": f"{preview['caption']}. {', '.join([*setting, f'prior {prior}'])}"}


def start_name(problem: Problem) -> str:
    """What the picture to start from is called: only a linear operator that is known has a pseudo-inverse."""
    inverted = isinstance(problem.H, LinearOperator) and not isinstance(problem.H, BlindBlur)
    return "pseudo-inverse" if inverted else "starting picture"


def weights(
    chosen: RedDiff, sigmas: Tensor, noise: float, now: float | None = None, errors: Errors | None = None
) -> dict[str, Any]:
    """The weights plot: lam * g(sigma) of every weighting over the prior's noise levels, with sigma_y of the measurement.

    That of `calibrated` is drawn where the prior's errors are known.
    """
    s = torch.logspace(math.log10(float(sigmas[0])), math.log10(float(sigmas[-1])), 60, dtype=torch.float64)
    known = (lambda: errors) if errors else None
    names = dict.fromkeys([*WEIGHTINGS, "posterior", "calibrated", chosen.weighting])
    names.pop("calibrated" if known is None else "", None)
    drawn = [{"name": n, "values": _rounded(_with(chosen, n).weight(s, noise, known))} for n in names]
    return {"sigma": _rounded(s), "curves": drawn, "chosen": chosen.weighting, "now": now}


def _with(sampler: RedDiff, weighting: Any) -> RedDiff:
    lam = sampler.lam if sampler.lam > 0 else 1.0  # with lambda 0 there is no prior; draw the shapes all the same
    return RedDiff(weighting=weighting, lam=lam, exponent=sampler.exponent)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{v:.4g}") for v in values.tolist()]


def _columns(n: int) -> int:
    return n if n <= 1 else min(4, math.ceil(math.sqrt(n)))


def _to_shape(picture: Tensor, like: Tensor) -> Tensor:
    """A measurement of another size enlarged pixel by pixel, so that it lies under the result."""
    if picture.shape[-2:] == like.shape[-2:]:
        return picture
    return torch.nn.functional.interpolate(picture, like.shape[-2:], mode="nearest")


def _marks(run: Run) -> list[dict[str, Any]]:
    """What a person changed in mid-run, and where: one drag of a slider is one mark, with its first and its last value."""
    drags: list[list[Change]] = []
    for change in list(run.changes):
        if drags and drags[-1][0].knobs.keys() == change.knobs.keys() and _soon(run, drags[-1][-1].after, change.after):
            drags[-1].append(change)
        else:
            drags.append([change])
    return [{"i": drag[0].after + 1, "text": _changed(drag[0].knobs, drag[-1].knobs)} for drag in drags]


def _soon(run: Run, one: int, other: int) -> bool:
    """Whether two changes, each after this step, are near enough to be one movement of a hand."""
    return other - one <= 1 or run.rows[other]["at"] - run.rows[one]["at"] <= DRAG


def _changed(first: dict[str, Any], last: dict[str, Any]) -> str:
    """The knobs of a mark, as short as a plot has room for."""
    names = {"lam": "λ", "sigma0": "σ₀", "sigma_start": "first σ"}
    texts = {k: [f"{v:g}" if isinstance(v, float) else f"{v}" for v in (first[k], last[k])] for k in last}
    return ", ".join(f"{names.get(k, k)} {' → '.join(dict.fromkeys(both))}" for k, both in texts.items())
