"""A run as a browser keeps it: its small card in the gallery, and all that is shown at large.

{"id", "picture": number of its picture, "thumb", "before": data URLs, "title", "sampler", "knobs", "prior", "of", "psnr",
"ssim", "figures": {"residual", "nfe", "backward", "seconds"}, "steps", "body": {"w", "h", "before", "befores", "after" or None,
"figures", "facts", "record": JSON, "note", "link", "link_note", "command", "replay", "snippet", "files": [{"name", "href"}]}}
"""

from typing import Any

from torch import Tensor

from redgui import images, knobs, snippets
from redgui.operators import Operator
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import Settings, picture_number
from redgui.ui.parts import views
from redgui.ui.parts.board import finite

THUMB = 160  # pixels, longest side
LONGEST_TEXT = 120
FIGURES = ("residual", "nfe", "backward", "seconds")  # of a card, besides those that the gallery shows


def entry(record: Record, problem: Problem, restored: Tensor | None, key: str = "") -> dict[str, Any]:
    """The entry of a run; `restored` (1, c, h, w) is None where there is its record alone. Raises RedguiError."""
    settings = Settings.of(record)
    link, link_note = views.link_of(record)
    after = None if restored is None else {"name": "restored", "src": images.data_url(restored)}
    start = problem.start()
    befores = views.sources(problem, start)
    reason = snippets.only_replay(record)
    degradation = {"name": "degradation", "text": operator_text(settings.H)}
    facts = [degradation, {"name": "sampler", "text": f"{settings.sampler.label}: {_knobs(settings)}"}]
    facts += [{"name": f"from step {change.after + 2} on", "text": _pairs(change.knobs)} for change in record.changes]
    facts.append({"name": "noise, seed", "text": f"σ_y {settings.sigma_y:g}, seed {settings.seed}" + _many(settings)})
    facts.append({"name": "prior", "text": f"{settings.prior}, on {settings.device} in {settings.precision}"})
    facts.append({"name": "picture", "text": settings.example or "a person's own"})
    pictures = {name: data for name, data in snippets.files(record).items() if name != "record.json"}
    body = {
        "w": start.shape[-1], "h": start.shape[-2], "before": befores[0], "befores": befores, "after": after,
        "figures": _figures(record, problem), "facts": facts, "record": record.to_json(), "note": reason, "link": link,
        "link_note": link_note, "command": "" if reason else snippets.command(record), "replay": snippets.replay_command(),
        "snippet": snippets.snippet(record),
        "files": [{"name": name, "href": images.file_url(data)} for name, data in pictures.items()],
    }  # fmt: skip
    measured = images.thumbnail(problem.H.picture(problem.y), THUMB)
    thumb = measured if restored is None else images.thumbnail(restored, THUMB)
    return {
        "id": key, "picture": picture_number(record), "thumb": thumb, "before": measured,
        "title": operator_text(settings.H), "sampler": settings.sampler.label,
        "knobs": _knobs(settings), "prior": settings.prior, "of": settings.example or "own picture",
        "psnr": finite(record.result.get("psnr")), "ssim": finite(record.result.get("ssim")), "steps": record.steps,
        "figures": {name: finite(record.result.get(name)) for name in FIGURES}, "body": body,
    }  # fmt: skip


def operator_text(H: Operator) -> str:
    """What a person calls a degradation: its label, its first knob, and those that differ from their defaults."""
    acting = [
        k for k in knobs.knobs(type(H)) if k.shown and (k.only_with is None or getattr(H, k.only_with[0]) in k.only_with[1])
    ]
    said = [(k.name, getattr(H, k.name)) for n, k in enumerate(acting) if n == 0 or getattr(H, k.name) != k.default]
    text = ", ".join(value if isinstance(value, str) else f"{name} {value:g}" for name, value in said)
    text = H.label + (f": {'painted mask' if text == 'mask' else text}" if text else "")
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _knobs(settings: Settings) -> str:
    """The sampler's knobs that differ from the presets for this degradation."""
    text = settings.words()["sampler"].partition(":")[2]
    return text.replace(",", ", ").replace("=", " ") or "presets"


def _many(settings: Settings) -> str:
    return f", {settings.particles} particles" if settings.particles > 1 else ""


def _pairs(changed: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in changed.items())


def _figures(record: Record, problem: Problem) -> list[dict[str, str]]:
    """The figures of a record; none where it lacks them, as one that was written by hand may."""
    try:
        return views.figures(record.result, problem)
    except (KeyError, TypeError, ValueError):
        return []
