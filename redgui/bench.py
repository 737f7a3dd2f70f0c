"""The benchmark: pictures x operators x samplers x noise levels x seeds, in batches, resumable.

    for row in bench(pictures("examples", 64, 64), prior, ["inpaint", "superres"], ["reddiff", "ddrm"], out="out"): ...

A job is one picture under one setting. Each finished job is one line of `rows.jsonl`, under a key made of all that determines
it; a run that was killed goes on with the jobs whose keys are missing. Several processes (`accelerate launch`) share the jobs
out, each writes a file of its own, and the rows are the same: a picture's result does not depend on what it is batched with,
up to the rounding of a batched convolution.
"""

import hashlib
import json
import math
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from redgui import api, images, knobs, metrics, operators, presets
from redgui.divergence import explained, sound
from redgui.errors import RedguiError
from redgui.operators import Operator
from redgui.priors import Counted, Prior
from redgui.problem import Measured, Problem, seen_by, stream, summary
from redgui.randomness import SAMPLER, Generators, stream_seed
from redgui.record import Record, encoded
from redgui.samplers import SAMPLERS, Sampler, Step

SHOWN = 8  # pictures on a contact sheet
MEANS = ("psnr", "ssim", "psnr_measurement", "ssim_measurement", "residual", "nfe", "backward", "seconds", "steps")


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
    """One picture under one setting."""

    picture: Picture
    index: int  # of the picture
    H: Operator
    sampler: Sampler
    sigma_y: float
    seed: int
    particles: int

    def key(self, prior: Prior) -> str:
        """Names everything that the result depends on (but the machine)."""
        parts = [self.picture.digest, prior.name, prior.precision, prior.device.type, self.sigma_y, self.seed, self.particles]
        for thing in (self.H, self.sampler):
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
        files = images.folder(api.EXAMPLES if str(source) == "examples" else path)[:limit]
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
) -> Iterator[Job]:
    """All that fit together, a setting at a time. `all` is every sampler; knobs that a text does not name are the presets'.

    Every picture has noise of its own: picture k in repetition r has the seed 100000 r + k.
    """
    h, w = shown[0].x.shape[-2:]
    specs = [cls.name for cls in SAMPLERS] if list(sampler_specs) == ["all"] else sampler_specs
    for operator_spec in operator_specs:
        H = operators.build(operator_spec)
        H.check_size(h, w)
        for sigma_y in sigmas_y:
            made = (spec if isinstance(spec, Sampler) else presets.sampler_for(spec, H, sigma_y) for spec in specs)
            for sampler in dict.fromkeys(made):
                if not sampler.accepts(H):
                    continue
                many = particles or presets.particles(sampler, H)
                for r in range(seeds):
                    for k, picture in enumerate(shown):
                        yield Job(picture, k, H, sampler, sigma_y, 100_000 * r + k, many)


def run(prior: Prior, batch: Sequence[Job]) -> list[tuple[dict[str, Any], Tensor]]:
    """Solves jobs of one setting together: a row and the estimate (1, 3, h, w) of each.

    A picture whose run diverges gives a row with `error` instead of figures, and the estimate of its last sound step (the
    picture to start from where there was none); the others of its batch go on.
    """
    H, sampler, sigma_y, n = batch[0].H, batch[0].sampler, batch[0].sigma_y, batch[0].particles
    problems = [Problem.simulate(job.picture.x, H, sigma_y, job.seed).to(prior.device) for job in batch]
    good: list[Step | None] = [None] * len(batch)  # of each picture the newest Step, or the last that was sound
    failed: list[str | None] = [None] * len(batch)
    y = torch.cat([problem.y.expand(n, *problem.y.shape[1:]) for problem in problems])
    generator = Generators([stream_seed(job.seed, SAMPLER, k) for job in batch for k in range(n)])
    counted = Counted(prior)
    began = time.perf_counter()
    try:
        for step in stream(counted, H, y, sigma_y, sampler, generator):
            for k, fine in enumerate(sound(step, counted).view(-1, n).all(1).tolist()):
                if failed[k] is None:
                    good[k] = step if fine else good[k]
                    failed[k] = None if fine else explained(replace(step, x0_hat=step.x0_hat[k * n : (k + 1) * n]), counted)
            if all(failed):
                break
    except RedguiError as raised:
        failed = [error or str(raised) for error in failed]
    seconds = (time.perf_counter() - began) / len(batch)
    rows = []
    for k, (job, problem) in enumerate(zip(batch, problems, strict=True)):
        row: dict[str, Any] = {
            "key": job.key(prior),
            "picture": job.picture.name,
            "index": job.index,
            "prior": prior.name,
            "operator": knobs.spec(H),
            "sampler": knobs.spec(sampler),
            "sigma_y": sigma_y,
            "seed": job.seed,
            "particles": n,
            "device": prior.device.type,
            "precision": prior.precision,
        }
        step = good[k]
        x0_hat = step.x0_hat[k * n : (k + 1) * n] if step else problem.start()
        best = int(metrics.residual(x0_hat, problem.y, H).argmin()) if H.ambiguous else None
        if step is None or failed[k]:
            shown = x0_hat.mean(0, keepdim=True) if best is None else x0_hat[best : best + 1]
            rows.append((row | {"error": failed[k] or "the sampler made no step"}, problem.aligned(shown)))
            continue
        last = Measured(
            step.i, step.n, step.sigma, x0_hat, seconds=seconds, nfe=counted.forwards, backward=counted.backwards, best=best
        )
        record = json.loads(Record.of(job.picture.x, problem, prior, sampler, last).to_json())
        del record["image"]  # `record_of` puts it back
        rows.append((row | summary(last, problem) | {"record": record}, problem.aligned(last.estimate)))
    return rows


