"""Opens redgui in a browser: `python app.py`. On a Hugging Face Space this file is run as it is."""

import argparse
import importlib.util
import os

from redgui.ui import build, launch

parser = argparse.ArgumentParser(description="See and compare how diffusion models solve inverse problems.")
parser.add_argument("--prior", default="faces-64", help="a bundled name, a folder in diffusers format, or a Hub id")
parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
parser.add_argument("--port", type=int, help="default: the first free one from 7860")
parser.add_argument("--mcp", action="store_true", help="also an MCP server, at /gradio_api/mcp (docs/api.md)")
parser.add_argument("--public", action="store_true", help="for strangers: listed priors and limits (docs/security.md)")
parser.add_argument("--no-browser", action="store_true", help="serve the page without opening it")

if __name__ == "__main__":
    chosen = parser.parse_args()
    on_space = "SPACE_ID" in os.environ
    if chosen.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp needs a package that is not installed: pip install 'gradio[mcp]>=6.31,<7'")
    demo = build(chosen.prior, chosen.device, chosen.precision, public=chosen.public or on_space)
    opened = not (chosen.no_browser or on_space)
    launch(demo, server_port=chosen.port, inbrowser=opened, quiet=False, mcp_server=chosen.mcp)
