"""Many runs at once with one call of the network for all: what a grid of settings or a race of samplers costs is a batch.

    for news in lockstep(prior, [start_a, start_b, ...]):   # each start(prior) is an iterator, such as measured(solve(...))
        for index, item in news: ...

A sampler is written for itself and calls the prior where it likes, so each run is a greenlet (all of them in the thread that
iterates), and its prior asks instead of answering. When every run that is not over asks, their pictures go through the network
in one batch, each at its own noise level; so runs may differ in any knob, in their number of steps, and even in their sampler.
All arithmetic but the network's is that of a run alone, and its results are those of a run alone up to the rounding of a
batched convolution.

Calls that need a gradient through the network are made one by one, since each run goes backward through its own.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, final

import torch
from greenlet import greenlet
from torch import Tensor

from redgui.priors.base import Prior, Sigma, Wrapped

Start = Callable[[Prior], Iterator[Any]]


class _Left(BaseException):
    """Raised in a run's call of the prior when nobody looks on any more."""


@final
class _Asking(Wrapped):
    """A prior that has its calls answered by the one who runs them all."""

    def __init__(self, prior: Prior, run: "_Run"):
        super().__init__(prior)
        self.run = run

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        return self.run.ask(x, sigma)


class _Run:
    """A run as a greenlet, and where it stands: asking, stepped or over.

    Not a thread: each thread has a team of OpenMP's for its operations, and with more of these than cores all wait asleep
    instead of at the barrier, so that the network itself is a third slower.
    """

    def __init__(self, prior: Prior, start: Start):
        self.prior, self.start = prior, start
        self.standing = "over"
        self.item: Any = None  # what it yielded last, or the error that ended it
        self.x: Tensor
        self.sigma: Sigma
        self.answer: Any = None
        self.left = False
        self.grad = True  # its grad mode, which belongs to the thread
        self.greenlet = greenlet(self.work)

    def go_on(self) -> None:
        """Lets it work until it asks, has stepped or is over."""
        ours = torch.is_grad_enabled()
        torch.set_grad_enabled(self.grad)
        try:
            self.greenlet.switch()
        finally:
            self.grad = torch.is_grad_enabled()
            torch.set_grad_enabled(ours)

    def work(self) -> None:
        try:
            stream = self.start(_Asking(self.prior, self))
            try:
                for item in stream:
                    self.item = item
                    self.wait("stepped")
            finally:
                if isinstance(stream, Generator):
                    stream.close()
            self.item = None
        except _Left:
            self.item = None
        except Exception as error:
            self.item = error
        self.standing = "over"

    def ask(self, x: Tensor, sigma: Sigma) -> Tensor:
        self.x, self.sigma = x, sigma
        self.wait("asking")
        answer, self.answer = self.answer, None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, standing: str) -> None:
        """Back to who runs them all, until it may go on."""
        self.standing = standing
        self.greenlet.parent.switch()
        if self.left:
            raise _Left

    def leave(self) -> None:
        """Ends it where it stands."""
        self.left = True
        if self.greenlet and not self.greenlet.dead:
            self.go_on()


def lockstep(prior: Prior, starts: Sequence[Start]) -> Generator[list[tuple[int, Any]], None, None]:
    """Runs all, and yields (index, item) of those that have something new, as it comes; an error that ends a run is its item.

    Closing it, or leaving it by an error, ends all runs within their iterations in progress.
    """
    runs = [_Run(prior, start) for start in starts]
    told: set[int] = set()
    working = runs
    try:
        while True:
            for run in working:
                run.go_on()
            over = [k for k, run in enumerate(runs) if run.standing == "over" and k not in told]
            stepped = [k for k, run in enumerate(runs) if run.standing == "stepped"]
            told.update(over)
            news = [(k, runs[k].item) for k in sorted([*stepped, *(k for k in over if runs[k].item is not None)])]
            if news:
                yield news
            if stepped:  # they go on to their next question before any is answered
                working = [runs[k] for k in stepped]
                continue
            working = [run for run in runs if run.standing == "asking"]
            if not working:
                return
            _answer(prior, working)
    finally:
        for run in runs:
            run.leave()


def _answer(prior: Prior, asking: Sequence[_Run]) -> None:
    """One call for all pictures of a shape that need no gradient, and one each for the others."""
    together: dict[Any, list[_Run]] = defaultdict(list)
    for k, run in enumerate(asking):
        together[k if run.x.requires_grad else tuple(run.x.shape[1:])].append(run)
    for runs in together.values():
        counts = [len(run.x) for run in runs]
        try:
            if len(runs) == 1:
                with torch.set_grad_enabled(runs[0].x.requires_grad):
                    answers: list[Any] = [prior.denoise(runs[0].x, runs[0].sigma)]
            else:
                with torch.no_grad():
                    sigma = torch.cat([_levels(run.sigma, n) for run, n in zip(runs, counts, strict=True)])
                    answers = list(prior.denoise(torch.cat([run.x for run in runs]), sigma).split(counts))
        except Exception as error:
            answers = [error] * len(runs)
        for run, answer in zip(runs, answers, strict=True):
            run.answer = answer


def _levels(sigma: Sigma, n: int) -> Tensor:
    """One level for each of n pictures, float64 on the CPU, as a prior looks its timestep up."""
    if isinstance(sigma, Tensor):
        return sigma.double().cpu().expand(n)
    return torch.full((n,), sigma, dtype=torch.float64)
