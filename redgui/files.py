"""What files tell of a degradation: the kernel of a blur, how a JPEG was made, and which tones are left.

    told("given:of=blur,kind=file,path=k.png")                  "given:of=blur,kind=file,taps=..."
    of_picture("given:of=jpeg", reading.read("photo.jpg"))      "given:of=jpeg,quality=75,subsampling=420", ()
    of_picture("given:of=quantize", reading.read("four.png"))   "given:of=quantize,bits=2,rounding=down", ()

A specification holds no path: what is run from it depends on no file but the picture. A path is read for those who may read
this machine's files, for Python and the command line; over HTTP and on the page a file is uploaded.
"""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from redgui import knobs, reading
from redgui.knobs import KnobError
from redgui.operators import JPEG, Blur, Operator, Quantize, jpeg, kernels, quantize

OF_PICTURES: dict[str, type[Operator]] = {cls.name: cls for cls in (JPEG, Quantize)}  # whose knobs a measurement tells


def told(operator: str | Operator, kernel: reading.Source | None = None, paths: bool = True) -> str | Operator:
    """A specification with the kernel of a blur in it.

    Args:
        operator: its `path` is read as the kernel.
        kernel: of a blur: whatever a picture comes as, or an array of its weights.
        paths: whether `path` may be read.

    Raises:
        RedguiError: a kernel that cannot be read, or that goes with no blur.
    """
    if not isinstance(operator, str):
        if kernel is not None:
            raise KnobError("a kernel goes with the name of an operator; an operator that is already made has its own.")
        return operator
    name, said = knobs.parse(operator)
    of = said.get("of", "") if name == "given" else name
    path = said.pop("path", None) if of == Blur.name and paths else None
    if kernel is not None or path is not None:
        if of != Blur.name or (kernel is not None and path is not None) or said.get("kind", "file") != "file" or "taps" in said:
            raise KnobError(f"one kernel goes with the operator blur:kind=file; got {knobs.shown(operator)}.")
        source = kernel if kernel is not None else str(path)
        said |= {"kind": "file", "taps": kernels.encode(kernels.read(source))}
    return knobs.written(name, said)


def of_picture(operator: Any, source: Image.Image) -> tuple[Any, tuple[str, ...]]:
    """A specification with the knobs that a picture tells which is itself the measurement, and what a person should know.

    Args:
        operator: what it says itself counts.
        source: the picture as it was read.
    """
    name, said = knobs.parse(operator) if isinstance(operator, str) else ("", {})
    cls = OF_PICTURES.get(said.get("of", "")) if name == "given" else None
    if cls is None:
        return operator, ()
    found = tells(cls, source, said)
    if found is None:
        return operator, (untold(cls, said),)
    return knobs.written(name, {**said, **{key: str(value) for key, value in found.items()}}), ()


def untold(cls: type[Operator], said: Mapping[str, Any] | None = None) -> str:
    """What a person is told where a picture tells nothing."""
    taken = ", ".join(f"{k.name} {k.default}" for k in knobs.knobs(cls) if k.shown and k.name not in (said or {}))
    return f"the picture does not tell its {cls.label}: it may have been changed since; {taken} is taken, say what you know"


def tells(cls: type[Operator], source: Image.Image, said: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The knobs of a class that a picture tells (`OF_PICTURES`); none where all is said already; None where it does not tell.

    Args:
        said: knobs that are known.
    """
    said = said or {}
    if cls is JPEG:
        found = {} if {"quality", "tables"} & said.keys() else jpeg.told(source) or None
    else:
        known = {key: said[key] for key in ("bits", "rounding") if key in said}
        found = {} if len(known) == 2 else quantize.told(source, **known) or None
    return found and {key: value for key, value in found.items() if key not in said}
