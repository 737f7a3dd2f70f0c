"""The priors that redgui offers by name, PRIORS, and what is known of others, MODELS. Any other folder or Hub model in
diffusers format loads as well (docs/models.md has what is read)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redgui import plugins
from redgui.bundled import PRIORS as BUNDLED


@dataclass(frozen=True)
class PriorCard:
    """A line of the catalogue.

    Attributes:
        download_mb: 0: bundled or needs no weights.
        good_for: what it restores well, and what it does not, in a line for the page.
        widest: hole in pixels that it fills with more than a smooth continuation; None: it knows whole pictures of its kind.
        memory_gb: of its weights at half precision, about; encoders of texts are not among them.
        gated: the Hub gives it to those alone who have accepted its terms there and are logged in (`hf auth login`).
        presets: the group of presets that it has where it has none of its own.
    """

    name: str
    size: str
    domain: str
    terms: str
    download_mb: int
    good_for: str
    widest: int | None = None
    memory_gb: float = 0.1
    gated: bool = False
    presets: str = "*"

    @property
    def megabytes(self) -> int:
        """What the weights weigh, bundled or to be fetched, rounded up; 0 where there are none."""
        files = (BUNDLED / self.name).glob("unet/*.safetensors")
        return self.download_mb or math.ceil(sum(path.stat().st_size for path in files) / 1e6)


FEW, FEW_LATENT = "few-step", "few-step latent"  # consistency models and other distilled ones: of pictures, and of latents


def _ddpm(name: str, size: int, domain: str, download_mb: int = 455) -> PriorCard:
    """A network of DDPM (arXiv 2006.11239) as the Hub has it; "ema" are the averaged weights, which draw better pictures."""
    good_for = f"{domain.partition(',')[0]} of {size}x{size} pixels; anything else is bent towards them."
    return PriorCard(f"google/ddpm-{name}", f"{size}x{size}", domain, "Apache-2.0", download_mb, good_for, memory_gb=0.3)


def _text(name: str, size: int, domain: str, terms: str, download_mb: int, memory_gb: float, **more: Any) -> PriorCard:
    """A text-to-image model; what it is good for, its prompt says."""
    good_for = f"what a prompt tells, in pictures of {size}x{size} pixels."
    return PriorCard(name, f"{size}x{size}", domain, terms, download_mb, good_for, memory_gb=memory_gb, **more)


if TYPE_CHECKING:
    PRIORS: tuple[PriorCard, ...]

OWN = (
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
        "celebrity faces of 256x256 pixels; anything else is bent towards them.", memory_gb=0.7,
    ),
)  # fmt: skip

# Of kinds that are read; none was run with this version. Sizes are rounded; a model's own page has the last word on its terms.
MODELS = (
    PriorCard(
        "openai/diffusers-cd_imagenet64_l2", "64x64", "the classes of ImageNet (:label=207), in few steps", "MIT", 1200,
        "the class that is told, in pictures of 64x64 pixels.", memory_gb=0.6, presets=FEW,
    ),
    _text("stable-diffusion-v1-5/stable-diffusion-v1-5", 512, "Stable Diffusion 1.5", "CreativeML OpenRAIL-M", 4300, 2.0),
    _text("SimianLuo/LCM_Dreamshaper_v7", 768, "a latent consistency model", "MIT", 4300, 2.0, presets=FEW_LATENT),
    _text("stabilityai/sd-turbo", 512, "distilled, 1 to 4 steps", "Stability AI Community", 5200, 2.0, presets=FEW_LATENT),
    _text("stabilityai/stable-diffusion-xl-base-1.0", 1024, "Stable Diffusion XL", "OpenRAIL++-M", 13900, 5.5),
    _text("stabilityai/sdxl-turbo", 512, "distilled, 1 to 4 steps", "Stability AI Community", 13900, 5.5, presets=FEW_LATENT),
    _text(
        "stabilityai/stable-diffusion-3-medium-diffusers", 1024, "Stable Diffusion 3, without its T5", "Stability AI Community",
        6000, 4.5, gated=True,
    ),
    _text(
        "black-forest-labs/FLUX.1-schnell", 1024, "FLUX in 1 to 4 steps", "Apache-2.0",
        33700, 24.0, gated=True, presets=FEW_LATENT,
    ),
    _text(
        "black-forest-labs/FLUX.1-dev", 1024, "FLUX", "FLUX.1 [dev] non-commercial", 33700, 24.0, gated=True,
    ),
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """PRIORS: OWN and the cards of plugins, which are read when it is first asked for."""
    if name != "PRIORS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _all()


def _all() -> tuple[PriorCard, ...]:
    return OWN + tuple(cls.card for cls in plugins.classes("priors", OWN))  # type: ignore[attr-defined]


def card_of(prior: str) -> PriorCard | None:
    """The line of a prior's name, whatever it is told after it; None of one that is in neither list."""
    return next((card for card in (*_all(), *MODELS) if card.name == prior.partition(":")[0]), None)
