"""What a run is, in one value: page, link, record, task, command, HTTP call, benchmark and worker read and write it.

    settings = Settings.read({"operator": "blur:size=5", "sampler": "reddiff", "sigma_y": 0.1})
    settings.words()                 {"operator": "blur:size=5", "sampler": "reddiff", "sigma_y": 0.1, "prior": "faces-64"}

A new field is a knob here, and by that a parameter of a link that reads itself back, an option of a command, an argument of a
snippet, an entry of a record and what a call may send.
"""

import base64
import contextlib
import dataclasses
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from redgui import devices, fitting, images, knobs, noise, operators, presets
from redgui.fitting import Way
from redgui.knobs import Knob, KnobError, knob
from redgui.noise import Noise, of_noise
from redgui.operators import Operator, OperatorError, masks
from redgui.priors.base import LARGEST, SMALLEST, Prior
from redgui.runs import cores
from redgui.runs.problem import NOISIEST, Problem
from redgui.samplers import Sampler

if TYPE_CHECKING:
    from redgui.runs.record import Record


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a run is made of but the pixels of its picture. Its knobs have their bounds here and nowhere else.

    A knob that is not `shown` is on no page and in no link. Settings are equal that are so but for the machine.

    Attributes:
        example, picture: the picture, as the name of a bundled example or by its number (`picture_number`); or neither.

    Raises:
        KnobError: a value that is out of bounds.
    """

    name = "run"

    H: Operator
    sampler: Sampler
    sigma_y: float = knob(
        0.0, 0.0, NOISIEST, step=0.005, label="Noise σ_y", whole=2.0,
        help="standard deviation, the picture spanning -1 to 1; or a/b where it spans 0 to b: 12.75/255",
    )  # fmt: skip
    seed: int = knob(0, 0, 2**63 - 1, help="of the noise and of the sampler: the same seed gives the same pixels")
    noise: str = knob("gaussian", hi=100, help="the model of the noise, NAME:knob=value,...; sigma_y is its Gaussian part")
    particles: int = knob(1, 1, 64, help="independent runs in one batch: their mean and spread")
    given: bool = knob(False, help="the picture is itself the measurement; there is no original")
    prior: str = knob(presets.USUAL, hi=5000, help="the name of the diffusion model")
    fit: Way = knob("crop", help="how a picture of another shape is brought to what the prior takes")
    size: int | None = knob(None, SMALLEST, LARGEST, help="longest side of the fit native")
    device: str = knob("auto", hi=10, shown=False, compare=False, help=f"where the network runs: {devices.NAMES}")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob("auto", shown=False, compare=False, help="of the network")
    threads: int | None = knob(None, 1, cores.MOST, shown=False, compare=False, help="of the CPU; the last bits depend on it")
    example: str | None = None
    picture: str | None = None

    def __post_init__(self) -> None:
        for k in knobs.knobs(type(self)):
            object.__setattr__(self, k.name, checked(k, getattr(self, k.name)))
        object.__setattr__(self, "noise", knobs.spec(noise.build(self.noise)))  # one text for one model
        devices.checked(self.device)
        self.model.check_fit(self.H)

    @property
    def model(self) -> Noise:
        """The model of the noise."""
        return noise.build(self.noise)

    @property
    def noiseless(self) -> bool:
        """Whether the measurement has no noise of any kind."""
        return self.model.absent(self.sigma_y)

    @property
    def likelihood(self) -> Operator:
        """The operator as samplers are given it (`Problem.likelihood`)."""
        return of_noise(self.H, self.model, self.sigma_y)

    @property
    def level(self) -> float:
        """The noise that samplers are told, for which presets are: sigma_y where it is Gaussian."""
        return self.model.level(self.sigma_y)

    @classmethod
    def read(cls, said: Mapping[str, Any], painted: np.ndarray | None = None) -> Self:
        """The settings in texts or JSON values, by their names. What is absent or None is what a bare command takes.

        Args:
            said: `operator` and `sampler` as specifications or as they are, knobs, `example`, `picture`.
            painted: a mask (h, w) on the fitted picture, True = to be filled in; the operator is then an inpainting.

        Raises:
            KnobError: a name that is unknown, or a value that cannot be used.
        """
        known = {k.name: k for k in knobs.knobs(cls)}
        names = ("operator", "sampler", *known, "example", "picture")
        for name in said:
            if name not in names:
                raise KnobError(f"a run has no setting {knobs.shown(name)}. Its settings: {', '.join(names)}.")
        found = {name: value for name, value in said.items() if value is not None}
        found |= {name: checked(k, found[name]) for name, k in known.items() if name in found}
        operator, spec = found.pop("operator", "inpaint"), found.pop("sampler", "reddiff")
        for name, value, made in (("operator", operator, Operator), ("sampler", spec, Sampler)):
            if not isinstance(value, (str, made)):
                raise KnobError(f"{name} is a text; got {knobs.shown(value)}.")
        H, given = (operator, False) if isinstance(operator, Operator) else parse_operator(operator, painted)
        if isinstance(spec, str):
            level = noise.build(found.get("noise", "gaussian")).level(found.get("sigma_y", 0.0))
            spec = presets.sampler_for(spec, H, level, found.get("prior", presets.USUAL))
        found["given"] = found.get("given", False) or given
        return cls(H=H, sampler=spec, **{"particles": presets.particles(spec, H), **found})

    @staticmethod
    def of(record: "Record") -> "Settings":
        """The settings of a record with which picture its own is, at its own size. Raises RedguiError."""
        example = example_of(record.image, record.settings.fit)
        picture = None if example else picture_number(record)
        return dataclasses.replace(record.settings, example=example, picture=picture, size=None)

    def by(self, prior: Prior) -> Self:
        """The same, with the name, device and precision of a prior that is loaded."""
        return dataclasses.replace(self, prior=prior.name, device=prior.network_device.type, precision=prior.precision)

    def fitted(self, how: fitting.Fitting) -> Self:
        """The same with the operator for pictures that are fitted so. Raises OperatorError where their size does not fit."""
        if self.given and self.H.own_scale and not how.pixels_kept(self.H.grid):
            (h0, w0), (h, w) = how.original, how.size
            raise OperatorError(
                f"{self.H.name}: the picture of {w0}x{h0} was to be made {w}x{h}, and its pixels are then no longer those that "
                "were measured. Use a prior of any size with the fit native and a size that is large enough, or give a part "
                f"of the picture of {w}x{h} that begins at multiples of {self.H.grid} pixels."
            )
        H = self.H.placed(*how.solved, how.shown if self.given else None)
        return dataclasses.replace(self, H=H) if self.given else self

    def problem(self, picture: Tensor) -> Problem:
        """The measurement of a fitted picture (1, c, h, w): simulated, or the picture itself where it is `given`."""
        make = Problem.given if self.given else Problem.simulate
        return make(picture, self.H, self.sigma_y, self.seed, self.model)

    def words(self, page: bool = False) -> dict[str, Any]:
        """What `read` makes the settings of again, by name: specifications, the prior, and what a bare command would not have.

        Args:
            page: without what is not `shown`.
        """
        sampler = presets.text(self.sampler, self.H, self.level, self.prior)
        said: dict[str, Any] = {"operator": knobs.spec(self.H.unplaced), "sampler": sampler}
        usual = {"particles": presets.particles(self.sampler, self.H), "prior": None}  # a host may have another prior
        for k in knobs.knobs(type(self)):
            if (k.shown or not page) and getattr(self, k.name) != usual.get(k.name, k.default):
                said[k.name] = getattr(self, k.name)
        return said

    def figures(self) -> dict[str, Any]:
        """What was run, as command line, benchmark and tasks name it beside its results."""
        rest = ("sigma_y", "noise", "seed", "particles", "device", "precision")
        specs = {"prior": self.prior, "operator": knobs.spec(self.H.unplaced), "sampler": knobs.spec(self.sampler)}
        return specs | {name: getattr(self, name) for name in rest}


def checked(k: Knob, value: Any) -> Any:
    """`knobs.coerce`, which tells a number that is out of bounds (nan is) what they are."""
    try:
        return knobs.coerce(k, value)
    except KnobError:
        if k.kind is float and isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        number = type(value) is int or (type(value) is float and k.kind is float)
        if not number or isinstance(value, str) or k.lo is None or k.hi is None or k.lo <= value <= k.hi:
            raise
        lie = "lie" if k.name.endswith("s") else "lies"
        raise KnobError(f"the {k.name} {lie} in {knobs.span(k)}; got {str(value)[:20]}.") from None


def parse_operator(spec: str, painted: np.ndarray | None = None) -> tuple[Operator, bool]:
    """An operator from its text form, and whether the picture is to be the measurement itself (`given:of=NAME,...`).

    Args:
        painted: a mask (h, w) on the fitted picture, True = to be filled in; the operator is then an inpainting.
    """
    name, settings = knobs.parse(spec)
    given = name == "given"
    if given:
        name = settings.pop("of", "denoise" if painted is None else "inpaint")
    if painted is not None:
        if name != "inpaint":
            raise KnobError(f"a mask goes with the operator inpaint; got {name!r}. Leave --mask out or choose inpaint.")
        settings |= {"kind": "mask", "painted": masks.encode(painted)}
    return knobs.build(knobs.find(operators.OPERATORS, name, "operator"), settings), given


def decoded(png: bytes) -> Tensor:
    """The picture (1, c, h, w) in a record's file: of one channel where the file is grey."""
    picture = images.read(png)
    return images.to_tensor(picture, 1 if Image.open(io.BytesIO(png)).mode == "L" else 3)


@lru_cache(maxsize=4)  # a link, a command and a snippet of one record ask; each key holds a picture
def example_of(image: str, fit: str) -> str | None:
    """The name of the bundled example whose picture, fitted so, is that of a record (`Record.image`); None if there is none."""
    picture = decoded(base64.b64decode(image))
    c, h, w = picture.shape[-3:]
    for path in images.examples():
        found = images.read(path)
        if found.size != (w, h):
            if fit in ("native", "face"):  # which depend on the prior or picture; a record has a picture of its own for that
                continue
            found = fitting.plan((found.height, found.width), (h, w), fit).apply(found)
        if torch.equal(images.to_tensor(found, c), picture):
            return path.stem
    return None


def picture_number(record: "Record") -> str:
    """Tells a picture from others without showing it: 16 hexadecimal digits of the SHA-256 of its file."""
    return hashlib.sha256(record.image.encode()).hexdigest()[:16]
