"""`redgui list`."""

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    """Adds `list` to the commands."""
    listed = commands.add_parser("list", help="samplers, operators, priors and examples with their knobs")
    listed.add_argument("--json", action="store_true", help="as one JSON object")
    listed.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from redgui.cli import known

    listing = known.listing()
    if chosen.json:
        print(json.dumps(listing))
        return
    for kind in ("samplers", "operators", "noises"):
        print(f"{kind.upper()}")
        for thing in listing[kind]:
            print(f"  {thing['name']:<14} {thing['label']}: {thing['about']}")
            for k in thing["knobs"]:
                bounds = f"{k['lo']:g} to {k['hi']:g}" if k["lo"] is not None else k["kind"]
                span = "|".join(k["choices"]) or bounds
                print(f"      {k['name']:<12} {k['default']!s:<11} {span}: {k['help']}")
    for kind, about in (("priors", ""), ("models", " that are read as well; not run with this version, docs/models.md")):
        print(f"{kind.upper()}{about}")
        for p in listing[kind]:
            size = f"{p['download_mb']} MB download" if p["download_mb"] else "no download"
            facts = [p["terms"], size, *([f"{p['memory_gb']:g} GB on a GPU"] if p["download_mb"] else [])]
            facts += ["gated: accept its terms on the Hub"] if p["gated"] else []
            print(f"  {p['name']:<28} {p['size']:<8} {p['domain']} ({'; '.join(facts)})")
            print(f"  {'':<37} good for {p['good_for']}")
    print("EXAMPLES\n  " + ", ".join(f"example:{name}" for name in listing["examples"]))
