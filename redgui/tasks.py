"""Tasks: a picture, a degradation, noise and a sampler that show together what can be done, each with its finished result.

    tasks.find("sr").problem()      the measurement
    tasks.find("sr").command        what restores it from the command line

The settings are text, as on the command line, and the samplers' knobs are those of the presets. The pictures in `assets/tasks`
are the results of these very settings with the bundled prior, made by `python -m assets.tasks.make`. Nothing heavy is imported
before a task is used.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redgui import bundled
from redgui.errors import RedguiError

if TYPE_CHECKING:
    from redgui.operators import Operator
    from redgui.runs.problem import Problem
    from redgui.runs.settings import Settings
    from redgui.samplers import Sampler

PRIOR = "faces-64"


class TaskError(RedguiError):
    """A task that does not exist, or whose finished result is missing; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to try.

    Attributes:
        name, label, about: for files and the command line, for people, and one line on what is asked.
        picture: the stem of a bundled example.
        operator, sampler: specifications; knobs of the sampler that are not named come from the presets.
        sigma_y: noise of the measurement, in [-1, 1] units.
        seed: of the noise and of the sampler.
        prior: faces-64, or photos with a picture at its own size.
    """

    name: str
    label: str
    about: str
    picture: str
    operator: str
    sigma_y: float = 0.0
    sampler: str = "reddiff"
    seed: int = 0
    prior: str = PRIOR

    @property
    def example(self) -> Path:
        """The picture's file."""
        folder = bundled.EXAMPLES if self.prior == PRIOR else bundled.PHOTOGRAPHS
        return folder / f"{self.picture}.png"

    @property
    def command(self) -> str:
        """The command line that restores it."""
        from redgui import snippets

        return snippets.in_shell(f"example:{self.picture}", self.settings().words())

    def settings(self) -> "Settings":
        """What its run is: with the knobs and particles that the presets have for this degradation and noise."""
        from redgui.runs.settings import Settings

        said = {name: getattr(self, name) for name in ("operator", "sampler", "sigma_y", "seed")}
        fit = {} if self.prior == PRIOR else {"fit": "native"}
        return Settings.read({**said, **fit, "prior": self.prior, "example": self.picture})

    def build_operator(self) -> "Operator":
        """The degradation."""
        return self.settings().H

    def build_sampler(self) -> "Sampler":
        """The sampler with its knobs."""
        return self.settings().sampler

    def particles(self) -> int:
        """Runs in one batch: what a bare command would make."""
        return self.settings().particles

    def problem(self) -> "Problem":
        """The measurement with its ground truth, as a run on the bundled prior has it."""
        from redgui import images, priors

        picture = images.read(self.example)
        h, w = (priors.size_of(PRIOR) or (64, 64)) if self.prior == PRIOR else (picture.height, picture.width)
        return self.settings().problem(images.to_tensor(images.fit(picture, h, w)))

    def setting(self) -> dict[str, Any]:
        """All that decides the result, JSON-ready: it is stored beside the finished pictures and has to be theirs."""
        found = {"picture": self.picture, **self.settings().figures()}
        return {name: value for name, value in found.items() if name not in ("device", "precision", "noise")}  # Gaussian


@dataclass(frozen=True)
class Finished:
    """A task's stored result.

    Attributes:
        setting: what `Task.setting` was when it was made.
        figures: of the run, with the names of the command line's.
        measurement, restored: PNG files.
        film: a WebP file, its iterates side by side.
        frames: of each of them the step, its noise level, and its PSNR or None.
    """

    setting: dict[str, Any]
    figures: dict[str, Any]
    measurement: Path
    restored: Path
    film: Path
    frames: list[tuple[int, float, float | None]]


TASKS: tuple[Task, ...] = (
    Task(name="box", label="Fill a hole", about="A box is missing from the middle of the face.",
         picture="face-06", operator="inpaint:kind=box"),
    Task(name="text", label="Remove text", about="Letters are written over the picture.",
         picture="face-13", operator="inpaint:kind=text,text=DIFFUSION"),
    Task(name="strokes", label="Remove strokes", about="A third is covered by strokes, as a hand would paint them.",
         picture="face-37", operator="inpaint:kind=freeform,fraction=0.35,seed=3"),
    Task(name="sr", label="Enlarge ×4", about="Super-resolution from 16×16 pixels.",
         picture="face-11", operator="superres:factor=4"),
    Task(name="blur", label="Gaussian blur", about="A soft lens, and a little noise.",
         picture="face-34", operator="blur:kind=gaussian,size=9,width=2", sigma_y=0.02),
    Task(name="motion", label="Motion blur", about="The camera moved during the exposure, and a little noise.",
         picture="face-14", operator="blur:kind=motion,size=15", sigma_y=0.02),
    Task(name="denoise", label="Remove noise", about="White noise of standard deviation 0.3, the picture spanning −1 to 1.",
         picture="face-13", operator="denoise", sigma_y=0.3),
    Task(name="colorize", label="Colourise", about="Only the mean of red, green and blue was measured.",
         picture="face-11", operator="colorize"),
    Task(name="hdr", label="Clipped light", about="High dynamic range: twice the contrast, and clipped.",
         picture="face-06", operator="hdr"),
    Task(name="phase", label="Phase retrieval", about="Only the magnitude of the Fourier transform was measured.",
         picture="face-34", operator="phase", sampler="daps"),
    Task(name="nonlinear", label="Non-linear blur", about="A blur of light, then the camera's tone curve, clipped.",
         picture="face-37", operator="nonlinear-blur"),
    Task(name="jpeg", label="JPEG artefacts", about="Saved as a JPEG of quality 5.",
         picture="face-14", operator="jpeg:quality=5"),
    Task(name="cs", label="Compressed sensing", about="One random number for every four pixels.",
         picture="face-13", operator="compressed-sensing:ratio=0.25"),
    Task(name="fourier", label="Fourier (MRI)", about="A quarter of the columns of its Fourier transform: a fast scan.",
         picture="face-11", operator="fourier:acceleration=4"),
    Task(name="compose", label="Several at once", about="A blur, then missing pixels, then noise.",
         picture="face-06", operator="compose:of=blur(width=1)>inpaint(kind=random;fraction=0.5)", sigma_y=0.05,
         sampler="vml-map"),
    Task(name="grain", label="Grainy photo", about="A photograph with noise of standard deviation 0.2.",
         picture="photo-cat", operator="denoise", sigma_y=0.2, prior="photos"),
    Task(name="shake", label="Shaken photo", about="A photograph taken with a moving camera, and a little noise.",
         picture="photo-coffee", operator="blur:kind=motion,size=15", sigma_y=0.02, prior="photos"),
)  # fmt: skip


def find(name: str) -> Task:
    """The task of a name. Raises TaskError, which lists what there is."""
    for task in TASKS:
        if task.name == name:
            return task
    raise TaskError(f"there is no task {name!r}. Choose one of: {', '.join(task.name for task in TASKS)}.")


def finished(task: Task) -> Finished:
    """The stored result. Raises TaskError where there is none."""
    stored = _stored().get(task.name)
    if stored is None or "frames" not in stored:
        raise TaskError(f"the task {task.name!r} has no finished result; run `python -m assets.tasks.make {task.name}`.")
    pictures = [bundled.TASKS / f"{task.name}-{what}" for what in ("measurement.png", "restored.png", "film.webp")]
    return Finished(stored["setting"], stored["figures"], *pictures, frames=stored["frames"])


@lru_cache(maxsize=1)
def _stored() -> dict[str, Any]:
    path = bundled.TASKS / "tasks.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
