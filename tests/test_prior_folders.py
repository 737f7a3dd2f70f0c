"""Priors of folders: every layout loads without running code of theirs, and what is broken is one clear error."""

import json
import os
import pickle
from pathlib import Path

import pytest
import tiny
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from tiny import noise

from redgui import images, metrics, priors
from redgui.bundled import EXAMPLES
from redgui.priors import PriorError, hub


def saved(folder: Path, layout: str = "nested", *, safe: bool = True, unet: dict | None = None, scheduler: dict | None = None):
    """A diffusers folder with a tiny random network; `unet` and `scheduler` change its configurations."""
    unet_dir, scheduler_dir = (folder / "unet", folder / "scheduler") if layout == "nested" else (folder, folder)
    net = tiny.unet()
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
    DDPMPipeline(tiny.unet(), DDPMScheduler(beta_schedule="linear")).save_pretrained(pipeline)
    (pipeline / "logs").mkdir()
    tiny.unet().save_pretrained(checkpoint / "unet")
    tiny.unet().save_pretrained(checkpoint / "unet_ema")
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


def test_what_is_of_another_format_is_refused_with_the_reason(tmp_path):
    tiny.save(tmp_path / "control")
    config = json.loads((tmp_path / "control/unet/config.json").read_text())
    (tmp_path / "control/unet/config.json").write_text(json.dumps(config | {"_class_name": "ControlNetModel"}))
    tiny.save(tmp_path / "rounded")
    (tmp_path / "rounded/unet/diffusion_pytorch_model.safetensors").rename(tmp_path / "rounded/unet/model-Q4.gguf")
    cases = {
        tmp_path / "control": "A ControlNet steers another network",
        tmp_path / "rounded": "GGUF holds weights rounded for other programs",
        tmp_path / "flux1-dev-Q4.gguf": "GGUF holds weights rounded for other programs",
        "models/v1-5-pruned.safetensors": "A checkpoint in one file",
    }
    for name, told in cases.items():
        with pytest.raises(PriorError, match=told) as error:
            tiny.load(name)
        assert "\n" not in str(error.value)
    with pytest.raises(PriorError, match="A checkpoint in one file"):
        hub.wanted(["README.md", "sd_xl_base_1.0.safetensors"], "owner/model")
