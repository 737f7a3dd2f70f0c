"""The command line: `python -m redgui list | restore | replay | bench | train | convert-adm`.

Progress goes to stderr; the last line of stdout is one JSON object. A person's error is one line on stderr, status 2.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from redgui.errors import RedguiError


class Parser(argparse.ArgumentParser):
    """argparse with errors on one line."""

    def error(self, message: str) -> NoReturn:
        print(f"redgui: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog="python -m redgui", description="See and compare how diffusion models solve inverse problems.")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)

    listed = commands.add_parser("list", help="samplers, operators, priors and examples with their knobs")
    listed.add_argument("--json", action="store_true", help="as one JSON object")
    listed.set_defaults(run=run_list)

    restore = commands.add_parser("restore", help="degrade a picture and restore it")
    restore.add_argument("image", metavar="IMAGE", help="a picture, or example:NAME")
    restore.add_argument("--mask", metavar="PNG", help="white = to be filled in")
    restore.add_argument("--fit", default="auto", metavar="auto|crop|pad|stretch|native",
                         help="how a picture comes to the prior's size; auto: native where any will do")  # fmt: skip
    restore.add_argument("--size", type=int, metavar="N", help="longest side of the fit native (256)")
    restore.add_argument(
        "--prior",
        default="faces-64",
        help="a name of the list, a folder or a Hub id; for a class NAME:label=N",
    )
    restore.add_argument("--operator", default="inpaint", metavar="NAME[:knob=value,...]")
    restore.add_argument("--sampler", default="reddiff", metavar="NAME[:knob=value,...]")
    restore.add_argument("--sigma-y", type=float, default=0.0, help="noise in the measurement, [-1, 1] units")
    restore.add_argument("--particles", type=int, help="runs in one batch (1; 4 for phase retrieval and RSD)")
    restore.add_argument("--seed", type=int, default=0)
    restore.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    restore.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    restore.add_argument("--threads", type=int, metavar="N", help="of the CPU (all); the last bits depend on it")
    restore.add_argument("--out", default="out", metavar="DIR")
    restore.set_defaults(run=run_restore)

    replay = commands.add_parser("replay", help="run a record again")
    replay.add_argument("record", metavar="RECORD.json")
    replay.add_argument("--device", choices=("auto", "cpu", "cuda"), help="instead of the record's own")
    replay.add_argument("--out", default="out", metavar="DIR")
    replay.set_defaults(run=run_replay)

    bench = commands.add_parser("bench", help="compare samplers on many pictures, resumable")
    bench.add_argument("--images", default="examples", metavar="DIR|ZIP|examples")
    bench.add_argument("--limit", type=int, metavar="N", help="the first N pictures")
    bench.add_argument("--prior", default="faces-64", help="a bundled name, a folder in diffusers format, or a Hub id")
    bench.add_argument("--operators", nargs="+", default=["inpaint"], metavar="NAME[:knob=value,...]")
    bench.add_argument("--samplers", nargs="+", default=["all"], metavar="NAME[:knob=value,...]", help="or: all")
    bench.add_argument("--sigma-y", type=float, nargs="+", default=[0.0], help="noise levels, [-1, 1] units")
    bench.add_argument("--seeds", type=int, default=1, metavar="N", help="repetitions with other random numbers")
    bench.add_argument("--particles", type=int, help="runs of each, their mean is taken (1; 4 for phase, RSD)")
    bench.add_argument("--batch", type=int, default=16, help="pictures solved together")
    bench.add_argument("--metrics", nargs="*", metavar="lpips|kid",
                       help="networks to judge with, fetched if need be (what is here); nothing: none")  # fmt: skip
    bench.add_argument("--parquet", action=argparse.BooleanOptionalAction,
                       help="tables as Parquet, too (where pyarrow is installed)")  # fmt: skip
    bench.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    bench.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    bench.add_argument("--out", default="bench", metavar="DIR", help="rows, table, sheets; a killed run goes on here")
    bench.set_defaults(run=run_bench)

    convert = commands.add_parser("convert-adm", help="a checkpoint of guided-diffusion as a folder that --prior takes")
    convert.add_argument("checkpoint", metavar="CHECKPOINT.pt")
    convert.add_argument("out", metavar="OUT_DIR", help="the folder to make")
    convert.add_argument("--config", default="auto", metavar="NAME[:knob=value,...]",
                         help="auto (by the shapes of the weights), a published one such as imagenet-64, or adm")  # fmt: skip
    convert.set_defaults(run=run_convert)

    add_train(commands)
    return top


def add_train(commands: Any) -> None:
    """`train`: the fields of Recipe are its options; one that is not given is absent, so that a resumed run keeps its own."""
    from redgui import knobs
    from redgui.train.recipe import Recipe

    train = commands.add_parser("train", help="train a prior from a zip or a folder of pictures")
    train.add_argument("data", nargs="+", metavar="DATA", help="zips or folders, with train/ and val/ or flat")
    train.add_argument("--out", required=True, metavar="DIR", help="the prior, and its checkpoint in DIR/state")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    train.add_argument("--evaluate", action="store_true", help="measure the prior in --out and train nothing")
    train.add_argument("--no-report", action="store_true", help="no held-out table and pictures at the end")
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    for k in knobs.knobs(Recipe):
        option, about = "--" + k.name.replace("_", "-"), f"{k.help} (default: {k.default})".replace("%", "%%")
        if k.kind is bool:
            train.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=about)
        else:
            train.add_argument(option, default=argparse.SUPPRESS, choices=k.choices or None, metavar="X", help=about)
    train.set_defaults(run=run_train)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status."""
    chosen = parser().parse_args(argv)
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except RedguiError as error:
        print("redgui: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has left; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"redgui: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("redgui: stopped", file=sys.stderr)
        return 130
    return 0


def run_list(chosen: argparse.Namespace) -> None:
    from redgui import api

    listing = api.listing()
    if chosen.json:
        print(json.dumps(listing))
        return
    for kind in ("samplers", "operators"):
        print(f"{kind.upper()}")
        for thing in listing[kind]:
            print(f"  {thing['name']:<14} {thing['label']}: {thing['about']}")
            for k in thing["knobs"]:
                bounds = f"{k['lo']:g} to {k['hi']:g}" if k["lo"] is not None else k["kind"]
                span = "|".join(k["choices"]) or bounds
                print(f"      {k['name']:<12} {k['default']!s:<11} {span}: {k['help']}")
    print("PRIORS")
    for p in listing["priors"]:
        size = f"{p['download_mb']} MB download" if p["download_mb"] else "no download"
        print(f"  {p['name']:<28} {p['size']:<8} {p['domain']} ({p['terms']}; {size})")
    print("EXAMPLES\n  " + ", ".join(f"example:{name}" for name in listing["examples"]))


def run_restore(chosen: argparse.Namespace) -> None:
    from redgui import api
    from redgui.runs.divergence import Diverged

    options = {key: value for key, value in vars(chosen).items() if key not in ("command", "run", "image", "out")}
    Path(chosen.out).mkdir(parents=True, exist_ok=True)  # fails now, not after the run
    broken = None
    try:
        with Bar() as bar:
            result = api.restore(chosen.image, **options, watch=bar)
    except Diverged as error:  # its last sound step is written, and the status is that of an error all the same
        if error.result is None:
            raise
        result, broken = error.result, error
    result.save(chosen.out)
    whole = "" if result.full is None else ", restored-full.png"
    of = "" if broken is None else f" of step {result.figures['steps']}, the last sound one"
    print(f"wrote {chosen.out}/restored.png{whole}, record.json and more{of}")
    print(api.figures_json(result.figures))
    if broken is not None:
        sys.stdout.flush()
        raise broken


def run_replay(chosen: argparse.Namespace) -> None:
    from redgui import api

    Path(chosen.out).mkdir(parents=True, exist_ok=True)
    with Bar() as bar:
        result, same = api.replay(chosen.record, device=chosen.device, watch=bar)
    result.save(chosen.out)
    differ = "the pixels differ from the record's (other device, precision or torch)"
    print("the pixels are those of the record" if same else differ)
    print(api.figures_json(result.figures | {"same_pixels": same}))


def run_bench(chosen: argparse.Namespace) -> None:
    from redgui import bench, priors
    from redgui.bench import report
    from redgui.bench.judge import kids
    from redgui.bench.processes import Share

    for name, most in (("limit", 10**6), ("seeds", 1000), ("particles", 64), ("batch", 4096)):
        value = getattr(chosen, name)
        if value is not None and not 1 <= value <= most:
            raise bench.BenchError(f"--{name} lies in 1 to {most}; got {value}.")
    parquet = report.has_parquet(chosen.parquet)
    share = Share.of_environment()
    share.take_device()
    prior = priors.load(chosen.prior, chosen.device, chosen.precision)
    h, w = prior.picture_shape[-2:]
    shown = bench.pictures(chosen.images, h, w, chosen.limit)
    judges = bench.Judges.named(chosen.metrics, prior.device, h, w)
    if chosen.metrics and share.first:  # before the hours that the run may take
        print("\n".join(judges.lines()), file=sys.stderr)
    with JobsBar(share.rank, share.world) as bar:
        each = bench.finished(
            shown, prior, chosen.operators, chosen.samplers, sigmas_y=chosen.sigma_y, seeds=chosen.seeds,
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


def run_convert(chosen: argparse.Namespace) -> None:
    from redgui.priors import adm

    found = adm.convert(chosen.checkpoint, chosen.out, chosen.config)
    label = ":label=N" if found["classes"] else ""
    print(f"wrote {chosen.out}; use it with --prior {chosen.out}{label}")
    print(json.dumps(found))


def run_train(chosen: argparse.Namespace) -> None:
    from redgui import knobs
    from redgui.train.recipe import Recipe, TrainError

    given = {k.name: knobs.coerce(k, getattr(chosen, k.name)) for k in knobs.knobs(Recipe) if hasattr(chosen, k.name)}
    if chosen.evaluate:
        if chosen.resume:
            raise TrainError("--evaluate trains nothing; leave --resume out.")
        from redgui.train.report import evaluate

        figures = evaluate(chosen.data, chosen.out, device=chosen.device, **given)
    else:
        from redgui.train.loop import train

        report = not chosen.no_report
        figures = train(chosen.data, chosen.out, resume=chosen.resume, device=chosen.device, with_report=report, **given)
    from redgui import api

    print(api.figures_json(figures))


class JobsBar:
    """A progress bar on stderr over a process's share of a benchmark, with the time left at the rate of this run."""

    bar: Any = None

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.share = rank, f"process {rank + 1} of {world}" if world > 1 else None

    def __enter__(self) -> "JobsBar":
        return self

    def __call__(self, done: int, total: int, what: str) -> None:
        from tqdm import tqdm

        if self.bar is not None and (total != self.bar.total or done < self.bar.n):  # the next stage
            self.bar.close()
            self.bar = None
        if self.bar is None:  # `initial`: what an earlier run has done says nothing about the speed of this one
            self.bar = tqdm(total=total, initial=done, unit="picture", desc=self.share, position=self.rank,
                            file=sys.stderr, leave=False, dynamic_ncols=True)  # fmt: skip
        self.bar.n = done
        self.bar.set_postfix_str(what)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


class Bar:
    """A progress bar on stderr that is a watcher of Steps; it appears with the first, so that errors before it stand alone."""

    bar: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __call__(self, step: Any) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(unit="step", file=sys.stderr, leave=False, dynamic_ncols=True)
        self.bar.total = step.n
        psnr = f", {step.psnr:.2f} dB" if step.psnr is not None else ""
        self.bar.set_postfix_str(f"sigma {step.sigma:.3g}{psnr}", refresh=False)
        self.bar.update()

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
