"""Several runs played together: a sweep on one measurement, a race on one or more."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from redgui.errors import RedguiError, in_short
from redgui.priors import Prior
from redgui.runs.problem import Problem
from redgui.runs.rounds import Job, played, seconds
from redgui.runs.run import Run
from redgui.runs.stream import Measured

OVER = ("stopped", "done", "error")
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Member:
    """One run of a group.

    Attributes:
        key: its name within the group; label: for people.
        status: waiting, running, stopped, done or error; message: what a person is told beside it.
        seconds: that its steps were charged.
    """

    key: str
    label: str
    run: Run
    status: str = "waiting"
    message: str = ""
    seconds: float = 0.0
    job: Job | None = None

    @property
    def over(self) -> bool:
        """Whether it makes no more steps."""
        return self.status in OVER

    @property
    def last(self) -> Measured | None:
        """Its newest Step."""
        return self.run.last

    def stepped(self, step: Measured) -> str | None:
        """Called after each of its steps; a text ends it there and is its message."""
        return None

    def stop(self) -> None:
        """Ends it at its next question to the network. From any thread."""
        self.run.stop()
        if self.job is not None:
            self.job.leaving = True


M = TypeVar("M", bound=Member)


class Group(Generic[M]):
    """Runs, each ended by itself: an error of one leaves the others.

    Args:
        seconds_allowed: of all together, on the clock.

    Class attributes: `what` it is called for people, `together` (pictures in a call where `play` has the thread to itself), and
    `paced` (whether all are to have had the same time at every moment).
    """

    what: ClassVar[str]
    together: ClassVar[int] = 1
    paced: ClassVar[bool] = False

    def __init__(self, members: Sequence[M], seconds_allowed: float = float("inf"),
                 clock: Callable[[], float] = time.perf_counter):  # fmt: skip
        self.members = list(members)
        self.seconds_allowed, self.clock = seconds_allowed, clock
        self.elapsed = 0.0
        self._began: float | None = None

    def __getitem__(self, key: str) -> M:
        return next(member for member in self.members if member.key == key)

    @property
    def problem(self) -> Problem:
        """The measurement that all are given, or the first of them."""
        return self.members[0].run.problem

    @property
    def prior(self) -> Prior:
        """The network that all are given."""
        return self.members[0].run.prior

    @property
    def playing(self) -> bool:
        """Whether it was begun and is not over."""
        return self._began is not None and not self.over

    @property
    def over(self) -> bool:
        """Whether nobody makes another step."""
        return all(member.over for member in self.members)

    @property
    def progress(self) -> float:
        """The share of all steps that has been made, 0 to 1; of one that was stopped while others go on none are to come."""
        ended = ("done", "error") if self.over else OVER
        return sum(1.0 if m.status in ended else m.run.progress for m in self.members) / len(self.members)

    def stop(self, key: str | None = None) -> None:
        """Ends one, or all, within the step in progress. From any thread."""
        for member in self.members:
            if key in (None, member.key):
                member.stop()

    def jobs(self) -> list[Job]:
        """A job for each run, made anew."""
        self.begun()
        pace, jobs = (self if self.paced else None), []
        for member in self.members:
            member.job = Job(self._turns(member), weight=1 / len(self.members), pace=pace)
            jobs.append(member.job)
        return jobs

    def play(self) -> Iterator[M]:
        """Plays all in the calling thread, and yields whoever has made a step or is over. Closing it ends all."""
        jobs = self.jobs()
        for job in played(jobs, self.together, self.clock):
            yield self.members[jobs.index(job)]

    def _turns(self, member: M) -> Iterator[None]:
        member.status, status, message = "running", "stopped", ""
        try:
            for step in member.run.play():
                member.seconds = seconds()
                if (reason := member.stepped(step)) is not None:
                    status, message = "done", reason
                    break
                if member.run.finished:
                    status = "done"
                    break
                if self._spent() > self.seconds_allowed:
                    message = f"the {self.seconds_allowed:.0f} seconds of a {self.what} are over"
                    break
                yield
        except RedguiError as error:
            status, message = "error", str(error)
        except Exception as error:  # whatever it is, the others go on
            log.exception("%s broke off", member.label)
            status, message = "error", f"{member.label} broke off: {in_short(error)}"
        finally:
            member.run.close()
            member.message, member.status = message, status  # the status last: it says that all is there
            self.elapsed = self._spent()

    def _spent(self) -> float:
        return 0.0 if self._began is None else self.clock() - self._began

    # ---- on a GPU that is lent (`redgui.runs.remote`)

    def state(self) -> Any:
        """All that changes while it is played, to be pickled."""
        return [(m.status, m.message, m.seconds, m.run.state()) for m in self.members]

    def begun(self) -> None:
        """It is played from now on."""
        self._began = self.clock()

    def ended(self) -> None:
        """It is played no more."""
        self.elapsed = self._spent()
        for member in self.members:
            if not member.over:
                member.status = "stopped"

    @property
    def stopping(self) -> bool:
        """Whether all were told to stop."""
        return all(member.over or member.run.stopping for member in self.members)

    def wishes(self) -> frozenset[str]:
        """Whom a person wants to stop."""
        return frozenset(member.key for member in self.members if member.run.stopping)

    def grant(self, wishes: frozenset[str]) -> None:
        """Does what a person wants, in the copy that is played."""
        for key in wishes:
            self.stop(key)

    def take(self, state: Any) -> None:
        """Brings this copy to the state of another."""
        for member, (status, message, spent, run) in zip(self.members, state, strict=True):
            member.run.take(run)
            member.seconds, member.message, member.status = spent, message, status
