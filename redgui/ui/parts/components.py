"""The app's own browser components, as `gr.HTML` with JavaScript from `redgui/ui` and styles from `assets/*.css`.

The page has one script in its head (`HEAD`), which defines `redgui.mount`; a component itself carries one line that calls it.
Each factory returns a `gr.HTML`. Its value is JSON, a dict that the browser draws without building its page anew,
so it can change ten times a second. The formats are in the docstrings. None is the empty state of every component.

A picture in a value is a `data:` URL (`redgui.images.data_url`). Numbers that are not finite must be None.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from redgui import images
from redgui.bundled import ASSETS
from redgui.operators import OperatorError
from redgui.priors.base import LARGEST

UI = Path(__file__).resolve().parents[1]
SHEETS = ("style", "keys", "layout", "compare", "sweep", "particles", "learn", "history")
STYLES = tuple(ASSETS / f"{name}.css" for name in SHEETS)  # for launch(css_paths=...)
SHARED = (  # scripts, in this order
    *(f"parts/{name}" for name in ("common", "player", "stage", "axes", "plot", "before_after", "zoom")), "history/records",
    "compare/errors", "compare/table", "compare/spread",
    *(f"restore/{name}" for name in ("mask_raster", "mask_picture", "mask_page", "mask_strokes", "mask_view")),
    *(f"restore/{name}" for name in ("canvas", "own", "bring")),
)  # fmt: skip
PARTS = {
    "mask": "restore/mask", "live": "restore/live", "film": "restore/film", "result": "restore/result",
    "cards": "restore/cards", "canvasbar": "restore/bar", "mode": "restore/mode",
    "taken": "restore/taken", "weights": "parts/weights", "slider": "parts/slider",
    "picture": "parts/picture", "place": "parts/place", "keys": "parts/keys",
    "contestants": "compare/contestants", "race": "compare/view", "sweep": "sweep/view", "particles": "particles/view",
    "schedule": "learn/schedule", "anatomy": "learn/view", "walk": "learn/walk",
    "keeper": "history/keeper", "history": "history/view",
}  # fmt: skip
COMMENTS = re.compile(r"^[ ]*(//.*|/\*\*(?s:.*?)\*/)\n", re.MULTILINE)  # of whole lines, a tenth of the script
EXACT = 1_000_000  # pixels of a picture that a page gets as a PNG: one that is larger is a JPEG, where it is only looked at


def _page_script() -> str:
    """The script of the page: what is shared, then a function for each part, all in one scope; one global, `redgui`."""
    text = {path: COMMENTS.sub("", (UI / f"{path}.js").read_text(encoding="utf-8")) for path in (*SHARED, *PARTS.values())}
    shared = "\n".join(text[path] for path in SHARED)
    parts = "\n".join(f"{name}(element, props, trigger, watch) {{\n{text[path]}}}," for name, path in PARTS.items())
    return f'(() => {{\n"use strict";\n{shared}\nconst parts = {{\n{parts}\n}};\n{MOUNT}\n}})();'


MOUNT = "window.redgui = { mount: (name, ...part) => parts[name](...part) };"
HEAD = f"<script>{_page_script()}</script>"  # for launch(head=...)


def component(name: str, elem_id: str, options: dict[str, Any]) -> gr.HTML:
    """The component whose script is `PARTS[name]`, with options of `gr.HTML`. Those without a value have no factory."""
    classes = options.pop("elem_classes", None) or []
    return gr.HTML(
        html_template=f'<div class="rg rg-{name}"></div>',  # no ${value}: the script keeps the page up to date
        js_on_load=f'redgui.mount("{name}", element, props, trigger, watch)',
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["rg-block", *([classes] if isinstance(classes, str) else classes)],
        **{"container": True, "padding": True, **options},
    )


def mask_editor(elem_id: str = "mask", **options: Any) -> gr.HTML:
    """An editor for the hole of an inpainting problem, pixel by pixel. White = to be filled in.

    Value to the browser, from `mask_value`:
        {"image": data URL, "w": int, "h": int, "mask": base64 of packed bits, "version": int}
    A value with "image" starts anew; one without it changes the mask under the same picture and can be undone; "said" is shown.
    Value from the browser, followed by the event `input`, after every stroke, undo, redo, clear and invert:
        {"w": int, "h": int, "mask": base64 of packed bits, "version": int, "count": hole pixels}
    Event `upload` with {"file": data URL}: a file of a mask, which the server reads.
    `version` is that of the last value it was given. Read the bits with `mask_bits`.
    """
    return component("mask", elem_id, options)


def live_view(elem_id: str = "live", **options: Any) -> gr.HTML:
    """The restoration as it forms, with its progress and its curves.

    Value: {"run": int, "status": "idle" | "waiting" | "running" | "stopped" | "done" | "error", "message": str,
    "frame": data URL or None, "w": int, "h": int, "i": iterations done, "n": int, "sigma": float,
    "left": seconds or None, "rate": iterations per second or None, "sigma_y": float,
    "series": series_text({"i": [...], "sigma": [...], "data": [...], "prior": [...], "psnr": [...] or None,
    "residual": [...], and any others, each drawn under its name}), "marks": [{"i": int, "text": str}]}
    The series hold the whole run so far: a lost message does no harm. Another "run" starts the count of frames anew.
    The series may be that dict itself, which is dear: Gradio's page wraps and compares every number of it (160 ms, not 10).
    """
    return component("live", elem_id, options)


def film_strip(elem_id: str = "film", **options: Any) -> gr.HTML:
    """The iterates of a run, to look through. Hidden while there are none.

    Value: {"frames": [{"src": data URL, "i": int, "sigma": float, "psnr": float or None}], "w": int, "h": int}
    """
    return component("film", elem_id, options)


def weights_plot(elem_id: str = "weights", **options: Any) -> gr.HTML:
    """The weightings over sigma on logarithmic axes, the chosen one in bold. Hidden while the value is None.

    Value: {"sigma": [...], "curves": [{"name": str, "values": [...]}], "chosen": str, "now": sigma or None}
    """
    return component("weights", elem_id, options)


def series_text(series: Mapping[str, Sequence[float | None] | None], most: int = 400) -> str:
    """The series of the live view as one JSON text with at most about `most` points, the last one always among them. Numbers
    keep five digits; one that is not finite becomes null."""
    length = max((len(values) for values in series.values() if values is not None), default=0)
    stride = 1
    while length > most * stride:
        stride *= 2  # so that the points that are kept stay the same for long: the curve must not flicker
    last = (length - 1) % stride != 0
    thinned = {
        name: None if values is None else [_short(value) for value in [*values[::stride], *(values[-1:] if last else [])]]
        for name, values in series.items()
    }
    return json.dumps(thinned, separators=(",", ":"), allow_nan=False)


def _short(value: float | None) -> float | None:
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def mask_value(image: Image.Image | None, mask: np.ndarray, version: int) -> dict[str, Any]:
    """What the mask editor shows: a picture (None: the one it has) and a bool mask h w, True = to be filled in."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"a mask is a bool array h w, got {mask.dtype} {mask.shape}")
    h, w = mask.shape
    value = {"w": w, "h": h, "mask": base64.b64encode(np.packbits(mask).tobytes()).decode(), "version": version}
    if image is None:
        return value
    if image.size != (w, h):
        raise ValueError(f"the picture is {image.width}x{image.height}, its mask {w}x{h}; they must have one size")
    return {"image": images.data_url(image, "jpeg" if w * h > EXACT else "png"), **value}


