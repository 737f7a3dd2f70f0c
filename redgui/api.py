"""The Python interface: one call each for what the command line does.

    from redgui import restore
    result = restore("photo.jpg", operator="inpaint:kind=box", sampler="reddiff:steps=200")
    result.save("out")

What a caller can mend is a RedguiError, in the words of the command line.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import files, finishing, fitting, knobs, metrics, priors
from redgui.asked import Asked as Asked
from redgui.asked import fitted_to as fitted_to
from redgui.asked import opened as opened
from redgui.asked import resolve as resolve
from redgui.asked import settled as settled
from redgui.listing import listing as listing
from redgui.metrics import perceptual
from redgui.operators import Operator
from redgui.operators.base import OperatorError
from redgui.priors import Counted, Prior, PriorError
from redgui.reading import Source
from redgui.result import Result as Result
from redgui.result import std_picture as std_picture
from redgui.runs.blind import found_kernel
from redgui.runs.cores import limited
from redgui.runs.divergence import Diverged
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import Settings
from redgui.runs.settings import parse_operator as parse_operator
from redgui.runs.shared import Shared
from redgui.runs.stream import Measured, measured, solve
from redgui.runs.sweep import Grid, Spot, axis
from redgui.runs.tune import Candidate, Tuning
from redgui.samplers import Sampler

FILM = 8  # pictures in a filmstrip
LONGEST_SPEC = 200  # characters of an operator among the figures; a painted mask has thousands

Watcher = Callable[[Measured], None]


def restore(
    image: Source,
    *,
    mask: Source | None = None,
    mask_keep: bool = False,
    kernel: Source | None = None,
    fit: str = "auto",
    size: int | None = None,
    prior: str | Path | Prior = "faces-64",
    operator: str | Operator = "inpaint",
    sampler: str | Sampler = "reddiff",
    sigma_y: float | str | None = None,
    noise: str = "gaussian",
    particles: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    watch: Watcher | None = None,
) -> Result:
    """Degrades a picture and restores it; with operator `given` the picture is the measurement itself.

    Args:
        image: a picture of any shape: a path, `example:NAME`, bytes, an open file, a PIL picture, an array or a tensor
            (`redgui.reading.read`).
        mask: what is to be filled in, white or painted, as any of these or a boolean array (`redgui.reading.holes`); makes the
            operator an inpainting with it. Without one, `given:of=inpaint` fills in what is transparent.
        mask_keep: the mask says what is kept instead.
        kernel: of a blur: a picture or a .npy file, or an array; `blur:kind=file,path=k.png` says the same.
        fit: how the picture is brought to what the prior takes: crop, pad, stretch, native or face (`redgui.fitting`);
            auto: native where the prior takes any size, else crop.
        size: longest side of the fit native; None: the picture's own, up to 12 megapixels.
        operator: `NAME:knob=value,...`; `given:of=NAME,knob=value,...` where the picture is already damaged. Of a JPEG the file
            tells quality and subsampling where they are not said.
        sampler: `NAME:knob=value,...`, where knobs that are not named come from the presets; or a sampler as it is.
        sigma_y: noise in the measurement, the picture spanning -1 to 1; "a/b" where it spans 0 to b: "12.75/255" is 0.1;
            "auto": measured in a picture that is given. None: 0, but "auto" where that is to be denoised.
        noise: its model, `NAME:knob=value,...` (see `redgui.noise`): gaussian, poisson, speckle, outliers.
        particles: runs in one batch; None: one, but several for an ambiguous operator or a sampler of many particles.
        threads: of the CPU; None: as many as torch has. With another number the last bits are others.
        watch: called after every step.

    Raises:
        RedguiError: anything that the caller can mend. Diverged, one of them, holds as `result` what the last sound step gave.
    """
    with limited(threads):
        loaded = prior_of(prior, device, precision)
        operator = files.told(operator, kernel)
        said = dict(operator=operator, sampler=sampler, sigma_y=sigma_y, noise=noise, particles=particles, seed=seed,
                    fit=fitting.way(fit, loaded.multiple, size), size=size, threads=threads)  # fmt: skip
        asked = settled(image, mask, loaded, said, mask_keep)
        return replace(perform(asked.settings, asked.source, asked.drawn, loaded, watch), notes=asked.notes)


def prior_of(prior: Any, device: str = "auto", precision: str = "auto") -> Prior:
    """A prior, loaded where it is said by its name or folder. Raises PriorError."""
    if isinstance(prior, (str, Path)):
        return priors.load(str(prior), device, precision)
    if not isinstance(prior, Prior):
        raise PriorError(f"a prior is a name, a folder, a Hub id, or one that is loaded; got {knobs.shown(prior)}.")
    return prior


def perform(settings: Settings, source: Image.Image, drawn: np.ndarray | None, prior: Prior, watch: Watcher | None) -> Result:
    """`restore` of what is `settled`, with the prior loaded."""
    with limited(settings.threads):
        settings, fitted, picture = fitted_to(prior, settings, source)
        problem, counted = settings.problem(picture), Counted(prior)
        steps = measured(solve(problem, counted, settings.sampler, settings.particles), problem, counted)

        def made(last: Measured) -> Record:
            sizes = prior.together() if isinstance(prior, Shared) else None
            return Record.made(picture, problem, settings.by(prior), last, sizes=sizes)

        def finished(last: Measured, film: list[Tensor]) -> Result:
            result = finish(picture, problem, made(last), last, film)
            image = finishing.fitted(result.restored, source, fitted, settings.H)
            result.figures["size"] = fitted.working
            if fitted.original == prior.picture_shape[-2:] == fitted.solved:
                return replace(result, image=image)
            return replace(result, image=image, full=finishing.whole(result.restored, source, fitted, settings.H, drawn))

        try:
            return finished(*watched(steps, watch))
        except Diverged as error:
            if error.last is not None:
                error.result = finished(error.last, error.film)
                error.result.figures["error"] = str(error)
            raise


def sweep(
    image: Source,
    rows: str,
    columns: str,
    *,
    mask: Source | None = None,
    mask_keep: bool = False,
    kernel: Source | None = None,
    prior: str | Path | Prior = "faces-64",
    device: str = "auto",
    precision: str = "auto",
    watch: Watcher | None = None,
    **said: Any,
) -> Iterator[tuple[Spot, Result | None, str]]:
    """Restores one measurement with every setting of a grid, one after the other: each result is that of `restore`, to the bit.

    Yields the setting, its result, and why it ended early: a setting that leaves the finite numbers has the result of its last
    sound step, if any.

    Args:
        rows, columns: two knobs of the sampler with the values that they take, `lr=0.03,0.1`.
        said: the other arguments of `restore`.
    """
    loaded = prior_of(prior, device, precision)
    said["fit"] = fitting.way(said.get("fit", "auto"), loaded.multiple, said.get("size"))
    said["operator"] = files.told(said.get("operator", "inpaint"), kernel)
    settings, source, drawn, notes = settled(image, mask, loaded, said, mask_keep)
    sides = (text.partition("=")[::2] for text in (rows, columns))
    of = type(settings.sampler)
    for spot in Grid(settings.sampler, *(axis(of, name.strip(), values) for name, values in sides)).cells:
        try:
            result = perform(replace(settings, sampler=spot.sampler), source, drawn, loaded, watch)
            yield spot, replace(result, notes=notes), ""
        except Diverged as error:
            yield spot, error.result, str(error)


def tune(
    image: Source,
    *,
    mask: Source | None = None,
    mask_keep: bool = False,
    kernel: Source | None = None,
    prior: str | Path | Prior = "faces-64",
    device: str = "auto",
    precision: str = "auto",
    watch: Callable[[Candidate], None] | None = None,
    **said: Any,
) -> tuple[Result, list[tuple[Sampler, float]]]:
    """Finds the sampler's main knobs for a picture without its ground truth (`redgui.runs.tune`) and restores it with them.

    Returns the result of `restore` with the best setting, and all settings that were tried with their last scores (the root
    mean square error on values that were hidden, in [-1, 1] units), the best first. Costs four runs' worth of network calls.

    Args:
        watch: called with whoever has made a step or is over.
        said: the other arguments of `restore`.

    Raises:
        TuneError: nothing can be hidden of such a measurement. RedguiError: as `restore`.
    """
    loaded = prior_of(prior, device, precision)
    said["fit"] = fitting.way(said.get("fit", "auto"), loaded.multiple, said.get("size"))
    said["operator"] = files.told(said.get("operator", "inpaint"), kernel)
    settings, source, drawn, notes = settled(image, mask, loaded, said, mask_keep)
    with limited(settings.threads):
        settings, _, picture = fitted_to(loaded, settings, source)
        tuning = Tuning(picture, settings.problem(picture), loaded, settings.sampler)
        for candidate in tuning.play():
            if watch:
                watch(candidate)
    result = perform(replace(settings, sampler=tuning.winner), source, drawn, loaded, None)
    return replace(result, notes=notes), tuning.scores


def replay(record: str | Path | Record, *, device: str | None = None, watch: Watcher | None = None) -> tuple[Result, bool]:
    """Runs a record again, on its own device (and as many threads) and precision unless told otherwise.

    Returns the result and whether its pixels are those of the record.
    """
    wanted = record if isinstance(record, Record) else Record.read(record)
    s = wanted.settings
    prior = priors.load(s.prior, device or s.device, s.precision)
    with limited(s.threads if prior.device.type == "cpu" else None):
        last, film = watched(wanted.replay(prior), watch)
    picture, problem = wanted.picture(), wanted.problem()
    made = Record.made(picture, problem, s.by(prior), last, wanted.changes, wanted.sizes)
    return finish(picture, problem, made, last, film), wanted.reproduces(last)


def watched(stream: Iterator[Measured], watch: Watcher | None) -> tuple[Measured, list[Tensor]]:
    """Runs a stream to its end: the last Step, and a few pictures along the way; those of a run that diverges are its film."""
    film: list[Tensor] = []
    last = None
    try:
        for step in stream:
            last = step
            stride = max(1, step.n // FILM)
            if step.i % stride == 0 and step.i + 1 < step.n:
                film.append(step.estimate)
            if watch:
                watch(step)
    except Diverged as error:
        if error.last is not None:
            error.film = [*film, error.last.estimate]
        raise
    if last is None:
        raise OperatorError("the sampler made no step; ask for at least one.")
    return last, [*film, last.estimate]


def finish(picture: Tensor, problem: Problem, record: Record, last: Measured, film: list[Tensor]) -> Result:
    """The Result of a run whose last Step is `last`."""
    figures = {key: value for key, value in record.result.items() if key not in ("planned", "pixels_sha256")}
    figures["lpips"] = perceptual.lpips_of(problem.aligned(last.estimate), problem.x_true)
    figures |= {**record.settings.figures(), "size": "{1}x{0}".format(*picture.shape[-2:])}
    if len(figures["operator"]) >= LONGEST_SPEC:
        figures["operator"] = problem.H.name
    restored = finishing.finished(last.estimate, picture, problem)
    given_back = None if problem.x_true is None else float(metrics.psnr(problem.aligned(restored), problem.x_true.to(restored)))
    image = finishing.fitted(restored, None, None, problem.H)
    result = Result(
        problem, picture, restored, last.x0_hat, figures, film, record, last.estimate, image, kernel=found_kernel(last)
    )
    figures |= {"psnr_of": "restored-raw.png" if result.differs else "restored.png", "psnr_restored": given_back}
    return result
