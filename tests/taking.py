"""Files that a page gives to take away."""

import base64
from typing import Any

from redgui.ui.parts.board import made


def taken(board: Any, value: dict[str, Any]) -> dict[str, bytes]:
    """All that a view offers, each made as it is when a person clicks on it."""
    assert all("href" not in entry for entry in value["downloads"]), "nothing is made before it is asked for"
    found = {}
    for entry in value["downloads"]:
        file, wrong = made(board.files(), entry["name"])
        assert not wrong
        found[entry["name"]] = base64.b64decode(file["href"].partition(",")[2])
    return found
