"""Priors: every parametrisation gives the same denoiser, calls are counted, pull-backs are exact, devices are checked."""

import json

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from tiny import noise
from torch import Tensor

from redgui import api, devices, images, priors, schedule
from redgui.bundled import EXAMPLES
from redgui.devices import DeviceError, device_of, precision_of
from redgui.knobs import KnobError
from redgui.priors import Counted, GaussianPrior, MixturePrior, PriorError, empirical_prior, per_image
from redgui.priors.base import Wrapped
from redgui.priors.network import DiffusersPrior, alphas_cumprod

SIGMAS = schedule.linear_beta()
ALPHA_BAR = schedule.alpha_bar(SIGMAS)


def some_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    """Any function of x and sigma will do."""
    return torch.tanh(x / (1 + sigma**2)) * 0.9 + 0.1


class Net(torch.nn.Module):
    """`some_denoiser` as a network in one of the three parametrisations, with garbage in further channels if asked."""

    def __init__(self, prediction: str, variance: bool = False):
        super().__init__()
        self.prediction, self.variance = prediction, variance
        self.seen: list[Tensor] = []

    def forward(self, x_vp: Tensor, t: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        assert not return_dict
        self.seen.append(t)
        alpha_bar = torch.from_numpy(np.interp(t.numpy(), np.arange(1000), ALPHA_BAR.numpy()))[:, None, None, None]
        alpha, sigma_t = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()  # float64, as 1 - alpha_bar cancels
        x_vp = x_vp.double()
        x0_hat = some_denoiser(x_vp / alpha, sigma_t / alpha)
        eps_hat = (x_vp - alpha * x0_hat) / sigma_t
        out = {"epsilon": eps_hat, "v_prediction": alpha * eps_hat - sigma_t * x0_hat, "sample": x0_hat}[self.prediction]
        return (torch.cat([out, torch.full_like(out, torch.nan)], 1) if self.variance else out,)


def network(prediction: str = "epsilon", variance: bool = False) -> DiffusersPrior:
    return DiffusersPrior(Net(prediction, variance), ALPHA_BAR, prediction, (3, 6, 5))


@pytest.mark.parametrize("variance", [False, True], ids=["", "learned variance"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("t", [0, 60, 400, 700])
def test_every_parametrisation_gives_the_same_denoiser(prediction, variance, t):
    sigma = float(SIGMAS[t])
    x = noise(2, 3, 6, 5) * (1 + sigma)
    wanted = some_denoiser(x.double(), torch.tensor(sigma)).float()
    torch.testing.assert_close(network(prediction, variance).denoise(x, sigma), wanted, rtol=0, atol=2e-6 * (1 + sigma))


def test_an_unknown_parametrisation_is_refused():
    with pytest.raises(PriorError, match="flow_prediction"):
        DiffusersPrior(Net("epsilon"), ALPHA_BAR, "flow_prediction", (3, 6, 5))


def test_the_networks_time_is_exact_on_the_grid_and_fractional_between():
    prior = network()
    assert prior.timestep(SIGMAS).tolist() == list(range(1000))
    assert float(prior.timestep(float(SIGMAS[123]))) == 123
    between = float((SIGMAS[40] * SIGMAS[41]).sqrt())
    assert float(prior.timestep(between)) == pytest.approx(40.5)
    prior.denoise(noise(2, 3, 6, 5), between)
    assert prior.net.seen[-1].tolist() == pytest.approx([40.5, 40.5])
    assert float(prior.timestep(1e-9)) == 0
    assert float(prior.timestep(1e9)) == 999


@pytest.mark.parametrize("make", [network, lambda: GaussianPrior(size=6), lambda: MixturePrior(noise(4, 3, 6, 5), 0.2),
                                  lambda: empirical_prior(noise(4, 3, 6, 5))],
                         ids=["network", "gaussian", "mixture", "empirical"])  # fmt: skip
def test_a_level_per_image_is_the_same_as_one_by_one(make):
    prior, x, sigma = make(), noise(3, 3, 6, 5), torch.tensor([0.05, 0.7, 9.0])
    together = prior.denoise(x, sigma)
    for k in range(3):
        torch.testing.assert_close(together[k : k + 1], prior.denoise(x[k : k + 1], float(sigma[k])), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(prior.eps(x, sigma), (x - together) / per_image(sigma, x))
    assert together.dtype == torch.float32


@pytest.mark.parametrize(
    "betas",
    [
        {"beta_schedule": "linear"},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "sigmoid"},
        {"beta_schedule": "linear", "num_train_timesteps": 100},
        {"trained_betas": [0.1, 0.2, 0.3]},
        {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True},
    ],
    ids=lambda betas: " ".join(map(str, betas.values())),
)
def test_every_beta_schedule_of_diffusers_gives_an_ascending_finite_grid(betas):
    scheduler = DDPMScheduler(**betas)
    config = json.loads(scheduler.to_json_string())
    prior = DiffusersPrior(Net("epsilon"), alphas_cumprod(config), "epsilon", (3, 6, 5))
    finite = scheduler.alphas_cumprod[scheduler.alphas_cumprod > 0].double()
    torch.testing.assert_close(prior.sigmas, ((1 - finite) / finite).sqrt())
    assert len(prior.sigmas) == len(scheduler.alphas_cumprod) - bool(betas.get("rescale_betas_zero_snr"))
    assert bool((prior.sigmas.diff() > 0).all())


# ---- counting ----


def test_calls_and_backward_passes_are_counted_where_they_happen(gaussian):
    prior = Counted(gaussian)
    x = noise(4, 3, 16, 16)
    prior.denoise(x, 1.0)
    prior.eps(x, 1.0)
    assert (prior.forwards, prior.backwards) == (2, 0)
    x.requires_grad_()
    with torch.no_grad():
        prior.denoise(x, 1.0)
    assert (prior.forwards, prior.backwards) == (3, 0)
    for _ in range(2):
        torch.autograd.grad(prior.denoise(x, 1.0).square().sum(), x)
    prior.denoise(x, 1.0)  # a graph that nobody goes back through
    assert (prior.forwards, prior.backwards) == (6, 2)
    assert (prior.name, prior.shape) == (gaussian.name, gaussian.shape)
    _, back = prior.linearized(x.detach(), 1.0)
    assert (prior.forwards, prior.backwards) == (7, 2)
    back(x.detach())
    assert (prior.forwards, prior.backwards) == (7, 3)


# ---- D and its Jacobian, transposed ----

LEVELS = [0.3, torch.tensor([0.05, 4.0])]


class Through(Wrapped):
    """A wrapper that says no more than it must."""

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.inner.denoise(x, sigma)


@pytest.mark.parametrize("sigma", LEVELS, ids=["one level", "a level per image"])
def test_the_jacobian_of_the_gaussian_denoiser_is_its_filter(sigma):
    prior = GaussianPrior(size=16, mean=0.2)
    x, u = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    D, back = prior.linearized(x, sigma)
    assert torch.equal(D, prior.denoise(x, sigma))
    torch.testing.assert_close(back(u), prior.denoise(u + prior.mean, sigma) - prior.mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", LEVELS, ids=["one level", "a level per image"])
@pytest.mark.parametrize("wrap", [lambda prior: prior, Through, Counted], ids=["itself", "wrapped", "counted"])
@pytest.mark.parametrize("make", [network, lambda: MixturePrior(noise(3, 3, 6, 5), 0.2)], ids=["network", "mixture"])
def test_the_pull_back_is_autograds_and_no_graph_leaves_it(make, wrap, sigma):
    prior, x, u = make(), noise(2, 3, 6, 5), noise(2, 3, 6, 5, seed=1)
    leaf = x.clone().requires_grad_()
    wanted = prior.denoise(leaf, sigma)
    for enabled in (False, True):
        with torch.set_grad_enabled(enabled):
            D, back = wrap(prior).linearized(x, sigma)
            got = back(u)
    assert torch.equal(D, wanted)
    assert torch.equal(got, torch.autograd.grad(wanted, leaf, u)[0])
    assert not any(v.requires_grad for v in (D, got, x))


def test_a_prior_that_answers_itself_is_asked_and_none_goes_back_twice():
    class Linear(GaussianPrior):
        def linearized(self, x, sigma):
            return x / 2, lambda u: u / 2

    D, back = Counted(Linear(size=16)).linearized(noise(1, 3, 16, 16), 1.0)
    assert torch.equal(D, back(noise(1, 3, 16, 16)))
    _, back = network().linearized(noise(1, 3, 6, 5), 1.0)
    back(noise(1, 3, 6, 5))
    with pytest.raises(RuntimeError, match="second time"):
        back(noise(1, 3, 6, 5))


# ---- names, devices and precisions ----


@pytest.mark.parametrize("name", ["face-64", "no such prior", "./nowhere/at/all", "/nowhere", "faces-64:size=3", "..", ""])
def test_an_unknown_prior_is_one_clear_error(name):
    with pytest.raises(PriorError):
        priors.load(name, "cpu")


def test_closed_forms_check_their_knobs(tmp_path):
    with pytest.raises(KnobError, match="did you mean 'size'"):
        priors.load("gaussian:sise=3", "cpu")
    with pytest.raises(PriorError, match="has none"):
        priors.load(f"empirical:folder={tmp_path}", "cpu")


def test_devices_and_precisions_are_checked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(DeviceError, match="no CUDA device"):
        priors.load("gaussian", "cuda")
    # A record from elsewhere can name anything; these were once a RuntimeError and a KeyError.
    with pytest.raises(DeviceError, match="auto, cpu, cuda, cuda:N, mps, xpu; got 'abacus'"):
        priors.load("gaussian", "abacus")
    with pytest.raises(DeviceError, match="auto, fp32, bf16 or fp16"):
        priors.load("faces-64", "cpu", "fp4")


def test_auto_is_bf16_where_the_processor_has_it_and_fp32_where_torch_does_not_say(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: True)
    assert [precision_of(name, cpu) for name in ("auto", "fp32", "bf16")] == ["bf16", "fp32", "bf16"]
    monkeypatch.undo()
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert precision_of("auto", cpu) == "fp32"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert precision_of("auto", cpu) == "bf16"
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert precision_of("auto", cpu) == "fp32"


@pytest.mark.parametrize("sampler", ["reddiff:steps=15", "ddrm:steps=8", "dps:steps=8"])
def test_bf16_is_within_a_tenth_of_a_decibel_of_float32(sampler):
    """On average over the examples; a sampler's random numbers and arithmetic are float32 in both."""
    found = {}
    for precision in ("fp32", "bf16"):
        prior = priors.load("faces-64", "cpu", precision)
        each = [api.restore(f"example:{p.stem}", prior=prior, operator="superres", sampler=sampler).figures["psnr"]
                for p in images.folder(EXAMPLES)[:2]]  # fmt: skip
        found[precision] = sum(each) / len(each)
    assert abs(found["bf16"] - found["fp32"]) < 0.1
