"""What sigma_y is where a person has not said: measured in a picture that is itself the measurement.

    said, to_measure = without_auto({"operator": "given:of=denoise", "sigma_y": "auto"})
    settings = Settings.read(said)
    if to_measure(settings):
        sigma_y = measured_noise(settings, picture)
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from redgui.knobs import KnobError
from redgui.noise import Gaussian, Outliers
from redgui.noise.estimate import noise_level
from redgui.noise.likelihood import without_outliers
from redgui.operators import Denoise
from redgui.runs.settings import Settings

AUTO = "auto"


def without_auto(said: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[Settings], bool]]:
    """What `Settings.read` takes of settings whose sigma_y may be `auto` or left out, and whether it is to be measured then.

    `auto` is measured; left out it is 0, but measured where there is nothing else to restore than noise.
    """
    sigma_y = said.get("sigma_y")
    if sigma_y == AUTO:
        return {**said, "sigma_y": None}, lambda settings: True
    return dict(said), lambda settings: sigma_y is None and _only_noise(settings)


def measurable(settings: Settings) -> bool:
    """Whether the noise can be measured: white and Gaussian, in a picture that a person gave."""
    return settings.given and settings.H.pictorial and isinstance(settings.model, (Gaussian, Outliers))


def measured_noise(settings: Settings, picture: Tensor) -> float:
    """The noise in a given picture (1, 3, h, w) as it was fitted, in [-1, 1] units, rounded to three digits.

    Raises:
        KnobError: there is none to be measured.
    """
    if not settings.given:
        raise KnobError(
            "sigma_y=auto measures the noise in a picture that is itself the measurement, and here it is simulated. "
            "Give a number, or the operator given:of=NAME."
        )
    if not measurable(settings):
        what = settings.H.label if not settings.H.pictorial else f"the noise {settings.model.name}"
        raise KnobError(f"sigma_y=auto measures the Gaussian noise in a picture, and not with {what}. Give a number.")
    y = settings.H.measurement_of(picture)
    if isinstance(settings.model, Outliers):
        y = without_outliers(y, settings.H)
    found = noise_level(y, settings.H.on_support(torch.ones_like(y)) > 0)
    return float(f"{min(found, 1.0):.3g}") if found >= 5e-4 else 0.0


def check_worth(settings: Settings) -> None:
    """Raises KnobError where a run would give back the picture that it was given."""
    if _only_noise(settings) and settings.sigma_y == 0:
        raise KnobError(
            "a picture that is already damaged is to be denoised, but sigma_y 0 says that there is no noise: it would come "
            "back as it is. Give sigma_y, or auto, which measures it; or choose another degradation."
        )


def _only_noise(settings: Settings) -> bool:
    return settings.given and isinstance(settings.H, Denoise) and isinstance(settings.model, Gaussian)
