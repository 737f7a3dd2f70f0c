"""The Python interface: one call each for what the command line does.

    from redgui import restore
    result = restore("photo.jpg", operator="inpaint:kind=box", sampler="reddiff:steps=200")
    result.save("out")

What a caller can mend is a RedguiError, in the words of the command line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from redgui import bundled, fitting, images, knobs, operators, presets, priors
from redgui.knobs import KnobError
from redgui.operators import Operator, masks
from redgui.operators.base import OperatorError
from redgui.priors import Counted, Prior
from redgui.runs.cores import limited
from redgui.runs.divergence import Diverged
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.stream import Measured, measured, solve
from redgui.runs.sweep import Cell, Grid, axis
from redgui.samplers import SAMPLERS, Sampler

FILM = 8  # pictures in a filmstrip

Watcher = Callable[[Measured], None]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        restored: (1, 3, h, w): the estimate, the mean over particles when there are several (or the best: `Measured.estimate`).
        particles: (n, 3, h, w).
        figures: psnr, ssim, psnr_measurement, residual, nfe, backward, seconds, steps and what was run.
        film: a few iterates from first to last.
        record: reproduces the run.
        full: the restoration at the picture's own shape and size, RGB, with the picture itself outside a crop and outside an
            inpainted hole; None where the picture is of the prior's size, and of a replay, which has only what the prior saw.
    """

    problem: Problem
    picture: Tensor
    restored: Tensor
    particles: Tensor
    figures: dict[str, Any]
    film: list[Tensor]
    record: Record
    full: Image.Image | None = None

    def save(self, folder: str | Path) -> Path:
        """Writes input, measurement, restored, filmstrip.png and record.json (and restored-full, particles and std.png)."""
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        images.to_pil(self.picture).save(out / "input.png")
        images.to_pil(self.problem.H.picture(self.problem.y)).save(out / "measurement.png")
        images.to_pil(self.restored).save(out / "restored.png")
        images.row(self.film).save(out / "filmstrip.png")
        (out / "record.json").write_text(self.record.to_json())
        if self.full is not None:
            (out / "restored-full.png").write_bytes(images.encode(self.full))
        if len(self.particles) > 1:
            images.row(list(self.particles.split(1)), per_row=8).save(out / "particles.png")
            images.to_pil(std_picture(self.particles)).save(out / "std.png")
        return out


def restore(
    image: str | Path | Image.Image,
    *,
    mask: str | Path | None = None,
    fit: str = "auto",
    size: int | None = None,
    prior: str | Prior = "faces-64",
    operator: str | Operator = "inpaint",
    sampler: str | Sampler = "reddiff",
    sigma_y: float = 0.0,
    particles: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    watch: Watcher | None = None,
) -> Result:
    """Degrades a picture and restores it; with operator `given` the picture is the measurement itself.

    Args:
        image: a path, `example:NAME`, or a PIL picture of any shape.
        mask: a picture whose white pixels are to be filled in; makes the operator an inpainting with it.
        fit: how the picture is brought to what the prior takes: crop, pad, stretch or native (see `redgui.fitting`);
            auto: native where the prior takes any size, else crop.
        size: longest side of the fit native; None: 256.
        operator: `NAME:knob=value,...`; `given:of=NAME,knob=value,...` where the picture is already damaged.
        sampler: `NAME:knob=value,...`, where knobs that are not named come from the presets; or a sampler as it is.
        sigma_y: noise added to (or present in) the measurement, [-1, 1] units.
        particles: runs in one batch; None: one, but several for an ambiguous operator or a sampler of many particles.
        threads: of the CPU; None: as many as torch has. With another number the last bits are others.
        watch: called after every step.

    Raises:
        RedguiError: anything that the caller can mend. Diverged, one of them, holds as `result` what the last sound step gave.
    """
    with limited(threads):
        loaded = priors.load(prior, device, precision) if isinstance(prior, str) else prior
        if particles is not None and not 1 <= particles <= 64:
            raise KnobError(f"particles lie in 1 to 64; got {particles}.")
        if not 0 <= seed < 2**63:
            raise KnobError(f"the seed lies in 0 to 2^63 - 1; got {seed}.")
        source, H, given, drawn = _posed(image, mask, operator, loaded, fit, size)
        fitted = fitting.for_prior(source, loaded, fit, size, H, given)
        H.check_size(*fitted.solved)
        picture = images.to_tensor(fitted.apply(source))
        problem = (Problem.given if given else Problem.simulate)(picture, H, sigma_y, seed)
        chosen = presets.sampler_for(sampler, H, sigma_y) if isinstance(sampler, str) else sampler

        counted = Counted(loaded)
        many = particles or presets.particles(chosen, H)
        steps = measured(solve(problem, counted, chosen, many), problem, counted)

        def finished(last: Measured, film: list[Tensor]) -> Result:
            result = finish(picture, problem, loaded, chosen, last, film, fit=fitted.how)
            if fitted.original == loaded.picture_shape[-2:]:
                return result
            return replace(result, full=fitting.full_size(fitted, source, result.restored, H, drawn))

        try:
            return finished(*watched(steps, watch))
        except Diverged as error:
            if error.last is not None:
                error.result = finished(error.last, error.film)
                error.result.figures["error"] = str(error)
            raise


