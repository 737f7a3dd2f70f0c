"""Runs the jobs of a benchmark that are missing, and gathers what all processes have found."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redgui import knobs, metrics
from redgui.bench import judge, plan
from redgui.bench import rows as kept
from redgui.bench.judge import Judges
from redgui.bench.plan import BenchError, Job, Picture
from redgui.bench.processes import Share, wait_for
from redgui.bench.rows import Row
from redgui.errors import RedguiError
from redgui.priors import Counted, Prior
from redgui.randomness import SAMPLER, Generators, stream_seed
from redgui.runs.divergence import explained, sound
from redgui.runs.record import Record
from redgui.runs.stream import Measured, seen_by, stream, summary
from redgui.samplers import Sampler, Step

Watch = Callable[[int, int, str], None]


def run(prior: Prior, batch: Sequence[Job]) -> list[tuple[Row, Tensor]]:
    """Solves jobs of one setting together: a row and the estimate (1, 3, h, w) of each.

    A picture whose run diverges gives a row with `error` instead of figures, and the estimate of its last sound step (the
    picture to start from where there was none); the others of its batch go on.
    """
    s = batch[0].settings
    sampler, n = s.sampler, s.particles
    problems = [job.settings.problem(job.picture.x).to(prior.device) for job in batch]
    H = problems[0].likelihood
    good: list[Step | None] = [None] * len(batch)  # of each picture the newest Step, or the last that was sound
    failed: list[str | None] = [None] * len(batch)
    y = torch.cat([problem.y.expand(n, *problem.y.shape[1:]) for problem in problems])
    generator = Generators([stream_seed(job.settings.seed, SAMPLER, k) for job in batch for k in range(n)])
    counted = Counted(prior)
    began = time.perf_counter()
    try:
        for step in stream(counted, H, y, s.level, sampler, generator):
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
        row: Row = {"key": job.key(prior), "picture": job.picture.name, "index": job.index}
        row |= job.settings.by(prior).figures()
        step = good[k]
        x0_hat = step.x0_hat[k * n : (k + 1) * n] if step else problem.start()
        best = int(metrics.residual(x0_hat, problem.y, H).argmin()) if H.ambiguous else None
        if step is None or failed[k]:
            shown = x0_hat.mean(0, keepdim=True) if best is None else x0_hat[best : best + 1]
            rows.append((row | {"error": failed[k] or "the sampler made no step"}, problem.aligned(shown)))
            continue
        last = Measured(
            step.i, step.n, step.sigma, x0_hat, found=step.found, before=step.before,
            seconds=seconds, nfe=counted.forwards, backward=counted.backwards, best=best,
        )  # fmt: skip
        record = json.loads(Record.made(job.picture.x, problem, job.settings.by(prior), last).to_json())
        del record["image"]  # `record_of` puts it back
        rows.append((row | summary(last, problem) | {"record": record}, problem.aligned(last.estimate)))
    return rows


def finished(
    shown: Sequence[Picture],
    prior: Prior,
    operator_specs: Sequence[str],
    sampler_specs: Sequence[str | Sampler],
    *,
    sigmas_y: Sequence[float] = (0.0,),
    seeds: int = 1,
    particles: int | None = None,
    noise: str = "gaussian",
    batch: int = 16,
    judges: Judges = Judges(),  # noqa: B008  frozen
    out: str | Path,
    watch: Watch = lambda done, total, what: None,
) -> list[Row]:
    """Runs what is missing in `out` and returns a row, with its record, of every job that was asked for.

    Under a launcher each process runs its share; the first one waits for the others and returns all rows, the others return
    none.

    Args:
        batch: pictures solved together; a coupled sampler solves one at a time.
        judges: networks to ask about the results; every restored picture is kept where there is one.
        watch: called with this process's jobs that are done, how many it has in all, and what is in work.

    Raises:
        BenchError: no sampler takes any of the operators. KnobError, OperatorError: a setting is wrong.
    """
    folder, share = Path(out), Share.of_environment()
    (folder / "restored").mkdir(parents=True, exist_ok=True)
    wanted = {
        job.key(prior): job
        for job in plan.jobs(shown, operator_specs, sampler_specs, sigmas_y, seeds, particles, noise, prior.name)
        if job.settings.sampler.fits(seen_by(prior, job.settings.likelihood))
    }
    if not wanted:
        raise BenchError(f"none of {', '.join(map(str, sampler_specs))} takes any of {', '.join(operator_specs)}.")
    rows = {row["key"]: row for row in kept.read(folder)}

    def missing(key: str) -> bool:
        return key not in rows or (judges.any and "error" not in rows[key] and not judge.restored(folder, key).exists())

    mine = plan.batches(wanted, batch)[share.rank :: share.world]
    total = sum(map(len, mine))
    count = total - sum(missing(key) for keys in mine for key in keys)
    with kept.opened(folder / f"rows-{share.rank}.jsonl") as lines:
        for keys in mine:
            absent = [key for key in keys if missing(key)]
            if not absent:
                continue
            part = [wanted[key] for key in keys]  # all of it, since a row depends on its batch in the last bits
            first = part[0].settings
            what = f"{first.sampler.name} on {knobs.spec(first.H)}, sigma_y {first.sigma_y:g}"
            what += "" if first.noise == "gaussian" else f", {first.noise}"
            watch(count, total, what)
            for key, (row, estimate) in zip(keys, run(prior, part), strict=True):
                if key in absent and (judges.any or wanted[key].index < plan.SHOWN):
                    judge.keep(folder, key, estimate)
                if key not in rows:
                    lines.write(kept.as_line(row))
            lines.flush()
            count += len(absent)
            watch(count, total, what)
    if judges.any:
        own = {key: wanted[key] for keys in mine for key in keys}
        judge.judge(folder, share.rank, own, judges, lambda k, n: watch(k, n, judges.asked))
    if not share.first:
        return []
    if share.world > 1:
        left = "waiting for {} jobs of other processes"
        wait_for(lambda: judge.lacking(folder, wanted, judges), lambda n: watch(total, total, left.format(n)))
    rows = {row["key"]: row for row in kept.read(folder)}
    return judge.with_lpips(folder, (rows[key] for key in wanted), judges)


def bench(
    shown: Sequence[Picture],
    prior: Prior,
    operator_specs: Sequence[str],
    sampler_specs: Sequence[str | Sampler],
    *,
    judges: Judges = Judges(),  # noqa: B008  frozen
    out: str | Path,
    **how: Any,
) -> list[Row]:
    """`finished`, with the same arguments, summed up: a row per setting."""
    each = finished(shown, prior, operator_specs, sampler_specs, judges=judges, out=out, **how)
    return kept.summarise(each, judge.kids(Path(out), each, shown, judges))
