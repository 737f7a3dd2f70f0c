"""What the server keeps of the Restore tab for each page."""

from dataclasses import dataclass, field

from redgui.runs.run import Run
from redgui.ui.host.sessions import Playing
from redgui.ui.parts.wiring import Updates


@dataclass
class Restoring(Playing[Run]):
    """The run of a page, and what the page itself has set.

    Attributes:
        task: whose finished result has taken the place of a run.
        tuned_for: operator, its kind, the level of the noise and the prior of the presets that the controls were given; None:
            those of a new page.
        retuned: the controls that the page itself has set since the run began, with their values.
        measured: sigma_y as it was measured in the person's picture and filled in; None where a person says it.
        particles_given: what the page itself chose, so that a person's own choice is left alone.
    """

    task: str | None = None
    tuned_for: tuple[str, str | None, float, str] | None = None
    retuned: Updates = field(default_factory=dict)
    measured: float | None = None
    particles_given: int = 1
