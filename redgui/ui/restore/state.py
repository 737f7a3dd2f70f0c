"""What the server keeps of the Restore tab for each page."""

from dataclasses import dataclass, field

from redgui.fitting import Fitting
from redgui.runs.run import Run
from redgui.ui.host.sessions import Playing
from redgui.ui.parts.wiring import Updates


@dataclass
class Restoring(Playing[Run]):
    """The run of a page, and what the page itself has set.

    Attributes:
        superseded: another picture, prior or task has taken the place of the run.
        prior: the one that the controls stand at, whoever chose it.
        prior_chosen: a person has chosen it from the list.
        shown: how the picture was fitted that the mask editor shows, and before, by the versions of what it was given.
        tuned_for: operator, its kind, the level of the noise and the prior of the presets that the controls were given; None:
            those of a new page.
        retuned: the controls that the page itself has set since the run began, with their values.
        measured: sigma_y as it was measured in the person's picture and filled in; None where a person says it.
        particles_given: what the page itself chose, so that a person's own choice is left alone.
    """

    superseded: bool = False
    prior: str = ""
    prior_chosen: bool = False
    shown: dict[int, Fitting] = field(default_factory=dict)
    tuned_for: tuple[str, str | None, float, str] | None = None
    retuned: Updates = field(default_factory=dict)
    measured: float | None = None
    particles_given: int = 1

    @property
    def fitted(self) -> Fitting | None:
        """How the picture is fitted that the mask editor was given last."""
        return self.shown[max(self.shown)] if self.shown else None
