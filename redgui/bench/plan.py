"""What is to be run: pictures, jobs, and the batches that jobs are solved in."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from torch import Tensor

from redgui import bundled, images, knobs, operators, presets, reading
from redgui.errors import RedguiError
from redgui.noise import build as build_noise
from redgui.operators.blind import BlindBlur
from redgui.priors import Prior
from redgui.runs.settings import Settings
from redgui.samplers import SAMPLERS, Sampler

SHOWN = 8  # pictures on a contact sheet


class BenchError(RedguiError):
    """A benchmark that cannot be run; the message says why."""


@dataclass(frozen=True)
class Picture:
    """A ground truth, (1, c, h, w) in [-1, 1]."""

    name: str
    x: Tensor

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(images.to_uint8(self.x).tobytes()).hexdigest()


@dataclass(frozen=True)
class Job:
    """One picture, the `index`-th, under settings that name no prior: a benchmark has one for all its jobs."""

    picture: Picture
    index: int
    settings: Settings

    def key(self, prior: Prior) -> str:
        """Names everything that the result depends on (but the machine)."""
        s = self.settings
        parts = [self.picture.digest, prior.name, prior.precision, prior.network_device.type, s.sigma_y, s.seed, s.particles]
        for thing in (s.H, s.sampler, *([] if s.noise == Settings.noise else [s.model])):  # keys are older than models
            parts += [thing.name, sorted(knobs.values(thing).items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def pictures(
    source: str | Path, h: int, w: int, limit: int | None = None, *, channels: int = 3, besides: str | Path | None = None
) -> list[Picture]:
    """The pictures of a folder, of a zip, or the bundled `examples`, with those in folders within, fitted to h x w, by name.

    Where there is a `val/` at the top it is those alone. A picture is called by its path without the ending, from the folder
    on that all have in common.

    Args:
        channels: 3, or 1 for the luma.
        besides: a folder whose pictures are none of these: a benchmark's own results.

    Raises ImageError, or BenchError when there are none.
    """
    path = bundled.EXAMPLES if str(source) == "examples" else reading.at_home(source)
    if path.suffix.lower() == ".zip" and not path.is_dir():
        try:
            with zipfile.ZipFile(path) as pack:
                names = _chosen(pack.namelist())[:limit]
                found = [images.load(pack.read(n), h, w, channels=channels) for n in names]
        except (OSError, zipfile.BadZipFile) as error:
            raise BenchError(f"{path} cannot be read as a zip of pictures: {error}.") from None
    else:
        images.folder(path)  # raises where it cannot be read
        own = None if besides is None else Path(besides).resolve()
        inside = (p for p in path.rglob("*") if p.is_file() and (own is None or own not in p.resolve().parents))
        names = _chosen(p.relative_to(path).as_posix() for p in inside)[:limit]
        found = [images.load(path / n, h, w, channels=channels) for n in names]
    if not found:
        raise BenchError(f"{source} holds no pictures; give a folder, a zip, or 'examples'.")
    common = len(PurePosixPath(os.path.commonpath([PurePosixPath(n).parent for n in names])).parts)
    called = ("/".join(PurePosixPath(n).with_suffix("").parts[common:]) for n in names)
    return [Picture(name, x) for name, x in zip(called, found, strict=True)]


def _chosen(names: Iterable[str]) -> list[str]:
    """Of the paths in a folder those of pictures, in order."""
    paths = [p for p in map(PurePosixPath, names) if reading.is_picture(p)]
    return sorted(map(str, [p for p in paths if p.parts[0] == "val" and len(p.parts) > 1] or paths))


def jobs(
    shown: Sequence[Picture],
    operator_specs: Sequence[str],
    sampler_specs: Sequence[str | Sampler],
    sigmas_y: Sequence[float] = (0.0,),
    seeds: int = 1,
    particles: int | None = None,
    noise: str = "gaussian",
    prior: str = presets.USUAL,
) -> Iterator[Job]:
    """All that fit together, a setting at a time. `all` is every sampler; knobs that a text does not name are the presets'.

    Every picture has noise of its own: picture k in repetition r has the seed 100000 r + k.

    Raises BenchError: an operator, a sampler or a noise level is named twice.
    """
    h, w = shown[0].x.shape[-2:]
    specs = [spec for asked in sampler_specs for spec in ([c.name for c in SAMPLERS] if asked == "all" else [asked])]
    for what, named in (("--operators", operator_specs), ("--samplers", specs), ("--sigma-y", sigmas_y)):
        if twice := [thing for k, thing in enumerate(named) if thing in named[:k]]:
            raise BenchError(f"{what} has {', '.join(map(str, dict.fromkeys(twice)))} twice; leave one of them out.")
    for operator_spec in operator_specs:
        H = operators.build(operator_spec)
        H.placed(h, w)  # whether it fits
        for sigma_y in sigmas_y:
            level = build_noise(noise).level(sigma_y)
            made = (spec if isinstance(spec, Sampler) else presets.sampler_for(spec, H, level, prior) for spec in specs)
            for sampler in dict.fromkeys(made):
                many = presets.particles(sampler, H) if particles is None else particles
                settings = Settings(H=H, sampler=sampler, sigma_y=sigma_y, noise=noise, particles=many)
                if not sampler.fits(settings.likelihood):
                    continue
                for r in range(seeds):
                    for k, picture in enumerate(shown):
                        yield Job(picture, k, replace(settings, seed=100_000 * r + k))


def batches(wanted: Mapping[str, Job], size: int) -> list[list[str]]:
    """The keys of the jobs in batches of one setting: of `size`, or one at a time where the sampler couples its batch or a run
    finds the operator.

    They follow from what is asked for alone, not from what is done or by how many: a batched convolution rounds differently
    in another batch, so the same batches are what makes the same rows.
    """
    alike: dict[Settings, list[str]] = {}
    for key, job in wanted.items():
        alike.setdefault(replace(job.settings, seed=0), []).append(key)
    found = []
    for settings, keys in alike.items():
        step = 1 if settings.sampler.coupled or isinstance(settings.H, BlindBlur) else size
        found += [keys[k : k + step] for k in range(0, len(keys), step)]
    return found
