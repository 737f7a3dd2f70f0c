"""Parametrisations: equal to diffusers' own arithmetic, and what cannot be read is told."""

import functools
import math

import diffusers
import pytest
import tiny
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from redgui.priors import PriorError, schedulers
from redgui.priors.network import DiffusersPrior
from redgui.priors.parametrisation import Consistency, Discrete, Flow, Parametrisation
from redgui.schedule import linear_beta

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers with a new numpy
noise = functools.partial(tiny.noise, dtype=torch.float64)


def config(scheduler: object) -> dict:
    """What its scheduler_config.json says."""
    return dict(scheduler.config) | {"_class_name": type(scheduler).__name__}


def read(scheduler: object) -> Parametrisation:
    return schedulers.read(config(scheduler))


class Recording(torch.nn.Module):
    """Answers with fixed numbers, and keeps what it was asked."""

    def __init__(self, out: Tensor):
        super().__init__()
        self.out, self.x, self.t = out, None, None

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        self.x, self.t = x, t
        return (self.out,)


def asked(scheduler: object, sigma: float, x: Tensor, out: Tensor) -> tuple[Tensor, Recording]:
    """D(x, sigma) of a network that answers `out`, and the network as it was asked."""
    net = Recording(out.float())
    prior = DiffusersPrior(net, None, read(scheduler), (3, 4, 4))
    return prior.denoise(x.float(), sigma), net


# ---- diffusers' own arithmetic


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("t", [0, 300, 900])
def test_schedules_of_betas_are_ddims_own_step(prediction, t):
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(1000)
    x_vp, out = noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1)
    theirs = scheduler.step(out, t, x_vp).pred_original_sample
    abar = scheduler.alphas_cumprod[t].double()
    sigma, scale = float(((1 - abar) / abar).sqrt()), float(abar.sqrt())
    ours, net = asked(scheduler, sigma, x_vp / scale, out)
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=1e-6 * (1 + sigma))
    torch.testing.assert_close(net.x.double(), x_vp, rtol=0, atol=1e-6)
    assert net.t.tolist() == [t]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
@pytest.mark.parametrize("sigma", [0.002, 0.3, 1.0, 80.0])
def test_edm_is_diffusers_own_preconditioning(kind, sigma, prediction):
    scheduler = kind(prediction_type=prediction, sigma_data=0.7)
    x, out = noise(1, 3, 4, 4) * (1 + sigma), noise(1, 3, 4, 4, seed=1)
    ours, net = asked(scheduler, sigma, x, out)
    theirs = scheduler.precondition_outputs(x, out, sigma)
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-6 * (1 + sigma))
    torch.testing.assert_close(net.x.double(), scheduler.precondition_inputs(x, sigma), rtol=0, atol=1e-6)
    torch.testing.assert_close(net.t, scheduler.precondition_noise(torch.tensor([sigma])))


@pytest.mark.parametrize("spacing", ["karras", "exponential"])
def test_the_levels_of_edm_are_diffusers_own(spacing):
    scheduler = EDMEulerScheduler(sigma_schedule=spacing, sigma_min=0.01, num_train_timesteps=50)
    torch.testing.assert_close(read(scheduler).sigmas.float(), scheduler.sigmas[:-1].flip(0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler])
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("k", [1, 20, 500, 980])
def test_flow_is_diffusers_own_step(kind, shift, k):
    scheduler = kind(shift=shift)
    found = read(scheduler)
    t = float(scheduler.sigmas.flip(0)[k - 1])
    sigma = t / (1 - t)
    assert float(found.sigmas[k - 1]) == pytest.approx(sigma, rel=1e-4)  # theirs are float32
    assert len(found.sigmas) == 999  # at t = 1 there is no picture
    x_t, out = noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1)
    ours, net = asked(scheduler, sigma, x_t * (1 + sigma), out)
    if kind is FlowMatchEulerDiscreteScheduler:  # one step of theirs from t to 0
        scheduler.set_timesteps(sigmas=[t])
        scheduler.sigmas = torch.tensor([t, 0.0])
        theirs = scheduler.step(out, scheduler.timesteps[0], x_t).prev_sample
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=2e-6)
    torch.testing.assert_close(ours.double(), x_t - t * out, rtol=0, atol=2e-6)
    torch.testing.assert_close(net.x.double(), x_t, rtol=0, atol=1e-6)
    assert float(net.t) == pytest.approx(1000 * t, rel=1e-6)


