"""What operators have in common that stand around another one: all that they do not change is that one's own."""

from dataclasses import dataclass

from torch import Tensor

from redgui.operators.base import Operator


@dataclass(frozen=True, kw_only=True, eq=False)
class WrappedOperator(Operator):
    """H, of which a subclass changes something.

    Attributes:
        H: the operator.
    """

    H: Operator

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictorial", self.H.pictorial)
        object.__setattr__(self, "ambiguous", self.H.ambiguous)

    def __call__(self, x: Tensor) -> Tensor:
        return self.H(x)

    def entries(self, y: Tensor) -> int:
        return self.H.entries(y)

    def on_support(self, u: Tensor) -> Tensor:
        return self.H.on_support(u)

    def measurement_of(self, picture: Tensor) -> Tensor:
        return self.H.measurement_of(picture)

    def size_of_x(self, y: Tensor) -> tuple[int, int] | None:
        return self.H.size_of_x(y)

    def picture(self, y: Tensor) -> Tensor:
        return self.H.picture(y)

    def visible(self, x: Tensor) -> Tensor:
        return self.H.visible(x)

    def aligned(self, x: Tensor, x_true: Tensor) -> Tensor:
        return self.H.aligned(x, x_true)
