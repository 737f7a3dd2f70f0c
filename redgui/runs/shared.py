"""The prior of a job. Whoever plays the jobs answers it, in one call with others; it knows the sizes of its calls."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from greenlet import getcurrent
from torch import Tensor

from redgui.priors.base import Back, Prior, Sigma, Wrapped
from redgui.runs import cores
from redgui.runs.batches import Graph, Question, padded
from redgui.runs.rounds import Worker


@final
class Shared(Wrapped):
    """A prior that a job asks through whoever plays it; in a plain loop it is the prior itself.

    Args:
        sizes: of a record, [[pictures in a call, calls, CPU threads], ...], the threads where they are not those of the run:
            each call is filled up to that many pictures again. The last bits of an answer depend on how many pictures go
            through the network together, and on nothing else of the others.

    Attributes:
        sizes: the same of the calls so far, 1 for a call that was shared with nobody, whatever its own pictures.
    """

    def __init__(self, prior: Prior, sizes: Sequence[Sequence[int]] | None = None):
        super().__init__(prior)
        self.script = None if sizes is None else deque([*entry] for entry in sizes)
        self.sizes: list[list[int]] = []

    def denoise(self, x: Tensor, sigma: Sigma) -> Tensor:
        if self.script is not None:
            size, threads = self._scripted(len(x))
            with cores.limited(threads):
                return self.inner.denoise(*padded(x, sigma, size))[: len(x)]
        worker = getcurrent()
        if not isinstance(worker, Worker) or (x.requires_grad and torch.is_grad_enabled()):  # a graph is the job's own
            self._note(1)
            return self.inner.denoise(x, sigma)
        question = worker.ask(Question(self.inner, x, sigma))
        self._shared(question)
        return question.answer

    def linearized(self, x: Tensor, sigma: Sigma) -> tuple[Tensor, Back]:
        if self.script is not None:
            size, threads = self._scripted(len(x))
            with cores.limited(threads):
                x0_hat, back = self.inner.linearized(*padded(x, sigma, size))

            def pulled(u: Tensor) -> Tensor:
                with cores.limited(threads):
                    return back(torch.cat([u, u.new_zeros(size - len(u), *u.shape[1:])]))[: len(u)]

            return x0_hat[: len(x)], pulled
        worker = getcurrent()
        if not isinstance(worker, Worker):
            self._note(1)
            return self.inner.linearized(x, sigma)
        asked = worker.ask(Question(self.inner, x, sigma, linear=True))
        self._shared(asked)
        x0_hat, pull = asked.answer
        if not isinstance(pull, Graph):  # it was asked alone
            return x0_hat, pull
        return x0_hat, lambda u: worker.ask(Question(self.inner, u, graph=pull, rows=asked.rows)).answer

    def retell(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Has a text-to-image model told something else from now on, and gives what is new of it. Raises PriorError."""
        now = self.inner.texts or {}
        if new := {name: value for name, value in said.items() if name not in now or value != now[name]}:
            self.inner = self.inner.retold(new)
        return new

    def together(self) -> tuple[tuple[int, ...], ...] | None:
        """`sizes` for a record; None where no call was shared."""
        if all(size == 1 for size, *_ in self.sizes):
            return None
        return tuple(tuple(entry) for entry in self.sizes)

    def _scripted(self, n: int) -> tuple[int, int | None]:
        """Size and threads of the next call of the record; after its last one the batch's own."""
        while self.script and not self.script[0][1]:
            self.script.popleft()
        if not self.script or self.script[0][0] <= n:
            if self.script:
                self.script[0][1] -= 1
            self._note(1)
            return n, None
        size, _, *threads = self.script[0]
        self.script[0][1] -= 1
        self._note(size, *threads)
        return size, threads[0] if threads else None

    def _shared(self, question: Question) -> None:
        """One more call, for a question that has its answer."""
        alone = question.size == len(question.x)
        self._note(*((1,) if alone else (question.size, question.threads)))

    def _note(self, size: int, threads: int = 0) -> None:
        """One more call, of `size` pictures (1: of none but those asked for here), on `threads` (0: as all else)."""
        others = [threads] if threads not in (0, cores.number()) else []
        if self.sizes and self.sizes[-1][0] == size and self.sizes[-1][2:] == others:
            self.sizes[-1][1] += 1
        else:
            self.sizes.append([size, 1, *others])