def bench(
    shown: Sequence[Picture],
    prior: Prior,
    operator_specs: Sequence[str],
    sampler_specs: Sequence[str | Sampler],
    *,
    sigmas_y: Sequence[float] = (0.0,),
    seeds: int = 1,
    particles: int | None = None,
    batch: int = 16,
    out: str | Path,
    watch: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[dict[str, Any]]:
    """Runs what is missing in `out` and returns the rows of `summarise` over all that was asked for.

    Args:
        batch: pictures solved together; a coupled sampler solves one at a time.
        watch: called with jobs done, jobs in all, and the setting in work.

    Raises:
        BenchError: no sampler takes any of the operators. KnobError, OperatorError: a setting is wrong.
    """
    folder = Path(out)
    (folder / "restored").mkdir(parents=True, exist_ok=True)
    rank, world = _processes()
    wanted = [
        job
        for job in jobs(shown, operator_specs, sampler_specs, sigmas_y, seeds, particles)
        if job.sampler.accepts(seen_by(prior, job.H))
    ]
    if not wanted:
        raise BenchError(f"none of {', '.join(map(str, sampler_specs))} takes any of {', '.join(operator_specs)}.")
    keys = {job.key(prior): None for job in wanted}
    done = {row["key"] for row in read(folder)} & set(keys)
    missing: dict[tuple, list[Job]] = defaultdict(list)
    for job in wanted[rank::world]:
        if job.key(prior) not in done:
            missing[job.H, job.sampler, job.sigma_y, job.particles].append(job)
    count = len(done)
    with (folder / f"rows-{rank}.jsonl").open("a") as lines:
        for (H, sampler, sigma_y, _), of_setting in missing.items():
            size = 1 if sampler.coupled else batch
            watch(count, len(wanted), f"{sampler.name} on {knobs.spec(H)}, sigma_y {sigma_y:g}")
            for k in range(0, len(of_setting), size):
                part = of_setting[k : k + size]
                found = run(prior, part)
                for job, (_, estimate) in zip(part, found, strict=True):
                    if job.index < SHOWN:
                        images.to_pil(estimate).save(folder / "restored" / f"{job.key(prior)}.png")
                lines.writelines(json.dumps(_clean(row)) + "\n" for row, _ in found)
                lines.flush()
                count += len(part)
                watch(count, len(wanted), f"{sampler.name} on {knobs.spec(H)}, sigma_y {sigma_y:g}")
    _wait(world)
    by_key = {row["key"]: row for row in read(folder)}
    return summarise(by_key[key] for key in keys if key in by_key)


def read(folder: str | Path) -> list[dict[str, Any]]:
    """All finished jobs of a folder, each key once; a line that a killed run left unfinished is passed over."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(folder).glob("rows-*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
                found.setdefault(row["key"], row)
            except (ValueError, KeyError, TypeError):
                continue
    return list(found.values())


def summarise(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per setting: means over pictures and seeds, `n`, the standard error of psnr and ssim, and how many failed."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["operator"], row["sigma_y"], row["sampler"], row["particles"], row["prior"]].append(row)
    summary_rows = []
    for members in groups.values():
        good = [row for row in members if "error" not in row]
        same = {key: members[0][key] for key in ("prior", "operator", "sampler", "sigma_y", "particles", "device", "precision")}
        figures: dict[str, Any] = {key: mean(row[key] for row in good) if good else None for key in MEANS}
        for key in ("psnr", "ssim"):
            figures[f"{key}_error"] = stdev(row[key] for row in good) / math.sqrt(len(good)) if len(good) > 1 else None
        seeds = sorted({row["seed"] // 100_000 for row in members})
        summary_rows.append(
            figures | same | {"n": len(good), "failed": len(members) - len(good), "seed": seeds[0], "seeds": len(seeds)}
        )
    return summary_rows


def record_of(row: dict[str, Any], picture: Picture) -> Record:
    """The record that reproduces a finished job on its picture."""
    return Record.from_json(json.dumps(row["record"] | {"image": encoded(picture.x)}))


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan or inf."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _processes() -> tuple[int, int]:
    """The index of this process and how many there are, under `accelerate launch`; 0 of 1 elsewhere."""
    import os

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    from accelerate import PartialState

    state = PartialState()
    return state.process_index, state.num_processes


def _wait(world: int) -> None:
    if world > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
