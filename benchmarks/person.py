"""A person of the load tests: a picture, a mask, a seed and knobs that follow from a number, and what is theirs at the end."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import checkout  # noqa: F401
import numpy as np
from PIL import Image
from visitor import Visitor

from redgui import images, priors
from redgui.operators import Inpaint, masks
from redgui.priors import Prior
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.stream import measured, solve
from redgui.samplers import RedDiff

CLOSE = 0.02  # share by which the residual of a run that shared its calls may differ from that of the same run alone


@dataclass(frozen=True)
class Person:
    """What one person does: all of it follows from the number, and no two are alike."""

    number: int
    side: int
    steps: int = 20

    @property
    def picture(self) -> Image.Image:
        """Smooth colours, as different as the numbers."""
        draw = np.random.default_rng(self.number)
        small = Image.fromarray(draw.integers(0, 256, (3, 3, 3), np.uint8))
        return small.resize((self.side, self.side), Image.Resampling.BICUBIC)

    @property
    def hole(self) -> np.ndarray:
        """Where it is to be filled in, bool h w."""
        top, left = np.random.default_rng(1000 + self.number).integers(0, self.side // 2, 2)
        hole = np.zeros((self.side, self.side), bool)
        hole[top : top + self.side // 3, left : left + self.side // 2] = True
        return hole

    @property
    def sampler(self) -> RedDiff:
        return RedDiff(steps=self.steps, lr=0.05 + self.number / 1000, lam=0.1 + self.number / 500)

    @property
    def png(self) -> bytes:
        stream = io.BytesIO()
        self.picture.save(stream, "png")
        return stream.getvalue()

    async def settle(self, visitor: Visitor) -> None:
        """Everything before Run, as a person does it: one thing after the other."""
        await visitor.choose(self.png)
        packed = base64.b64encode(np.packbits(self.hole).tobytes()).decode()
        await visitor.paint(packed, self.side)
        wanted = {"reddiff-steps": self.steps, "reddiff-lr": self.sampler.lr, "reddiff-lam": self.sampler.lam}
        for name, value in {**wanted, "seed": self.number, "sigma-y": 0.05}.items():
            await visitor.turn(name, value)
        # The presets for another noise level have moved what was not touched; the knobs are set last, as by a person.
        visitor.values |= wanted

    def alone(self, prior: Prior, like: RedDiff) -> Record:
        """The record of the same run with nobody else around; `like` has the knobs that were not touched."""
        picture = images.to_tensor(self.picture)
        H = Inpaint(kind="mask", painted=masks.encode(self.hole))
        problem = Problem.given(picture, H, 0.05, self.number)  # an own picture that was painted over has no original
        sampler = RedDiff(**{**vars(like), "steps": self.steps, "lr": self.sampler.lr, "lam": self.sampler.lam})
        counted = priors.Counted(prior)
        *_, last = measured(solve(problem, counted, sampler), problem, counted)
        return Record.of(picture, problem, prior, sampler, last)

    def crossed(self, shown: dict[str, Any], prior: Prior) -> list[str]:
        """What a page shows at the end that is not this person's own, by name; empty when all is."""
        links = {link["name"]: link.get("href", "") for link in shown["result"]["downloads"]}
        record = Record.from_json(base64.b64decode(links["record.json"].partition(",")[2]).decode())
        untouched = {k: v for k, v in vars(record.settings.sampler).items() if k not in ("steps", "lr", "lam")}
        alone = self.alone(prior, RedDiff(**untouched))
        wrong = [name for name in ("image", "settings", "steps", "changes")
                 if getattr(record, name) != getattr(alone, name)]  # fmt: skip
        wrong += [] if abs(record.result["residual"] / alone.result["residual"] - 1) < CLOSE else ["result"]
        png = images.to_uint8(images.to_tensor(images.read(base64.b64decode(links["restored.png"].partition(",")[2]))))
        *_, last = record.replay(prior)
        return wrong + ([] if np.array_equal(png, images.to_uint8(last.estimate)) else ["pixels"])
