"""Runs that leave the finite numbers: how that is seen, and what is kept.

A network that overflows, a learning rate or a pull that is too strong, and the numbers of a run grow until they are inf or nan.
No picture is made of those: a run ends at the first step that is not sound, and the step before it is what it gives.
"""

from typing import Any

import torch
from torch import Tensor

from redgui.priors.base import Counted
from redgui.samplers.base import SamplerError, Step

# A picture spans -1 to 1. No sampler that works comes near this, not even on its way; one that diverges passes it in a few
# steps, long before float32 ends at 3e38, and all that is computed of a picture below it is finite, too.
LARGEST = 1e3


class Diverged(SamplerError):
    """A run that left the finite numbers.

    Attributes:
        last: the `Measured` of its last sound step; None where there was none.
        film: a few pictures up to that step, where `redgui.api` ran it.
        result: what `redgui.api.restore` would have given had it ended there; None as `last`.
    """

    def __init__(self, message: str, last: Any = None):
        super().__init__(message)
        self.last = last
        self.film: list[Tensor] = []
        self.result: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process go its words: what it holds may lie on a GPU."""
        return type(self), (str(self),)


def sound(step: Step, counted: Counted | None = None) -> Tensor:
    """Whether each picture of a Step is one, (b,): finite, not far out of all range, and of finite answers of the prior alone.

    The last matters where a sampler clips what the prior says: that makes a picture of an inf.
    """
    within = (step.x0_hat.abs() < LARGEST).flatten(1).all(1)  # no nan is less than anything
    answers = None if counted is None else counted.finite
    return within & answers if answers is not None and answers.shape == within.shape else within


def explained(step: Step, counted: Counted | None = None) -> str:
    """What to tell a person of a Step that is not sound."""
    top = float(step.x0_hat.abs().max())  # nan where there is any
    grown = LARGEST <= top < float("inf")
    what = f"diverged to values of {top:.0e}, where pictures lie within 1," if grown else "left the finite numbers"
    also = ""
    if counted is not None and counted.precision == "fp16" and not bool(torch.as_tensor(counted.finite).all()):
        also = ", or use precision fp32, for fp16 ends at 65504"
    kept = f"; step {step.i} is kept" if step.i else ""
    return (
        f"the run {what} at step {step.i + 1} of {step.n}{kept}; "
        f"lower the learning rate, the strength of the pull or the weight of the prior{also}."
    )