def mask_bits(value: Any, h: int, w: int) -> np.ndarray:
    """The bool mask h w (True = to be filled in) in a value of the mask editor, which may be any JSON.

    Raises:
        OperatorError: it is not a mask of exactly this size.
    """
    if not isinstance(value, dict) or not value:
        raise OperatorError("there is no mask; choose a picture and paint what is to be filled in.")
    got = value.get("w"), value.get("h")
    if any(type(side) is not int or not 0 < side <= LARGEST for side in got):
        raise OperatorError(f"the mask has no valid size (w, h); it must be {w}x{h}.")
    if got != (w, h):
        raise OperatorError(f"the mask is {got[0]}x{got[1]} but the picture {w}x{h}; choose the picture again.")
    packed = value.get("mask")
    length = math.ceil(h * w / 8)
    if not isinstance(packed, str) or len(packed) != 4 * math.ceil(length / 3):
        raise OperatorError(f"the mask must be {length} bytes of packed bits in base64.")
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise OperatorError("the mask is not valid base64.") from None
    if len(data) != length:
        raise OperatorError(f"the mask has {len(data)} bytes; {w}x{h} pixels need {length}.")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[h * w :].any():
        raise OperatorError(f"the mask has set bits beyond its {w}x{h} pixels.")
    return bits[: h * w].reshape(h, w).astype(bool)


def result_view(elem_id: str = "result", **options: Any) -> gr.HTML:
    """Before and after, figures, particles and downloads, all carried in the value: nothing is written to disk.

    Value: {"run": int, "w", "h", "befores": [{"name", "src"}], "after": {"name", "src"},
    "figures": [{"name", "text", "note"}], "gallery": [{"name", "src"}], "downloads": [{"name", "text", "href"}], "next": bool}
    or None. A download that is "asked" instead of having an "href" is made after the event `download` with {"name"}, as in the
    views below. Event `select`, where there is a `next`: the picture is to be gone on with.
    """
    return component("result", elem_id, options)


def picture_view(elem_id: str, **options: Any) -> gr.HTML:
    """A small picture with a caption. Value: {"src", "alt", "caption", "version": int, "wrong": bool} or None."""
    return component("picture", elem_id, options)


def picture_ways(elem_id: str, **options: Any) -> gr.HTML:
    """A line on what becomes of a person's own picture, and the ways to take it. Event `select` with {"name"}.

    Value: {"text", "ways": [{"name", "text", "chosen": bool}]} or None.
    """
    return component("taken", elem_id, options)


