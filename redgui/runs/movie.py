"""A run as a film to take away: animated WebP, or MP4, with the measurement beside it and sigma on each frame.

    film = Film()                                                    # of redgui.runs.film
    result = restore("photo.jpg", watch=film.remember)
    movie.save("run.webp", movie.frames(film.frames, result.problem))
"""

import base64
import importlib
import io
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from redgui import images
from redgui.errors import RedguiError
from redgui.runs.film import Frame
from redgui.runs.problem import Problem
from redgui.sheets import Sheet

LEAST, MOST = 192, 384  # pixels of a picture's longest side: enlarged in whole times, or made smaller
RATE = 12  # frames a second
HELD = 18  # times that the last one is shown


class MovieError(RedguiError):
    """A film that cannot be written; the message says what to do."""


def frames(film: Sequence[Frame], problem: Problem) -> list[Image.Image]:
    """The iterates of a film as RGB pictures of one size with even sides, the measurement at the left of each."""
    if not film:
        raise MovieError("there is no film before the first step; run first.")
    shown = images.to_pil(problem.H.picture(problem.y))
    found = []
    for frame in film:
        picture = Image.open(io.BytesIO(base64.b64decode(frame.src.partition(",")[2]))).convert("RGB")
        picture.thumbnail((MOST, MOST), Image.Resampling.LANCZOS)
        sheet = Sheet(1, 2, (picture.height, picture.width), least=LEAST, caption=24)
        sheet.picture(0, 0, shown)
        sheet.caption(0, 0, f"y: {problem.H.label}, {problem.noise_text}")
        sheet.picture(0, 1, picture)
        psnr = "" if frame.psnr is None else f"   {frame.psnr:.1f} dB"
        sheet.caption(0, 1, f"{frame.i}   σ = {frame.sigma:.3g}{psnr}")
        w, h = sheet.page.size
        found.append(sheet.page.crop((0, 0, w + w % 2, h + h % 2)))  # MP4's colours are of 2x2 pixels
    return found


def webp(pictures: Sequence[Image.Image]) -> bytes:
    """Animated WebP, played again and again."""
    buffer = io.BytesIO()
    times = [1000 // RATE] * (len(pictures) - 1) + [1000 * HELD // RATE]
    rest = list(pictures[1:])
    pictures[0].save(buffer, "webp", save_all=True, append_images=rest, duration=times, loop=0, quality=85, method=2)
    return buffer.getvalue()


def has_mp4() -> bool:
    """Whether the package that writes MP4 is installed."""
    return find_spec("av") is not None


def mp4(pictures: Sequence[Image.Image]) -> bytes:
    """H.264 in MP4, as every browser plays it. Raises MovieError where PyAV is not installed."""
    if not has_mp4():
        raise MovieError("MP4 needs a package that is not installed: pip install 'av>=12,<19'; .webp needs none.")
    av: Any = importlib.import_module("av")

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        for k, picture in enumerate([*pictures, *[pictures[-1]] * (HELD - 1)]):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return buffer.getvalue()


WRITERS = {".webp": webp, ".mp4": mp4}


def checked(path: str | Path) -> Path:
    """The path itself, where a film can be written by that name. Raises MovieError."""
    if (kind := Path(path).suffix.lower()) not in WRITERS:
        raise MovieError(f"a film is written as .webp or .mp4; got {str(path)!r}.")
    if kind == ".mp4" and not has_mp4():
        mp4([])
    return Path(path)


def save(path: str | Path, pictures: Sequence[Image.Image]) -> None:
    """Writes a film in the format that its name says. Raises MovieError."""
    file = checked(path)
    file.write_bytes(WRITERS[file.suffix.lower()](pictures))
