"""`redgui train` and `redgui convert-adm`: the commands that make a prior."""

import argparse
import json
from typing import Any

from redgui.cli.output import DEVICES, figures_json


def add(commands: Any) -> None:
    """Adds `train` and `convert-adm` to the commands."""
    add_train(commands)
    convert = commands.add_parser("convert-adm", help="a checkpoint of guided-diffusion as a folder that --prior takes")
    convert.add_argument("checkpoint", metavar="CHECKPOINT.pt")
    convert.add_argument("out", metavar="OUT_DIR", help="the folder to make")
    convert.add_argument("--config", default="auto", metavar="NAME[:knob=value,...]",
                         help="auto (by the shapes of the weights), a published one such as imagenet-64, or adm")  # fmt: skip
    convert.set_defaults(run=run_convert)


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
    train.add_argument("--device", default="auto", metavar=DEVICES)
    for k in knobs.knobs(Recipe):
        option, about = "--" + k.name.replace("_", "-"), f"{k.help} (default: {k.default})".replace("%", "%%")
        if k.kind is bool:
            train.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=about)
        else:
            train.add_argument(option, default=argparse.SUPPRESS, choices=k.choices or None, metavar="X", help=about)
    train.set_defaults(run=run_train)


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
    print(figures_json(figures))


def run_convert(chosen: argparse.Namespace) -> None:
    from redgui.priors import adm

    found = adm.convert(chosen.checkpoint, chosen.out, chosen.config)
    label = ":label=N" if found["classes"] else ""
    print(f"wrote {chosen.out}; use it with --prior {chosen.out}{label}")
    print(json.dumps(found))
