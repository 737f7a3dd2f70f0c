"""A finished run for a tab on which nothing has run yet, to look at and to scrub; made by `python -m assets.finished.make`.

A file has the value of the tab's view, with `moments` (JSON): what was another one at earlier moments of the run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redgui import bundled
from redgui.samplers import Sampler, build


@dataclass(frozen=True)
class Example:
    """A finished run.

    Attributes:
        prior: its name.
        value: of the view.
        specs: of the samplers in it, by the keys of the view.
    """

    prior: str
    value: dict[str, Any]
    specs: Mapping[str, str]

    def sampler(self, key: str | None) -> Sampler | None:
        """The sampler behind a key of the view; None where there is none."""
        spec = self.specs.get(key or "")
        return None if spec is None else build(spec)


@lru_cache
def example(view: str) -> Example:
    """The one for a view, by the id of its component."""
    return Example(**json.loads((bundled.FINISHED / f"{view}.json").read_text(encoding="utf-8")))
