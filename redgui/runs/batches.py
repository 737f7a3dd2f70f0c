"""What jobs ask of a prior, which questions go together, and the one call that answers them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from redgui import devices
from redgui.priors.base import Prior, Sigma
from redgui.runs import cores

SIZES = (1, 2, 4, 8, 16)
WIDE = 4  # pictures from which a call that jobs share takes all cores of a CPU
PIXELS = 16 * 256 * 256  # of a call, at most
GAIN = 0.97  # a larger batch pays where a picture costs at most this share of what it costs in the best smaller one
LOSS = 1.15  # where it costs this many times as much, nothing larger is tried
TRIAL = 0.15  # seconds for the trials of one size
PATIENCE = 1.0  # seconds: no batch is tried beyond one whose call takes longer, for which everybody would wait


@dataclass(eq=False)
class Graph:
    """One differentiable call for several questions, kept until each has had its pull-back or has been dropped."""

    x: Tensor
    x0_hat: Tensor
    waiting: int  # questions that have had none
    threads: int  # of the CPU

    def pull_back(self, questions: "Sequence[Question]") -> Tensor:
        """J^T u for the whole batch, zero cotangents for those that do not ask: they change no bit of the others' rows."""
        u = torch.zeros_like(self.x0_hat)
        for question in questions:
            u[question.rows] = question.x
        self.waiting -= len(questions)
        with cores.limited(self.threads):
            return torch.autograd.grad(self.x0_hat, self.x, u, retain_graph=self.waiting > 0)[0]


@dataclass(eq=False)
class Question:
    """D(x, sigma) of a prior, with `linear` also its pull-back; or, of the `graph` of a call before, the pull-back J^T x.

    Attributes:
        x: (b, c, h, w).
        rows: the question's own in the call that answered it (or whose graph it is).
        size, threads: pictures in that call, and its CPU threads.
        answer, error: one of them is set in the end.
    """

    prior: Prior
    x: Tensor
    sigma: Sigma = 0.0
    linear: bool = False
    graph: Graph | None = None
    rows: slice = field(default_factory=lambda: slice(None))
    size: int = 0
    threads: int = 0
    answer: Any = None
    error: BaseException | None = None

    @property
    def key(self) -> Any:
        """Questions with the same key can be answered in one call."""
        if self.graph is not None:
            return id(self.graph)
        return id(self.prior), self.linear, tuple(self.x.shape[1:])

    @property
    def kind(self) -> Any:
        """Questions of a kind cost about alike, so that one measurement serves: of a prior, within a power of two of pixels."""
        return id(self.prior), (self.x.shape[-2] * self.x.shape[-1] - 1).bit_length()

    @property
    def open(self) -> bool:
        """Whether it has no answer yet."""
        return self.answer is None and self.error is None


class Batches:
    """Which questions go together.

    Args:
        together: pictures in a call, at most; None: as many as pay, which is measured once for each prior and kind.
    """

    def __init__(self, together: int | None, clock: Callable[[], float] = time.perf_counter):
        self.together, self.clock = together, clock
        self.most: dict[Any, int] = {}

    def fitting(self, asked: Sequence[Question]) -> list[Question]:
        """Of questions with one key the first, and those whose pictures fit into one call with its own."""
        chosen, pictures = [asked[0]], len(asked[0].x)
        if len(asked) > 1:
            places = self.places(asked[0])
            for question in asked[1:]:
                if pictures + len(question.x) <= places:
                    chosen.append(question)
                    pictures += len(question.x)
        return chosen

    def places(self, question: Question) -> int:
        """How many pictures of a question's kind are worth one call."""
        if self.together is not None:
            return self.together
        if question.kind not in self.most:
            self.most[question.kind] = paying(question.prior, tuple(question.x.shape[1:]), self.clock)
        return self.most[question.kind]

    def answer(self, questions: Sequence[Question]) -> None:
        """Answers questions with one key in one call. Where that fails, in halves: what is wrong with one is no other's."""
        try:
            _pull_back(questions) if questions[0].graph is not None else _denoise(questions)
        except Exception as error:
            if len(questions) == 1:
                questions[0].error = error
                return
            half = len(questions) // 2
            if questions[0].graph is None:
                self.most[questions[0].kind] = sum(len(q.x) for q in questions[:half])
            for part in (questions[:half], questions[half:]):
                self.answer(part)


