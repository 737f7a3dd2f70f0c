"""What a run is, in one value: page, link, record, task, command, HTTP call and worker read and write it."""

import hashlib
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from redgui import bundled, fitting, images, knobs
from redgui.knobs import knob
from redgui.operators import Operator
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.samplers import Sampler


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a run is made of but the pixels of its picture. Its knobs have their bounds here and nowhere else.

    Attributes:
        given: the picture is itself the measurement; there is no original.
        prior: the name of the diffusion model.
        fit: how the picture is brought to what the prior takes (`redgui.fitting`).
        example, picture: the picture, as the name of a bundled example or by its number (`picture_number`); or neither.

    Raises:
        KnobError: a value that is out of bounds.
    """

    name = "run"

    H: Operator
    sampler: Sampler
    sigma_y: float = knob(0.0, 0.0, 2.0, step=0.005, label="Noise σ_y", help="standard deviation, the picture spanning -1 to 1")
    seed: int = knob(0, 0, 2**63 - 1, help="of the noise and of the sampler: the same seed gives the same pixels")
    particles: int = knob(1, 1, 64, help="independent runs in one batch: their mean and spread")
    given: bool = False
    prior: str = "faces-64"
    fit: str = "crop"
    example: str | None = None
    picture: str | None = None

    def __post_init__(self) -> None:
        knobs.check(self)

    @classmethod
    def of(cls, record: Record) -> Self:
        """The settings at the start of a record's run. Raises RedguiError."""
        example = example_of(record)
        return cls(
            H=record.build_operator(), sampler=record.build_sampler(), sigma_y=float(record.sigma_y), seed=record.seed,
            particles=record.particles, given=record.given, prior=record.prior, fit=record.fit, example=example,
            picture=None if example else picture_number(record),
        )  # fmt: skip

    def problem(self, picture: Tensor) -> Problem:
        """The measurement of a fitted picture (1, 3, h, w): simulated, or the picture itself where it is `given`."""
        make = Problem.given if self.given else Problem.simulate
        return make(picture, self.H, self.sigma_y, self.seed)


def example_of(record: Record) -> str | None:
    """The name of the bundled example whose picture, fitted as the record says, is the record's; None if there is none."""
    picture = record.picture()
    h, w = picture.shape[-2:]
    for path in images.folder(bundled.EXAMPLES):
        image = images.read(path)
        if image.size != (w, h):
            if record.fit == "native":  # which depends on the prior; a record has a picture of its own for that
                continue
            image = fitting.plan((image.height, image.width), (h, w), record.fit).apply(image)
        if torch.equal(images.to_tensor(image), picture):
            return path.stem
    return None


def picture_number(record: Record) -> str:
    """Tells a picture from others without showing it: 16 hexadecimal digits of the SHA-256 of its file."""
    return hashlib.sha256(record.image.encode()).hexdigest()[:16]
