"""The stream of Steps that every consumer (app, command line, benchmark) loops over.

    for step in measured(solve(problem, prior, sampler), problem):
        print(step.i, step.psnr)

`solve` runs a sampler, `measured` adds metrics and seconds, `controlled` lets somebody tune it and end it.
"""

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from redgui import metrics
from redgui.errors import out_of_memory
from redgui.operators import kernels
from redgui.operators.base import Operator
from redgui.priors import graphs
from redgui.priors.base import Counted, Prior
from redgui.priors.bordered import Bordered
from redgui.randomness import Generators
from redgui.runs import cores
from redgui.runs.blind import FLOOR, blindly, found_kernel, unknown
from redgui.runs.divergence import Diverged, explained, sound
from redgui.runs.latent import Decoded
from redgui.runs.mapped import decoded, unstabilised
from redgui.runs.problem import Problem
from redgui.runs.rounds import seconds
from redgui.runs.windows import Windows
from redgui.samplers import SAMPLERS, Sampler, SamplerError, Step, Steps

SOUND, PSNR = "the step is sound", "psnr against the truth"  # beside the scalars of samplers, which have names of one word


@dataclass(frozen=True)
class Measured(Step):
    """A Step with what an observer adds.

    Attributes:
        psnr: dB against the ground truth; of the mean over particles when there are several; None without a truth.
        residual: |H(x) - y| / sqrt(m) as the sampler saw it in this iteration, mean over particles.
        seconds: that the iterations took, without the consumer's and, beside other runs, without theirs.
        nfe, backward: forwards of the network so far, and backward passes through it, per picture.
        best: of an ambiguous operator, the particle with the least residual (the truth has no say in it).
        whole: x0_hat with what lies beyond the frame of a picture that is given (`Problem.visible`); None: it is x0_hat.
        means: of the sampler's scalars over particles, read with all else in one wait for the device.
        threads: of the CPU, where the steps are made there: the last bits depend on it.
    """

    psnr: float | None = None
    residual: float = math.nan
    seconds: float = 0.0
    nfe: int = 0
    backward: int = 0
    best: int | None = None
    threads: int | None = None
    whole: Tensor | None = None
    means: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> Tensor:
        """What the measurement is explained by, (b, c, h, w): all that the sampler made."""
        return self.x0_hat if self.whole is None else self.whole

    @property
    def estimate(self) -> Tensor:
        """What the run reports, (1, c, h, w): the mean over particles, or the best of them."""
        return self.x0_hat.mean(0, keepdim=True) if self.best is None else self.x0_hat[self.best : self.best + 1]

    def carried(self) -> "Measured":
        """The Step as it goes to another process: its tensors on the CPU."""
        scalars = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in self.scalars.items()}
        whole = None if self.whole is None else self.whole.cpu()
        return replace(self, x0_hat=self.x0_hat.cpu(), scalars=scalars, whole=whole)

    def scalar(self, name: str) -> float:
        """A scalar of the sampler, mean over particles; nan where it has none."""
        return self.means[name] if name in self.means else means_of({name: self.scalars.get(name, math.nan)})[name]


class Stop(Exception):
    """Raised by the `control` of `controlled` to end a run."""


def solve(problem: Problem, prior: Prior, sampler: Sampler, particles: int = 1) -> Steps:
    """The stream of Steps of `sampler` on `particles` copies of the problem, each with its own random numbers.

    With a latent prior the sampler works on latents and sees H through the decoder; the Steps hold decoded pictures.

    Raises (before the first network call): SamplerError when sampler and operator do not fit; OperatorError.
    """
    problem = problem.to(prior.device)
    y = problem.y.expand(particles, *problem.y.shape[1:]).contiguous()
    generator = Generators.of_run(problem.seed, particles)
    return stream(prior, problem.likelihood, y, problem.level, sampler, generator)


def stream(prior: Prior, H: Operator, y: Tensor, sigma_y: float, sampler: Sampler, generator: Generators) -> Steps:
    """`solve` for any batch of measurements y with a generator each; H and sigma_y are `Problem.likelihood` and `.level`."""
    seen = seen_by(prior, H)
    sampler.check_fit(seen, SAMPLERS)
    if unknown(H) is not None:
        level = max(sigma_y, FLOOR)
        return blindly(H, y, sampler, lambda found, sampler: stream(prior, found, y, level, sampler, generator))
    if (found := Windows.of(prior, seen, y, sigma_y)) is not None:
        prior, H, y = found.on_canvas(prior)
        return found.pictures(sampler(prior, H, y, sigma_y, generator=generator))
    if (other := seen.stabilised) is not None and not isinstance(seen, sampler.needs):
        steps = sampler(prior, other.H, other.measurement(y), other.level, generator=generator)
        return unstabilised(steps, other, sigma_y)
    steps = sampler(with_room(prior, seen, y), seen, y, sigma_y, generator=generator)
    return steps if seen is H else decoded(steps, prior)


def with_room(prior: Prior, H: Operator, y: Tensor) -> Prior:
    """The prior for pictures as large as those that H measured y of: one of a single size may have to be `Bordered`."""
    size = H.size_of_x(y)
    fixed = prior.multiple == 0 and prior.shape == prior.picture_shape
    return Bordered(prior, *size) if fixed and size is not None and size != prior.shape[-2:] else prior


def seen_by(prior: Prior, H: Operator) -> Operator:
    """The operator that a sampler is given: H itself, or with a latent prior H of the decoded picture."""
    return H if prior.picture_shape == prior.shape else Decoded(H=H, prior=prior)


