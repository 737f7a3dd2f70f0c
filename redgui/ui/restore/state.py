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
        tuned_for: operator, its kind and the level of the noise of the presets that the controls were given.
        retuned: the controls that the page itself has set since the run began, with their values.
        measured: sigma_y as it was measured in the person's picture and filled in; None where a person says it.
        particles_given: what the page itself chose, so that a person's own choice is left alone.
    """

    task: str | None = None
    tuned_for: tuple[str, str | None, float] = ("inpaint", "box", 0.0)
    retuned: Updates = field(default_factory=dict)
    measured: float | None = None
    particles_given: int = 1
