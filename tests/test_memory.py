"""Models with less memory: the same numbers, and the switches are on."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import SlicedAttnProcessor
from diffusers.models.autoencoders.vae import Decoder
from text_models import make, network
from tiny import load, noise
from torch import Tensor

from redgui import devices, priors
from redgui.operators import build
from redgui.priors import PriorError, memory
from redgui.priors.latent import LatentPrior
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers.dps import DPS
from redgui.samplers.reddiff import RedDiff
from redgui.samplers.vml_map import VmlMap

pytestmark = pytest.mark.usefixtures("forgetful")
TOLD = ":prompt=a red cup:guidance=2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("memory") / "model"
    make(found)
    return found


def answers(prior: LatentPrior) -> list[Tensor]:
    """D and its pull-back, a picture and the pull-back of the decoder, for two latents."""
    x, u = noise(2, 4, 8, 8), noise(2, 4, 8, 8, seed=1)
    D, back = prior.linearized(x, 0.7)
    leaf = x.clone().requires_grad_()
    picture = prior.decode(leaf)
    return [D, back(u), picture.detach(), torch.autograd.grad(picture.square().sum(), leaf)[0]]


def finals(prior: LatentPrior) -> dict[str, Tensor]:
    """What two steps end with, of a gradient through the decoder, one through the network too, and a second derivative."""
    truth = prior.decode(0.3 * noise(1, 4, 8, 8)).clamp(-1, 1)
    problem = Problem.simulate(truth, build("superres:factor=4"), 0.05)
    return {s.name: [*solve(problem, prior, s)][-1].x0_hat for s in (RedDiff(steps=2), DPS(steps=2), VmlMap(steps=2))}


def test_with_low_memory_the_switches_are_on_and_numbers_and_samplers_are_the_same(folder, monkeypatch):
    usual, low = load(f"{folder}{TOLD}"), load(f"{folder}:memory=low{TOLD}")
    on = low.inner.net.net.is_gradient_checkpointing, low.autoencoder.is_gradient_checkpointing
    assert on == (True, True)
    assert (low.autoencoder.use_slicing, low.autoencoder.use_tiling, usual.autoencoder.use_slicing) == (True, True, False)
    for found, wanted in zip(answers(low), answers(usual), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    wanted = finals(usual)
    for name, found in finals(low).items():
        torch.testing.assert_close(found, wanted[name], rtol=0, atol=1e-4, msg=name)

    asked, forward = [], Decoder.forward
    monkeypatch.setattr(Decoder, "forward", lambda self, z, *more: (asked.append(z.shape), forward(self, z, *more))[1])
    low.decode(noise(2, 4, 8, 8))
    assert asked == [(1, 4, 8, 8)] * 2  # a picture at a time


def test_a_picture_larger_than_its_autoencoder_was_trained_on_is_decoded_in_tiles_with_a_gradient(folder):
    usual, low = load(f"{folder}{TOLD}"), load(f"{folder}:memory=low{TOLD}")
    small = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae") | {"sample_size": 16})
    small.load_state_dict(usual.autoencoder.state_dict())
    tiled, x = LatentPrior(low.inner, small, low.factor, low=True), 0.3 * noise(1, 4, 8, 8)
    assert (small.tile_latent_min_size, small.use_tiling) == (4, True)
    leaf = x.clone().requires_grad_()
    picture = tiled.decode(leaf)
    assert picture.shape == (1, 3, 32, 32)
    wanted = small.tiled_decode(x * (tiled.scale / tiled.factor)).sample
    torch.testing.assert_close(picture, wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(picture, usual.decode(x), atol=1e-3)  # a tile's normalisation is its own
    u, v = noise(*picture.shape, seed=1), noise(*x.shape, seed=2)
    (g,) = torch.autograd.grad(picture, leaf, u)
    ahead, behind = (tiled.decode(x + s * 1e-3 * v) for s in (1, -1))
    assert float((g * v).sum()) == pytest.approx(float((u * (ahead - behind)).sum()) / 2e-3, rel=1e-2)


def test_a_network_too_large_for_a_gpu_is_there_layer_by_layer(folder, monkeypatch, caplog):
    wanted = answers(load(f"{folder}{TOLD}"))
    weights = sum(p.numel() * p.element_size() for p in network().parameters())
    monkeypatch.setattr(devices, "free_memory", lambda device: weights)
    for name in (f"{folder}:memory=low{TOLD}", f"{folder}{TOLD}"):
        priors._load.cache_clear()
        priors._text_to_image.cache_clear()
        prior = load(name)
        assert {p.device.type for p in prior.inner.net.parameters()} == {"meta"}
        assert "layer by layer" in caplog.text
        for found, each in zip(answers(prior), wanted, strict=True):
            torch.testing.assert_close(found, each, rtol=0, atol=1e-5)
    told = prior.retold({"guidance": 3.0}).denoise(noise(1, 4, 8, 8), 0.7)
    assert not torch.allclose(told, prior.denoise(noise(1, 4, 8, 8), 0.7))


def test_attention_goes_in_slices_on_mps_alone():
    net, x, given = network(), noise(2, 4, 8, 8), dict(encoder_hidden_states=noise(2, 7, 12), return_dict=False)
    with torch.no_grad():
        wanted = net(x, 500, **given)[0]
        memory.spare(net, torch.device("cpu"))
        assert not any(isinstance(each, SlicedAttnProcessor) for each in net.attn_processors.values())
        memory.spare(net, torch.device("mps"))
        assert all(isinstance(each, SlicedAttnProcessor) for each in net.attn_processors.values())
        torch.testing.assert_close(net(x, 500, **given)[0], wanted, rtol=0, atol=1e-5)


def test_a_decoder_without_memory_says_what_to_do(folder, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 9.00 GiB")

    monkeypatch.setattr(AutoencoderKL, "decode", full)
    with pytest.raises(PriorError, match=r"2 latent\(s\) to 32x32 does not fit .* Say :memory=low"):
        load(folder).decode(noise(2, 4, 8, 8))
