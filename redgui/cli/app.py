"""`redgui app`, which `redgui` alone and `python app.py` do, too: serves the page."""

import argparse
import importlib.util
import os
from typing import Any

from redgui.cli.output import DEVICES
from redgui.knobs import KnobError

MCP = "gradio[mcp]>=6.31,<7"


def add(commands: Any) -> None:
    """Adds `app` to the commands."""
    app = commands.add_parser("app", help="open the app in a browser, as redgui alone does")
    app.add_argument("--prior", default="faces-64", help="a bundled name, a folder in diffusers format, or a Hub id")
    app.add_argument("--device", default="auto", metavar=DEVICES, help="where the network runs (docs/devices.md)")
    app.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    app.add_argument("--port", type=int, help="default: the first free one from 7860")
    app.add_argument("--mcp", action="store_true", help="also an MCP server, at /gradio_api/mcp (docs/api.md)")
    app.add_argument("--public", action="store_true", help="for strangers: listed priors and limits (docs/security.md)")
    app.add_argument("--exact", action="store_true", help="no run shares a call of the network: bits as in a plain loop")
    app.add_argument("--no-browser", action="store_true", help="serve the page without opening it")
    app.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Serves the page until it is stopped; a Hugging Face Space is public and has no browser to open."""
    if chosen.mcp and importlib.util.find_spec("mcp") is None:
        raise KnobError(f"--mcp needs a package that is not installed: pip install '{MCP}'")
    from redgui import ui

    on_space = "SPACE_ID" in os.environ
    demo = ui.build(chosen.prior, chosen.device, chosen.precision, public=chosen.public or on_space, exact=chosen.exact)
    opened = not (chosen.no_browser or on_space)
    ui.launch(demo, server_port=chosen.port, inbrowser=opened, quiet=False, mcp_server=chosen.mcp)
