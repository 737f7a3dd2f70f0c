"""`redgui bench`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from redgui.cli.output import DEVICES, JobsBar


def add(commands: Any) -> None:
    """Adds `bench` to the commands."""
    bench = commands.add_parser("bench", help="compare samplers on many pictures, resumable")
    bench.add_argument("--images", default="examples", metavar="DIR|ZIP|examples", help="also those in folders within")
    bench.add_argument("--limit", type=int, metavar="N", help="the first N pictures")
    bench.add_argument("--prior", default="faces-64", help="a bundled name, a folder in diffusers format, or a Hub id")
    bench.add_argument("--operators", nargs="+", metavar="NAME[:knob=value,...]",
                       help="degradations (inpaint; with --posterior: three)")  # fmt: skip
    bench.add_argument("--samplers", nargs="+", default=["all"], metavar="NAME[:knob=value,...]",
                       help="all: each with its presets; further settings may stand beside it")  # fmt: skip
    bench.add_argument("--sigma-y", nargs="+", default=[0.0], help="noise levels, the picture spanning -1 to 1, or A/B")
    bench.add_argument("--noise", default="gaussian", metavar="NAME[:knob=value,...]", help="its model, as of restore")
    bench.add_argument("--seeds", type=int, default=1, metavar="N", help="repetitions with other random numbers")
    bench.add_argument("--particles", type=int, help="runs of each, their mean is taken (1; 4 for phase, RSD)")
    bench.add_argument("--batch", type=int, default=16, help="pictures solved together")
    bench.add_argument("--metrics", nargs="*", metavar="lpips|kid",
                       help="networks to judge with, fetched if need be (what is here); nothing: none")  # fmt: skip
    bench.add_argument("--parquet", action=argparse.BooleanOptionalAction,
                       help="tables as Parquet, too (where pyarrow is installed)")  # fmt: skip
    bench.add_argument("--device", default="auto", metavar=DEVICES)
    bench.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    bench.add_argument("--out", default="bench", metavar="DIR", help="rows, table, sheets; a killed run goes on here")
    bench.add_argument("--posterior", action="store_true",
                       help="instead: which samplers draw from the posterior (docs/posterior.md)")  # fmt: skip
    bench.add_argument("--draws", type=int, default=512, metavar="N", help="of each sampler, with --posterior")
    bench.set_defaults(run=run)


def run_posterior(chosen: argparse.Namespace) -> None:
    from redgui.bench import BenchError, posterior
    from redgui.cli.output import spoken

    if not 8 <= chosen.draws <= 4096:
        raise BenchError(f"--draws lies in 8 to 4096; got {chosen.draws}.")
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)

    def watch(row: dict[str, Any]) -> None:
        print(f"{row['prior']} {row['operator']} {row['sampler']}: KSD^2 {row['ksd']:.3g}", file=sys.stderr)

    with spoken():
        rows = posterior.measure(
            chosen.samplers, chosen.operators or posterior.TASKS, chosen.draws, max(2, chosen.seeds), watch
        )
        posterior.picture(chosen.samplers, out / "posterior.png", chosen.draws)
    (out / "posterior.json").write_text(json.dumps({"rows": rows}, indent=1))
    (out / "posterior.md").write_text(posterior.table(rows))
    print(posterior.table(rows))
    print(f"wrote {chosen.out}/posterior.md, posterior.json and posterior.png")
    print(json.dumps({"rows": rows}))


def run(chosen: argparse.Namespace) -> None:
    if chosen.posterior:
        run_posterior(chosen)
    else:
        run_pictures(chosen)


def run_pictures(chosen: argparse.Namespace) -> None:
    from redgui import bench, files, knobs, priors
    from redgui.bench import report
    from redgui.bench.judge import kids
    from redgui.bench.processes import Share
    from redgui.runs.settings import Settings, checked

    for name, most in (("limit", 10**6), ("seeds", 1000), ("particles", 64), ("batch", 4096)):
        value = getattr(chosen, name)
        if value is not None and not 1 <= value <= most:
            raise bench.BenchError(f"--{name} lies in 1 to {most}; got {value}.")
    sigma_y = next(k for k in knobs.knobs(Settings) if k.name == "sigma_y")
    levels = [checked(sigma_y, level) for level in chosen.sigma_y]
    specs = [str(files.told(spec)) for spec in chosen.operators or ["inpaint"]]
    parquet = report.has_parquet(chosen.parquet)
    share = Share.of_environment()
    share.take_device()
    prior = priors.load(chosen.prior, chosen.device, chosen.precision)
    c, h, w = prior.picture_shape
    shown = bench.pictures(chosen.images, h, w, chosen.limit, channels=c, besides=chosen.out)
    judges = bench.Judges.named(chosen.metrics, prior.device, h, w)
    if chosen.metrics and share.first:  # before the hours that the run may take
        print("\n".join(judges.lines()), file=sys.stderr)
    with JobsBar(share.rank, share.world) as bar:
        each = bench.finished(
            shown, prior, specs, chosen.samplers, sigmas_y=levels, noise=chosen.noise, seeds=chosen.seeds,
            particles=chosen.particles, batch=chosen.batch, judges=judges, out=chosen.out, watch=bar,
        )  # fmt: skip
    if not share.first:
        return
    rows = bench.summarise(each, kids(Path(chosen.out), each, shown, judges))
    notes = report.write(rows, shown, chosen.out, each=each, judges=judges, parquet=chosen.parquet)
    print(report.table(rows))
    print("".join(f"{note}\n" for note in notes), end="")
    kinds = "csv and .parquet" if parquet else "csv"
    print(f"wrote {chosen.out}/results.{kinds}, rows.{kinds}, table.md, sheets and plots")
    print(json.dumps({"rows": rows}))