@pytest.mark.parametrize("prediction", ["flow_prediction", "epsilon", "sample"])
def test_flow_sigmas_of_other_schedulers_are_their_own_conversion(prediction):
    scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=2.0, prediction_type=prediction)
    scheduler.set_timesteps(8)
    scheduler._step_index = 3
    t = float(scheduler.sigmas[3])
    x_t, out = noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1)
    theirs = scheduler.convert_model_output(out, sample=x_t)
    ours, net = asked(scheduler, t / (1 - t), x_t / (1 - t), out)
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(net.x.double(), x_t, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [0, 5, 39])
def test_consistency_models_are_diffusers_own_step(k):
    scheduler = CMStochasticIterativeScheduler(clip_denoised=False)
    scheduler.set_timesteps(40)
    sigma, t = float(scheduler.sigmas[k]), scheduler.timesteps[k]
    x, out = noise(1, 3, 4, 4) * (1 + sigma), noise(1, 3, 4, 4, seed=1)
    c_skip, c_out = scheduler.get_scalings_for_boundary_condition(torch.tensor(sigma, dtype=torch.float64))
    ours, net = asked(scheduler, sigma, x, out)
    torch.testing.assert_close(ours.double(), c_out * out + c_skip * x, rtol=0, atol=1e-6 * (1 + sigma))
    torch.testing.assert_close(net.x.double(), scheduler.scale_model_input(x, t).double(), rtol=0, atol=1e-6)
    assert float(net.t) == pytest.approx(float(t), abs=1e-4)
    torch.testing.assert_close(read(scheduler).sigmas, CMStochasticIterativeScheduler().sigmas.flip(0))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_latent_consistency_models_are_diffusers_own_step(prediction):
    scheduler = LCMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(4)
    assert read(scheduler).times.tolist() == list(range(19, 1000, 20))  # those that it was distilled on
    for t in scheduler.timesteps.tolist():
        x_vp, out = noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1)
        theirs = scheduler.step(out, t, x_vp, torch.Generator().manual_seed(0)).denoised
        abar = float(scheduler.alphas_cumprod[t])
        sigma = math.sqrt((1 - abar) / abar)
        ours, net = asked(scheduler, sigma, x_vp / math.sqrt(abar), out)
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=1e-6 * (1 + sigma))
        assert float(net.t) == pytest.approx(t, abs=1e-2)


def test_what_is_tied_to_its_input_gives_it_back_at_the_lowest_level():
    x = noise(2, 3, 4, 4, dtype=torch.float32)
    found = Consistency(lowest=0.01)
    assert torch.equal(found.denoised(x, 0.01, torch.ones_like(x)), x)


@pytest.mark.parametrize("k", [3, 1000, 1999])
def test_score_networks_are_diffusers_own_step(k):
    scheduler = diffusers.ScoreSdeVeScheduler(num_train_timesteps=2000)
    scheduler.set_timesteps(2000)
    scheduler.set_sigmas(2000)
    found, (low, high) = read(scheduler), scheduler.discrete_sigmas[k - 1 : k + 1].double().tolist()
    torch.testing.assert_close(found.sigmas.float(), 2 * scheduler.discrete_sigmas, rtol=1e-5, atol=0)
    z, score = 0.5 + high * noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1) / high  # of pictures in [0, 1]
    theirs = scheduler.step_pred(score, (k + 0.5) / 1999, z).prev_sample_mean
    ours, net = asked(scheduler, 2 * high, 2 * z - 1, score)
    wanted = z + (high**2 - low**2) / high**2 * ((ours.double() + 1) / 2 - z)
    torch.testing.assert_close(wanted, theirs.double(), rtol=1e-5, atol=1e-6 * (1 + high))
    torch.testing.assert_close(net.x.double(), z, rtol=1e-6, atol=1e-6)
    assert float(net.t) == pytest.approx(high, rel=1e-5)


# ---- what is not read


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"_class_name": "IPNDMScheduler"}, "IPNDMScheduler"),
        ({"_class_name": "ScoreSdeVpScheduler"}, "ScoreSdeVpScheduler"),
        ({"_class_name": ["DDPMScheduler"]}, "scheduler is a"),
        ({"_class_name": "DDPMScheduler", "prediction_type": "flow_prediction"}, "flow_prediction"),
        ({"_class_name": "DEISMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "v_prediction"}, "v_prediction"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "timestep_type"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}, "invert_sigmas"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": "wide"}, "shift"),
        ({"_class_name": "EDMEulerScheduler", "sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min"),
        ({"_class_name": "EDMEulerScheduler", "sigma_data": math.nan}, "sigma_data"),
        ({"_class_name": "EDMEulerScheduler", "sigma_schedule": "spiral"}, "spiral"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "sample"}, "sample"),
        ({"_class_name": "DDPMScheduler", "num_train_timesteps": 10**12}, "num_train_timesteps"),
        ({"_class_name": "LCMScheduler", "original_inference_steps": 0}, "original_inference_steps"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value.get("_class_name")),
)
def test_what_a_scheduler_says_and_cannot_be_used_is_one_line(told, said):
    with pytest.raises(PriorError, match=said) as error:
        schedulers.read(told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", schedulers.BETAS)
def test_schedulers_of_the_same_betas_are_the_same_prior(kind):
    linear = dict(_class_name=kind, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", num_train_timesteps=1000)
    found = schedulers.read(linear)
    assert isinstance(found, Discrete)
    torch.testing.assert_close(found.sigmas, linear_beta(), rtol=1e-4, atol=0)
    assert isinstance(schedulers.read(linear | {"use_flow_sigmas": True}), Flow)
    try:
        made = getattr(diffusers, kind)()
    except ImportError:  # it needs a package that we do not
        with pytest.raises(PriorError, match="beta_start"):
            schedulers.read({"_class_name": kind})
    else:
        abar = made.alphas_cumprod.double()  # what the classes take where nothing is said differs
        torch.testing.assert_close(schedulers.read({"_class_name": kind}).sigmas, ((1 - abar) / abar).sqrt(), rtol=1e-6, atol=0)


def test_heuns_exponential_betas_are_its_own():
    scheduler = diffusers.HeunDiscreteScheduler(beta_schedule="exp")
    abar = scheduler.alphas_cumprod.double()
    torch.testing.assert_close(read(scheduler).sigmas, ((1 - abar) / abar).sqrt())
