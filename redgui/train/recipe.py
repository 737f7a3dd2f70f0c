"""The settings of a training run. Light: the command line reads them without torch."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from redgui import knobs
from redgui.errors import RedguiError
from redgui.knobs import knob


class TrainError(RedguiError):
    """A training run that cannot be started or continued; the message says what to do."""


# A run may be continued with other values of these; any other change would make it another run.
FREE = ("steps", "minutes", "precision", "compile", "memory", "save_minutes", "heldout_pictures", "data_name", "terms")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What determines the weights, and how they are made.

    Raises:
        KnobError, TrainError: a value that cannot be used.
    """

    name = "train"
    size: int = knob(0, 0, 1024, help="side of the training pictures; 0: that of --init, else 64")
    scales: float = knob(
        1e6, 1, 1e6, help="crops of larger pictures have sides from size to this times size (1: native pixels)"
    )
    flip: bool = knob(True, help="mirror half of the pictures")
    turn: bool = knob(False, help="turn the pictures by a multiple of 90 degrees each")
    held_out: float = knob(0.05, 0, 0.5, help="share held out, by the seed, of data without train/ and val/")
    prediction: Literal["as-init", "v", "epsilon", "sample", "flow", "edm", "v_prediction"] = knob(
        "as-init", help="what the network predicts, and by that its noise levels; as-init: as the prior of --init, else v"
    )
    weighting: Literal["plain", "min-snr", "even"] = knob(
        "plain", help="of the loss over noise levels; min-snr: arXiv 2303.09556, gamma 5; even: all count alike for photos"
    )
    lognormal: float = knob(
        0.0, 0, 1, help="share of the training with ln sigma ~ N(-1.2, 1.2^2) as EDM's; the rest is even over the timesteps"
    )
    least: float = knob(0.0, 0, 10, help="smallest sigma that is trained on; 0: that of the schedule")
    init: str = knob("", help="a prior folder to start from; its architecture and schedule are taken")
    channels: str = knob("32,64,96,128", help="channels per level, from the highest resolution down")
    layers: int = knob(1, 1, 8, help="residual blocks per level")
    attention: str = knob("last", help="levels with attention: last, none (fully convolutional), or numbers such as 2,3")
    dropout: float = knob(0.0, 0, 0.9, help="in the residual blocks")
    batch: int = knob(32, 1, 65536, help="pictures per step, over all processes")
    lr: float = knob(3e-4, 1e-7, 1, help="peak learning rate")
    final_lr: float = knob(0.01, 0, 1, help="share of the peak rate at the end of the cosine")
    warmup: int = knob(100, 0, 100000, help="steps of linear warm-up")
    weight_decay: float = knob(0.01, 0, 1, help="of AdamW")
    clip: float = knob(1.0, 0, 1e6, help="largest norm of the gradient; 0: no limit")
    ema: float = knob(0.9995, 0, 0.999999, help="decay of the averaged weights after its warm-up")
    seed: int = knob(0, 0, 2**31, help="of weights, order, crops, noise and dropout")
    steps: int = knob(0, 0, 10**9, help="budget in steps (or give --minutes)")
    minutes: float = knob(0.0, 0, 1e6, help="budget in minutes of training, over all resumes")
    precision: Literal["auto", "fp32", "bf16"] = knob("auto", help="auto: bf16 where the hardware multiplies it")
    compile: bool = knob(False, help="torch.compile the network")
    memory: int = knob(4096, 0, 10**7, help="megabytes of decoded pictures kept; the rest is decoded each time")
    save_minutes: float = knob(5.0, 0.001, 1e5, help="minutes between checkpoints, each with a look at held-out pictures")
    heldout_pictures: int = knob(128, 0, 10**6, help="held-out pictures of that look; the report at the end takes all")
    data_name: str = knob("", help="name of the data for the model card; the file names if empty")
    terms: str = knob("those of the data", help="terms of use for the model card")

    def __post_init__(self) -> None:
        knobs.check(self)
        if self.steps and self.minutes:
            raise TrainError("the budget is --steps or --minutes, not both.")
        self.widths()
        self.attended(len(self.widths()))

    def widths(self) -> tuple[int, ...]:
        """Channels per level."""
        try:
            widths = tuple(int(part) for part in self.channels.split(","))
        except ValueError:
            raise TrainError(f"--channels is a list such as 64,128,192; got {self.channels!r}.") from None
        if not 1 <= len(widths) <= 8 or any(w < 8 or w % 8 for w in widths):
            raise TrainError(f"--channels has one to eight multiples of 8; got {self.channels!r}.")
        return widths

    def attended(self, levels: int) -> frozenset[int]:
        """Levels with attention, of 0 .. levels - 1."""
        if self.attention in ("none", "last"):
            return frozenset({levels - 1} if self.attention == "last" else ())
        try:
            chosen = frozenset(int(part) for part in self.attention.split(","))
        except ValueError:
            raise TrainError(f"--attention is last, none, or levels such as 2,3; got {self.attention!r}.") from None
        if not chosen <= frozenset(range(levels)):
            raise TrainError(f"--attention names levels 0 to {levels - 1}, 0 the highest resolution; got {self.attention!r}.")
        return chosen

    def fixed(self) -> dict[str, Any]:
        """The settings that a resumed run must share."""
        return {key: value for key, value in knobs.values(self).items() if key not in FREE}


def resumed(saved: dict[str, Any], given: dict[str, Any]) -> Recipe:
    """The recipe of a checkpoint with what is given anew. Raises TrainError where that would be another run."""
    asked = knobs.build(Recipe, given)
    for key, value in saved.items():
        if key in given and key not in FREE and getattr(asked, key) != value:
            option = "--" + key.replace("_", "-")
            raise TrainError(
                f"the run in the folder has {option} {value}, and it was asked to resume with {getattr(asked, key)}. "
                "Leave the option out, or train into another --out."
            )
    merged = saved | {key: getattr(asked, key) for key in given if key in FREE}
    if "steps" in given and asked.steps:
        merged["minutes"] = 0.0
    elif "minutes" in given and asked.minutes:
        merged["steps"] = 0
    known = {field.name for field in dataclasses.fields(Recipe)}
    return Recipe(**{key: value for key, value in merged.items() if key in known})
