"""Operators: y = H(x) + sigma_y n, images b c h w in [-1, 1].

Three levels, each with all that the one before it has:
    Operator           differentiable forward; gradients by autograd
    LinearOperator     + adjoint H^T, solve (H^T H + reg I)^-1 b, pinv
    SpectralOperator   + f(H^T H) x for any function f of the eigenvalues, from which solve and pinv follow

An operator is a frozen dataclass of scalars (and a seed where something is random): equal operators are the same operator,
calling one never draws numbers, and tensors are derived for the input's size, dtype and device. Noise belongs to the problem.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from torch import Tensor

from redgui import knobs
from redgui.errors import RedguiError
from redgui.operators.krylov import conjugate_gradients

if TYPE_CHECKING:
    from redgui.noise.stabilised import Stabilised


class OperatorError(RedguiError):
    """An operator that does not fit the picture; the message says what to do."""


class ByLevel(abc.ABCMeta):
    """A call of a class makes an instance of the one that fits the knobs, where what an operator can do depends on them.

    `level`, a method of the class, names it.
    """

    def __call__(cls, **values: Any) -> Any:
        made = super().__call__(**values)
        fitting = made.level()
        return made if fitting is type(made) else type.__call__(fitting, **values)


@dataclass(frozen=True, kw_only=True)
class Operator(abc.ABC):
    """y = H(x): what every degradation can do.

    Class attributes: `name` (command line), `label` (for people), `about` (one line for a tooltip), and

    pictorial: y is itself a picture (b, 1 or 3, h', w'), so that another degradation can follow it in a composition.
    ambiguous: quite different pictures have the same measurement. A mean over particles is then nobody's picture: the
        particle of the least residual is reported, and figures are those of its `aligned` form.
    pointwise: each pixel of y is made of the pixel of x at its place.
    own_scale: of a picture that was measured elsewhere only its own pixels will do; made larger or smaller it is none.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    pictorial: ClassVar[bool] = True
    ambiguous: ClassVar[bool] = False
    pointwise: ClassVar[bool] = False
    own_scale: ClassVar[bool] = False

    def __post_init__(self) -> None:
        knobs.check(self)

    @abc.abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """H(x) of images (b, c, h, w), differentiable; y has the batch as its first dimension."""

    @abc.abstractmethod
    def start(self, y: Tensor) -> Tensor:
        """A picture to start from, written f+(y) in the papers: the pseudo-inverse of a linear operator."""

    @property
    def compared(self) -> bool:
        """Whether the residual is H(x) - y, value by value, and not the distance to a set."""
        return type(self).residual is Operator.residual

    @property
    def stabilised(self) -> "Stabilised | None":
        """The problem that methods are given which need a linear operator where this one is not: none but of some noises."""
        return None

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """H(x) - y; an operator whose measurement is a set (a quantisation cell) gives the distance to it."""
        return self(x) - y

    def noise_floor(self, y: Tensor, sigma_y: float) -> Tensor:
        """The residual |r| / sqrt(m) that noise alone leaves at the truth, (b,): where a fit to the measurement should end.

        It is sigma_y where the residual is H(x) - y. Where it is the distance to a set, noise within the set leaves none: there
        it is simulated, on the picture to start from, with numbers that are always the same.
        """
        if self.compared or sigma_y == 0:
            return torch.full((len(y),), float(sigma_y)).to(y)
        x = self.plausible(y, generator := torch.Generator().manual_seed(0))
        n = torch.randn(y.shape[1:], generator=generator).to(y)
        r = self.residual(x, self(x) + sigma_y * self.on_support(n.expand_as(y)))
        return r.flatten(1).norm(dim=1) / self.entries(y) ** 0.5

    def plausible(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """A picture that could have been measured as y, on which `noise_floor` tries its noise."""
        return self.start(y)

    def bare(self, y: Tensor) -> tuple["Operator", Tensor]:
        """The operator, and y as it has it, for what knows least squares alone: a classic, a pseudo-inverse, a hole's width."""
        return self, y

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The residual r at x and the gradient of |r|^2 / 2 in x, both detached."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            r = self.residual(x, y)
            (g,) = torch.autograd.grad(r.square().sum() / 2, x)
        return r.detach(), g

    def entries(self, y: Tensor) -> int:
        """m: how many numbers are measured per image (a mask's holes are not)."""
        return y[0].numel()

    def on_support(self, u: Tensor) -> Tensor:
        """u (like y) with zeros where nothing is measured: noise lives only where there is a measurement."""
        return u

    def measurement_of(self, picture: Tensor) -> Tensor:
        """A person's own damaged picture (b, 3, h', w') as the measurement y."""
        return self.on_support(picture)

    @property
    def scale(self) -> int:
        """How many times larger the sides of x are than those of the picture that `measurement_of` takes."""
        return 1

    @property
    def overlap(self) -> int:
        """Pixels of x beyond its frame on which a measurement depends that was made elsewhere (`placed`)."""
        return 0

    @property
    def framed(self) -> bool:
        """Whether y may be of a part of x, so that a picture that was measured elsewhere needs nothing mirrored around it."""
        return self.overlap > 0

    @property
    def grid(self) -> int:
        """A picture that was measured elsewhere begins in x at a multiple of this."""
        return self.scale

    def measured_size(self, h: int, w: int) -> tuple[int, int]:
        """Height and width of the picture that `measurement_of` takes for images of h x w."""
        return h // self.scale, w // self.scale

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "Operator":
        """This operator for pictures of h x w.

        Args:
            box: left, top, right, bottom of the part of x that shows a picture which was measured elsewhere (`given`): what
                lies around it is no measurement, and the scene may go on there. None: y is simulated on all of x.

        Raises:
            OperatorError: the size does not fit.
        """
        self.check_size(h, w)
        return self

    def size_of_x(self, y: Tensor) -> tuple[int, int] | None:
        """Height and width of x where y tells it; None where x is as large as a prior's pictures."""
        return None

    @property
    def unplaced(self) -> "Operator":
        """What `placed` was made of, as far as the same picture places it again."""
        return self

    def picture(self, y: Tensor) -> Tensor:
        """The measurement as a person sees it, (b, 1 or 3, h', w') in [-1, 1]."""
        return y

    def visible(self, x: Tensor) -> Tensor:
        """The part of x (b, c, h, w) that the measurement shows."""
        return x

    def aligned(self, x: Tensor, x_true: Tensor) -> Tensor:
        """Of the pictures that H cannot tell from x, the one nearest to x_true: for figures only, never for a sampler."""
        return x

    def check_size(self, h: int, w: int) -> None:
        """Raises OperatorError when pictures of h x w do not fit, saying which do."""


@dataclass(frozen=True, kw_only=True)
class LinearOperator(Operator):
    """A linear H with its adjoint; `solve` and `pinv` by conjugate gradients unless there is better.

    Class attribute: `completes`, whether there is a spectral operator near this one, for methods that need the spectrum.
    """

    completes: ClassVar[bool] = False

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """H^T y, (b, c, h, w)."""

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        r = self.residual(x, y)
        return r, self.adjoint(r)

    def gram(self, x: Tensor) -> Tensor:
        """H^T H x."""
        return self.adjoint(self(x))

    def solve(self, b: Tensor, reg: float) -> Tensor:
        """(H^T H + reg I)^-1 b for reg > 0, (b, c, h, w)."""
        return conjugate_gradients(lambda v: self.gram(v) + reg * v, b)

    def pinv(self, y: Tensor) -> Tensor:
        """H^+ y, the least-squares solution of least norm."""
        return conjugate_gradients(self.gram, self.adjoint(y))

    def completed(self, y: Tensor) -> "tuple[SpectralOperator, Tensor]":
        """A spectral operator near this one, and what it would have measured where y was; where it `completes`."""
        raise NotImplementedError

    @final
    def start(self, y: Tensor) -> Tensor:
        return self.pinv(y)


@dataclass(frozen=True, kw_only=True)
class SpectralOperator(LinearOperator):
    """A linear H whose H^T H can be diagonalised, wholly in image space.

    `spectral(f, x)` is f(H^T H) x, where f maps a tensor of eigenvalues lambda = s^2 >= 0 elementwise. All else follows:
    solve is f = 1 / (lambda + reg), pinv is f = [lambda > tol] / lambda on H^T y.
    """

    # Singular values below this share of the largest count as zero in the pseudo-inverse: their coefficient is
    # dropped, where dividing would blow up noise and passing through would leak it.
    cutoff: ClassVar[float] = 1e-3

    @abc.abstractmethod
    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """f(H^T H) x, (b, c, h, w)."""

    @property
    def lam_max(self) -> float:
        """An upper bound of H^T H's eigenvalues, close to the largest."""
        return 1.0

    @final
    def solve(self, b: Tensor, reg: float) -> Tensor:
        return self.spectral(lambda lam: 1 / (lam + reg), b)

    @final
    def pinv(self, y: Tensor) -> Tensor:
        return self.spectral(self.inverse, self.adjoint(y))

    def inverse(self, lam: Tensor) -> Tensor:
        """1 / lambda, 0 below the cutoff: the f of the pseudo-inverse."""
        kept = self.kept(lam)
        return torch.where(kept, 1 / torch.where(kept, lam, torch.ones_like(lam)), torch.zeros_like(lam))

    def kept(self, lam: Tensor) -> Tensor:
        """Which eigenvalues count as non-zero."""
        return lam > self.lam_max * self.cutoff**2


def through_gram(H: LinearOperator, gamma: Tensor, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(H^T H) x for an H with diagonal H H^T = diag(gamma), gamma broadcasting against y.

    f(H^T H) x = f(0) x + H^T g(H H^T) H x with g(lam) = (f(lam) - f(0)) / lam, and g(0) of no account.
    """
    return f(x.new_zeros(())) * x + H.adjoint(divided(f, gamma) * H(x))


def divided(f: Callable[[Tensor], Tensor], gamma: Tensor) -> Tensor:
    """g of `through_gram`, 0 where gamma is."""
    f0 = f(torch.zeros_like(gamma))
    positive = gamma > 0
    return torch.where(
        positive, (f(gamma) - f0) / torch.where(positive, gamma, torch.ones_like(gamma)), torch.zeros_like(gamma)
    )


def clipped_residual(z: Tensor, y: Tensor, lo: float = -1.0, hi: float = 1.0, margin: float = 0.25) -> Tensor:
    """The residual of y = clip(z, lo, hi) + noise, one-sided where y is clipped.

    At a bound only falling short of it counts, however far beyond it z is; where y lies within `margin` of a bound it may be a
    clipped value and noise, and z beyond that bound has the residual clip(z) - y and no gradient, the true derivative.
    Anywhere else z itself is compared, so that a z which is clipped and should not be is drawn back.
    """
    may_be_clipped = ((z > hi) & (y > hi - margin)) | ((z < lo) & (y < lo + margin))
    return torch.where(may_be_clipped, z.clamp(lo, hi), z) - y.clamp(lo, hi)


def through(value: Tensor, x: Tensor) -> Tensor:
    """`value` with the gradient of x: the straight-through estimator of a rounding."""
    return value.detach() + (x - x.detach())  # in this order exactly the value
