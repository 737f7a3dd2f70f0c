"""Noise: its models, how samplers see it (`likelihood`, `stabilised`), and how much of it a picture has (`estimate`).

A new model is one class and one name in NOISES; page, command line, records and HTTP then have it.
"""

from functools import lru_cache

from redgui import knobs
from redgui.noise.likelihood import Likelihood
from redgui.noise.models import Gaussian, Noise, Outliers, Poisson, Speckle
from redgui.operators.base import Operator

# In the order in which people see them.
NOISES: tuple[type[Noise], ...] = (Gaussian, Poisson, Speckle, Outliers)
ALSO = {"poisson-gaussian": "poisson"}  # what sigma_y makes of it

__all__ = ["NOISES", "Gaussian", "Likelihood", "Noise", "Outliers", "Poisson", "Speckle", "build", "of_noise"]


@lru_cache(maxsize=64)
def build(spec: str) -> Noise:
    """The model of a specification such as `poisson:photons=30`; an error says what there is."""
    name, values = knobs.parse(spec)
    return knobs.build(knobs.find(NOISES, ALSO.get(name, name), "noise"), values)


def of_noise(H: Operator, noise: Noise, sigma_y: float) -> Operator:
    """H itself where the noise is Gaussian, otherwise H with the likelihood of the noise."""
    return H if isinstance(noise, Gaussian) else Likelihood(H=H, noise=noise, sigma_y=sigma_y)
