"""Text-to-image latents: diffusers' own arithmetic with a prompt, guidance, and texts from a file or an encoder."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    LCMScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch import Tensor

from redgui import api, cli, priors, schedule
from redgui.operators import build
from redgui.priors import PriorError, prompts
from redgui.runs.stream import solve
from redgui.samplers.reddiff import RedDiff

TEXTS = ("", "a red cup", "blur, noise: none")
EXAMPLE = "example:face-06"


XL = dict(addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=10 + 6 * 4)


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """No prior of another test is taken for one of the same name."""
    priors._load.cache_clear()
    priors._text_to_image.cache_clear()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(**options: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    usual: dict = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
                       down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=4, cross_attention_dim=12,
                       up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4)  # fmt: skip
    return UNet2DConditionModel(**(usual | options)).eval()


def make(folder: Path, scheduler: object = None, texts: tuple[str, ...] = TEXTS, **options: object) -> UNet2DConditionModel:
    """A model of Stable Diffusion's layout with pictures of 32x32, its weights random."""
    betas = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    net = tiny.save(folder, network(**options), scheduler or DDIMScheduler(**betas, clip_sample=False, steps_offset=1))
    AutoencoderKL(latent_channels=4, block_out_channels=(8, 8, 16), norm_num_groups=4, scaling_factor=0.18215,
                  down_block_types=("DownEncoderBlock2D",) * 3,
                  up_block_types=("UpDecoderBlock2D",) * 3).save_pretrained(folder / "vae")  # fmt: skip
    if texts:
        prompts.write(folder, {one: noise(7, 12, seed=k) for k, one in enumerate(texts)})
    return net


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("text") / "model"
    make(found)
    return found


def load(name: object) -> priors.Prior:
    return priors.load(str(name), "cpu", "fp32")


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


def check(prior: priors.Prior, pipeline: Any, given: dict[str, Tensor], **size: int) -> None:
    """DDIM by D against a pipeline of diffusers, from the same noise at guidance 2.5: the same latents to 1e-4."""
    z_vp = noise(1, 4, 8, 8)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(**given, **size, guidance_scale=2.5, num_inference_steps=8, latents=z_vp, output_type="latent",
                      return_dict=False)[0]  # fmt: skip
    abar = pipeline.scheduler.alphas_cumprod.double()[pipeline.scheduler.timesteps]
    levels = [*(((1 - abar) / abar).sqrt() / prior.scale).tolist(), 0.0]
    x = z_vp * float(abar[0] ** -0.5) / prior.scale
    with torch.no_grad():
        for sigma, after in pairwise(levels):
            D = prior.denoise(x, sigma)
            x = D + after / sigma * (x - D)
    torch.testing.assert_close(prior.scale * x, theirs, rtol=0, atol=1e-4)


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
    truth = prior.decode(0.2 * noise(1, 4, 8, 8)).clamp(-1, 1)
    problem = api.Problem.simulate(truth, build("superres:factor=4"))
    residuals = [float(s.scalars["residual"].mean()) for s in solve(problem, prior, RedDiff(steps=40, lr=0.05, lam=0.0))]
    assert residuals[-1] < residuals[0] / 2


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


@pytest.fixture
def xl(tmp_path) -> Path:
    """A model of SDXL's layout."""
    make(tmp_path, **XL)
    pooled = {one + prompts.POOLED: noise(10, seed=k) for k, one in enumerate(TEXTS)}
    prompts.write(tmp_path, prompts.read(tmp_path) | pooled)
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


def transformer(kind: str, **options: Any) -> Any:
    """A tiny random network of SD3 or FLUX for latents 4x8x8."""
    torch.manual_seed(0)
    if kind == "sd3":
        net = SD3Transformer2DModel(sample_size=8, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=4,
                                    num_attention_heads=4, joint_attention_dim=12, caption_projection_dim=16,
                                    pooled_projection_dim=10, pos_embed_max_size=8)  # fmt: skip
    else:
        usual = dict(in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
                     joint_attention_dim=12, pooled_projection_dim=10, axes_dims_rope=(2, 2, 4))  # fmt: skip
        net = FluxTransformer2DModel(**usual | options)
        net.register_to_config(sample_size=8)
    with torch.no_grad():  # parts of them begin at zero
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return net.eval()


def flow_model(folder: Path, kind: str, **options: Any) -> dict[str, Tensor]:
    """A model with such a network, and its texts."""
    tiny.save(folder, transformer(kind, **options), FlowMatchEulerDiscreteScheduler(), within="transformer")
    AutoencoderKL(latent_channels=4, block_out_channels=(8, 8, 8, 16), norm_num_groups=4, scaling_factor=0.4, shift_factor=0.1,
                  down_block_types=("DownEncoderBlock2D",) * 4, use_quant_conv=False, use_post_quant_conv=False,
                  up_block_types=("UpDecoderBlock2D",) * 4).save_pretrained(folder / "vae")  # fmt: skip
    known = {one: noise(7, 12, seed=k) for k, one in enumerate(TEXTS)}
    known |= {one + prompts.POOLED: noise(10, seed=k) for k, one in enumerate(TEXTS)}
    prompts.write(folder, known)
    return known


