"""A `diffusers` scheduler_config.json as a Parametrisation: which it is, and its grid of noise levels.

A scheduler is a way of sampling, of which nothing is used here but what it says of the network's training.
"""

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.knobs import shown
from redgui.priors.base import PriorError
from redgui.priors.parametrisation import Consistency, Discrete, Edm, Flow, LatentConsistency, Parametrisation, Score

BETAS = (
    "DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "PNDMScheduler", "RePaintScheduler",
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "DPMSolverSDEScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler", "TCDScheduler",
)  # fmt: skip
LCM = ("LCMScheduler",)
EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
CONSISTENCY = ("CMStochasticIterativeScheduler",)
SCORE = ("ScoreSdeVeScheduler",)
KNOWN = (*BETAS, *LCM, *EDM, *FLOW, *CONSISTENCY, *SCORE)
OF_BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
MOST_LEVELS = 100_000


def read(config: dict[str, Any], first: int = 0) -> Parametrisation:
    """The parametrisation of a network whose scheduler is that of `config`.

    Args:
        first: the smallest t that the network can be asked at, where its times are whole numbers.

    Raises:
        PriorError: the scheduler, or what it says of the network, is none that is read.
    """
    kind = known(config)
    number = _Numbers(config, kind)
    prediction = config.get("prediction_type", "epsilon")
    levels = int(number("num_train_timesteps", 2, MOST_LEVELS, {CONSISTENCY: 40, SCORE: 2000}.get((kind,), 1000)))
    if kind in FLOW or config.get("use_flow_sigmas"):
        if config.get("invert_sigmas"):
            raise PriorError("the scheduler inverts its sigmas (invert_sigmas), which redgui does not read.")
        said = "flow_prediction" if kind in FLOW else prediction
        # Where the shift depends on the size of a picture, it is left to whoever samples.
        shift = 1.0 if config.get("use_dynamic_shifting") else number("shift" if kind in FLOW else "flow_shift", 1e-3, 1e3, 1.0)
        return Flow(levels, shift, "flow" if said == "flow_prediction" else str(said))
    if kind in EDM + CONSISTENCY + SCORE:
        usual = (0.01, 1348.0) if kind in SCORE else (0.002, 80.0)
        lowest, highest = number("sigma_min", 1e-6, 1e6, usual[0]), number("sigma_max", 1e-6, 1e6, usual[1])
        if lowest >= highest:
            raise PriorError(f"the scheduler's sigma_min is below its sigma_max; got {lowest:g} and {highest:g}.")
        if kind in SCORE:
            return Score(levels, lowest, highest)
        data, rho = number("sigma_data", 1e-3, 1e3, 0.5), number("rho", 0.1, 100, 7.0)
        if kind in CONSISTENCY:
            return Consistency(levels, lowest, highest, data, rho)
        spacing = config.get("sigma_schedule", "karras")
        if spacing not in ("karras", "exponential") or prediction not in ("epsilon", "v_prediction"):
            raise PriorError(
                f"the scheduler has the sigma_schedule {shown(spacing)} and the prediction_type {shown(prediction)}; of EDM "
                "redgui reads karras and exponential, epsilon and v_prediction."
            )
        rho = rho if spacing == "karras" else math.inf
        return Edm(levels + 1, lowest, highest, data, rho, 1 if prediction == "epsilon" else -1)
    if config.get("timestep_type", "discrete") != "discrete":
        raise PriorError(f"the scheduler's timestep_type is {shown(config['timestep_type'])}; redgui reads discrete ones.")
    alphas = alphas_cumprod(config)
    if kind in LCM:
        steps = int(number("original_inference_steps", 1, len(alphas), min(50, len(alphas))))
        return LatentConsistency(alphas, str(prediction), steps, number("timestep_scaling", 1e-3, 1e6, 10.0))
    return Discrete(alphas, str(prediction), first)


USUAL = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "rescale_betas_zero_snr": False, "trained_betas": None}


def known(config: dict[str, Any]) -> str:
    """The class that a scheduler's configuration names. Raises PriorError where it is none that is read."""
    kind = config.get("_class_name")
    if kind not in tuple(KNOWN):  # of any type
        raise PriorError(
            f"the scheduler is a {shown(kind)}; redgui reads schedules of betas (DDPMScheduler and its like), "
            f"{', '.join(EDM + FLOW + CONSISTENCY + LCM + SCORE)}."
        )
    return str(kind)


def alphas_cumprod(config: dict[str, Any]) -> Tensor:
    """alpha_bar over t of a schedule of betas, by diffusers' own schedulers, shape (T,). Raises PriorError."""
    if all(config.get(key, ...) == value for key, value in USUAL.items()):  # as they have it, and quicker than their import
        numbers: Any = [config.get(key) for key in ("num_train_timesteps", "beta_start", "beta_end")]
        steps, start, end = numbers
        whole = isinstance(steps, int) and isinstance(start, float) and isinstance(end, float)
        if whole and steps > 1 and 0 < start <= end < 1:
            return (1 - torch.linspace(start, end, steps)).cumprod(0)
    import diffusers
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    own: Any = getattr(diffusers, known(config))
    # What a configuration does not say differs between the classes. One whose own requirements are missing here says nothing.
    usual = {key: p.default for key, p in inspect.signature(own.__init__).parameters.items() if key in OF_BETAS}
    told = usual | {key: config[key] for key in OF_BETAS if key in config}
    if not usual and not {"beta_start", "beta_end", "beta_schedule"} <= told.keys():
        raise PriorError(f"the configuration of a {known(config)} is to say its beta_start, beta_end and beta_schedule.")
    try:
        maker = own if told.get("beta_schedule") == "exp" else DDPMScheduler
        found = maker(**told).alphas_cumprod
    except Exception as error:
        raise PriorError(f"the scheduler's betas cannot be made: {in_short(error)}") from error
    if not len(found) or not bool(((found >= 0) & (found <= 1)).all()) or bool((found.diff() > 0).any()):
        raise PriorError("the scheduler's betas make no noise schedule: alpha_bar is to fall from 1 towards 0.")
    return found


class _Numbers:
    """Reads the numbers of a scheduler's configuration, each within bounds."""

    def __init__(self, config: dict[str, Any], kind: str):
        self.config, self.kind = config, kind

    def __call__(self, name: str, lo: float, hi: float, default: float) -> float:
        value = self.config.get(name, default)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not lo <= value <= hi:  # nan is not, either
            raise PriorError(f"the {name} of the {self.kind} lies in {lo:g} to {hi:g}; got {shown(value)}.")
        return float(value)
