"""What a prior is: a denoiser D(x, sigma) = E[x0 | x0 + sigma eps = x], and nothing else.

Everything outside this package lives in x = x0 + sigma * eps with images in [-1, 1]. A network's own time
axis, beta schedule and parametrisation exist only here.
"""

import abc
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from redgui.errors import RedguiError
from redgui.priors import calibration

Sigma = float | Tensor  # one level for the batch, or one per image, shape (b,)
Back = Callable[[Tensor], Tensor]  # u, (b, c, h, w), to J^T u of the same shape
SMALLEST, LARGEST = 64, 8192  # sides of the pictures that a network of any size is given
MOST = 12_000_000  # pixels of such a picture


class PriorError(RedguiError):
    """A prior that cannot be found, read or used; the message says what to do."""


class Prior(abc.ABC):
    """E[x0 | x] for images in [-1, 1].

    Attributes:
        name: as the command line and the record call it.
        shape: (c, h, w) that the prior was made for: of what `denoise` takes, a latent's for a latent prior.
        sigmas: its ascending grid of noise levels, float64 on the CPU; samplers pick from it.
        device: where `denoise` wants its input: all but the network is there.
        precision: of the network: fp32, bf16 or fp16. Inputs and outputs are always float32.
        multiple: 0 where `denoise` takes pictures of `shape` alone; else any sides that are multiples of it.
        texts: of a text-to-image model what it is told, `prompt`, `negative` and `guidance`; None of any other.
    """

    name: str
    shape: tuple[int, int, int]
    sigmas: Tensor
    device: torch.device = torch.device("cpu")
    precision: str = "fp32"
    multiple: int = 0
    texts: Mapping[str, Any] | None = None

    @abc.abstractmethod
    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        """E[x0 | x0 + sigma eps = x], shape b c h w, differentiable in x."""

    def linearized(self, x: Tensor, sigma: Sigma) -> tuple[Tensor, Back]:
        """D = E[x0 | x], (b, c, h, w), and `back`, where back(u) is J^T u, (b, c, h, w), for the Jacobian J = dD/dx.

        It has the shape of torch.func.vjp, and costs one forward here and one backward in `back`. Both tensors are detached: no
        autograd graph leaves this method, so that whoever makes the calls of several runs together can answer both questions.
        `back` is called once at most; it frees what the forward kept in memory for it.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            D = self.denoise(x, sigma)
        return D.detach(), lambda u: torch.autograd.grad(D, x, u)[0]

    def denoise_each(self, xs: Sequence[Tensor], sigma: Sigma) -> list[Tensor]:
        """`denoise` of parts of one picture, or of a batch, (b, c, h', w') with sides of their own: in all one call of it.

        Parts of one shape go through the network together.
        """
        shapes: dict[Any, list[int]] = defaultdict(list)
        for k, x in enumerate(xs):
            shapes[x.shape].append(k)
        found: dict[int, Tensor] = {}
        for shape, alike in shapes.items():
            levels = sigma.repeat(len(alike)) if isinstance(sigma, Tensor) and sigma.ndim else sigma
            D = self.denoise(torch.cat([xs[k] for k in alike]), levels)
            found |= dict(zip(alike, D.split(shape[0]), strict=True))
        return [found[k] for k in range(len(xs))]

    @property
    def network_device(self) -> torch.device:
        """Where the network computes; `device`, unless that can have nothing else (`devices.home`)."""
        return self.device

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of its pictures: `shape`, unless `denoise` is of latents."""
        return self.shape

    def decode(self, x: Tensor) -> Tensor:
        """The picture (b, c, h, w) of a state x, differentiable; x itself, unless the prior is of latents."""
        return x

    def encode(self, picture: Tensor) -> Tensor:
        """The state of a picture (b, c, h, w); the picture itself, unless the prior is of latents."""
        return picture

    def retold(self, said: Mapping[str, Any]) -> "Prior":
        """The same text-to-image model with some of its `texts` changed, its weights shared. Raises PriorError."""
        raise PriorError(f"{self.name} is no text-to-image model; it is told no {', '.join(said)}.")

    def errors(self) -> calibration.Errors:
        """How wrong `denoise` is at each noise level: of its training, else measured at the first call."""
        known = vars(self)  # of a frozen dataclass, too
        if "_errors" not in known:
            known["_errors"] = calibration.measured(self)
        return known["_errors"]

    @final
    def eps(self, x: Tensor, sigma: Sigma) -> Tensor:
        """The expected noise (x - D(x, sigma)) / sigma, shape b c h w."""
        return (x - self.denoise(x, sigma)) / per_image(sigma, x)


class Wrapped(Prior):
    """A prior around another: like it in everything but `denoise`, which `linearized` goes through unless it is given too."""

    def __init__(self, prior: Prior):
        self.inner = prior
        self.name, self.shape, self.sigmas = prior.name, prior.shape, prior.sigmas
        self.device, self.precision, self.multiple = prior.device, prior.precision, prior.multiple
        self.texts = prior.texts

    @property
    def network_device(self) -> torch.device:
        return self.inner.network_device

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self.inner.picture_shape

    def decode(self, x: Tensor) -> Tensor:
        return self.inner.decode(x)

    def encode(self, picture: Tensor) -> Tensor:
        return self.inner.encode(picture)

    def errors(self) -> calibration.Errors:
        return self.inner.errors()


@final
class Counted(Wrapped):
    """A prior that counts how often it is asked: `forwards`, and `backwards` through it.

    A call on a whole batch counts once, so both are numbers per picture.

    Attributes:
        finite: whether all answers so far were finite for each picture of the batch, (b,); None before the first.
    """

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.forwards = 0
        self.backwards = 0
        self.finite: Tensor | None = None

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        return self._counted([self.inner.denoise(x, sigma)])[0]

    def denoise_each(self, xs: Sequence[Tensor], sigma: Sigma) -> list[Tensor]:
        return self._counted(self.inner.denoise_each(xs, sigma))

    def linearized(self, x: Tensor, sigma: Sigma) -> tuple[Tensor, Back]:
        D, back = self.inner.linearized(x, sigma)
        self._counted([D])

        def counted(u: Tensor) -> Tensor:
            self._count_backward(u)
            return back(u)

        return D, counted

    def _counted(self, parts: list[Tensor]) -> list[Tensor]:
        """The answer to one call itself, in parts; a backward pass goes through all of them."""
        self.forwards += 1
        # On its device: looked at once a step, not here.
        finite = torch.stack([D.detach().isfinite().flatten(1).all(1) for D in parts]).all(0)
        before = self.finite
        self.finite = finite if before is None or before.shape != finite.shape else before & finite
        if parts[0].requires_grad:
            parts[0].register_hook(self._count_backward)
        return parts

    def _count_backward(self, _: Tensor) -> None:
        self.backwards += 1


def per_image(sigma: Sigma, x: Tensor) -> Sigma:
    """sigma in a form that broadcasts against x: a float as it is, a (b,) tensor as (b, 1, 1, 1)."""
    if not isinstance(sigma, Tensor):
        return sigma
    return sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
