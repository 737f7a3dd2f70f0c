"""Contact sheets: pictures in rows and columns on a white page, with lines of text under each."""

from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from redgui import images


class Sheet:
    """A page of equal places, row by row.

    Args:
        shape: height and width of the pictures.
        least: their longest side on the page, at least; they are enlarged pixel by pixel.
        caption: height of the text under each picture.
        width: of a place, at least.
        left, top, bottom: margins; `gap` where they are not given (at the bottom none).
    """

    def __init__(
        self, rows: int, columns: int, shape: tuple[int, int], *, least: int = 1, gap: int = 10, caption: int = 0,
        width: int = 0, left: int | None = None, top: int | None = None, bottom: int = 0,
    ):  # fmt: skip
        times = max(1, -(-least // max(shape)))
        self.h, self.w = shape[0] * times, shape[1] * times
        self.left, self.top = gap if left is None else left, gap if top is None else top
        self.step = max(self.w, width) + gap, self.h + caption + gap
        size = self.left + columns * self.step[0], self.top + rows * self.step[1] + bottom
        self.page = Image.new("RGB", size, "white")
        self._draw = ImageDraw.Draw(self.page)

    def place(self, row: int, column: int) -> tuple[int, int]:
        """The upper left corner of a place, (x, y)."""
        return self.left + column * self.step[0], self.top + row * self.step[1]

    def picture(self, row: int, column: int, picture: Tensor | Image.Image | None) -> None:
        """Draws a picture at its place; grey for None."""
        x, y = self.place(row, column)
        if picture is None:
            self._draw.rectangle((x, y, x + self.w - 1, y + self.h - 1), fill="#dddddd")
            return
        image = picture if isinstance(picture, Image.Image) else images.to_pil(picture)
        self.page.paste(image.convert("RGB").resize((self.w, self.h), Image.Resampling.NEAREST), (x, y))

    def caption(self, row: int, column: int, text: str, *, down: int = 3, size: int = 13, colour: str = "black") -> None:
        """Writes under a picture, `down` pixels below it."""
        x, y = self.place(row, column)
        self.write(x, y + self.h + down, text, size, colour)

    def write(self, x: int, y: int, text: str, size: int = 13, colour: str = "black") -> None:
        """Writes anywhere."""
        self._draw.text((x, y), text, fill=colour, font=font(size))


def width_of(text: str, size: int) -> int:
    """The width of a text in pixels."""
    return int(font(size).getlength(text))


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own: Pillow's has no Greek."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)
