"""The pictures of a comparison besides that of the Restore tab: bundled examples and a person's own files."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from redgui import images
from redgui.errors import RedguiError
from redgui.operators import masks
from redgui.ui.host.sessions import Session
from redgui.ui.host.uploads import CallError, discard, same, uploaded
from redgui.ui.parts import components
from redgui.ui.parts.form import Form, Posed
from redgui.ui.parts.wiring import Values

THUMB = 64  # pixels, longest side
LONGEST_NAME = 60
UNNAMED = "picture"

Chosen = tuple[str, Path | str]  # the name of a picture, and its file: an example, or what a person has uploaded


@dataclass(frozen=True)
class Own:
    """A file that a person has added. Its pixels are read anew for each comparison: no host keeps them for many pages."""

    path: str
    name: str
    thumb: str


def read(path: Any, form: Form) -> Image.Image:
    """An uploaded file, as every other way in reads it. Raises RedguiError."""
    return images.read(uploaded(path), form.host.limits.pixels)


def opened(files: Any, own: list[Own], session: Session, form: Form) -> tuple[list[Own], str]:
    """Files that a person has uploaded (any JSON): those that can be read, and what is wrong with the others, else "".

    Args:
        own: what was added before.
    """
    found: list[Own] = []
    wrong: list[str] = []
    for file in files if isinstance(files, list) else [files]:
        path = file.get("path") if isinstance(file, dict) else None
        if path in [one.path for one in (*own, *found)]:  # the same file once more
            continue
        try:
            if len(own) + len(found) >= form.host.limits.contestants:
                raise CallError(f"this host takes {form.host.limits.contestants} pictures at most; remove one first.")
            thumb = images.thumbnail(read(path, form), THUMB)
            taken = {*(one.name for one in (*own, *found)), *(example.stem for example in form.host.examples)}
            found.append(Own(str(path), _unlike(_named(file), taken), thumb))
            session.files.add(str(path))
        except RedguiError as error:
            wrong.append(str(error))
            if str(path) not in session.files:
                discard(str(path))
    more = f" So it is with {len(wrong) - 1} more." if len(wrong) > 1 else ""
    return found, "".join(wrong[:1]) + more


def _named(file: dict[str, Any]) -> str:
    """The name of an uploaded file as the person knows it, without its ending, on one line."""
    said = file.get("orig_name")
    stem = Path(said if isinstance(said, str) else str(file["path"])).stem
    return "".join(c for c in stem if c.isprintable())[:LONGEST_NAME] or UNNAMED


def _unlike(name: str, taken: set[str]) -> str:
    """The name itself, or with a number where it is taken."""
    return next(one for one in (name, *(f"{name} ({k})" for k in range(2, len(taken) + 3))) if one not in taken)


@lru_cache(maxsize=64)
def _example(path: Path) -> tuple[Image.Image, str]:
    """A bundled picture and its thumbnail."""
    picture = images.read(path)
    return picture, images.thumbnail(picture, THUMB)


def _in_restore(form: Form, session: Session) -> Path | None:
    """The example that the Restore tab has, else None."""
    source = form.source(session)
    return next((path for path in form.host.examples if same(_example(path)[0], source)), None)


def rows(form: Form, session: Session, own: list[Own]) -> list[dict[str, Any]]:
    """What can be ticked: the examples, but for the picture of the Restore tab, and a person's own that are still there."""
    here = _in_restore(form, session)
    found = [(path.stem, path.stem, _example(path)[1], False) for path in form.host.examples if path != here]
    found += [(one.path, one.name, one.thumb, True) for one in own if Path(one.path).is_file()]
    return [dict(zip(("key", "label", "src", "removable"), row, strict=True)) for row in found]


def chosen(form: Form, session: Session, own: list[Own], ticked: set[str]) -> list[Chosen]:
    """Name and file of each picture that is ticked, the examples first."""
    here = _in_restore(form, session)
    examples = [(path.stem, path) for path in form.host.examples if path.stem in ticked and path != here]
    return [*examples, *((one.name, one.path) for one in own if one.path in ticked)]


def first_name(form: Form, session: Session, others: set[str]) -> str:
    """What the picture of the Restore tab is called, unlike the others."""
    here, file = _in_restore(form, session), form.file(session)
    return here.stem if here else _unlike(_named({"path": file}) if isinstance(file, str) else UNNAMED, others)


def posed(form: Form, session: Session, values: Values, picture: Chosen) -> Posed:
    """`Form.build_problem` for another picture, fitted as the Restore tab would fit it, under the same mask.

    Raises:
        RedguiError: it cannot be read, or does not go with the degradation; the message begins with its name.
    """
    name, file = picture
    try:
        source = images.read(file) if isinstance(file, Path) else read(file, form)
        other = replace(session, source=source, file=None)
        if form.is_painted(values):
            here, there = form.fitted(session, values).size, form.fitted(other, values).size
            hole = masks.covered(components.mask_bits(values[form.mask], *here), *there)
            values = {**values, form.mask: components.mask_value(None, hole, 0)}
        return form.build_problem(other, values)
    except RedguiError as error:
        raise RedguiError(f"{name}: {error}") from None
