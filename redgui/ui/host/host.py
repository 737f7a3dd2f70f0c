"""The host: what belongs to the app and to no page. Limits, sessions, the queue, and the priors that are offered."""

from typing import Any

from redgui import images, priors
from redgui.runs import zero_gpu
from redgui.ui.host.feed import Feeds
from redgui.ui.host.limits import limits_of
from redgui.ui.host.queue import Line
from redgui.ui.host.sessions import Sessions


class Host:
    """One app as it is served.

    Attributes:
        prior_name, device, precision: what a page begins with, and what a call gets that says nothing else.
        public: strangers use it: only listed priors, and the limits of `redgui.ui.host.limits.PUBLIC`.
        examples: the paths of the bundled pictures.
    """

    def __init__(self, prior_name: str = "faces-64", device: str = "auto", precision: str = "auto", public: bool = False):
        self.prior_name, self.device, self.precision, self.public = prior_name, device, precision, public
        self.limits = limits_of(public)
        self.sessions = Sessions(self.limits.pages)
        self.queue = Line(self.limits.queue, places=1 if zero_gpu.on_zero_gpu() else self.limits.places)
        self.feeds = Feeds()
        self.examples = images.examples()

    def prior_named(self, name: Any) -> priors.Prior:
        """A prior by its name, None for the app's own, loaded once for everybody. Raises PriorError, as `offered` does."""
        return priors.load(self.offered(name), self.device, self.precision)

    def offered(self, name: Any) -> str:
        """The name of a prior itself, where this host loads it: at home any, in public those of the list. Raises PriorError."""
        name = str(name or self.prior_name)
        if self.public and name not in {self.prior_name, *(card.name for card in priors.PRIORS)}:
            raise priors.PriorError(f"{name[:60]!r} is not offered here; choose a prior of the list.")
        return name
