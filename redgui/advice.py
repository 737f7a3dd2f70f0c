"""What is to be known before a run: what the chosen prior is good for, and whether the hole is too wide for it.

    advice("photos", Inpaint(), 256, 256)      Advice(good_for="photographs at ...", warning="The hole is ...")
"""

from typing import NamedTuple

from redgui.operators.base import Operator
from redgui.priors.catalogue import card_of


class Advice(NamedTuple):
    """Two sentences for a person, each empty where there is nothing to say."""

    good_for: str
    warning: str


def advice(prior: str, H: Operator | None = None, h: int = 0, w: int = 0) -> Advice:
    """Of a prior by its name, and of an operator on pictures of h x w, where one is given. A prior of one's own has none."""
    from redgui import classics

    card = card_of(prior)
    if card is None:
        return Advice("", "")
    wide = classics.hole_width(H, h, w) if H is not None and card.widest else None
    if wide is None or card.widest is None or wide <= card.widest:
        return Advice(card.good_for, "")
    return Advice(
        card.good_for,
        f"The hole is {wide:.0f} pixels wide. {card.name} was not trained to invent objects: beyond {card.widest} pixels "
        "expect a filling that is smooth, or repeats what is around it.",
    )
