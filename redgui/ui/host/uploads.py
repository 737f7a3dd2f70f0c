"""Files that a client uploaded, and files for it to fetch: all in the one folder that the app empties by itself."""

import contextlib
from pathlib import Path
from typing import Any

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from redgui.errors import RedguiError


class CallError(RedguiError):
    """An argument of a call that is of the wrong kind; the message says what to give."""


def uploaded(path: Any) -> Path:
    """The path of a file that a client uploaded; any other is refused."""
    if not isinstance(path, str) or not path or not is_in_or_equal(path, get_upload_folder()):
        raise CallError(f"a picture must be uploaded first (handle_file of gradio_client); got {str(path)[:60]!r}.")
    return Path(path)


def discard(path: str | Path) -> None:
    """Deletes an uploaded file now; gradio would keep it for an hour. No other file is touched."""
    if not is_in_or_equal(path, get_upload_folder()):
        return
    Path(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another file is in it
        Path(path).parent.rmdir()


def written(png: bytes) -> dict[str, Any]:
    """A PNG as a file in gradio's folder, which the app empties by itself, in the form that makes a client fetch it."""
    path = save_bytes_to_cache(png, "redgui.png", get_upload_folder())
    return {"path": path, "orig_name": "redgui.png", "mime_type": "image/png", "meta": {"_type": "gradio.FileData"}}


def same(a: Image.Image | None, b: Image.Image | None) -> bool:
    """Whether two pictures have the same pixels, such as one that was given twice."""
    return a is b or (a is not None and b is not None and (a.size, a.mode) == (b.size, b.mode) and a.tobytes() == b.tobytes())
