"""Pictures and masks as people have them, each read in one way, whether page, command line, Python or HTTP brings it.

    read("photo.jpg")        also bytes, an open file, a PIL picture, an array, a tensor: RGB, upright, in sRGB
    origin(picture)          what RGB has no room for: transparency, whether it was grey, profile, format, EXIF
    read_hole("mask.png")    a mask as a boolean array, True = to be filled in

What cannot be read right is refused with one line; what had to be taken to mean something is told (`Origin.notes`).
"""

from redgui.reading.base import MAX_PIXELS, ImageError, Origin
from redgui.reading.files import FORMATS, SUFFIXES, at_home, is_picture
from redgui.reading.holes import read_hole, share, transparent
from redgui.reading.pictures import Source, array, on_white, opened, origin, read

__all__ = ["FORMATS", "MAX_PIXELS", "SUFFIXES", "ImageError", "Origin", "Source", "array", "at_home", "is_picture", "on_white",
           "opened", "origin", "read", "read_hole", "share", "transparent"]  # fmt: skip
