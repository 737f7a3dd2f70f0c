"""What a person has chosen in the Restore tab: from a handler's values to pictures, problems, samplers and priors."""

from typing import Any

import torch

from redgui import bundled, fitting, images, priors
from redgui.operators import Inpaint, Operator, masks
from redgui.runs.problem import Problem
from redgui.runs.watch import compute
from redgui.samplers import Sampler
from redgui.ui.host.limits import limits_of
from redgui.ui.host.queue import Line
from redgui.ui.host.sessions import Session, Sessions
from redgui.ui.parts import components
from redgui.ui.parts.controls import Controls, Setting
from redgui.ui.parts.wiring import Values


class Choices:
    """What the values of the Restore tab's controls stand for. The components are attributes, set by the layout."""

    fit: Any
    operator: Any
    operators: dict[str, Controls]
    mask: Any
    setting: Controls
    given: Any
    sampler: Any
    samplers: dict[str, Controls]
    prior: Any

    def __init__(self, prior_name: str = "faces-64", device: str = "auto", precision: str = "auto", public: bool = False):
        self.prior_name, self.device, self.precision, self.public = prior_name, device, precision, public
        self.limits = limits_of(public)
        self.sessions, self.line = Sessions(self.limits.pages), Line(self.limits.queue)
        self.examples_paths = images.folder(bundled.EXAMPLES)

    def chosen_prior(self, values: Values) -> str:
        """The name of the prior that is chosen. Raises PriorError where this host does not offer it."""
        return self.offered(values[self.prior])

    def load_prior(self, values: Values) -> priors.Prior:
        """The prior that is chosen, loaded once for everybody."""
        return self.prior_named(values[self.prior])

    def prior_named(self, name: Any) -> priors.Prior:
        """A prior by its name, None for the app's own; on a public host one of the list. Raises PriorError."""
        return priors.load(self.offered(name), self.device, self.precision)

    def offered(self, name: Any) -> str:
        """The name of a prior itself, where this host loads it: any at home. Raises PriorError."""
        name = str(name or self.prior_name)
        if self.public and name not in {self.prior_name, *(card.name for card in priors.PRIORS)}:
            raise priors.PriorError(f"{name[:60]!r} is not offered here; choose a prior of the list.")
        return name

    def size(self, values: Values) -> tuple[int, int]:
        """Height and width of the prior's own pictures, without loading the network where its config tells."""
        name = self.chosen_prior(values)
        return priors.size_of(name) or self.load_prior(values).picture_shape[-2:]

    def multiple(self, values: Values) -> int:
        """`Prior.multiple`, without loading the network where its config tells."""
        name = self.chosen_prior(values)
        return priors.multiple_of(name) if name in priors.bundled() else self.load_prior(values).multiple

    def fitted(self, session: Session, values: Values, H: Operator | None = None) -> fitting.Fitting:
        """How the picture is fitted: for the mask editor, or for an operator with its own wishes. Raises RedguiError."""
        source, how = self.source(session), values[self.fit] or "crop"
        multiple = self.multiple(values) if how == "native" else 0
        given = bool(values[self.given])
        return fitting.plan((source.height, source.width), self.size(values), how, multiple=multiple, H=H, given=given)

    def build_operator(self, values: Values, h: int, w: int) -> Operator:
        """The operator with its knobs; an inpainting that was painted takes the mask of the editor."""
        chosen = self.operators[values[self.operator]]
        if chosen.cls is Inpaint and values[chosen.parts["kind"]] == "mask":
            painted = masks.encode(components.mask_bits(values[self.mask], h, w))
            return chosen.build(values, painted=painted)
        return chosen.build(values)

    def build_setting(self, values: Values) -> Setting:
        """Noise, seed and particles."""
        return self.setting.build(values)

    def build_sampler(self, values: Values) -> Sampler:
        """The sampler with its knobs."""
        return self.limits.sampler(self.samplers[values[self.sampler]].build(values))

    def build_problem(self, session: Session, values: Values) -> tuple[torch.Tensor, Problem, fitting.Fitting]:
        """The fitted picture, its problem and how it was fitted. Raises RedguiError."""
        H = self.build_operator(values, *self.fitted(session, values).size)
        fitted = self.fitted(session, values, H)
        H.check_size(*fitted.solved)
        setting = self.build_setting(values)
        picture = images.to_tensor(fitted.apply(self.source(session)))
        make = Problem.given if values[self.given] else Problem.simulate
        return picture, compute(lambda: make(picture, H, setting.sigma_y, setting.seed)), fitted

    def source(self, session: Session) -> Any:
        """The person's picture, or the first example on a page that has not chosen."""
        if session.source is None:
            session.source = images.read(self.examples_paths[0])
            session.file = (str(self.examples_paths[0]), session.source)
        return session.source

    def shown(self, session: Session) -> Any:
        """What the page is to show as its picture: the very file where there is one, so that no copy of it is written."""
        source = self.source(session)
        return session.file[0] if session.file and session.file[1] is source else source
