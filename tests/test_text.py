"""Text-to-image latents: diffusers' own arithmetic with a prompt, guidance, and texts from a file or an encoder."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    LCMScheduler,
    UNet2DConditionModel,
)
from text_models import TEXTS, XL, check, make, network
from tiny import load, noise

from redgui import api, cli, priors, schedule
from redgui.operators import build
from redgui.priors import PriorError, prompts
from redgui.runs.stream import solve
from redgui.samplers.reddiff import RedDiff

EXAMPLE = "example:face-06"
pytestmark = pytest.mark.usefixtures("forgetful")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("text") / "model"
    make(found)
    return found


def test_a_prompt_and_its_guidance_are_diffusers_own_sampling(folder):
    """DDIM by redgui's D against diffusers' scheduler and network with the pipeline's guidance: the same latents to 1e-4."""
    guidance, steps = 3.0, 10
    prior = load(f"{folder}:prompt=a red cup:negative=blur, noise: none:guidance={guidance}")
    net, known = network(), prompts.read(folder)
    net.load_state_dict(UNet2DConditionModel.from_pretrained(folder / "unet").state_dict())
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(steps)
    z_vp = noise(2, 4, 8, 8)
    states = torch.cat([known[TEXTS[2]].expand(2, -1, -1), known[TEXTS[1]].expand(2, -1, -1)])
    abar = scheduler.alphas_cumprod.double()
    first = float(((1 - abar) / abar).sqrt()[scheduler.timesteps[0]])
    x = z_vp * (1 + first**2) ** 0.5 / prior.scale
    levels = [*(float(((1 - abar) / abar).sqrt()[t]) / prior.scale for t in scheduler.timesteps), 0.0]  # set_alpha_to_one
    with torch.no_grad():
        for t, (sigma, after) in zip(scheduler.timesteps, pairwise(levels), strict=True):
            without, with_it = net(torch.cat([z_vp, z_vp]), t, encoder_hidden_states=states).sample.chunk(2)
            z_vp = scheduler.step(without + guidance * (with_it - without), t, z_vp).prev_sample
            D = prior.denoise(x, sigma)
            x = D + after / sigma * (x - D)
    torch.testing.assert_close(prior.scale * x, z_vp, rtol=0, atol=1e-4)


def test_latents_are_those_of_diffusers_own_pipeline(folder):
    pytest.importorskip("transformers")
    from diffusers import StableDiffusionPipeline

    known = prompts.read(folder)
    pipeline = StableDiffusionPipeline(
        AutoencoderKL.from_pretrained(folder / "vae"), None, None, UNet2DConditionModel.from_pretrained(folder / "unet"),
        DDIMScheduler.from_pretrained(folder / "scheduler"), None, None, requires_safety_checker=False,
    )  # fmt: skip
    given = dict(prompt_embeds=known["a red cup"][None], negative_prompt_embeds=known[""][None])
    check(load(f"{folder}:prompt=a red cup:negative=:guidance=2.5"), pipeline, given)