@pytest.mark.parametrize(("kind", "guidance_embeds"), [("sd3", False), ("flux", False), ("flux", True)])
def test_transformers_of_flow_are_their_own_pipelines(tmp_path, kind, guidance_embeds):
    """Euler steps of the flow are DDIM's of D; from t = 0.9, since at 1 there is no sigma."""
    pytest.importorskip("transformers")
    from diffusers import FluxPipeline, StableDiffusion3Pipeline

    known = flow_model(tmp_path, kind, **({"guidance_embeds": guidance_embeds} if kind == "flux" else {}))
    prior = load(f"{tmp_path}:prompt=a red cup:negative=blur, noise: none:guidance=2.5")
    assert (prior.shape, prior.picture_shape) == ((4, 8, 8), (3, 64, 64))
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae")
    levels, start = [0.9, 0.5, 0.2], noise(1, 4, 8, 8)
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
    x = start / (1 - levels[0]) / prior.scale
    sigmas = [t / (1 - t) / prior.scale for t in [*levels, 0.0]]
    with torch.no_grad():
        for sigma, after in pairwise(sigmas):
            D = prior.denoise(x, sigma)
            x = D + after / sigma * (x - D)
    torch.testing.assert_close(prior.scale * x, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_transformers_of_flow_restore_and_replay(tmp_path, kind):
    flow_model(tmp_path, kind)
    name = f"{tmp_path}:prompt=a red cup:guidance=2"
    got = api.restore(EXAMPLE, prior=name, operator="superres:factor=4", sampler="reddiff:steps=3", particles=2, device="cpu")
    assert got.restored.shape == (1, 3, 64, 64)
    assert bool(got.restored.isfinite().all())
    assert api.replay(got.record)[1]
    with pytest.raises(PriorError, match=r"docs/models\.md has the lines"):
        load(f"{tmp_path}:prompt=a green cup")


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
        (dict(in_channels=9), "", "takes 9 channels"),  # an inpainting model
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


def with_encoder(folder: Path, which: str, width: int, kind: str) -> Any:
    """A tokenizer of letters, and a random text encoder, in a model's folder: a function from a text to what it gives."""
    import transformers

    place = folder / f"tokenizer{which}"
    place.mkdir()
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {token: k for k, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (place / "vocab.json").write_text(json.dumps(vocabulary))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(place / "vocab.json"), str(place / "merges.txt"), model_max_length=9)
    tokenizer.save_pretrained(place)
    torch.manual_seed(width)
    config = transformers.CLIPTextConfig(vocab_size=54, hidden_size=width, intermediate_size=16, num_hidden_layers=2,
                                         num_attention_heads=2, max_position_embeddings=9, bos_token_id=52,
                                         eos_token_id=53, projection_dim=10)  # fmt: skip
    encoder = getattr(transformers, kind)(config).eval()
    encoder.save_pretrained(folder / f"text_encoder{which}")

    def given(one: str) -> Any:
        ids = tokenizer([one], padding="max_length", max_length=9, return_tensors="pt").input_ids
        with torch.no_grad():
            return encoder(ids, output_hidden_states=True)

    return given


@pytest.mark.parametrize("kind", ["1.x", "XL"])
def test_a_text_is_encoded_once_and_then_runs_without_its_encoders(tmp_path, kind):
    pytest.importorskip("transformers")
    make(tmp_path, texts=(), **(XL if kind == "XL" else {}))
    if kind == "XL":
        first = with_encoder(tmp_path, "", 4, "CLIPTextModel")("cup")
        second = with_encoder(tmp_path, "_2", 8, "CLIPTextModelWithProjection")("cup")
        states, pooled = torch.cat([first.hidden_states[-2][0], second.hidden_states[-2][0]], -1), second.text_embeds[0]
    else:
        states, pooled = with_encoder(tmp_path, "", 12, "CLIPTextModel")("cup").last_hidden_state[0], None
    prior = load(f"{tmp_path}:prompt=cup:negative=:guidance=2")
    known = prompts.read(tmp_path)
    torch.testing.assert_close(known["cup"], states)
    if pooled is not None:
        torch.testing.assert_close(known["cup" + prompts.POOLED], pooled)
    for file in tmp_path.glob("text_encoder*/*"):
        file.unlink()
    priors._load.cache_clear()
    priors._text_to_image.cache_clear()
    x = noise(1, 4, 8, 8)
    assert torch.equal(load(prior.name).denoise(x, 1.0), prior.denoise(x, 1.0))


def test_levels_of_a_text_model_are_those_of_its_scheduler(folder):
    prior = load(folder)
    assert len(schedule.uniform(prior.sigmas, 8)) == 8
    assert prior.shape == (4, 8, 8)
    assert prior.picture_shape == (3, 32, 32)
