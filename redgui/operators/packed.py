"""Arrays as text, in knobs, links and records: `WxH:` and the base64 of their deflated bytes."""

import base64
import re
import zlib
from collections.abc import Callable

from redgui.operators.base import OperatorError


def text(w: int, h: int, data: bytes) -> str:
    """The text of an array of w x h; `read` reads it back."""
    return f"{w}x{h}:{base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()}"


def read(text: str, what: str, largest: int, size: Callable[[int, int], int]) -> tuple[int, int, bytes]:
    """Width, height and bytes of what `text` wrote; anything else is refused, whatever its size unpacked.

    Args:
        what: it is, for messages: mask, kernel.
        largest: pixels a side.
        size: how many bytes there are for a width and a height.

    Raises:
        OperatorError: with what is wrong.
    """
    brief, again = repr(text if len(text) <= 40 else text[:37] + "..."), MEND[what]
    parts = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3}):([A-Za-z0-9_-]+={0,2})", text, re.ASCII)
    if parts is None:
        raise OperatorError(f"a {what} as text is WxH:... with base64 after the colon; got {brief}. {again[0]}.")
    w, h = int(parts[1]), int(parts[2])
    if max(w, h) > largest:
        raise OperatorError(f"a {what} has at most {largest} pixels a side; got {w}x{h}. Make it smaller.")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(parts[3], altchars=b"-_", validate=True), size(w, h) + 1)
    except (ValueError, zlib.error) as error:
        raise OperatorError(f"the {what} {brief} is damaged: {error}. {again[1]}.") from None
    if len(data) != size(w, h) or not unpacker.eof or unpacker.unused_data:
        raise OperatorError(f"the {what} {brief} does not hold the {size(w, h)} bytes of {w}x{h} pixels. {again[1]}.")
    return w, h, data


MEND = {"mask": ("Paint the mask anew", "Paint it anew"), "kernel": ("Give the kernel's file anew", "Give its file anew"),
        "pair of tables": ("Give the JPEG file itself", "Give the JPEG file itself")}  # fmt: skip
