"""redgui: see and compare how diffusion models solve inverse problems.

    from redgui import restore
    restore("photo.jpg", operator="superres:factor=4", sampler="reddiff:steps=100").save("out")

`import redgui` loads nothing heavy: its names are looked up where they are first used. The rest is in the modules:
`redgui.priors`, `redgui.operators`, `redgui.samplers`, `redgui.runs`.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redgui.api import replay, restore, sweep
    from redgui.priors import load as load_prior

# Operations that Apple's MPS lacks are made on the CPU; torch reads this when it is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.1.0"
__all__ = ["load_prior", "replay", "restore", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "load_prior":
        from redgui.priors import load

        return load
    from redgui import api

    return getattr(api, name)
