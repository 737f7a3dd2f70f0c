"""Jobs in one thread, in rounds: each works until it asks its prior; questions that are alike are answered in one call.

    for job in played([Job(steps_a), Job(steps_b)], together=8):
        ...                     # job has made a step, or is over

A sampler is written for itself and calls the prior where it likes. So a job is a greenlet around a generator of Steps, and its
prior (`shared.Shared`) asks instead of answering. A round lets every job work until it asks, then answers: pull-backs first, so
that jobs with gradients meet again at their next forward; else the job that has been charged the fewest seconds, and with it
those that ask the same prior for pictures of the same shape, each at its own noise level. In a plain loop `Shared` is the
prior itself: playing jobs together is one way to consume a run, never a condition of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from redgui.priors.graphs import capture_seconds
from redgui.runs.batches import Batches, Question


class Left(BaseException):
    """Raised in a job where it asks, when it is to end there."""


@dataclass(eq=False)
class Job:
    """Something to compute, step by step.

    Attributes:
        turns: makes a step and yields, until it is over. It runs in the thread that plays the job.
        weight: its share of the time beside others: 1 for what a person watches; the cells of one sweep have 1 together.
        pace: jobs of the same pace are kept at equal seconds, whatever a step of each costs.
        alone: its questions share no call, so that its bits are those of a plain loop.
        told: called after every turn and at the end, in the thread that plays the job.
        seconds: what it was charged: its own work and its share of the calls.
        error: what ended it, if anything did.
    """

    turns: Iterator[Any]
    weight: float = 1.0
    pace: Any = None
    alone: bool = False
    told: Callable[[], None] = lambda: None
    seconds: float = 0.0
    error: BaseException | None = None
    over: Event = field(default_factory=Event)
    leaving: bool = False
    ahead: float = 0.0  # what those that ran already had been charged when it joined

    @property
    def charged(self) -> float:
        """What decides who goes next: seconds over weight."""
        return self.ahead + self.seconds / self.weight


class Worker(greenlet):
    """A job at work: it asks a `question`, has `stepped`, or is dead."""

    def __init__(self, job: Job, clock: Callable[[], float]):
        super().__init__()
        self.job, self.clock = job, clock
        self.question: Question | None = None
        self.stepped = False
        self.began = 0.0
        self.answered = False  # whether any question was
        self.last = 0.0  # seconds that the last one was charged
        self.grad = True  # its grad mode, which belongs to the thread

    def run(self) -> None:
        try:
            for _ in self.job.turns:
                self.stepped = True
                self.hub.switch()
        except Left:
            pass
        except BaseException as error:
            self.job.error = error
        finally:
            close = getattr(self.job.turns, "close", None)
            if close is not None:
                close()

    @property
    def hub(self) -> greenlet:
        """Whoever plays the jobs."""
        assert self.parent is not None
        return self.parent

    def go_on(self) -> None:
        """Lets it work until it asks, has made a step, or is over."""
        self.question, self.stepped = None, False
        ours = torch.is_grad_enabled()
        torch.set_grad_enabled(self.grad)
        self.began = self.clock()
        try:
            self.switch()
        finally:
            self.job.seconds += self.clock() - self.began
            self.grad = torch.is_grad_enabled()
            torch.set_grad_enabled(ours)

    def ask(self, question: Question) -> Question:
        """In the job: the question with its answer. Raises what went wrong with it, or Left."""
        if not self.job.leaving:
            self.question = question
            self.hub.switch()
        if question.error is not None:
            raise question.error
        if question.open:
            raise Left
        return question


def turn() -> None:
    """In a job that is no generator of its steps: one of them is made. Elsewhere it does nothing. Raises Left."""
    worker = getcurrent()
    if isinstance(worker, Worker):
        worker.stepped = True
        worker.hub.switch()
        if worker.job.leaving:
            raise Left


def seconds() -> float:
    """The clock of who calls: in a job the seconds that it was charged so far, elsewhere the process's own."""
    worker = getcurrent()
    if isinstance(worker, Worker):
        return worker.job.seconds + worker.clock() - worker.began
    return time.perf_counter() - capture_seconds()


class Rounds:
    """Plays jobs in the calling thread, a round at a time.

    Args:
        together: pictures that go through a network in one call; None: as many as pay (`Batches`), 1: each job alone.
    """

    def __init__(self, together: int | None = 1, clock: Callable[[], float] = time.perf_counter):
        # It stands still while a graph of the network is captured, which serves all: nobody is charged for that.
        self.clock = lambda: clock() - capture_seconds()
        self.batches = Batches(together, clock)
        self.workers: list[Worker] = []

    def add(self, job: Job) -> None:
        """One more job. It starts with the least charge of those that run, so that it neither waits nor starves them."""
        job.ahead = min((w.job.charged for w in self.workers), default=0.0) - job.seconds / job.weight
        self.workers.append(Worker(job, self.clock))

    def round(self) -> list[Job]:
        """Lets all work that can, or answers; gives the jobs that have made a step or are over."""
        news: list[Job] = []
        for worker in self.workers:
            if worker.question is not None and worker.question.open and not worker.job.leaving:
                continue
            worker.go_on()
            if worker.dead:
                worker.job.over.set()
            if worker.dead or worker.stepped:
                news.append(worker.job)
        self.workers = [worker for worker in self.workers if not worker.dead]
        if not news:
            self._answer()
        return news

    def _answer(self) -> None:
        asking = {w.question: w for w in sorted(self.workers, key=_turn_of) if w.question is not None}
        backs = [question for question in asking if question.graph is not None]
        for first in backs or [*asking][:1]:
            if not first.open:  # answered with one before
                continue
            chosen = [question for question in asking if question.key == first.key]
            if asking[first].job.alone:
                chosen = [first]
            elif not backs:
                chosen = self.batches.fitting([q for q in chosen if q is first or _joins(asking[q], asking[first])])
            chosen.sort(key=lambda question: self.workers.index(asking[question]))  # the same rows whatever time each took
            began = self.clock()
            self.batches.answer(chosen)
            spent = (self.clock() - began) / sum(len(question.x) for question in chosen)
            for question in chosen:
                worker = asking[question]
                worker.answered, worker.last = True, spent * len(question.x)
                worker.job.seconds += worker.last

    def close(self) -> None:
        """Ends all jobs where they stand."""
        for worker in self.workers:
            worker.job.leaving = True
            while not worker.dead:
                worker.go_on()
            worker.job.over.set()
        self.workers = []


def _turn_of(worker: Worker) -> tuple[bool, float]:
    """Who goes first: who has had no answer yet, then who was charged the least."""
    return worker.answered, worker.job.charged


def _joins(worker: Worker, first: Worker) -> bool:
    """Whether a job's question may go with the first one's: not where it is ahead of its pace by more than its last one."""
    paced = worker.job.pace is not None and worker.job.pace is first.job.pace
    return not worker.job.alone and not (paced and worker.job.seconds > first.job.seconds + worker.last)


def played(jobs: Sequence[Job], together: int | None = 1, clock: Callable[[], float] = time.perf_counter) -> Iterator[Job]:
    """Plays jobs in the calling thread, and yields whoever has made a step or is over. Closing it ends all."""
    rounds = Rounds(together, clock)
    for job in jobs:
        rounds.add(job)
    try:
        while rounds.workers:
            yield from rounds.round()
    finally:
        rounds.close()
