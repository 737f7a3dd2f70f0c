"""What a person asks for, read: the words, the picture and the mask of one run, for command line, Python and HTTP alike."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import files, fitting, images, knobs, reading, windows
from redgui.advice import advice
from redgui.knobs import KnobError
from redgui.operators import Inpaint, Operator, masks
from redgui.priors import Prior
from redgui.runs.known_noise import check_worth, measured_noise, without_auto
from redgui.runs.settings import Settings

log = logging.getLogger("redgui")  # what was read, for a person to check: the command line shows it


class Asked(NamedTuple):
    """What is to be run: the settings, the picture, a mask as it was drawn on it, and what is to be told of the reading."""

    settings: Settings
    source: Image.Image
    drawn: np.ndarray | None
    notes: tuple[str, ...] = ()


def settled(image: Any, mask: Any, prior: Prior, said: Mapping[str, Any], mask_keep: bool = False) -> Asked:
    """What is to be run, from words (`Settings.read`), a picture, and a mask or None.

    Raises:
        RedguiError: wrong words, which are told before a picture is looked for; a picture or a mask that cannot be read.
    """
    said = {**said, "prior": prior.name}  # the presets are those of the prior
    operator = said.get("operator")
    if mask is not None and isinstance(operator, Operator):
        raise KnobError("a mask goes with the name of an operator; an operator that is already made has its own.")
    if not isinstance(mask_keep, bool):
        raise KnobError(f"mask_keep is true or false; got {knobs.shown(mask_keep)}.")
    said, to_measure = without_auto(said)
    settings = Settings.read(said if mask is None else {**said, "operator": "inpaint"})
    source, painted = opened(image), None
    told, more = files.of_picture(operator, source) if mask is None else (operator, ())
    if told != operator:
        said = {**said, "operator": told}
        settings = Settings.read(said)
    notes = (*(f"the picture: {note}" for note in reading.origin(source).notes), *more)
    for note in notes:
        log.warning(note)
    drawn = None
    if mask is not None or _needs_hole(settings, operator):
        fitted = fitting.for_prior(source, prior, settings.fit, settings.size)
        if mask is not None:
            painted, drawn = fitting.read_mask(mask, fitted, mask_keep)
        elif (drawn := reading.transparent(source)) is not None:
            painted = fitted.hole(drawn)
        else:
            raise KnobError(
                "nothing says what is missing: give a mask (white = to be filled in), a picture that is transparent there, "
                "or a kind of hole, such as given:of=inpaint,kind=box."
            )
        settings = Settings.read(said, painted)
        settings.H.check_size(*fitted.size)
        if drawn is not None and isinstance(settings.H, Inpaint):
            drawn = masks.grown(drawn, settings.H.grow * fitted.scale)
        notes += (reading.share(painted),)
        log.log(logging.INFO if painted.any() else logging.WARNING, notes[-1])
    solved = fitting.for_prior(source, prior, settings.fit, settings.size, settings.H, settings.given).solved
    if warning := advice(prior.name, settings.H, *solved).warning:
        notes += (warning,)
        log.warning(warning)
    if to_measure(settings):
        placed, _, picture = fitted_to(prior, settings, source)
        settings = Settings.read({**said, "sigma_y": measured_noise(placed, picture)}, painted)
    check_worth(settings)
    return Asked(settings.by(prior), source, drawn, notes)


def fitted_to(prior: Prior, settings: Settings, source: Image.Image) -> tuple[Settings, fitting.Fitting, Tensor]:
    """The settings for a fitted picture, how it is fitted, and it (1, c, h, w). Raises ImageError or OperatorError."""
    fitted = fitting.for_prior(source, prior, settings.fit, settings.size, settings.H, settings.given)
    H = settings.H
    if settings.noiseless:
        fitted, H = windows.closer(fitted, H, prior.multiple)
    seen = undamaged(source, fitted, H) if settings.given else source
    return replace(settings, H=H).fitted(fitted), fitted, images.to_tensor(fitted.apply(seen), prior.picture_shape[0])


def undamaged(source: Image.Image, fitted: fitting.Fitting, H: Operator) -> Image.Image:
    """A picture that is itself the measurement of an inpainting, before it is resized: nothing of what is damaged may reach the
    pixels around it, which count as measured, so the hole is filled with what is nearest."""
    if not isinstance(H, Inpaint) or fitted.scale == 1:
        return source
    hole = fitted.hole_of_picture(H.hole(*fitted.size))
    found = Image.fromarray(masks.filled(np.asarray(source), hole))
    found.info = source.info
    return found


def _needs_hole(settings: Settings, operator: Any) -> bool:
    """Whether a picture is itself the measurement of an inpainting of which nothing says what is missing."""
    if not settings.given or not isinstance(settings.H, Inpaint) or isinstance(operator, Operator):
        return False
    return not knobs.parse(operator or "inpaint")[1].keys() - {"of", *Inpaint.beside}


def opened(image: Any) -> Image.Image:
    """The picture (`redgui.reading.read`, or `example:NAME`), upright RGB. Raises ImageError, or KnobError for an example."""
    return images.read(resolve(image) if isinstance(image, str) else image)


def resolve(image: str | Path) -> Path:
    """The path of a picture; `example:NAME` is one of the bundled examples."""
    text = str(image)
    if not text.startswith("example:"):
        return Path(image)
    found = {p.stem: p for p in images.examples()}
    name = text.removeprefix("example:")
    if name not in found:
        raise KnobError(f"there is no example {name!r}. Choose one of: {', '.join(found)}.")
    return found[name]
