"""`redgui space`: puts a checkout on the Hugging Face Hub as a Space.

The Hub refuses a git push of this repository: weights and pictures must come by its own storage, and the history holds
some that did not. Its client uploads the files alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from redgui.errors import RedguiError, in_short

ROOT = Path(__file__).parents[2]
NEEDED = ("README.md", "LICENSE", "app.py", "requirements.txt", "redgui/*", "assets/*")  # * goes into folders, too
LEFT_OUT = ("*__pycache__*", "*.pyc", "assets/readme/*")


class SpaceError(RedguiError):
    """A Space that cannot be made; the message says what to do."""


def add(commands: Any) -> None:
    """Adds `space` to the commands."""
    space = commands.add_parser("space", help="upload this checkout as a Hugging Face Space (hf auth login first)")
    space.add_argument("name", metavar="OWNER/NAME", help="is made where there is none, else brought up to date")
    space.add_argument("--private", action="store_true", help="make it for yourself alone")
    space.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    url = upload(chosen.name, private=chosen.private)
    print(f"uploaded; it builds at {url}")
    print(json.dumps({"space": chosen.name, "url": url}))


def upload(name: str, *, private: bool = False, root: Path = ROOT) -> str:
    """Uploads a checkout as the Space `owner/name`, in one commit, and returns its address.

    Raises:
        SpaceError: the name is none, `root` is no checkout, nobody is logged in, or the Hub refuses.
    """
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise SpaceError(f"a Space is called OWNER/NAME: {in_short(error)}") from None
    if "/" not in name:
        raise SpaceError(f"a Space is called OWNER/NAME; got {name!r}.")
    missing = [file for file in NEEDED if not any(root.glob(file))]
    if missing:
        raise SpaceError(f"{root} is no checkout of redgui, {missing[0]} is missing; clone the repository and run it there.")
    if huggingface_hub.get_token() is None:
        raise SpaceError("nobody is logged in to the Hub; run `hf auth login` with a token that may write, or set HF_TOKEN.")
    try:
        made = huggingface_hub.create_repo(name, repo_type="space", space_sdk="gradio", private=private or None, exist_ok=True)
        huggingface_hub.upload_folder(
            repo_id=name, repo_type="space", folder_path=root, allow_patterns=list(NEEDED), ignore_patterns=list(LEFT_OUT),
            commit_message="redgui",
        )  # fmt: skip
    except Exception as error:  # httpx's, the Hub's and the file system's: the client has no one root for them
        raise SpaceError(f"the Hub did not take it: {in_short(error)}") from error
    return str(made)
