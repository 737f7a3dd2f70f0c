"""What a sampler is: a frozen dataclass of knobs whose call is a generator of Steps.

    @torch.no_grad()
    def __call__(self, prior, H, y, sigma_y, *, generator):
        path = schedule.Path(self, prior.sigmas)
        for i, sigma in path:
            x0_hat = ...
            self = path.follow((yield Step(i, path.n, sigma, x0_hat)) or self)
            x = ...

That line is live tuning: a consumer that sends a sampler with other knobs has the rest of the run use them.
The decorator, and no `with` block, keeps gradients off in the sampler and untouched in its consumer.
"""

import abc
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from redgui import classics, knobs, schedule
from redgui.errors import RedguiError
from redgui.operators.base import LinearOperator, Operator, SpectralOperator
from redgui.priors.base import Prior
from redgui.randomness import Generators

WHOLE = 1000.0  # a first level above those of every prior: all of its levels


class SamplerError(RedguiError):
    """A sampler that does not fit the problem; the message says what does."""


@dataclass(frozen=True)
class Step:
    """One iteration, as a sampler knows it: no ground truth and no metrics.

    Attributes:
        i, n: this iteration, 0 .. n-1, of n.
        sigma: its noise level.
        x0_hat: the estimate, (b, c, h, w), detached and the receiver's own.
        scalars: loss terms and weights by name, numbers or tensors of shape (b,).
        found: the operator so far, where a run has to find it first; of this H are residuals then.
        before: how many of the iterations find it, before the sampler's own begin.
    """

    i: int
    n: int
    sigma: float
    x0_hat: Tensor
    scalars: Mapping[str, float | Tensor] = field(default_factory=dict)
    found: Operator | None = None
    before: int = 0


Steps = Generator[Step, Any, None]  # what is sent: None, or the same sampler with other knobs


@dataclass(frozen=True, kw_only=True)
class Sampler(abc.ABC):
    """A method that draws from, or finds a mode of, p(x0 | y).

    Class attributes: `name` (command line), `label`, `paper` and `about` (for people), `needs` (the least operator class),
    `coupled` (the images of a batch are particles of one problem that see each other; otherwise a batch changes nothing),
    `endless` (it iterates on the picture itself, so that more steps can follow the last; others end at the lowest noise level),
    `seeks_mode` (True: it ends at one likely picture; False: it draws from the posterior; None: it does not say),
    `gradient` (True: it goes back through the network; False: it never does; None: it does not say; `needs_gradient` is that of
    an instance), `grid` (the live knobs that decide which noise levels are visited, see `schedule.Path`),
    `learned` (False: neither a network nor a random number has a part in it, so that all seeds and particles are one).
    """

    name: ClassVar[str]
    label: ClassVar[str]
    paper: ClassVar[str]
    about: ClassVar[str]
    needs: ClassVar[type[Operator]] = Operator
    coupled: ClassVar[bool] = False
    endless: ClassVar[bool] = False
    grid: ClassVar[tuple[str, ...]] = ("steps",)
    seeks_mode: ClassVar[bool | None] = None
    gradient: ClassVar[bool | None] = None
    learned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        knobs.check(self)

    @abc.abstractmethod
    def __call__(self, prior: Prior, H: Operator, y: Tensor, sigma_y: float, *, generator: Generators) -> Steps:
        """Restores y = H(x0) + sigma_y n.

        Args:
            prior: D(x, sigma) and its grid of noise levels.
            y: measurement, the batch first.
            sigma_y: standard deviation of the noise in [-1, 1] units, >= 0.
            generator: one per image of the batch.
        """

    @property
    def needs_gradient(self) -> bool | None:
        """Whether it goes back through the network as its knobs stand; None where its class does not say."""
        return self.gradient

    def plan(self, sigmas: Tensor, n: int, start: float) -> list[tuple[float, float]]:
        """The pairs (level, next level) of n iterations over an ascending grid from `start` down, for `schedule.Path`."""
        return schedule.descent(sigmas, n, start=start)

    def shortened(self, steps: int) -> Self:
        """The setting of a run of fewer steps by which this one can be judged; it needs the knob `steps`."""
        return replace(self, steps=steps)  # type: ignore[call-arg]

    @classmethod
    def accepts(cls, H: Operator) -> bool:
        """Whether this method can work with the operator, with a spectral one near it, or with what stands for it
        (`Operator.stabilised`)."""
        completed = cls.needs is SpectralOperator and isinstance(H, LinearOperator) and H.completes
        return isinstance(H, cls.needs) or completed or (H.stabilised is not None and isinstance(H.stabilised.H, cls.needs))

    def fits(self, H: Operator) -> bool:
        """Whether it can work with the operator as its knobs stand."""
        return self.accepts(H)

    def check_fit(self, H: Operator, samplers: tuple[type[Self], ...] = ()) -> None:
        """Raises SamplerError when the operator is not what the method needs, naming what fits instead."""
        if self.fits(H):
            return
        kinds = {Operator: "differentiable", LinearOperator: "linear", SpectralOperator: "spectral"}
        needed = f"a {kinds[self.needs]} operator" if self.needs in kinds else self.needs.label.lower()
        others = ", ".join(s.label for s in samplers if s.accepts(H))
        raise SamplerError(
            f"{self.label} needs {needed}, and {H.label} is not that. "
            f"Choose another degradation{f', or one of: {others}' if others else ''}."
        )


