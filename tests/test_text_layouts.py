"""Text-to-image latents of SDXL, Stable Diffusion 3 and Flux: diffusers' own arithmetic, guidance, records."""

from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from text_models import TEXTS, check, flow_model, sampled, xl_model
from tiny import load, noise

from redgui import api, priors
from redgui.priors import prompts

EXAMPLE = "example:face-06"
pytestmark = pytest.mark.usefixtures("forgetful")


@pytest.fixture
def xl(tmp_path) -> Path:
    """A model of SDXL's layout."""
    xl_model(tmp_path)
    return tmp_path


@pytest.mark.parametrize("negative", ["", "blur, noise: none"])
def test_sdxl_is_told_the_size_and_pooled_texts(xl, negative):
    prior, known = load(f"{xl}:prompt=a red cup:negative={negative}:guidance=3"), prompts.read(xl)
    net, x, t = UNet2DConditionModel.from_pretrained(xl / "unet"), noise(2, 4, 8, 8), 500
    sigma = float(prior.inner.sigmas[t])
    z_vp = prior.scale * x / (1 + sigma**2) ** 0.5
    out = []
    for one in (negative, "a red cup"):
        states, pooled = known[one][None].expand(2, -1, -1), known[one + prompts.POOLED][None].expand(2, -1)
        factor = 0.0 if one == "" else 1.0  # an empty negative prompt is zeros
        added = {"text_embeds": factor * pooled, "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]] * 2)}
        with torch.no_grad():
            out.append(net(z_vp, t, encoder_hidden_states=factor * states, added_cond_kwargs=added).sample)
    wanted = prior.scale * x - sigma * (out[0] + 3 * (out[1] - out[0]))
    torch.testing.assert_close(prior.scale * prior.denoise(x, sigma / prior.scale), wanted, rtol=1e-4, atol=1e-3)
    half = priors.load(prior.name, "cpu", "bf16")
    assert half.inner.net.given_time_ids.dtype == torch.int64  # bf16 would round the size of a picture
    assert bool(half.denoise(x, 0.1).isfinite().all())
    assert bool(load(f"{xl}:guidance=0").denoise(x, 0.1).isfinite().all())


def test_latents_are_those_of_the_pipeline_of_sdxl(xl):
    pytest.importorskip("transformers")
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline(
        AutoencoderKL.from_pretrained(xl / "vae"), None, None, None, None, UNet2DConditionModel.from_pretrained(xl / "unet"),
        DDIMScheduler.from_pretrained(xl / "scheduler"), add_watermarker=False,
    )  # fmt: skip
    known = prompts.read(xl)
    given = {f"{part}prompt_embeds": known[one][None] for part, one in (("", TEXTS[1]), ("negative_", TEXTS[2]))}
    given |= {f"{part}pooled_prompt_embeds": known[one + prompts.POOLED][None]
              for part, one in (("", TEXTS[1]), ("negative_", TEXTS[2]))}  # fmt: skip
    check(load(f"{xl}:prompt={TEXTS[1]}:negative={TEXTS[2]}:guidance=2.5"), pipeline, given, height=32, width=32)


@pytest.mark.parametrize(("kind", "guidance_embeds"), [("sd3", False), ("flux", False), ("flux", True)])
def test_transformers_of_flow_are_their_own_pipelines(tmp_path, kind, guidance_embeds):
    """Euler steps of the flow are DPS's where nothing is measured; from t = 0.9, since at 1 there is no sigma."""
    pytest.importorskip("transformers")
    from diffusers import FluxPipeline, StableDiffusion3Pipeline

    known = flow_model(tmp_path, kind, **({"guidance_embeds": guidance_embeds} if kind == "flux" else {}))
    prior = load(f"{tmp_path}:prompt=a red cup:negative=blur, noise: none:guidance=2.5")
    assert (prior.shape, prior.picture_shape) == ((4, 8, 8), (3, 64, 64))
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae")
    levels = [0.9, 0.5, 0.2]
    first, ours = sampled(prior, [t / (1 - t) / prior.scale for t in levels])
    start = (1 - levels[0]) * first
    given = dict(prompt_embeds=known["a red cup"][None], pooled_prompt_embeds=known["a red cup" + prompts.POOLED][None],
                 negative_prompt_embeds=known[TEXTS[2]][None], sigmas=levels, num_inference_steps=3, output_type="latent",
                 negative_pooled_prompt_embeds=known[TEXTS[2] + prompts.POOLED][None], height=64, width=64)  # fmt: skip
    net = type(prior.inner.net.net).from_pretrained(tmp_path / "transformer")
    scheduler = FlowMatchEulerDiscreteScheduler()
    if kind == "sd3":
        pipeline = StableDiffusion3Pipeline(net, scheduler, vae, *[None] * 6)
        pipeline.set_progress_bar_config(disable=True)
        theirs = pipeline(**given, latents=start, guidance_scale=2.5, return_dict=False)[0]
    else:
        pipeline = FluxPipeline(scheduler, vae, None, None, None, None, net)
        pipeline.set_progress_bar_config(disable=True)
        packed = FluxPipeline._pack_latents(start, 1, 4, 8, 8)
        scales = dict(guidance_scale=2.5) if guidance_embeds else dict(guidance_scale=1.0, true_cfg_scale=2.5)
        theirs = pipeline(**given, **scales, latents=packed, return_dict=False)[0]
        theirs = FluxPipeline._unpack_latents(theirs, 64, 64, 8)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_transformers_of_flow_restore_and_replay(tmp_path, kind):
    flow_model(tmp_path, kind)
    name = f"{tmp_path}:prompt=a red cup:guidance=2"
    got = api.restore(EXAMPLE, prior=name, operator="superres:factor=4", sampler="reddiff:steps=3", particles=2, device="cpu")
    assert got.restored.shape == (1, 3, 64, 64)
    assert bool(got.restored.isfinite().all())
    assert api.replay(got.record)[1]
