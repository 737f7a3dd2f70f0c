"""The ways to take a person's own picture: by which prior, and how fitted. One is taken by itself, a click has others."""

from dataclasses import dataclass
from typing import Any

from redgui import faces, fitting
from redgui.fitting import Fitting, Way
from redgui.ui.host.sessions import Session
from redgui.ui.parts.form import Form
from redgui.ui.parts.wiring import Updates, Values

PHOTOS, FACES = "photos", "faces-64"  # the bundled priors: for photographs of any size, and for aligned faces


@dataclass(frozen=True)
class Taken:
    """A way to take a picture.

    Attributes:
        name, label: for the browser, and for people.
        prior, fit: what the controls are set to.
    """

    name: str
    label: str
    prior: str
    fit: Way

    def values(self, form: Form) -> Updates:
        """The controls as this way has them."""
        return {form.prior: self.prior, form.fit: self.fit, form.longest: 0}


def offered(form: Form, session: Session) -> list[Taken]:
    """The ways that there are for the picture of a page, the one that is taken by itself first."""
    found = [Taken("photo", "Whole picture", PHOTOS, "native")]
    if faces.portrait(form.source(session)) is not None:
        found.append(Taken("face", "The face, aligned", FACES, "face"))
    if form.host.prior_name != PHOTOS:
        found.append(usual_way(form))
    return found


def usual_way(form: Form, prior: str | None = None) -> Taken:
    """As a prior has its pictures where nothing else is chosen; None: the app's own prior."""
    name = prior or form.host.prior_name
    fit = fitting.usual(form.multiple({form.prior: name}))
    return Taken("usual", f"Its own size, for {name}" if fit == "native" else f"Cropped for {name}", name, fit)


def shown(form: Form, session: Session, values: Values, fitted: Fitting) -> dict[str, Any] | None:
    """The line under the picture: its size, that at which it is worked on, the prior, and the ways; None for an example."""
    if not session.own:
        return None
    now = (values[form.prior], values[form.fit])
    ways = [{"name": way.name, "text": way.label, "chosen": (way.prior, way.fit) == now} for way in offered(form, session)]
    return {"text": f"{told(fitted)} by {form.prior_name(values)}.", "ways": ways}


def told(fitted: Fitting) -> str:
    """What becomes of a picture before it is worked on, its sizes as width times height."""
    (h0, w0), (h, w), (left, top, right, bottom) = fitted.original, fitted.size, fitted.inner
    if fitted.how == "native" and (h0, w0) == (bottom - top, right - left):
        return f"{w0}×{h0}, worked on at its own size"
    what = {"face": "its face", "crop": "its middle"}.get(fitted.how, "all of it")
    return f"{w0}×{h0}, {what} worked on at {w}×{h}"


def longest(fitted: Fitting) -> int | None:
    """The longest side that was asked for; None where the picture keeps its own size, or has the prior's."""
    (h0, w0), (left, top, right, bottom) = fitted.original, fitted.inner
    smaller = fitted.how == "native" and (bottom - top, right - left) != (h0, w0)
    return max(bottom - top, right - left) if smaller else None