def test_guidance_one_and_zero_are_one_text_alone(folder, monkeypatch):
    x, sigma = noise(2, 4, 8, 8), 0.7
    asked = []
    forward = UNet2DConditionModel.forward

    def watched(self, sample, *args, **given):
        asked.append(len(sample))
        return forward(self, sample, *args, **given)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    both = {g: load(f"{folder}:prompt=a red cup:negative=blur, noise: none:guidance={g}").denoise(x, sigma) for g in (0, 1, 2)}
    assert asked == [2, 2, 4]  # one call each, of twice the batch for two texts
    torch.testing.assert_close(both[2], 2 * both[1] - both[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(load(f"{folder}:prompt=a red cup").denoise(x, sigma), both[1])
    torch.testing.assert_close(load(f"{folder}:prompt=blur, noise: none").denoise(x, sigma), both[0])
    assert not torch.allclose(both[0], both[1], atol=1e-4)


def test_all_prompts_of_a_model_share_its_weights(folder):
    one, other = load(f"{folder}:prompt=a red cup"), load(folder)
    assert one.inner.net.net is other.inner.net.net
    assert one.autoencoder is other.autoencoder
    assert (one.name, other.name) == (f"{folder}:prompt=a red cup", str(folder))


def test_y_is_neared_and_a_record_replays(folder, tmp_path, capsys):
    name = f"{folder}:prompt=a red cup:guidance=2"
    got = api.restore(EXAMPLE, prior=name, operator="superres:factor=4", sampler="reddiff:steps=6", particles=2, device="cpu")
    assert got.restored.shape == (1, 3, 32, 32)
    assert api.replay(got.record)[1]
    words = ["restore", EXAMPLE, "--prior", name, "--operator", "blur", "--sampler", "dps:steps=3", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["prior"] == name
    prior = load(name)
    truth = prior.decode(0.3 * noise(1, 4, 8, 8))  # so that a latent meets y, and nothing but the data term is asked
    problem = api.Problem.simulate(truth, build("superres:factor=16"))
    residuals = [float(s.scalars["residual"]) for s in solve(problem, load(f"{folder}"), RedDiff(steps=100, lr=0.02, lam=0.0))]
    assert residuals[-1] < residuals[0] / 40


def test_a_latent_consistency_model_is_told_its_guidance(tmp_path):
    net = make(tmp_path, LCMScheduler(clip_sample=False), time_cond_proj_dim=8)
    prior, x = load(f"{tmp_path}:prompt=a red cup:guidance=4"), noise(1, 4, 8, 8)
    assert len(prior.sigmas) == 50
    scheduler = LCMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    t = int(scheduler.timesteps[1])
    sigma = float(prior.inner.sigmas[(t + 1) // 20 - 1])
    w = 3.0 * 1000 * torch.exp(torch.arange(4) * (-torch.log(torch.tensor(10000.0)) / 3))
    told = torch.cat([w.sin(), w.cos()])[None]
    z_vp = prior.scale * x / (1 + sigma**2) ** 0.5
    with torch.no_grad():
        out = net(z_vp, t, encoder_hidden_states=prompts.read(tmp_path)["a red cup"][None], timestep_cond=told).sample
    wanted = scheduler.step(out, t, z_vp, torch.Generator().manual_seed(0)).denoised
    torch.testing.assert_close(prior.scale * prior.denoise(x, sigma / prior.scale), wanted, rtol=0, atol=1e-4)


def test_a_name_with_texts_is_read_whole(folder):
    where, wanted = priors.conditioned(f"{folder}:prompt=one, two: three:negative=a\\b:guidance=2.5")
    assert where == str(folder)
    assert (wanted.prompt, wanted.negative, wanted.guidance) == ("one, two: three", "a\\b", 2.5)
    where, wanted = priors.conditioned("owner/model:label=3,quantise=true")
    assert (where, wanted.label, wanted.quantise) == ("owner/model", 3, True)
    with pytest.raises(PriorError, match="no knob 'width'"):
        priors.conditioned("owner/model:prompt=a:width=3")


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        ({}, ":prompt=a green cup", "'a green cup' is not in .*prompt.safetensors"),
        ({}, ":label=3", "leave label and quantise out"),
        ({}, ":guidance=99", "guidance lies in 0 to 30"),
        (dict(cross_attention_dim=24), "", r"\(tokens, 24\)"),
        (dict(in_channels=9), "", "Of an inpainting model 5 are a mask and a picture"),
        (dict(addition_embed_type="text", addition_embed_type_num_heads=4, encoder_hid_dim=12), "", "further inputs"),
        (XL, ":prompt=a red cup", "'a red cup' is not in"),  # its pooled text is not
    ],
)
def test_what_cannot_be_prompted_is_one_line(tmp_path, change, name, told, monkeypatch):
    monkeypatch.setattr(prompts.importlib.util, "find_spec", lambda _: None)  # no transformers
    make(tmp_path, **change)
    with pytest.raises(PriorError, match=told) as error:
        load(f"{tmp_path}{name}")
    assert "\n" not in str(error.value)


def test_texts_of_other_kinds_of_models_and_damaged_files_are_one_line(tmp_path):
    tiny.save(tmp_path / "plain")
    with pytest.raises(PriorError, match="no text-to-image model"):
        load(f"{tmp_path / 'plain'}:prompt=a red cup")
    tiny.save(tmp_path / "pixels", network(in_channels=3, out_channels=3))
    with pytest.raises(PriorError, match="without vae/"):
        load(tmp_path / "pixels")
    make(tmp_path / "model")
    (tmp_path / "model" / prompts.FILE).write_bytes(b"no tensors")
    with pytest.raises(PriorError, match="cannot be read"):
        load(tmp_path / "model")


def test_levels_of_a_text_model_are_those_of_its_scheduler(folder):
    prior = load(folder)
    assert len(schedule.uniform(prior.sigmas, 8)) == 8
    assert prior.shape == (4, 8, 8)
    assert prior.picture_shape == (3, 32, 32)
