"""What there is: samplers, operators, noises, priors and examples, with their knobs."""

from typing import Any

from redgui import images, knobs, noise, operators, priors
from redgui.priors.catalogue import MODELS
from redgui.samplers import SAMPLERS


def listing() -> dict[str, Any]:
    """All samplers, operators, noises, priors and examples with their knobs, JSON-ready."""

    def card(cls: Any) -> dict[str, Any]:
        fields = ("name", "kind", "default", "lo", "hi", "choices", "help", "live")
        entries = [{f: getattr(k, f) for f in fields} | {"kind": k.kind.__name__} for k in knobs.knobs(cls) if k.shown]
        return {"name": cls.name, "label": cls.label, "about": cls.about, "knobs": entries}

    return {
        "samplers": [card(s) | {"paper": s.paper, "needs": s.needs.__name__} for s in SAMPLERS],
        "operators": [card(o) for o in operators.OPERATORS]
        + [dict(name="given", label="Given", about="the picture is itself the measurement: given:of=NAME,...", knobs=[])],
        "noises": [card(n) for n in noise.NOISES],
        "priors": [vars(p) for p in priors.PRIORS],
        "models": [vars(p) for p in MODELS],
        "examples": [p.stem for p in images.examples()],
    }