def contestant_list(elem_id: str, **options: Any) -> gr.HTML:
    """Samplers to tick, each with its settings; those that cannot take part say why. With another "title", pictures to tick.

    Value: {"title": absent for samplers, "rows": [{"key", "label", "spec", "about", "reason": "" or why it cannot take part,
    "src": absent, or data URL of a small picture in place of the spec, "removable": bool}], "ticked": [keys]};
    from the browser the same with other keys ticked, followed by the event `input`. The event `delete` with {"key"} asks for a
    removable row to go.
    """
    return component("contestants", elem_id, options)


def race_view(elem_id: str, **options: Any) -> gr.HTML:
    """Pictures that form side by side, with zoom, a table, curves and downloads.

    Value: {"run": int, "status" and "message" as of `live_view`, "w", "h", "truth": bool, "references": {name: data URL},
    "order": JSON of [{"key", "label", "spec"}], "tiles": {key: JSON of {"status", "message", "i", "n", "psnr", "used",
    "budget"}}, "frames": {key: data URL}, "curves": {key: series_text({"seconds", "used", "psnr"})},
    "table": JSON of {"columns": [{"name", "note", "key", "digits"}], "rows": [{"key", "name", "failed": bool, "cells":
    [{"text", "note", "best"}]}]}, "spread": JSON of {"rows": [{"runs": [PSNR], "said": [of each], "mean", "error"}], "of"},
    "downloads": [{"name", "text", "href"}]}. What is JSON changes as a whole, and Gradio sends what has changed.
    Events: `stop` and `select` (open in Restore) with {"key"}; `download` has the "pinned" runs, too.
    """
    return component("race", elem_id, options)


def sweep_view(elem_id: str, **options: Any) -> gr.HTML:
    """A grid of pictures that form in place under a map of colours, with one cell large below and downloads.

    Value: {"run": int, "status" and "message" as of `live_view`, "progress": 0 to 1, "w", "h", "start": data URL,
    "references": {name: data URL}, "grid": JSON of {"rows" and "columns": {"name", "label", "values"}},
    "figures": JSON of [{"key", "name", "best": "high" | "low" | "one", "note", "digits"}],
    "cells": {"row-column": JSON of {"status", "message", "spec", "i", "n", and the figures by their keys}},
    "frames": {"row-column": data URL}, "best": JSON of {figure: [keys]}, "downloads": [{"name", "text", "href"}]}. Of a tuning
    a cell can be "dropped", in a "round", and at the end a "winner" is the cell that is shown in large.
    Event: `select` (take to Restore) with {"key"}.
    """
    return component("sweep", elem_id, options)


def particles_view(elem_id: str, **options: Any) -> gr.HTML:
    """Particles as they form, their mean, the maps of spread and coverage, one of them large, figures and downloads.

    Value: {"run": int, "status" and "message" as of `live_view`, "i", "n", "w", "h", "start": data URL,
    "tiles": JSON of [{"key", "name", "group": "maps" | "particles"}], "frames": {key: data URL}, "notes": JSON of {key: text},
    "cards": JSON of [{"name", "text", "note"}], "legend": JSON of {"stops": colours, "top": 8-bit levels}, "absent": why there
    is no coverage or "", "coverage": JSON of {"levels", "shares"} or absent,
    "references": {name: data URL}, "downloads": [{"name", "text", "href"}]}.
    """
    return component("particles", elem_id, options)


def task_cards(elem_id: str, **options: Any) -> gr.HTML:
    """A strip of things to try. Event `select` with {"name"}.

    Value: {"tasks": [{"name", "label", "about", "note", "before": data URL, "after": data URL}]} or None.
    """
    return component("cards", elem_id, options)


def run_keeper(elem_id: str = "keeper", **options: Any) -> gr.HTML:
    """Keeps ended runs in the browser (IndexedDB), and opens the link by which the page was called. It shows nothing.

    Value: {"entry": JSON of an entry (`redgui.ui.history.entries`)} or {"loaded": True} when the page is ready for its link.
    Event `select` with {"query", "record"}: a link, and the stored record (JSON) of its picture or None.
    """
    return component("keeper", elem_id, options)


def shortcut_keys(elem_id: str = "keys", **options: Any) -> gr.HTML:
    """The keys of the whole page, with a button that lists them. It has no value."""
    return component("keys", elem_id, {"container": False, "padding": False, **options})


def place_teller(elem_id: str = "place", **options: Any) -> gr.HTML:
    """Passes a page's place in line on to the component that shows what waits there. It shows nothing itself.

    Value: {"of": id of that component, "text": "3rd in line, about 20 s", or "" when it is its turn}; or, for a file that was
    asked for there, {"of", "file": {"name", "href": data URL, "" where there is none}, "at": int that is never the same}.
    """
    return component("place", elem_id, options)


def history_view(elem_id: str = "history", **options: Any) -> gr.HTML:
    """The runs that the browser keeps: a gallery, and one of them at large.

    Value: {"entry": JSON of an entry that is no run of this browser, or "", "error": str}.
    Events with {"record": JSON}: `upload` (look at it), `select` (its settings), `submit` (its settings, and run),
    `expand` (its settings, and the Learn tab).
    """
    return component("history", elem_id, options)