def measured(steps: Steps, problem: Problem, counted: Counted | None = None) -> Generator[Measured, Sampler | None, None]:
    """Adds metrics, seconds and network calls to a stream; what is sent to it is passed on to the sampler.

    Raises Diverged, which holds the step before, at the first one that is not sound.
    """
    tuned: Sampler | None = None
    last: Measured | None = None
    spent, done = 0.0, 0
    first = True
    try:
        while True:
            began = seconds()
            try:
                step = next(steps) if first else steps.send(tuned)
            except StopIteration:
                return
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                graphs.drop_all()  # for whoever tries again
                raise SamplerError(
                    f"the memory of the {problem.y.device.type} ran out{f' after step {done}' if done else ''}. "
                    "Use fewer particles, a smaller size, or a sampler without gradients through the network."
                ) from None
            first, done = False, done + 1
            if problem.y.device != step.x0_hat.device:  # once, not at every step
                problem = problem.to(step.x0_hat.device)
            y, x_true, H = problem.y, problem.x_true, step.found or problem.likelihood
            fine = sound(step, counted).all()
            asked = problem.H.ambiguous or step.found is not None or "residual" not in step.scalars
            if asked and not bool(fine):  # what these ask of a picture is not made for what is not finite
                raise Diverged(explained(step, counted), last)
            best = int(metrics.residual(step.x0_hat, y, H).argmin()) if problem.H.ambiguous else None
            x0_hat = problem.visible(step.x0_hat)
            whole = None if x0_hat is step.x0_hat else step.x0_hat
            seen = Measured(
                step.i, step.n, step.sigma, x0_hat, step.scalars, step.found, step.before, best=best, whole=whole
            )
            told = {**step.scalars, SOUND: fine.float()}
            if x_true is not None:
                told[PSNR] = metrics.psnr(problem.aligned(seen.estimate), x_true)
            if "residual" not in told:
                told["residual"] = metrics.residual(step.x0_hat, y, H)
            means = means_of(told)
            residual, psnr = means["residual"], means.pop(PSNR, None)
            if not (means.pop(SOUND) and math.isfinite(residual)):
                raise Diverged(explained(step, counted), last)
            spent += seconds() - began
            calls = (counted.forwards, counted.backwards) if counted else (0, 0)
            figures: dict[str, Any] = dict(psnr=psnr, residual=residual, means=means)
            figures |= dict(seconds=spent, nfe=calls[0], backward=calls[1])
            figures["threads"] = cores.number() if step.x0_hat.device.type == "cpu" else None
            last = replace(seen, **figures)
            tuned = yield last
    finally:
        steps.close()


def controlled(
    stream: Generator[Measured, Sampler | None, None],
    control: Callable[[Measured], Sampler | None],
    *,
    first: Sampler | None = None,
    close: bool = True,
) -> Generator[Measured, None, None]:
    """A stream that somebody steers.

    Args:
        control: called after every Step; a sampler that it returns is used in the very next iteration. Raising Stop in it ends
            the stream there, with that Step as the last.
        first: a sampler to send before the first Step, to go on with a stream that was left suspended.
        close: whether the stream is closed in the end, or left suspended to be gone on with.
    """
    tuned, ended = first, False
    try:
        while not ended:
            try:
                step = stream.send(tuned)
            except StopIteration:
                return
            try:
                tuned = control(step)
            except Stop:
                ended = True
            yield step
    finally:
        if close:
            stream.close()


def summary(step: Measured, problem: Problem) -> dict[str, Any]:
    """The figures of a finished run, as the command line prints them; psnr and ssim are None without a ground truth.

    With particles they are those of the mean over particles (of an ambiguous operator: of the one with the least residual,
    `aligned` with the truth first). `psnr_measurement` is that of the pseudo-inverse or of the starting picture.
    """
    problem = problem.to(step.x0_hat.device)
    estimate, start = problem.aligned(step.estimate), problem.aligned(problem.start())
    x_true = problem.x_true
    kernel = found_kernel(step)
    shown = step.state if step.best is None else step.state[step.best : step.best + 1]
    return {
        "psnr": None if x_true is None else float(metrics.psnr(estimate, x_true)),
        "ssim": None if x_true is None else float(metrics.ssim(estimate, x_true)),
        "psnr_measurement": None if x_true is None else float(metrics.psnr(start, x_true)),
        "ssim_measurement": None if x_true is None else float(metrics.ssim(start, x_true)),
        "aligned": problem.H.ambiguous,
        "residual": float(metrics.residual(shown, problem.y, step.found or problem.likelihood).mean()),
        "nfe": step.nfe,
        "backward": step.backward,
        "seconds": round(step.seconds, 4),
        "steps": step.i + 1,
        **({} if kernel is None else {"kernel": kernels.extent(kernel)}),
    }


def means_of(values: Mapping[str, float | Tensor]) -> dict[str, float]:
    """The mean of each, as numbers: those that lie on a GPU in one copy, for which alone it is waited."""
    found = {name: float(v.mean()) if isinstance(v, Tensor) else float(v) for name, v in values.items() if not _far(v)}
    if far := {name: v.mean().double() for name, v in values.items() if isinstance(v, Tensor) and _far(v)}:
        found |= dict(zip(far, torch.stack(list(far.values())).tolist(), strict=True))
    return found


def _far(value: float | Tensor) -> bool:
    return isinstance(value, Tensor) and value.device.type != "cpu"
