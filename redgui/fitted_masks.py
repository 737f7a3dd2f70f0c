"""Masks that people give, on the picture that they belong to as it is fitted to the prior."""

from typing import TYPE_CHECKING

import numpy as np

from redgui import reading
from redgui.operators import masks
from redgui.reading import ImageError

if TYPE_CHECKING:
    from redgui.fitting import Fitting


def read_mask(source: reading.Source, fitting: "Fitting", keep: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """A person's mask (`reading.read_hole`) as (h, w) on the fitted picture, and as (h0, w0) where it lies on the picture.

    A mask of the picture's shape is fitted as the picture is; whatever pixel it touches is in the hole. One of exactly the
    fitted size lies on the fitted picture already, as the page saves it.

    Args:
        keep: the mask says what is kept instead of what is to be filled in.

    Raises:
        ImageError: it cannot be read, or its shape is another one than the picture's.
    """
    drawn = reading.read_hole(source, keep)
    if drawn.shape == fitting.size:
        return drawn, None
    if drawn.shape != fitting.original:
        (h, w), (h0, w0) = drawn.shape, fitting.original
        if not masks.alike((h, w), (h0, w0)):
            raise ImageError(
                f"the mask is {w}x{h} and the picture {w0}x{h0}: a mask has the shape of its picture. "
                f"Give one of {w0}x{h0} pixels."
            )
        drawn = masks.covered(drawn, h0, w0)
    return fitting.hole(drawn), drawn
