"""`python -m redgui`."""

import sys

from redgui.cli import main

sys.exit(main(prog="python -m redgui"))
