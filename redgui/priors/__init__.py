"""Priors and the catalogue of them: `load("faces-64")`."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from redgui import devices, images, knobs, plugins, schedule
from redgui.bundled import EXAMPLES
from redgui.bundled import PRIORS as BUNDLED
from redgui.knobs import knob
from redgui.priors import calibration, catalogue, hub
from redgui.priors.base import Counted, Prior, PriorError, per_image
from redgui.priors.calibration import Errors
from redgui.priors.catalogue import PriorCard
from redgui.priors.closed_form import GaussianPrior, MixturePrior, empirical_prior
from redgui.priors.folder import index_of, sides_of, unread
from redgui.priors.names import conditioned, is_folder
from redgui.reading import at_home

if TYPE_CHECKING:
    from redgui.priors.catalogue import PRIORS
    from redgui.priors.latent import LatentPrior

__all__ = ["PRIORS", "Counted", "Empirical", "GaussianPrior", "MixturePrior", "Prior", "PriorCard", "PriorError",
           "conditioned", "empirical_prior", "load", "per_image"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Empirical:
    """The knobs of the empirical prior on the command line."""

    name = "empirical"
    folder: str = knob("", help="folder of pictures; empty: the bundled examples")
    size: int = knob(64, 8, 512, help="side to which the pictures are fitted")


def __getattr__(name: str) -> Any:
    """PRIORS, as the catalogue has it: with those of plugins, which are read when it is first asked for."""
    if name != "PRIORS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return catalogue.PRIORS


def load(name: str = "faces-64", device: str = "auto", precision: str = "auto") -> Prior:
    """A prior by its bundled name, a closed-form specification, a folder or a Hub id; one in memory for everybody.

    Args:
        name: `faces-64`, `gaussian:std=0.3`, `empirical:folder=DIR`, a folder in diffusers format, or `owner/model`; a network
            that is class-conditional with its class, `DIR:label=207`, and a text-to-image model with its texts,
            `DIR:prompt=a red cup:negative=blur:guidance=2`. `DIR:memory=low` needs less of it for more time.
        device: of `devices.device_of`: auto, cpu, cuda, cuda:N, mps or xpu.
        precision: auto, fp32, bf16 or fp16: that of the network; its inputs and outputs stay float32.

    Raises:
        PriorError: it cannot be found or read.
        DeviceError: there is no such device.
    """
    where = devices.device_of(device)
    return _load(name, where, devices.precision_of(precision, where))


@functools.lru_cache(maxsize=4)
def _load(name: str, device: torch.device, precision: str) -> Prior:
    closed = without_weights(name)
    if isinstance(closed, Prior):
        return closed
    if closed is not None:
        wanted = closed
        folder = at_home(wanted.folder) if wanted.folder else EXAMPLES
        pictures = images.folder(folder)
        if not pictures:
            raise PriorError(f"the empirical prior needs a folder of pictures; {folder} has none.")
        x = torch.cat([images.load(p, wanted.size, wanted.size) for p in pictures])
        return empirical_prior(x.to(devices.home(device)), name=name)

    from redgui.priors import text
    from redgui.priors.latent import LatentPrior, is_latent
    from redgui.priors.network import DiffusersPrior

    where, wanted = conditioned(name)
    if where in bundled():
        folder = BUNDLED / where
    elif is_folder(where):
        folder = at_home(where)
    elif reason := unread([where]):
        raise PriorError(f"{where} is no folder in diffusers format.{reason}")
    elif hub.split(where):
        folder = hub.download(where)
    else:
        listed = ", ".join(card.name for card in catalogue.PRIORS)
        raise PriorError(
            f"there is no prior {knobs.shown(name)}. Give one of {listed}, a folder, "
            "or a Hub id (owner/model, owner/model@revision)."
        )
    label, low = None if wanted.label < 0 else wanted.label, wanted.memory == "low"
    if is_latent(folder) and text.is_text_to_image(folder):
        if wanted.quantise or label is not None:
            raise PriorError(f"{where} is a text-to-image model; leave label and quantise out.")
        shared = _text_to_image(folder.resolve(), device, precision, low)
        return shared.prompted(name, folder, wanted.prompt, wanted.negative, wanted.guidance)
    if (wanted.prompt, wanted.negative, wanted.guidance) != ("", "", 1.0):
        raise PriorError(f"{where} is no text-to-image model; leave prompt, negative and guidance out.")
    if is_latent(folder):
        return LatentPrior.from_folder(
            folder, quantise=wanted.quantise, name=name, device=device, precision=precision, label=label, low=low
        )
    if text.is_text_to_image(folder):
        raise PriorError(f"{where} is a text-to-image model without vae/, the decoder of its latents; such are not read.")
    if wanted.quantise:
        raise PriorError(f"{where} is no latent model; leave quantise out.")
    return DiffusersPrior.from_folder(folder, name=name, device=device, precision=precision, label=label, low=low)


@functools.lru_cache(maxsize=1)
def _text_to_image(folder: Path, device: torch.device, precision: str, low: bool) -> "LatentPrior":
    """A text-to-image model that waits for its texts: the weights of all its prompts."""
    from redgui.priors.latent import LatentPrior

    return LatentPrior.from_folder(folder, name=str(folder), device=device, precision=precision, low=low)


def without_weights(name: str) -> Prior | Empirical | None:
    """What a name says of a prior in closed form or of a plugin; None where it names a network. Raises KnobError."""
    kinds: dict[str, type] = {"gaussian": GaussianPrior, "empirical": Empirical}
    kinds |= {cls.card.name: cls for cls in plugins.classes("priors", catalogue.OWN)}  # type: ignore[attr-defined]
    cls = kinds.get(name.partition(":")[0].strip())
    return None if cls is None else knobs.build(cls, knobs.parse(name)[1])


def shape_of(name: str) -> tuple[int, int, int] | None:
    """(c, h, w) of a bundled or closed-form prior's pictures, without loading weights; None for any other."""
    closed = without_weights(name)
    if closed is not None:
        return closed.picture_shape if isinstance(closed, Prior) else (3, closed.size, closed.size)
    if name in bundled():
        config = json.loads((BUNDLED / name / "unet" / "config.json").read_text())
        return config["in_channels"], *sides_of(config["sample_size"], name)
    return None


def size_of(name: str) -> tuple[int, int] | None:
    """Height and width of `shape_of`."""
    shape = shape_of(name)
    return None if shape is None else shape[1:]


def multiple_of(name: str) -> int:
    """`Prior.multiple` of a prior, without loading the weights of a bundled one. Raises PriorError."""
    if name in bundled():
        from redgui.priors.network import multiple_of as multiple_of_network

        folder = BUNDLED / name
        return multiple_of_network(json.loads((folder / "unet" / "config.json").read_text()), folder)
    return load(name).multiple


def sigmas_of(name: str) -> torch.Tensor:
    """The grid of noise levels of a prior, without loading a bundled one."""
    if name in bundled():
        config = json.loads((BUNDLED / name / "scheduler" / "scheduler_config.json").read_text())
        if config["beta_schedule"] == "linear":
            return schedule.linear_beta(config["num_train_timesteps"], config["beta_start"], config["beta_end"])
    return load(name).sigmas


def errors_of(name: str) -> Errors | None:
    """`Prior.errors` of a bundled prior, without loading it; None of any other."""
    folder = BUNDLED / name
    return calibration.table(index_of(folder), folder) if name in bundled() else None


def bundled() -> list[str]:
    """Names of the priors in assets/priors."""
    return sorted(p.name for p in BUNDLED.iterdir() if p.is_dir())
