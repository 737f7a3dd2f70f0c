"""The form of the Restore tab: what its controls say, and how they are set to say something."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block
from PIL import Image
from torch import Tensor

from redgui import fitting, images, knobs, presets, priors, windows
from redgui.asked import undamaged
from redgui.errors import RedguiError
from redgui.noise import Noise
from redgui.operators import Inpaint, Operator, OperatorError, masks
from redgui.priors.base import LARGEST, SMALLEST
from redgui.runs import cores
from redgui.runs.known_noise import check_worth, measurable, measured_noise
from redgui.runs.problem import Problem
from redgui.runs.settings import Settings
from redgui.samplers import RedDiff, Sampler
from redgui.ui.host.host import Host
from redgui.ui.host.sessions import Session
from redgui.ui.parts import components
from redgui.ui.parts.controls import Controls, Named, Setting
from redgui.ui.parts.wiring import Updates, Values


class NothingPainted(OperatorError):
    """A mask under which nothing is missing: there is nothing to restore yet."""


class Posed(NamedTuple):
    """A picture (1, c, h, w) in [-1, 1] as it was fitted, and its measurement."""

    picture: Tensor
    problem: Problem
    fitting: fitting.Fitting


SIZE = next(k for k in knobs.knobs(Settings) if k.name == "size")


@dataclass(frozen=True, eq=False)
class Form:
    """The controls that make up a run, and what their values stand for on this host."""

    host: Host
    picture: gr.Image
    fit: gr.Radio
    longest: gr.Dropdown
    operator: gr.Dropdown
    operators: Named
    mask: gr.HTML
    given: gr.Checkbox
    noise: gr.Dropdown
    noises: Named
    setting: Controls
    sampler: gr.Dropdown
    samplers: Named
    prior: gr.Dropdown
    exact: gr.Checkbox

    @property
    def problem_inputs(self) -> set[Block]:
        """The components that decide about the measurement."""
        chosen = {self.operator, self.mask, self.given, self.noise, self.prior, self.fit, self.longest}
        return {*chosen, *self.setting, *self.operators.parts, *self.noises.parts}

    @property
    def sampler_inputs(self) -> set[Block]:
        """The components that decide about the sampler."""
        return {self.sampler, *self.samplers.parts}

    @property
    def inputs(self) -> set[Block]:
        """The components that decide about a run: all but its picture, which the session holds."""
        return self.problem_inputs | self.sampler_inputs | {self.exact}

    # ---- the prior

    def prior_name(self, values: Values) -> str:
        """The name of the prior that is chosen. Raises PriorError where this host does not offer it."""
        return self.host.offered(values[self.prior])

    def load_prior(self, values: Values) -> priors.Prior:
        """The prior that is chosen, loaded once for everybody."""
        return self.host.prior_named(values[self.prior])

    def picture_shape(self, values: Values) -> tuple[int, int, int]:
        """(c, h, w) of the prior's own pictures, without loading the network where its config tells."""
        return priors.shape_of(self.prior_name(values)) or self.load_prior(values).picture_shape

    def size(self, values: Values) -> tuple[int, int]:
        """Height and width of the prior's own pictures."""
        return self.picture_shape(values)[1:]

    def multiple(self, values: Values) -> int:
        """`Prior.multiple`, without loading the network where its config tells."""
        name = self.prior_name(values)
        return priors.multiple_of(name) if name in priors.bundled() else self.load_prior(values).multiple

    # ---- the picture

    def source(self, session: Session) -> Image.Image:
        """The person's picture, or the first example on a page that has not chosen."""
        if session.source is None:
            session.source = images.read(self.host.examples[0])
            session.file = (str(self.host.examples[0]), session.source)
        return session.source

    def file(self, session: Session) -> str | Image.Image:
        """What the page is to show as its picture: the very file where there is one, so that no copy of it is written."""
        source = self.source(session)
        return session.file[0] if session.file and session.file[1] is source else source

    def fitted(self, session: Session, values: Values, H: Operator | None = None) -> fitting.Fitting:
        """How the picture is fitted: for the mask editor, or for an operator with its own wishes. Raises RedguiError."""
        source, how = self.source(session), values[self.fit] or "crop"
        native, name, given = how == "native", self.prior_name(values), self.is_given(session, values)
        room = name in priors.bundled() or (prior := self.load_prior(values)).shape == prior.picture_shape
        return fitting.for_picture(
            source, self.size(values), how, multiple=self.multiple(values), H=H, given=given, room=room,
            longest=self.longest_side(source, values, given) if native else None,
        )  # fmt: skip

    def longest_side(self, source: Image.Image, values: Values, given: bool) -> int | None:
        """The longest side of the picture that is worked on: what is chosen, or its own, within this host's limits.

        None where it is a measurement, whose picture may be larger than itself: as `fitting.plan` has it.
        """
        chosen = knobs.coerce(SIZE, values[self.longest] or None, Settings.name)  # 0: its own
        most = min(LARGEST, self.host.limits.side)
        if not chosen and given and values[self.operator] != Inpaint.name and max(source.size) <= most:
            return None
        return min(most, chosen or max(SMALLEST, *source.size))

    def is_given(self, session: Session, values: Values) -> bool:
        """Whether the picture is the measurement itself, without an original: where a person says so, and where a person has
        painted over what should go from an own photo."""
        return bool(values[self.given]) or (session.own and self.is_painted(values))

    def is_painted(self, values: Values) -> bool:
        """Whether the degradation is the mask of the editor."""
        return values[self.operator] == Inpaint.name and values[self.operators[Inpaint.name].parts["kind"]] == "mask"

    # ---- what the values stand for

    def build_operator(self, values: Values, h: int, w: int) -> Operator:
        """The operator with its knobs; an inpainting that was painted takes the mask of the editor."""
        chosen = self.operators[values[self.operator]]
        if not self.is_painted(values):
            return chosen.build(values)
        hole = components.mask_bits(values[self.mask], h, w)
        if not hole.any():
            raise NothingPainted("Nothing is painted yet: paint over what should go, then press Run.")
        return chosen.build(values, painted=masks.encode(hole))

    def build_setting(self, values: Values) -> Setting:
        """Noise, seed and particles."""
        return self.setting.build(values)

    def build_noise(self, values: Values) -> Noise:
        """The model of the noise with its knobs."""
        return self.noises[values[self.noise]].build(values)

    def build_sampler(self, values: Values) -> Sampler:
        """The sampler with its knobs."""
        return self.host.limits.sampler(self.samplers[values[self.sampler]].build(values))

    def build_problem(self, session: Session, values: Values) -> Posed:
        """The fitted picture, its problem and how it was fitted. Raises RedguiError."""
        settings, picture, fitted = self._measurement(session, values)
        check_worth(settings)
        return Posed(picture, cores.apart(lambda: settings.problem(picture)), fitted)

    def measured_noise(self, session: Session, values: Values) -> float | None:
        """sigma_y as it is measured in a picture that is already damaged; None where it cannot be."""
        try:
            settings, picture, _ = self._measurement(session, values)
        except RedguiError:
            return None
        return cores.apart(lambda: measured_noise(settings, picture)) if measurable(settings) else None

    def _measurement(self, session: Session, values: Values) -> tuple[Settings, Tensor, fitting.Fitting]:
        """What decides about the measurement. It depends on no sampler: its knobs may be half typed."""
        H = self.build_operator(values, *self.fitted(session, values).size)
        fitted = self.fitted(session, values, H)
        setting: dict[str, Any] = knobs.values(self.build_setting(values)) | {"noise": knobs.spec(self.build_noise(values))}
        settings = Settings(H=H, sampler=RedDiff(), given=self.is_given(session, values), **setting)
        if fitted.how == "native" and settings.noiseless:
            fitted, H = windows.closer(fitted, H, self.multiple(values))
        settings = replace(settings, H=H).fitted(fitted)
        source = self.source(session)
        seen = undamaged(source, fitted, H) if settings.given else source
        return settings, images.to_tensor(fitted.apply(seen), self.picture_shape(values)[0]), fitted

    # ---- the other way round

    def show(self, run: Settings | Sampler) -> Updates:
        """The values with which the controls stand for a run's settings, or for a sampler alone; picture and mask are not here.

        Raises:
            KnobError: the controls cannot show the settings.
        """
        if isinstance(run, Sampler):
            return {self.sampler: run.name, **self.samplers[run.name].show(run)}
        setting = knobs.build(Setting, {"sigma_y": run.sigma_y, "seed": run.seed, "particles": run.particles})
        return {
            self.operator: run.H.name, self.given: run.given, self.prior: run.prior, self.fit: run.fit,
            self.longest: run.size or 0, self.sampler: run.sampler.name, self.noise: run.model.name,
            **self.noises[run.model.name].show(run.model, within=True),
            **self.operators[run.H.name].show(run.H, within=True),
            **self.samplers[run.sampler.name].show(run.sampler, within=True),
            **self.setting.show(setting, within=True),
        }  # fmt: skip

    def tuned(self, operator: str, kind: str | None, sigma_y: float, prior: str) -> Updates:
        """The presets of all samplers for a degradation, its kind, the level of its noise and a prior."""
        updates: Updates = {}
        for name, controls in self.samplers.items():
            known = presets.preset(name, operator, kind, sigma_y, prior)
            tuned = {k.name: k.default for k in knobs.knobs(controls.cls)} | known
            updates |= {part: tuned[knob] for knob, part in controls.parts.items()}
        return updates


@dataclass(frozen=True, eq=False)
class Page:
    """What all tabs stand on.

    Attributes:
        form: that of the Restore tab; tune: its button that has the Sweep tab tune.
        place: passes a place in line on to a view.
    """

    form: Form
    tabs: gr.Tabs
    place: gr.HTML
    tune: gr.Button

    @property
    def host(self) -> Host:
        """The app's host."""
        return self.form.host

    def to_restore(self, sampler: Sampler | None) -> Updates:
        """A sampler and its knobs into the form, and the page to the Restore tab; nothing for None."""
        if sampler is None:
            return {self.tabs: gr.skip()}
        return {self.tabs: gr.update(selected="restore"), **self.form.show(sampler)}

    @property
    def to_restore_outputs(self) -> list[Any]:
        """The outputs of a handler that gives `to_restore`."""
        return [self.tabs, *self.form.sampler_inputs]
