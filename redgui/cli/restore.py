"""`redgui restore` and `redgui replay`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from redgui.cli.output import DEVICES, Bar, figures_json, spoken


def add(commands: Any) -> None:
    """Adds `restore` and `replay` to the commands."""
    restore = commands.add_parser("restore", help="degrade a picture and restore it")
    add_problem(restore)
    restore.add_argument("--out", default="out", metavar="DIR")
    restore.add_argument("--film", metavar="FILE", help="the run as a film, too: .webp, or .mp4 (pip install av)")
    restore.set_defaults(run=run_restore)

    replay = commands.add_parser("replay", help="run a record again")
    replay.add_argument("record", metavar="RECORD.json")
    replay.add_argument("--device", metavar=DEVICES, help="instead of the record's own")
    replay.add_argument("--out", default="out", metavar="DIR")
    replay.set_defaults(run=run_replay)


def add_problem(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of `redgui.api.restore`, under their own names."""
    command.add_argument("image", metavar="IMAGE", help="a picture, or example:NAME")
    command.add_argument("--mask", metavar="FILE", help="white, or painted at all, = to be filled in; a picture, .npy or .npz")
    command.add_argument("--mask-keep", action="store_true", help="the mask says what is kept: 1 = measured")
    command.add_argument("--fit", default="auto", metavar="auto|crop|pad|stretch|native|face",
                         help="how a picture comes to the prior's size; auto: native where any will do")  # fmt: skip
    command.add_argument("--size", type=int, metavar="N", help="longest side of the fit native (the picture's own)")
    command.add_argument(
        "--prior",
        default="faces-64",
        help="a name of the list, a folder or a Hub id; for a class NAME:label=N",
    )
    command.add_argument("--operator", default="inpaint", metavar="NAME[:knob=value,...]")
    command.add_argument("--sampler", default="reddiff", metavar="NAME[:knob=value,...]")
    command.add_argument("--sigma-y", metavar="F|A/B|auto",
                         help="noise in it (0), the picture spanning -1 to 1; A/B where it spans 0 to B: 12.75/255; auto: "
                              "measured in a damaged picture")  # fmt: skip
    command.add_argument("--noise", default="gaussian", metavar="NAME[:knob=value,...]",
                         help="its model: gaussian, poisson:photons=30, speckle:looks=16 or outliers")  # fmt: skip
    command.add_argument("--kernel", metavar="FILE", help="a blur's own kernel, a picture or .npy; as blur:kind=file,path=FILE")
    command.add_argument("--particles", type=int, help="runs in one batch (1; 4 for phase retrieval and RSD)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", metavar=DEVICES, help="where the network runs (docs/devices.md)")
    command.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    command.add_argument("--threads", type=int, metavar="N", help="of the CPU (all); the last bits depend on it")


def run_restore(chosen: argparse.Namespace) -> None:
    from redgui import api
    from redgui.runs import movie
    from redgui.runs.divergence import Diverged
    from redgui.runs.film import Film

    options = {key: value for key, value in vars(chosen).items() if key not in ("command", "run", "image", "out", "film")}
    Path(chosen.out).mkdir(parents=True, exist_ok=True)  # fails now, not after the run
    film = Film()
    if chosen.film:
        movie.checked(chosen.film)
    broken = None
    try:
        with spoken(), Bar() as bar:

            def watch(step: Any) -> None:
                bar(step)
                if chosen.film:
                    film.remember(step)

            result = api.restore(chosen.image, **options, watch=watch)
    except Diverged as error:  # its last sound step is written, and the status is that of an error all the same
        if error.result is None:
            raise
        result, broken = error.result, error
    result.save(chosen.out)
    if chosen.film:
        movie.save(chosen.film, movie.frames(film.frames, result.problem))
    whole = (", restored-raw.png" if result.differs else "") + ("" if result.full is None else ", restored-full.png")
    of = "" if broken is None else f" of step {result.figures['steps']}, the last sound one"
    print(f"wrote {chosen.out}/restored.png{whole}, record.json and more{of}; worked on {result.figures['size']}")
    print(figures_json(result.figures))
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
    print(figures_json(result.figures | {"same_pixels": same}))
