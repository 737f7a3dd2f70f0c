"""Files that a client uploaded, and files for it to fetch: all in the one folder that the app empties by itself."""

import base64
import binascii
import contextlib
from pathlib import Path
from typing import Any

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from redgui.errors import RedguiError

LONGEST = 56_000_000  # characters of a data: URL: the 40 MB of an upload
DATA = ("data:image/", "data:application/octet-stream", "data:application/zip")  # the last two are NumPy's files of masks


class CallError(RedguiError):
    """An argument of a call that is of the wrong kind; the message says what to give."""


def uploaded(path: Any) -> Path:
    """The path of a file that a client uploaded; any other is refused."""
    if not isinstance(path, str) or not path or not is_in_or_equal(path, get_upload_folder()):
        raise CallError(f"a picture must be uploaded first (handle_file of gradio_client); got {str(path)[:60]!r}.")
    return Path(path)


def data_of(url: Any) -> bytes:
    """The bytes in a base64 `data:` URL of a picture, or of a mask in NumPy's format. Raises CallError."""
    if not isinstance(url, str) or not url.startswith(DATA):
        raise CallError(f"a file comes as a data:image/ URL; got {str(url)[:40]!r}.")
    head, comma, body = url.partition(",")
    if not comma or not head.endswith(";base64") or len(body) > LONGEST:
        raise CallError(f"a data: URL is data:image/png;base64,... of at most {LONGEST} characters; got {url[:40]!r}.")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise CallError(f"the data: URL is not valid base64: {url[:40]!r}.") from None


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
