"""What `redgui list` says, remembered from the last time: making it takes torch and two seconds, reading it a tenth of one.

It lies in the user's cache (`$XDG_CACHE_HOME/redgui`, `~/.cache/redgui`) while no file that it is made of changes.
"""

import contextlib
import json
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from redgui import bundled, plugins


def listing() -> dict[str, Any]:
    """`redgui.listing.listing`; that of plugins, which may be anything, is made anew."""
    if plugins.files() or any(entry_points(group=f"redgui.{group}") for group in plugins.BASES):
        return _made()
    state, kept = _state(), _cache() / "listing.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # none yet, or not ours
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["state"] == state:
            return known["listing"]
    made = _made()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"state": state, "listing": made}), encoding="utf-8")
        fresh.replace(kept)  # whole for whoever reads it meanwhile
    return made


def _made() -> dict[str, Any]:
    from redgui.listing import listing  # and not redgui.api, which can run, too

    return listing()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redgui"


def _state() -> list[list[Any]]:
    """Name, size and time of every file of the package, and of the examples."""
    package = Path(__file__).parents[1]
    found = sorted([*package.rglob("*.py"), *bundled.EXAMPLES.iterdir()])
    return [[str(path), (about := path.stat()).st_size, about.st_mtime_ns] for path in found]
