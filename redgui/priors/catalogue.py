"""The priors that redgui offers by name. Any other folder or Hub model in diffusers format loads as well."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PriorCard:
    """A line of the catalogue."""

    name: str
    size: str
    domain: str
    terms: str
    download_mb: int  # 0: bundled or needs no weights


def _ddpm(name: str, size: int, domain: str, download_mb: int = 455) -> PriorCard:
    """A network of DDPM (arXiv 2006.11239) as the Hub has it; "ema" are the averaged weights, which draw better pictures."""
    return PriorCard(f"google/ddpm-{name}", f"{size}x{size}", domain, "Apache-2.0", download_mb)


PRIORS = (
    PriorCard("faces-64", "64x64", "aligned faces; bundled", "non-commercial research", 0),
    PriorCard("photos", "any, to 12 megapixels", "photographs; bundled, fully convolutional", "non-commercial research", 0),
    PriorCard("gaussian", "any", "stationary Gaussian field, closed form", "no weights", 0),
    PriorCard("empirical", "any", "the pictures of a folder themselves, closed form", "no weights", 0),
    _ddpm("celebahq-256", 256, "celebrity faces"),
    _ddpm("ema-celebahq-256", 256, "celebrity faces, averaged weights"),
    _ddpm("church-256", 256, "churches"),
    _ddpm("ema-church-256", 256, "churches, averaged weights"),
    _ddpm("bedroom-256", 256, "bedrooms"),
    _ddpm("ema-bedroom-256", 256, "bedrooms, averaged weights"),
    _ddpm("cat-256", 256, "cats"),
    _ddpm("ema-cat-256", 256, "cats, averaged weights"),
    _ddpm("cifar10-32", 32, "small objects", 143),
    PriorCard("CompVis/ldm-celebahq-256", "256x256", "celebrity faces, latent diffusion", "Apache-2.0", 1320),
)