def sweep(
    image: str | Path | Image.Image,
    rows: str,
    columns: str,
    *,
    sampler: str = "reddiff",
    operator: str | Operator = "inpaint",
    prior: str | Prior = "faces-64",
    sigma_y: float = 0.0,
    device: str = "auto",
    precision: str = "auto",
    **options: Any,
) -> Iterator[tuple[Cell, Result | None]]:
    """Restores one measurement with every setting of a grid, one after the other: each result is that of `restore`, to the bit.

    A setting that leaves the finite numbers has the status `error`, its message, and the result of its last sound step, if any.

    Args:
        rows, columns: two knobs of the sampler with the values that they take, `lr=0.03,0.1`.
        options: the other arguments of `restore`.
    """
    loaded = priors.load(prior, device, precision) if isinstance(prior, str) else prior
    _, H, _, _ = _posed(image, options.get("mask"), operator, loaded, options.get("fit", "auto"), options.get("size"))
    base = presets.sampler_for(sampler, H, sigma_y)
    sides = (text.partition("=")[::2] for text in (rows, columns))
    for cell in Grid(base, *(axis(type(base), name.strip(), values) for name, values in sides)).cells:
        try:
            result = restore(image, operator=operator, prior=loaded, sigma_y=sigma_y, sampler=cell.sampler, **options)
            cell.status = "done"
        except Diverged as error:
            result, cell.status, cell.message = error.result, "error", str(error)
        yield cell, result


def _posed(
    image: str | Path | Image.Image, mask: str | Path | None, operator: str | Operator, prior: Prior, fit: str, size: int | None
) -> tuple[Image.Image, Operator, bool, np.ndarray | None]:
    """The picture, its operator, whether it is itself the measurement, and the mask as it was drawn on the whole picture."""
    source, painted, drawn = opened(image), None, None
    if mask is not None:
        if isinstance(operator, Operator):
            raise KnobError("a mask goes with the name of an operator; an operator that is already made has its own.")
        painted, drawn = fitting.read_mask(mask, fitting.for_prior(source, prior, fit, size))
    H, given = (operator, False) if isinstance(operator, Operator) else parse_operator(operator, painted)
    return source, H, given, drawn


def replay(record: str | Path | Record, *, device: str | None = None, watch: Watcher | None = None) -> tuple[Result, bool]:
    """Runs a record again, on its own device (and as many threads) and precision unless told otherwise.

    Returns the result and whether its pixels are those of the record.
    """
    wanted = record if isinstance(record, Record) else Record.read(record)
    prior = priors.load(wanted.prior, device or wanted.device, wanted.precision)
    sampler = wanted.build_sampler()
    with limited(wanted.threads if prior.device.type == "cpu" else None):
        last, film = watched(wanted.replay(prior), watch)
    result = finish(wanted.picture(), wanted.problem(), prior, sampler, last, film, wanted.changes, wanted.fit)
    return result, wanted.reproduces(last)


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


