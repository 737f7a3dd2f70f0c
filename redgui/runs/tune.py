"""Knobs for one measurement, found without a ground truth.

    tuning = Tuning(picture, problem, prior, sampler)
    for member in tuning.play(): ...
    tuning.winner

Eight settings run for an eighth of the steps; then the best of them and the one that was there meet for all steps. That is
three runs' worth of network calls, and the winner's own makes four (successive halving: Jamieson, Talwalkar, AISTATS 2016,
arXiv 1502.07943, in two rounds). A short run favours long steps: Adam's are lengthened there (`Sampler.shortened`), and what
was there is given up only for what is better in a whole run (docs/tuning.md). The settings of a round go through the network
together. They are judged by what they were not given:

    held-out values   some measured values are hidden, and H x_hat is compared with them; where y tells of places or of
                      coefficients, and for every linear H whose noise cannot be split. They stand for what is missing
                      everywhere else.
    a split           y1 = y + t sigma_y z is restored and H x_hat compared with y2 = y - sigma_y z / t. With z standard normal
                      their noises are independent, so that E |H x_hat(y1) - y2|^2 is the error of H x_hat and a constant (Pang,
                      Zheng, Quan, Ji, "Recorrupted-to-Recorrupted", CVPR 2021; Moran et al., arXiv 1910.11908, noise more).
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from redgui import knobs
from redgui.errors import RedguiError
from redgui.noise import Gaussian
from redgui.operators.base import LinearOperator, Operator
from redgui.operators.compressed_sensing import CompressedSensing
from redgui.operators.fourier import Fourier
from redgui.operators.inpaint import Inpaint, of_mask
from redgui.operators.superres import SuperRes
from redgui.operators.wrapped import WrappedOperator
from redgui.priors import Prior
from redgui.randomness import Generators
from redgui.runs.group import Group
from redgui.runs.problem import Problem
from redgui.runs.run import Run
from redgui.runs.sweep import Axis, Cell, Grid, Spot
from redgui.samplers import Sampler

HELD, JUDGE = 0.1, 2  # the share of values that is hidden; the stream of random numbers that hides them
SPLIT = 0.5  # t: y1 is noisier by 12 %, y2 by more than twice
SETTINGS, LAST = 8, 2  # in the first round; the number of the last one
FACTORS = (1.0, 1 / 3, 3.0, 9.0)  # of the first knob; two of the second, so that the setting as it stands is among them
SECOND = (1.0, 1 / 3)


class TuneError(RedguiError):
    """A problem that cannot be judged without its truth; the message says what can."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut(WrappedOperator, LinearOperator):
    """A linear H of which some values are not measured.

    Attributes:
        keep: like y of one picture, 1 where it is measured, 0 elsewhere.
    """

    H: LinearOperator
    keep: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.keep.to(x) * self.H(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.H.adjoint(self.keep.to(y) * y)

    def on_support(self, u: Tensor) -> Tensor:
        return self.keep.to(u) * self.H.on_support(u)

    def entries(self, y: Tensor) -> int:
        return int(self.on_support(torch.ones_like(y[:1])).sum())

    def placed(self, h: int, w: int, box: tuple[int, int, int, int] | None = None) -> "HeldOut":
        return replace(self, H=self.H.placed(h, w, box))


@dataclass(frozen=True)
class Judge:
    """A problem that is a little harder, and the values by which its solutions are judged.

    Attributes:
        problem: what is solved, without its truth.
        H: the operator as it was.
        y: what H x_hat is compared with; `where`, like y, is 1 on the values that count.
    """

    problem: Problem
    H: Operator
    y: Tensor
    where: Tensor

    @classmethod
    def of(cls, problem: Problem, sampler: Sampler) -> "Judge":
        """The one that fits, from the problem's seed. Raises TuneError where neither does."""
        H, generator = problem.H, Generators.of_run(problem.seed, 1, JUDGE)
        shown = H.on_support(torch.ones_like(problem.y))
        if isinstance(H, Inpaint):
            h, w = problem.y.shape[-2:]
            hidden = hide(H.keep(h, w)[None, None].float(), generator)
            solved, where = of_mask(H.hole(h, w) | hidden[0, 0].bool().numpy()), hidden.expand_as(problem.y).to(problem.y)
            return cls(_given(problem, solved, problem.y - where * problem.y), H, problem.y, where)
        splittable = isinstance(problem.noise, Gaussian) and problem.sigma_y > 0 and H.compared
        coefficients = isinstance(H, (SuperRes, Fourier, CompressedSensing))
        if isinstance(H, LinearOperator) and (coefficients or not splittable):
            where = hide(shown, generator).to(problem.y)
            held = HeldOut(H=H, keep=1 - where)
            if sampler.fits(held):
                return cls(_given(problem, held, (1 - where) * problem.y), H, problem.y, where)
        if not splittable:
            raise TuneError(
                f"{sampler.label} on {H.label} cannot be tuned without the truth: there is no Gaussian noise that could be "
                "split, and no measured value that could be hidden from this sampler. Tell a Gaussian sigma_y above 0, or "
                "choose another sampler (RED-diff takes any linear degradation so); `redgui sweep` judges by the truth."
            )
        sigma_y = problem.sigma_y
        z = H.on_support(generator.randn_like(problem.y))
        noisier = replace(problem, y=problem.y + SPLIT * sigma_y * z, sigma_y=sigma_y * math.hypot(1, SPLIT), x_true=None)
        return cls(noisier, H, problem.y - sigma_y / SPLIT * z, shown)

    def score(self, x0_hat: Tensor) -> float:
        """The root mean square of H x_hat - y on the values that count; infinite where it is not finite."""
        r = self.H(x0_hat.mean(0, keepdim=True)) - self.y.to(x0_hat)
        found = float(((r.square() * self.where.to(r)).sum() / self.where.sum()).sqrt())
        return found if math.isfinite(found) else math.inf


def _given(problem: Problem, H: Operator, y: Tensor) -> Problem:
    return replace(problem, H=H, y=y, x_true=None)


def hide(shown: Tensor, generator: Generators) -> Tensor:
    """Which values (1, ...) are hidden: a share HELD of those that are shown, at least one, 1 there and 0 elsewhere."""
    drawn = torch.rand(shown[0].shape, generator=generator.generators[0])[None] + (shown.cpu() == 0) * 2
    count = max(1, round(HELD * int((shown != 0).sum())))
    return (drawn <= drawn.flatten().kthvalue(count).values).float()


def grid(sampler: Sampler) -> Grid:
    """Up to SETTINGS settings: the sampler's first two numbers, FACTORS and SECOND times what they are, within their bounds."""
    ks = [k for k in knobs.knobs(type(sampler)) if k.shown and not k.advanced and k.kind is float and k.only_with is None]
    if not ks:
        raise TuneError(f"{sampler.label} has no number to tune.")
    axes = []
    for k, factors in zip(ks, (FACTORS, SECOND), strict=False):
        lo, hi, own = (-math.inf if k.lo is None else k.lo), (math.inf if k.hi is None else k.hi), getattr(sampler, k.name)
        near = {own} | {min(max(float(f"{own * factor:.3g}"), lo), hi) for factor in factors if factor != 1}
        axes.append(Axis(k, tuple(sorted(near))))
    return Grid(sampler, *axes)


@dataclass(eq=False, kw_only=True)
class Candidate(Cell):
    """A setting in a round, counted from 1.

    Attributes:
        score: None until it has run.
        dropped: others of its round were better.
    """

    round: int
    score: float | None = None
    dropped: bool = False


class Round(Group[Candidate]):
    """Some settings, for so many steps."""

    what: ClassVar[str] = "tuning"
    together: ClassVar[int] = 64


class Tuning:
    """The rounds on one problem, whose truth nobody sees.

    Args:
        seconds_allowed: of all rounds together, on the clock.

    Attributes:
        grid: all settings, for people; rounds: that have begun, the first one from the start.
        own: the setting as it was given.
        ranked: the settings, the best of the last whole round first; of those that were never told apart the own one.
        over: whether nothing more is played.

    Raises:
        TuneError, SamplerError: before anything runs.
    """

    particles: ClassVar[int] = 1

    def __init__(
        self, picture: Tensor, problem: Problem, prior: Prior, sampler: Sampler, seconds_allowed: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ):  # fmt: skip
        self.picture, self.prior, self.seconds_allowed, self.clock = picture, prior, seconds_allowed, clock
        self.judge, self.grid = Judge.of(problem, sampler), grid(sampler)
        self.steps = int(getattr(sampler, "steps", 0))
        if self.steps < SETTINGS:
            raise TuneError(f"tuning needs {SETTINGS} steps at least; got {self.steps}.")
        self.ranked: list[Spot] = sorted(self.grid.cells, key=lambda spot: spot.sampler != sampler)
        self.own, self.over, self.stopping = self.ranked[0], False, False
        self.rounds: list[Round] = []
        self.rounds.append(self._round(self.ranked, self.steps // SETTINGS))

    @property
    def problem(self) -> Problem:
        """What the settings are given: a little harder than what is to be solved, and without its truth."""
        return self.judge.problem

    @property
    def winner(self) -> Sampler:
        """The best knobs of those that have been judged last."""
        return self.ranked[0].sampler

    @property
    def cells(self) -> list[Candidate]:
        """Of each setting the longest run that it has had, row by row."""
        newest = {member.key: member for group in self.rounds for member in group.members}
        return [newest[spot.key] for spot in self.grid.cells]

    @property
    def scores(self) -> list[tuple[Sampler, float]]:
        """The settings with the score of the longest run that each has had, the best first."""
        last = {m.key: m.score for group in self.rounds for m in group.members if m.score is not None}
        return [(spot.sampler, last[spot.key]) for spot in self.ranked if spot.key in last]

    @property
    def calls(self) -> int:
        """Network calls per picture so far, over all settings."""
        return sum(m.last.nfe for group in self.rounds for m in group.members if m.last is not None)

    @property
    def playing(self) -> bool:
        """Whether it was begun and is not over."""
        return not self.over and (len(self.rounds) > 1 or self.rounds[0].playing)

    @property
    def progress(self) -> float:
        """The share of all steps that has been made, 0 to 1."""
        return self.rounds[0].progress / 3 if len(self.rounds) == 1 else (1 + 2 * self.rounds[1].progress) / 3

    def stop(self) -> None:
        """Ends it within the step in progress. From any thread."""
        self.stopping = True
        self.rounds[-1].stop()

    def deal(self) -> Iterator[Round]:
        """The rounds: each is to be played before the next is asked for. One that is stopped is the last, and judges nobody."""
        try:
            while not self.stopping:
                group = self.rounds[-1]
                yield group
                if not self._judged(group):
                    return
                rest = [spot for spot in self.ranked if spot is not self.own]
                finalists = [self.own, *rest[:1]] if len(self.rounds) < LAST else self.ranked[:1]
                for member in group.members:
                    member.dropped = member.key not in [spot.key for spot in finalists]
                if len(finalists) < 2:
                    return
                self.ranked = finalists + rest[1:]  # sorting keeps the order of equals: the own one wins a draw
                self.rounds.append(self._round(finalists, self.steps))
        finally:
            self.over = True

    def play(self) -> Iterator[Candidate]:
        """Plays all rounds in the calling thread, and yields whoever has made a step or is over."""
        for group in self.deal():
            yield from group.play()

    def _judged(self, group: Round) -> bool:
        """Scores a round that was played, and sorts what was in it; whether it was played to its end."""
        for member in group.members:
            if member.over and member.status != "stopped":
                fine = member.status == "done" and member.last is not None
                member.score = self.judge.score(member.last.x0_hat) if fine and member.last else math.inf
        found = {member.key: member.score for member in group.members if member.score is not None}
        if len(found) == len(group.members):
            self.ranked.sort(key=lambda spot: found.get(spot.key, math.inf))
        return len(found) == len(group.members)

    def _round(self, spots: Sequence[Spot], steps: int) -> Round:
        made = []
        for spot in spots:
            sampler = spot.sampler if steps == self.steps else spot.sampler.shortened(steps)
            run = Run(self.picture, self.judge.problem, self.prior, sampler, filmed=False)
            label = knobs.spec(spot.sampler, self.grid.sampler)
            made.append(Candidate(spot.key, label, run, **vars(spot), round=len(self.rounds) + 1))
        return Round(made, self.seconds_allowed - sum(group.elapsed for group in self.rounds), self.clock)
