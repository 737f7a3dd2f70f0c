"""Networks that are exact for Gaussian data: the closed form, the loss that trains them, and what samplers make of them."""

import functools

import pytest
import tiny
import torch
from torch import Tensor

from redgui import knobs, operators, presets
from redgui.priors import Counted, GaussianPrior, schedulers
from redgui.priors.base import Wrapped
from redgui.priors.network import DiffusersPrior
from redgui.priors.parametrisation import Consistency, Edm, Flow
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.samplers import SAMPLERS
from redgui.schedule import linear_beta
from redgui.train.objective import SCHEDULES, Objective

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers with a new numpy
MEAN, STD = 0.2, 0.6  # of Gaussian data
EVERY = ("v", "epsilon", "sample", "flow", "edm")
noise = functools.partial(tiny.noise, dtype=torch.float64)


# ---- Gaussian data in closed form


def gaussian(x: Tensor, s: Tensor | float) -> Tensor:
    """E[x0 | x0 + s eps = x] of N(MEAN, STD^2)."""
    return MEAN + STD**2 / (STD**2 + s**2) * (x - MEAN)


class Exact(torch.nn.Module):
    """The network that is trained out on such data, affine in its input; by the papers' own notation."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, z: Tensor, t: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        z, t = z.double(), t.double()[:, None, None, None]
        if self.kind == "flow":  # E[eps - x0 | (1 - t) x0 + t eps = z] by the formula for jointly normal numbers
            t = t / 1000
            out = -MEAN + (t - (1 - t) * STD**2) / ((1 - t) ** 2 * STD**2 + t**2) * (z - (1 - t) * MEAN)
        elif self.kind == "score":  # of N(mean, std^2 + t^2) in [0, 1]
            out = ((MEAN + 1) / 2 - z) / (STD**2 / 4 + t**2)
        elif self.kind == "edm":  # E[(x0 - c_skip x) / c_out | x], as the EDM paper's eq. 8 has the target
            s, d = (4 * t).exp(), 0.5
            x, q = z * (s**2 + d**2).sqrt(), (s**2 + d**2).sqrt()
            out = (gaussian(x, s) - d**2 / q**2 * x) * q / (s * d)
        else:
            abar = torch.from_numpy(1 / (1 + linear_beta().numpy() ** 2))[t.long()]
            eps = (1 - abar).sqrt() / (abar * STD**2 + 1 - abar) * (z - abar.sqrt() * MEAN)
            x0 = (z - (1 - abar).sqrt() * eps) / abar.sqrt()
            out = {"epsilon": eps, "v": abar.sqrt() * eps - (1 - abar).sqrt() * x0, "sample": x0}[self.kind]
        return (out.float(),)


@pytest.mark.parametrize("kind", [*EVERY, "score"])
def test_a_network_that_is_exact_for_gaussian_data_has_the_closed_form(kind):
    found = schedulers.read(SCHEDULES.get(kind, {"_class_name": "ScoreSdeVeScheduler"}))
    prior = DiffusersPrior(Exact(kind), None, found, (3, 4, 4))
    sigmas = found.sigmas[[0, len(found.sigmas) // 3, 2 * len(found.sigmas) // 3]].float()
    x = noise(3, 3, 4, 4, dtype=torch.float32) * (1 + sigmas[:, None, None, None])
    together = prior.denoise(x, sigmas)
    torch.testing.assert_close(together, gaussian(x, sigmas[:, None, None, None]), rtol=1e-5, atol=2e-5)
    for k in range(3):
        torch.testing.assert_close(prior.denoise(x[k : k + 1], float(sigmas[k])), together[k : k + 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", EVERY)
def test_the_training_target_is_the_answer_that_makes_d_the_picture(kind):
    found = schedulers.read(SCHEDULES[kind])
    x0, eps = noise(1, 3, 4, 4), noise(1, 3, 4, 4, seed=1)
    for k in (0, 400, -1):
        s = float(found.sigmas[k])
        made = found.denoised(x0 + s * eps, s, found.target(x0, eps, s))
        torch.testing.assert_close(made, x0, rtol=0, atol=1e-9)


def test_the_loss_of_an_exact_network_is_the_variance_that_is_left():
    """The weighting counts the squared error of x0, whatever the network predicts: in the mean p s^2 / (p + s^2) each."""
    x0 = MEAN + STD * noise(1, 3, 64, 64, dtype=torch.float32)
    eps, losses = noise(1, 3, 64, 64, seed=1, dtype=torch.float32), []
    for kind in EVERY:
        found = schedulers.read(SCHEDULES[kind])
        t = (found.sigmas - 1.0).abs().argmin()[None]
        losses.append(float(Objective(found, "min-snr").losses(Exact(kind), x0, t, eps)))
    p = STD**2
    assert losses == pytest.approx([p / (p + 1)] * len(EVERY), rel=0.03)


def test_a_grid_ascends_and_its_times_are_those_of_its_levels():
    for found in (Flow(), Edm(), Consistency(40), *(schedulers.read(SCHEDULES[kind]) for kind in EVERY)):
        assert bool((found.sigmas.diff() > 0).all())
        assert bool((found.times.diff() > 0).all())
        assert bool(found.sigmas.isfinite().all())


# ---- few steps


class Trajectory(torch.nn.Module):
    """The consistency model that is trained out on a Gaussian field: the end of the ODE through x, in closed form.

    The ODE's solution goes along each eigenvector as sqrt(p + s^2), p the eigenvalue.
    """

    def __init__(self, prior: GaussianPrior, found: Consistency):
        super().__init__()
        self.spectrum, self.found = prior.spectrum(*prior.shape[1:]), found

    def forward(self, z: Tensor, t: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        s = (t.double() / 250).exp()[:, None, None, None]
        into, skip, out, _ = self.found.scaling(s)
        x = z.double() * into
        gain = ((self.spectrum + self.found.sigmas[0] ** 2) / (self.spectrum + s**2)).sqrt()
        end = torch.fft.ifft2(gain * torch.fft.fft2(x)).real
        return (torch.nan_to_num((x / skip - end) / out).float(),)


class On(Wrapped):
    """A prior on another grid of levels."""

    def __init__(self, prior: GaussianPrior, sigmas: Tensor):
        super().__init__(prior)
        self.sigmas = sigmas

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.inner.denoise(x, sigma)


@pytest.mark.parametrize(
    ("spec", "least", "most"),
    [("diffpir:steps=4", 0.8, 1.5), ("diffpir", 0.8, 1.5), ("ddnm:steps=4", 0.8, 1.5), ("ddnm", 0.8, 1.5),
     ("reddiff:steps=4", 0.5, 1.5), ("reddiff", 0.8, 1.5)],
)  # fmt: skip
def test_a_consistency_prior_draws_detail_in_four_to_eight_calls(spec, least, most):
    """The finer half of the frequencies has the power of the data; a mean of so few steps has a quarter to a half of it."""
    gaussian, found = GaussianPrior(size=16, exponent=3, std=0.25), Consistency(40)
    consistent = DiffusersPrior(Trajectory(gaussian, found), None, found, (3, 16, 16))
    spectrum, power = gaussian.spectrum(16, 16), {}
    H = operators.build("superres:factor=2")
    sampler = presets.sampler_for(spec, H, 0.0, "openai/diffusers-cd_imagenet64_l2")
    for prior in (consistent, On(gaussian, found.sigmas)):
        restored = []
        for k in range(8):
            problem = Problem.simulate(gaussian.sample(1, torch.Generator().manual_seed(k)), H)
            counted = Counted(prior)
            *_, last = measured(solve(problem, counted, sampler), problem, counted)
            restored.append(last.x0_hat)
            assert last.nfe == sampler.steps
            assert last.residual < 0.02
        fine = torch.fft.fft2(torch.cat(restored).double(), norm="ortho").abs().square() / spectrum
        power[prior is consistent] = float(fine[..., spectrum < spectrum.median()].mean())
    assert least < power[True] < most
    assert power[True] > power[False]


@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
def test_no_sampler_is_worse_with_another_kind_of_training(cls):
    """The networks are exact for one Gaussian, so that only their grids of noise levels differ."""
    truth = (MEAN + STD * noise(1, 3, 16, 16, dtype=torch.float32)).clamp(-1, 1)
    H, found = operators.build("inpaint:kind=random,fraction=0.3"), {}
    steps = "steps=10" if any(k.name == "steps" for k in knobs.knobs(cls)) else ""
    for kind in ("v", "flow", "edm"):
        prior = DiffusersPrior(Exact(kind), None, schedulers.read(SCHEDULES[kind]), (3, 16, 16))
        problem = Problem.simulate(truth, H, 0.1)
        *_, last = measured(solve(problem, prior, presets.sampler_for(f"{cls.name}:{steps}", H, 0.1)), problem)
        found[kind] = last.psnr
    assert min(found.values()) > found["v"] - 1.0
