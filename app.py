"""Opens redgui in a browser: `python app.py`, as the command `redgui` does. A Hugging Face Space runs this file as it is."""

import sys

from redgui.cli import main

if __name__ == "__main__" and (status := main(["app", *sys.argv[1:]], prog="app.py")):
    sys.exit(status)