def lengthened(lr: float, shorter: float) -> float:
    """Adam's learning rate for a run of so many times fewer steps, to be compared with the whole one.

    A pixel moves by about lr a step, so that lr grows with what the steps shrink by; by the root of it, since the steps of a
    whole run partly undo each other (docs/tuning.md has what that is worth).
    """
    return min(lr * shorter**0.5, 2.0)


def ddim(x: Tensor, x0_hat: Tensor, sigma: float, s: float, eta: float, generator: Generators) -> Tensor:
    """From level sigma to a lower level s through the estimate x0_hat: DDIM (arXiv 2010.02502), DDPM's own step at eta = 1.

    x0_hat + sqrt(s^2 - c^2) (x - x0_hat) / sigma + c z,  c = eta s sqrt(1 - s^2 / sigma^2)
    """
    c = eta * s * (1 - (s / sigma) ** 2) ** 0.5
    x = x0_hat + (s * s - c * c) ** 0.5 / sigma * (x - x0_hat)
    return x + c * generator.randn_like(x) if c > 0 else x


def with_spectrum(H: LinearOperator, y: Tensor, x: Tensor | None = None) -> tuple[SpectralOperator, Tensor]:
    """The operator with a spectrum that is H or stands near it (`LinearOperator.completed`), and what that has measured.

    What lies beyond the frame of a photograph is made up. A sampler that does so once is bound to what was made up; with its
    estimate x (b, c, h, w) only what x leaves unexplained is, less at every step: K x + completed(y - H x), K near H.
    """
    if isinstance(H, SpectralOperator):
        return H, y
    if x is None:
        return H.completed(y)
    near, rest = H.completed(y - H(x))
    return near, near(x) + rest


def noised_start(H: Operator, y: Tensor, sigma_y: float, path: schedule.Path[Any], generator: Generators) -> Tensor:
    """The iterate at a path's first level: noise alone, or a classic restoration under as much noise where it begins lower.

    So diffusion comes closer before it begins (Chung, Sim, Ye, CVPR 2022, arXiv 2112.05146): the noise hides what is wrong with
    that picture, and its coarse parts, which y tells best, need not be found again.
    """
    noise = path.first * generator.randn_like(H.start(y))
    return classic_start(H, y, sigma_y) + noise if path.sampler.sigma_max < WHOLE else noise


def classic_start(H: Operator, y: Tensor, sigma_y: float) -> Tensor:
    """What classic methods restore without a network, H^+ y where there are none."""
    return classics.restored(H, y, sigma_y).clone() if classics.methods(H, sigma_y) else H.start(y)


def misfit(H: Operator, x0_hat: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The scalars of a Step on how well an estimate explains y: residual |H(x0_hat) - y| / sqrt(m), and half its square."""
    residual = H.residual(x0_hat, y).flatten(1).norm(dim=1) / H.entries(y) ** 0.5
    return {"data": residual.square() / 2, "residual": residual}


def pull(prior: Prior, H: Operator, y: Tensor, x: Tensor, sigma: float, clip: bool) -> tuple[Tensor, Tensor]:
    """D(x, sigma), clipped to [-1, 1] if asked, and the gradient of |H(D(x, sigma)) - y| in x with one norm per picture.

    One forward and one backward of the network; both results are detached.
    """
    D, back = prior.linearized(x, sigma)
    with torch.enable_grad():
        D = D.detach().requires_grad_(True)
        x0_hat = D.clamp(-1, 1) if clip else D
        norms = H.residual(x0_hat, y).flatten(1).norm(dim=1)
        (u,) = torch.autograd.grad(norms.sum(), D)
    return x0_hat.detach(), back(u)