def finish(picture: Tensor, problem: Problem, prior: Prior, sampler: Any, last: Measured, film: list[Tensor],
           changes: tuple = (), fit: str = "crop") -> Result:  # fmt: skip
    """The Result of a run whose last Step is `last`."""
    record = Record.of(picture, problem, prior, sampler, last, changes, fit)
    figures = {key: value for key, value in record.result.items() if key not in ("planned", "pixels_sha256")}
    figures |= {
        "prior": prior.name,
        "operator": knobs.spec(problem.H) if len(knobs.spec(problem.H)) < 200 else problem.H.name,
        "sampler": knobs.spec(sampler),
        "sigma_y": problem.sigma_y,
        "seed": problem.seed,
        "particles": len(last.x0_hat),
        "device": prior.device.type,
        "precision": prior.precision,
    }
    return Result(problem, picture, last.estimate, last.x0_hat, figures, film, record)


def parse_operator(spec: str, painted: np.ndarray | None = None) -> tuple[Operator, bool]:
    """An operator from its text form, and whether the picture is to be the measurement itself (`given`).

    Args:
        painted: a mask (h, w) on the fitted picture, True = to be filled in; the operator is then an inpainting.
    """
    name, settings = knobs.parse(spec)
    given = name == "given"
    if given:
        name = settings.pop("of", "denoise" if painted is None else "inpaint")
    if painted is not None:
        if name != "inpaint":
            raise KnobError(f"a mask goes with the operator inpaint; got {name!r}. Leave --mask out or choose inpaint.")
        settings |= {"kind": "mask", "painted": masks.encode(painted)}
    return knobs.build(knobs.find(operators.OPERATORS, name, "operator"), settings), given


def opened(image: str | Path | Image.Image) -> Image.Image:
    """The picture, upright RGB."""
    return images.rgb(image) if isinstance(image, Image.Image) else images.read(resolve(image))


def resolve(image: str | Path) -> Path:
    """The path of a picture; `example:NAME` is one of the bundled examples."""
    text = str(image)
    if not text.startswith("example:"):
        return Path(image)
    found = {p.stem: p for p in images.folder(bundled.EXAMPLES)}
    name = text.removeprefix("example:")
    if name not in found:
        raise KnobError(f"there is no example {name!r}. Choose one of: {', '.join(found)}.")
    return found[name]


def std_picture(particles: Tensor) -> Tensor:
    """Pixel-wise standard deviation over particles, mean over channels, (1, 1, h, w) in [-1, 1]: black 0, white 0.5 or more."""
    std = particles.std(0, keepdim=True).mean(1, keepdim=True)
    return (std / 0.5).clamp(0, 1) * 2 - 1


def listing() -> dict[str, Any]:
    """All samplers, operators, priors and examples with their knobs, JSON-ready."""

    def card(cls: Any) -> dict[str, Any]:
        fields = ("name", "kind", "default", "lo", "hi", "choices", "help", "live")
        entries = [{f: getattr(k, f) for f in fields} | {"kind": k.kind.__name__} for k in knobs.knobs(cls) if k.shown]
        return {"name": cls.name, "label": cls.label, "about": cls.about, "knobs": entries}

    return {
        "samplers": [card(s) | {"paper": s.paper, "needs": s.needs.__name__} for s in SAMPLERS],
        "operators": [card(o) for o in operators.OPERATORS]
        + [dict(name="given", label="Given", about="the picture is itself the measurement: given:of=NAME,...", knobs=[])],
        "priors": [vars(p) for p in priors.PRIORS],
        "examples": [p.stem for p in images.folder(bundled.EXAMPLES)],
    }