def _denoise(questions: Sequence[Question]) -> None:
    """One forward. A question alone is asked as it is, so that its bits are those of a plain loop."""
    first, counts = questions[0], [len(q.x) for q in questions]
    if len(questions) == 1:
        first.size, first.threads = counts[0], cores.number()
        first.answer = first.prior.linearized(first.x, first.sigma) if first.linear else denoised(first)
        return
    x = torch.cat([q.x for q in questions])
    sigma = torch.cat([levels(q.sigma, n) for q, n in zip(questions, counts, strict=True)])
    size = len(x)
    if devices.has_graphs(first.prior.network_device):  # they are captured for a few sizes
        size = next((s for s in SIZES if s >= size), size)
        x, sigma = padded(x, sigma, size)
    graph, threads = None, threads_of(first.prior, size)
    with cores.limited(threads), torch.set_grad_enabled(first.linear):
        x = x.detach().requires_grad_(first.linear)
        x0_hat = first.prior.denoise(x, sigma)
    if first.linear:
        graph, x0_hat = Graph(x, x0_hat, len(questions), threads), x0_hat.detach()
    at = 0
    for question, n in zip(questions, counts, strict=True):
        question.rows, question.size, question.threads = slice(at, at + n), size, threads
        own = x0_hat[question.rows].clone()
        question.answer = (own, graph) if first.linear else own
        at += n


def threads_of(prior: Prior, size: int) -> int:
    """CPU threads of a call that jobs share, of so many pictures."""
    return cores.all_of_them() if size >= WIDE and prior.device.type == "cpu" else cores.number()


def denoised(question: Question) -> Tensor:
    """D(x, sigma) without a graph."""
    with torch.no_grad():
        return question.prior.denoise(question.x, question.sigma)


def _pull_back(questions: Sequence[Question]) -> None:
    graph = questions[0].graph
    assert graph is not None
    pulled = graph.pull_back(questions)
    for question in questions:
        question.answer = pulled[question.rows].clone()


def paying(prior: Prior, shape: tuple[int, ...], clock: Callable[[], float] = time.perf_counter) -> int:
    """The largest batch in which a picture (c, h, w) is cheaper than in any smaller one; a second for a small network."""
    best, least = 1, float("inf")
    if SIZES[1] * shape[-1] * shape[-2] > PIXELS:  # not worth a trial, which may take minutes
        return best
    for size in SIZES:
        if size > 1 and size * shape[-1] * shape[-2] > PIXELS:
            break
        trial, took = Question(prior, torch.zeros(size, *shape, device=prior.device), torch.ones(size, dtype=torch.float64)), []
        while len(took) < 3 and (len(took) < 1 or sum(took) < TRIAL):
            began = clock()
            with cores.limited(threads_of(prior, size)):
                denoised(trial).sum().item()  # waits for the device
            took.append(clock() - began)
        cost = min(took) / size
        if cost <= GAIN * least:
            best, least = size, cost
        if cost > LOSS * least or min(took) > PATIENCE:
            break
    return best


def padded(x: Tensor, sigma: Sigma, size: int) -> tuple[Tensor, Sigma]:
    """A batch filled up to `size` pictures with copies of its first, each at its level; as it is where it has as many."""
    more = size - len(x)
    if more <= 0:
        return x, sigma
    sigma = levels(sigma, len(x))
    return torch.cat([x, x[:1].expand(more, *x.shape[1:])]), torch.cat([sigma, sigma[:1].expand(more)])


def levels(sigma: Sigma, n: int) -> Tensor:
    """One level for each of n pictures, float64 on the CPU, as a prior looks its timestep up."""
    if isinstance(sigma, Tensor):
        return sigma.cpu().double().expand(n)
    return torch.full((n,), sigma, dtype=torch.float64)
