"""What the numbers of a picture mean: which of them is black, and which is white."""

import numpy as np

from redgui.errors import RedguiError

OVERSHOOT = 0.1  # by which a float picture may leave its range, as one that was resized does
KNOWN = "numbers are read as 0 to 255, 12 or 16 bits, or floats in [0, 1] or [-1, 1]; scale them to one of these"


class LevelError(RedguiError):
    """Numbers that are no picture's; the message goes on from the picture's name."""


def eight(values: np.ndarray, sixteen: bool | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Any numbers as 8 bits, and what a person should know about how they were taken. What is no number is black.

    White is 255 for uint8; 65535 for 16 bits, but 4095 where nothing is above that and something above 255; of floats 1, or,
    where some are below 0, the range is [-1, 1]. Opaque is what is white, and clear is 0.

    Args:
        values: (h, w) or (h, w, 3), or with transparency (h, w, 2) or (h, w, 4): truth values, integers or floats.
        sixteen: whether they come from 16 bits; None: as their type says.

    Raises:
        LevelError: numbers of no known scale.
    """
    if values.dtype == bool:
        return values.astype(np.uint8) * 255, ()
    if values.dtype == np.uint8:
        return values, ()
    clear = values.ndim == 3 and values.shape[2] in (2, 4)
    colours = values[..., :-1] if clear else values
    black, white, notes = scale(colours, sixteen)
    found = _scaled(colours, black, white)
    return (np.concatenate([found, _scaled(values[..., -1:], 0.0, white)], -1) if clear else found), notes


def scale(values: np.ndarray, sixteen: bool | None = None) -> tuple[float, float, tuple[str, ...]]:
    """Black and white of numbers other than uint8, and what a person should know. Raises LevelError."""
    sixteen = values.dtype == np.uint16 if sixteen is None else sixteen
    floats, finite, notes = values.dtype.kind == "f", values, ()
    if floats and not (sound := np.isfinite(values)).all():
        finite = values[sound]
        notes = (f"{values.size - finite.size} of its numbers are not finite: nan is taken as black, inf as white",)
    lo, hi = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    black = -1.0 if floats and -1 - OVERSHOOT <= lo < -OVERSHOOT and hi <= 1 + OVERSHOOT else 0.0
    white = 65535.0 if sixteen and not 255 < hi <= 4095 else _white(hi, floats)
    if white is None or lo < black - OVERSHOOT * white:
        raise LevelError(f"holds numbers from {lo:.4g} to {hi:.4g}; {KNOWN}.")
    if white == 4095:
        notes += (f"its brightest number is {hi:.0f}: it is taken as 12 bits, with white at 4095",)
    elif sixteen and 0 < hi <= 255:
        notes += (f"its brightest number is {hi:.0f} of 65535: it is nearly black; if it is of 8 bits, give it in 8 bits",)
    return black, white, notes


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    if values.dtype == np.uint16:  # by a table: a large picture is not made into floats
        return _scaled(np.arange(65536, dtype=np.float32), black, white)[values]
    with np.errstate(invalid="ignore", over="ignore"):  # a file may hold NaNs of any kind
        found = np.nan_to_num(values.astype(np.float32), nan=black, posinf=np.inf, neginf=-np.inf)
    found -= black
    found *= 255 / (white - black)
    return found.clip(0, 255, out=found).round(out=found).astype(np.uint8)


def _white(hi: float, floats: bool) -> float | None:
    """White, where the type does not say it; None where no known scale fits."""
    if hi <= 1 + (OVERSHOOT if floats else 0):
        return 1.0
    if floats and hi < 32:  # highlights of a linear picture, or a scale of its own: black it would be as 0 to 255
        return None
    return next((top for top in (255.0, 4095.0, 65535.0) if hi <= top), None)
