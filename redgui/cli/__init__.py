"""The command line: `redgui` opens the app; `redgui list | restore | replay | sweep | tune | bench | train | ...`.

`python -m redgui` does the same. Each module here has the commands of one kind; what they need is imported when they run.
Progress goes to stderr; the last line of stdout is one JSON object. A person's error is one line on stderr, status 2.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from redgui import __version__, plugins
from redgui.cli import app, bench, listing, priors, restore, space, sweep, tune
from redgui.errors import RedguiError

PLUGGED = "app", "list", "restore", "replay", "sweep", "tune", "bench"  # commands that know operators, samplers and priors


class Parser(argparse.ArgumentParser):
    """argparse with errors on one line."""

    def error(self, message: str) -> NoReturn:
        print(f"redgui: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def parser(prog: str = "redgui") -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog=prog, description="See and compare how diffusion models solve inverse problems.")
    top.add_argument("--version", action="version", version=f"redgui {__version__}")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    for module in (app, listing, restore, sweep, tune, bench, priors, space):
        module.add(commands)
    for name in PLUGGED:
        about = "a file with operators, samplers or priors of your own; it runs as code"
        commands.choices[name].add_argument("--plugin", action="append", default=[], metavar="FILE.py", help=about)
    return top


def main(argv: Sequence[str] | None = None, prog: str = "redgui") -> int:
    """Runs a command, the app where there is none, and returns the exit status."""
    chosen = parser(prog).parse_args((sys.argv[1:] if argv is None else argv) or ["app"])
    try:
        for file in vars(chosen).pop("plugin", ()):  # what is left are a command's own options
            plugins.add(file)
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
