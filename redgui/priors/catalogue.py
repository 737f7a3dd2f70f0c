"""The priors that redgui offers by name. Any other folder or Hub model in diffusers format loads as well."""

import math
from dataclasses import dataclass

from redgui.bundled import PRIORS as BUNDLED


@dataclass(frozen=True)
class PriorCard:
    """A line of the catalogue.

    Attributes:
        download_mb: 0: bundled or needs no weights.
        good_for: what it restores well, and what it does not, in a line for the page.
        widest: hole in pixels that it fills with more than a smooth continuation; None: it knows whole pictures of its kind.
    """

    name: str
    size: str
    domain: str
    terms: str
    download_mb: int
    good_for: str
    widest: int | None = None

    @property
    def megabytes(self) -> int:
        """What the weights weigh, bundled or to be fetched, rounded up; 0 where there are none."""
        files = (BUNDLED / self.name).glob("unet/*.safetensors")
        return self.download_mb or math.ceil(sum(path.stat().st_size for path in files) / 1e6)


def _ddpm(name: str, size: int, domain: str, download_mb: int = 455) -> PriorCard:
    """A network of DDPM (arXiv 2006.11239) as the Hub has it; "ema" are the averaged weights, which draw better pictures."""
    good_for = f"{domain.partition(',')[0]} of {size}x{size} pixels; anything else is bent towards them."
    return PriorCard(f"google/ddpm-{name}", f"{size}x{size}", domain, "Apache-2.0", download_mb, good_for)


PRIORS = (
    PriorCard(
        "faces-64", "64x64", "aligned faces; bundled", "non-commercial research", 0,
        "faces that fill a square of 64x64 pixels, holes of any width; anything else comes out as a small face.",
    ),
    PriorCard(
        "photos", "any, to 12 megapixels", "photographs; bundled, fully convolutional", "non-commercial research", 0,
        "photographs at their own size: noise, JPEG, scratches, text, small holes. It knows texture and edges, not objects.",
        widest=64,
    ),
    PriorCard(
        "gaussian", "any", "stationary Gaussian field, closed form", "no weights", 0,
        "checking mathematics: all it knows of pictures is that they are smooth.",
    ),
    PriorCard(
        "empirical", "any", "the pictures of a folder themselves, closed form", "no weights", 0,
        "checking mathematics: it returns pictures of its folder.",
    ),
    _ddpm("celebahq-256", 256, "celebrity faces"),
    _ddpm("ema-celebahq-256", 256, "celebrity faces, averaged weights"),
    _ddpm("church-256", 256, "churches"),
    _ddpm("ema-church-256", 256, "churches, averaged weights"),
    _ddpm("bedroom-256", 256, "bedrooms"),
    _ddpm("ema-bedroom-256", 256, "bedrooms, averaged weights"),
    _ddpm("cat-256", 256, "cats"),
    _ddpm("ema-cat-256", 256, "cats, averaged weights"),
    _ddpm("cifar10-32", 32, "small objects", 143),
    PriorCard(
        "CompVis/ldm-celebahq-256", "256x256", "celebrity faces, latent diffusion", "Apache-2.0", 1320,
        "celebrity faces of 256x256 pixels; anything else is bent towards them.",
    ),
)  # fmt: skip


def card_of(prior: str) -> PriorCard | None:
    """The line of a prior's name, `NAME` or `NAME:knob=value`; None for a folder or another Hub id."""
    return next((card for card in PRIORS if card.name == prior.partition(":")[0]), None)
