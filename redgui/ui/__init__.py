"""The app: `launch(build())`."""

import os
from typing import Any

# Before gradio is imported: no analytics and no look-up of versions, so the app works with the network cut off.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Disable event statistics: gradio recomputes them over the last 10,000 events after every event, for a monitor that is off.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

LAZY = ("build", "launch")


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from redgui.ui import app

    return getattr(app, name)
