"""What files tell of a degradation: the kernel of a blur, and how a JPEG was made.

    told("given:of=blur,kind=file,path=k.png", "photo.png")      "given:of=blur,kind=file,taps=..."
    told("given:of=jpeg", "photo.jpg")                           "given:of=jpeg,quality=75,subsampling=420"

A specification holds no path: what is run from it depends on no file but the picture. A path is read for those who may read
this machine's files, for Python and the command line; over HTTP and on the page a file is uploaded.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from redgui import knobs, reading
from redgui.knobs import KnobError
from redgui.operators import JPEG, Blur, Operator, jpeg, kernels


def told(
    operator: str | Operator, picture: Any = None, kernel: reading.Source | None = None, paths: bool = True
) -> str | Operator:
    """A specification with what the files say, where it does not say it itself.

    Args:
        operator: its `path` is read as the kernel.
        picture: that is restored: a path, its bytes, or as Pillow opened it. Of a JPEG that is `given` it knows the quality.
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
    if name == "given" and of == JPEG.name and not {"quality", "tables"} & said.keys():
        said = {**_of_jpeg(picture), **said}
    return knobs.written(name, said)


def _of_jpeg(picture: Any) -> Mapping[str, str]:
    """The knobs that the file of a picture tells; none where it is no file, or none of a JPEG."""
    if isinstance(picture, bytes):
        picture = io.BytesIO(picture)
    with contextlib.suppress(Exception):  # a picture that cannot be read is told where it is read
        opened = picture if isinstance(picture, Image.Image) else Image.open(picture, formats=("JPEG",))
        return {key: str(value) for key, value in jpeg.told(opened).items()}
    return {}
