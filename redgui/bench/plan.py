"""What is to be run: pictures, jobs, and the batches that jobs are solved in."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from redgui import bundled, images, knobs, operators, presets
from redgui.errors import RedguiError
from redgui.priors import Prior
from redgui.runs.settings import Settings
from redgui.samplers import SAMPLERS, Sampler

SHOWN = 8  # pictures on a contact sheet


class BenchError(RedguiError):
    """A benchmark that cannot be run; the message says why."""


@dataclass(frozen=True)
class Picture:
    """A ground truth, (1, 3, h, w) in [-1, 1]."""

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
        parts = [self.picture.digest, prior.name, prior.precision, prior.device.type, s.sigma_y, s.seed, s.particles]
        for thing in (s.H, s.sampler):
            parts += [thing.name, sorted(knobs.values(thing).items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def pictures(source: str | Path, h: int, w: int, limit: int | None = None) -> list[Picture]:
    """The pictures of a folder, of a zip (its `val/` where it has one), or the bundled `examples`, fitted to h x w, by name.

    Raises ImageError, or BenchError when there are none.
    """
    path = Path(source)
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as pack:
                names = sorted(n for n in pack.namelist() if Path(n).suffix.lower() in images.SUFFIXES)
                names = ([n for n in names if n.startswith("val/")] or names)[:limit]
                found = [Picture(Path(n).stem, images.load(pack.read(n), h, w)) for n in names]
        except (OSError, zipfile.BadZipFile) as error:
            raise BenchError(f"{path} cannot be read as a zip of pictures: {error}.") from None
    else:
        files = images.folder(bundled.EXAMPLES if str(source) == "examples" else path)[:limit]
        found = [Picture(p.stem, images.load(p, h, w)) for p in files]
    if not found:
        raise BenchError(f"{source} holds no pictures; give a folder, a zip, or 'examples'.")
    return found


def jobs(
    shown: Sequence[Picture],
    operator_specs: Sequence[str],
    sampler_specs: Sequence[str | Sampler],
    sigmas_y: Sequence[float] = (0.0,),
    seeds: int = 1,
    particles: int | None = None,
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
        H.check_size(h, w)
        for sigma_y in sigmas_y:
            made = (spec if isinstance(spec, Sampler) else presets.sampler_for(spec, H, sigma_y, prior) for spec in specs)
            for sampler in dict.fromkeys(made):
                if not sampler.fits(H):
                    continue
                many = presets.particles(sampler, H) if particles is None else particles
                settings = Settings(H=H, sampler=sampler, sigma_y=sigma_y, particles=many)
                for r in range(seeds):
                    for k, picture in enumerate(shown):
                        yield Job(picture, k, replace(settings, seed=100_000 * r + k))


def batches(wanted: Mapping[str, Job], size: int) -> list[list[str]]:
    """The keys of the jobs in batches of one setting: of `size`, or one at a time where the sampler couples its batch.

    They follow from what is asked for alone, not from what is done or by how many: a batched convolution rounds differently
    in another batch, so the same batches are what makes the same rows.
    """
    alike: dict[Settings, list[str]] = {}
    for key, job in wanted.items():
        alike.setdefault(replace(job.settings, seed=0), []).append(key)
    found = []
    for settings, keys in alike.items():
        step = 1 if settings.sampler.coupled else size
        found += [keys[k : k + step] for k in range(0, len(keys), step)]
    return found
