"""What a page keeps on the server for each tab that runs something. No gradio here."""

import abc
from dataclasses import dataclass, field

from redgui.runs.race import Race
from redgui.runs.run import Run
from redgui.runs.sweep import Sweep
from redgui.runs.watch import Playable
from redgui.samplers import Sampler


@dataclass
class Playing(abc.ABC):
    """Something that is played, now or when its turn comes.

    Attributes:
        stop_wanted: it is to stop, before its turn too.
    """

    stop_wanted: bool = False

    @property
    @abc.abstractmethod
    def played(self) -> Playable | None:
        """What was played last, or is being played; other threads put it aside."""

    @property
    def progress(self) -> float | None:
        """The share that has been made; None where nothing is played."""
        played = self.played
        return played.progress if played is not None and played.playing else None

    def stop(self) -> None:
        """Stops what is in progress, or what waits for its turn."""
        self.stop_wanted = True
        played = self.played
        if played is not None:
            played.stop()


@dataclass
class Comparison(Playing):
    """Of the Compare tab. `extras`: settings that were added, with their keys; `number`: of the races so far."""

    extras: list[tuple[str, Sampler]] = field(default_factory=list)
    race: Race | None = None
    number: int = 0

    @property
    def played(self) -> Race | None:
        return self.race


@dataclass
class Sweeping(Playing):
    """Of the Sweep tab.

    Attributes:
        suggested: the values that the page itself has put into the boxes.
        followed: the sampler of the Restore tab when the page last looked there.
    """

    sweep: Sweep | None = None
    number: int = 0
    suggested: dict[str, str] = field(default_factory=dict)
    followed: str = ""

    @property
    def played(self) -> Sweep | None:
        return self.sweep


@dataclass
class Particles(Playing):
    """Of the Particles tab. `followed`: the sampler of the Restore tab when the page last looked there."""

    run: Run | None = None
    number: int = 0
    followed: str = ""

    @property
    def played(self) -> Run | None:
        return self.run
