"""One thread computes for all who watch: a visitor's run, a contestant, a sweep's cell, a call over HTTP are all its jobs.

    engine().play(job)          # joins between two rounds; returns at once, from any thread
    engine().call(work)         # something else that calls a network, between two rounds

Why one thread: each thread has a team of OpenMP's for its operations. With more threads in all teams than there are cores,
libgomp has every team wait asleep instead of at the barrier. A network has hundreds of barriers a pass, and takes half as long
again or twice.
"""

import contextvars
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from redgui.runs import cores
from redgui.runs.batches import Question, denoised
from redgui.runs.rounds import Job, Rounds

T = TypeVar("T")
log = logging.getLogger(__name__)


class Engine:
    """The one thread of a process that calls networks.

    Args:
        together: as of `Rounds`; 1 has every job's bits be those of a plain loop.
    """

    def __init__(self, together: int | None = None):
        self.rounds = Rounds(together)
        self._inbox: deque[Job | Callable[[], None]] = deque()
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="engine")
        self._thread.start()

    def play(self, job: Job) -> None:
        """The job joins between two rounds."""
        self._post(job)

    def leave(self, job: Job) -> None:
        """The job ends at its next question."""
        job.leaving = True
        self._post(lambda: None)

    def call(self, work: Callable[[], T]) -> T:
        """`work()` between two rounds, in the caller's context; its result, or what it raises."""
        if threading.current_thread() is self._thread:
            return work()
        results: list[T] = []
        errors: list[BaseException] = []
        done, context = threading.Event(), contextvars.copy_context()

        def make() -> None:
            try:
                results.append(context.run(work))
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        self._post(make)
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def warm(self, question: Question) -> None:
        """Answers a question, and learns how many of its kind pay in one call, so that no run waits for that."""

        def work() -> None:
            denoised(question)
            self.rounds.batches.places(question)

        self.call(work)

    def _post(self, item: Job | Callable[[], None]) -> None:
        with self._arrived:
            self._inbox.append(item)
            self._arrived.notify()

    def _loop(self) -> None:
        cores.take()
        while True:
            with self._arrived:
                while not (self._inbox or self.rounds.workers):
                    self._arrived.wait()
                arrived = list(self._inbox)
                self._inbox.clear()
            for item in arrived:
                if isinstance(item, Job):
                    self.rounds.add(item)
                else:
                    item()
            for job in self._round():
                job.told()

    def _round(self) -> list[Job]:
        try:
            return self.rounds.round()
        except BaseException as error:  # of the loop itself: nobody may wait for ever, and the next jobs are played
            log.exception("a round broke off")
            broken = [worker.job for worker in self.rounds.workers]
            self.rounds.workers = []
            for job in broken:
                job.error = error
                job.over.set()
            return broken


together: int | None = None  # of the process's engine, when it is made
_engine: Engine | None = None
_lock = threading.Lock()


def engine() -> Engine:
    """The process's engine, made at its first use: a process that lends GPUs to forked workers never has one."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine(together)
        return _engine


def _forget() -> None:
    """In a forked child: the thread of the parent's engine is not there."""
    global _engine, _lock
    _engine, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
