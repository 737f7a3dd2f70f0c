"""Trains priors: `python -m redgui train DATA --out DIR`.

`recipe` has the settings, `data` the pictures, `objective` the loss, `state` the checkpoint, `loop` the training, `measure`
the figures on pictures that were not trained on, `report` the exported folder. Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redgui.train.loop import train
    from redgui.train.measure import heldout
    from redgui.train.recipe import Recipe
    from redgui.train.report import evaluate

__all__ = ["Recipe", "evaluate", "heldout", "train"]

_WHERE = {"Recipe": "recipe", "train": "loop", "evaluate": "report", "heldout": "measure"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
