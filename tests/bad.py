"""What is sent by those who mean no good, or do not know better: any JSON, bombs, pickles; and an error as it has to be."""

import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from redgui import api

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
NUMBERS = st.sampled_from(["nan", "inf", "1e400", "-1", "0x10", "", "true", "9" * 400, float("nan"), -1, 2**70, 0.5])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | NUMBERS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=6,
)


def one_line(error: BaseException | str, most: int = 500) -> str:
    """The message of an error, which has to be a line that a person can read."""
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert len(text) <= most, text[:700]
    assert "Traceback" not in text
    return text


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(w: int, h: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that announces w x h pixels, with chunks of one's own."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)), *chunks]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + body


# Twenty thousand pixels a side: a file of 1.2 MB that is 1.2 GB of pixels.
BOMB = png(20_000, 20_000, (b"IDAT", zlib.compress(bytes(60_001) * 2000, 9)), (b"IEND", b""))


def record() -> dict[str, Any]:
    picture = Image.open(api.resolve("example:face-06")).convert("RGB").resize((16, 16))
    made = api.restore(picture, prior="gaussian:size=16", sampler="reddiff:steps=2", device="cpu").record
    return json.loads(made.to_json()) | {"changes": [{"after": 0, "knobs": {"lr": 0.3}}]}


GOOD = record()


class Code:
    """Unpickled, this would make a directory."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)
