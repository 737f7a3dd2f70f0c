"""Priors: every parametrisation gives the same denoiser, closed forms are exact, folders load without running their code."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor

from redgui import api, devices, images, knobs, metrics, priors, schedule
from redgui.bundled import EXAMPLES
from redgui.devices import DeviceError, device_of, precision_of
from redgui.knobs import KnobError
from redgui.priors import Counted, GaussianPrior, MixturePrior, PriorError, empirical_prior, per_image
from redgui.priors.base import Wrapped
from redgui.priors.network import DiffusersPrior, alphas_cumprod

SIGMAS = schedule.linear_beta()
ALPHA_BAR = schedule.alpha_bar(SIGMAS)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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


# ---- closed forms ----


@pytest.mark.parametrize("sigma", [0.01, 0.4, 30.0])
@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 3)])
def test_the_gaussian_denoiser_is_the_dense_formula(sigma, h, w):
    prior = GaussianPrior(size=4, channels=1, mean=0.2, std=0.6)
    n = h * w
    F = np.kron(np.fft.fft(np.eye(h), norm="ortho"), np.fft.fft(np.eye(w), norm="ortho"))
    C = F.conj().T @ np.diag(prior.spectrum(h, w).flatten().numpy()) @ F
    np.testing.assert_allclose(C.imag, 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(C.real), 0.36)  # std^2 at every pixel
    x = noise(1, 1, h, w, dtype=torch.float64)  # sigma was once rounded to float32, whatever x
    wanted = 0.2 + C.real @ np.linalg.solve(C.real + sigma**2 * np.eye(n), x.flatten().numpy() - 0.2)
    np.testing.assert_allclose(prior.denoise(x, sigma).flatten().numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 2.0, 3.0])
def test_the_gaussian_priors_power_falls_with_frequency(exponent):
    power = GaussianPrior(exponent=exponent).spectrum(16, 16)
    assert float(power[0, 1] / power[0, 2]) == pytest.approx(2**exponent)
    assert float(power[3, 4] / power[5, 0]) == pytest.approx(1)


def test_draws_of_the_gaussian_prior_have_its_spectrum():
    prior = GaussianPrior(size=8, channels=1, std=0.5)
    power = torch.fft.fft2(prior.sample(4000, torch.Generator().manual_seed(0)), norm="ortho").abs().square().mean((0, 1))
    torch.testing.assert_close(power.double(), prior.spectrum(8, 8), rtol=0.15, atol=0)


def log_density(x: Tensor, means: Tensor, weights: Tensor, variance: float) -> Tensor:
    """log p(x) of a mixture of isotropic Gaussians up to a constant, by the book."""
    distance = torch.stack([(x - m).square().sum() for m in means])
    return (weights.log() - distance / (2 * variance)).logsumexp(0)


@pytest.mark.parametrize("std", [0.0, 0.3])
@pytest.mark.parametrize("sigma", [0.1, 0.8, 5.0])
def test_the_mixture_denoiser_is_tweedies_formula_by_finite_differences(std, sigma):
    means, weights = noise(3, 1, 2, 2, seed=1, dtype=torch.float64), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    prior = MixturePrior(means, std, weights)
    x = noise(1, 1, 2, 2, seed=2, dtype=torch.float64)
    score = torch.zeros_like(x)
    for k in range(4):
        h = torch.zeros(4, dtype=torch.float64).index_fill(0, torch.tensor(k), 1e-5).reshape(x.shape)
        ahead, behind = (log_density((x + s * h)[0], means, weights, std**2 + sigma**2) for s in (1, -1))
        score.view(-1)[k] = (ahead - behind) / 2e-5
    torch.testing.assert_close(prior.denoise(x, sigma), x + sigma**2 * score, rtol=0, atol=1e-7)


def test_the_gaussian_denoiser_is_tweedies_formula():
    prior = GaussianPrior(size=2, channels=1, exponent=0, std=0.7, mean=-0.1)  # white: log p is a sum over pixels
    x = noise(1, 1, 2, 2, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(-((x + 0.1) ** 2).sum() / (2 * (0.49 + 0.09)), x)
    torch.testing.assert_close(prior.denoise(x, 0.3).detach(), (x + 0.09 * score).detach())


def test_the_empirical_denoiser_is_the_weighted_mean_of_the_pictures():
    pictures, x = noise(5, 3, 4, 4, seed=1), noise(2, 3, 4, 4, seed=2)
    for sigma in (0.2, 2.0, 50.0):
        wanted = np.zeros(x.shape)
        for b in range(2):
            d = np.array([float(((x[b] - p).double() ** 2).sum()) for p in pictures])
            w = np.exp(-(d - d.min()) / (2 * sigma**2))
            wanted[b] = np.tensordot(w / w.sum(), pictures.double().numpy(), 1)
        np.testing.assert_allclose(empirical_prior(pictures).denoise(x, sigma).numpy(), wanted, atol=1e-5)


def test_the_empirical_prior_of_a_folder_recovers_its_own_pictures():
    prior = priors.load(f"empirical:folder={EXAMPLES},size=16", "cpu")
    picture = images.load(images.folder(EXAMPLES)[2], 16, 16)
    assert prior.shape == (3, 16, 16)
    torch.testing.assert_close(prior.denoise(picture + 0.3 * noise(1, 3, 16, 16), 0.3), picture)


def test_a_prior_is_called_what_loads_it_again():
    # Records once said "gaussian" whatever its knobs, and were replayed with others.
    prior = priors.load("gaussian:size=12,std=0.3", "cpu")
    assert priors.load(prior.name, "cpu") == prior
    assert knobs.spec(GaussianPrior()) == GaussianPrior().name == "gaussian"


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


# ---- networks from disk ----


def tiny_unet() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(sample_size=8, block_out_channels=(8,), layers_per_block=1, down_block_types=("DownBlock2D",),
                       up_block_types=("UpBlock2D",), norm_num_groups=4, add_attention=False)  # fmt: skip


def saved(folder: Path, layout: str = "nested", *, safe: bool = True, unet: dict | None = None, scheduler: dict | None = None):
    """A diffusers folder with a tiny random network; `unet` and `scheduler` change its configurations."""
    unet_dir, scheduler_dir = (folder / "unet", folder / "scheduler") if layout == "nested" else (folder, folder)
    net = tiny_unet()
    net.save_pretrained(unet_dir, safe_serialization=safe)
    DDPMScheduler(prediction_type="v_prediction").save_pretrained(scheduler_dir)
    for path, change in ((unet_dir / "config.json", unet), (scheduler_dir / "scheduler_config.json", scheduler)):
        path.write_text(json.dumps(json.loads(path.read_text()) | (change or {})))
    return net


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_a_folder_of_diffusers_loads_in_both_layouts(tmp_path, layout, safe, offline):
    net = saved(tmp_path, layout, safe=safe).eval()
    prior = priors.load(str(tmp_path), "cpu", "fp32")
    assert (prior.shape, prior.precision, prior.name) == ((3, 8, 8), "fp32", str(tmp_path))
    x, t = noise(2, 3, 8, 8), 300
    alpha_bar = float(DDPMScheduler().alphas_cumprod[t])
    with torch.no_grad():
        v = net(alpha_bar**0.5 * x, torch.tensor(t)).sample
        x0_hat = alpha_bar * x - (1 - alpha_bar) ** 0.5 * v
        torch.testing.assert_close(prior.denoise(x, float(prior.sigmas[t])), x0_hat, rtol=1e-3, atol=1e-4)


def test_what_train_unconditional_writes_loads_and_its_checkpoints_say_what_they_lack(tmp_path):
    pipeline, checkpoint = tmp_path / "ddpm-mine", tmp_path / "ddpm-mine/checkpoint-500"
    DDPMPipeline(tiny_unet(), DDPMScheduler(beta_schedule="linear")).save_pretrained(pipeline)
    (pipeline / "logs").mkdir()
    tiny_unet().save_pretrained(checkpoint / "unet")
    tiny_unet().save_pretrained(checkpoint / "unet_ema")
    assert priors.load(str(pipeline), "cpu").shape == (3, 8, 8)
    with pytest.raises(PriorError, match=r"checkpoint-500/scheduler/scheduler_config\.json is missing"):
        priors.load(str(checkpoint), "cpu")
    with pytest.raises(PriorError, match=r"logs/unet/config\.json is missing"):
        priors.load(str(pipeline / "logs"), "cpu")


def test_half_precision_stays_inside_the_prior(tmp_path):
    saved(tmp_path)
    full, half = (priors.load(str(tmp_path), "cpu", precision) for precision in ("fp32", "bf16"))
    x = noise(1, 3, 8, 8)
    assert half.denoise(x, 1.0).dtype == torch.float32
    assert half.precision == "bf16"
    torch.testing.assert_close(half.denoise(x, 1.0), full.denoise(x, 1.0), rtol=0, atol=0.05)


def test_the_bundled_prior_loads_without_a_network_and_denoises(offline):
    priors._load.cache_clear()
    prior = priors.load("faces-64", "cpu")
    truth = images.load(images.folder(EXAMPLES)[0], 64, 64)
    noisy = truth + 0.34 * noise(1, 3, 64, 64)
    with torch.no_grad():
        gain = metrics.psnr(prior.denoise(noisy, 0.34), truth) - metrics.psnr(noisy, truth)
    assert prior.shape == (3, 64, 64)
    assert float(gain) > 9


class Bomb:
    """Unpickled, this would make a directory."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_pickled_weights_is_not_run(tmp_path):
    folder, trace = tmp_path / "prior", tmp_path / "trace"
    saved(folder)
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save(Bomb(trace), folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(PriorError, match="cannot be read"):
        priors.load(str(folder), "cpu")
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()  # it would have gone off


@pytest.mark.parametrize(
    ("unet", "scheduler", "told"),
    [
        ({"_class_name": "UNet3DConditionModel"}, {}, "UNet3DConditionModel"),
        ({"sample_size": None}, {}, "sample_size"),
        ({"block_out_channels": "many"}, {}, "cannot be read"),
        ({}, {"_class_name": "IPNDMScheduler"}, "IPNDMScheduler"),
        ({}, {"prediction_type": "flow"}, "flow"),
        ({}, {"beta_schedule": "spiral"}, "betas"),  # once diffusers' own NotImplementedError
    ],
)
def test_a_configuration_that_does_not_fit_is_one_clear_error(tmp_path, unet, scheduler, told):
    saved(tmp_path, unet=unet, scheduler=scheduler)
    with pytest.raises(PriorError, match=told):
        priors.load(str(tmp_path), "cpu")


@pytest.mark.parametrize("content", ["{", "[1]", "null", "\xff\xfe"])
@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_a_broken_configuration_is_one_clear_error(tmp_path, file, content):
    saved(tmp_path)
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(PriorError, match="JSON"):
        priors.load(str(tmp_path), "cpu")


def test_missing_or_damaged_weights_are_one_clear_error(tmp_path):
    saved(tmp_path)
    weights = tmp_path / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(PriorError, match="cannot be read"):
        priors.load(str(tmp_path), "cpu")
    weights.unlink()
    with pytest.raises(PriorError, match="no weights"):
        priors.load(str(tmp_path), "cpu")
    (tmp_path / "unet/config.json").unlink()
    with pytest.raises(PriorError, match="missing"):
        priors.load(str(tmp_path), "cpu")


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
