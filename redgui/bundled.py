"""Where the files that come with redgui lie: `assets/` of a checkout, which an installed package carries as `redgui/assets`."""

from importlib.resources import files
from pathlib import Path

_PACKAGE = Path(str(files("redgui")))
ASSETS = next((folder for folder in (_PACKAGE / "assets", _PACKAGE.parent / "assets") if folder.is_dir()), _PACKAGE / "assets")
PRIORS, EXAMPLES, TASKS, FACES = ASSETS / "priors", ASSETS / "examples", ASSETS / "tasks", ASSETS / "faces"
FINISHED = ASSETS / "finished"
PHOTOGRAPHS = EXAMPLES / "photographs"
