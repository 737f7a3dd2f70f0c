"""Priors as people have them: single channels, half precision, shards, averaged weights, embeddings of time, odd paths."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image
from torch import Tensor
from wire import Served

from redgui import api, bench, cli, images, metrics, operators, priors, snippets
from redgui.operators import OPERATORS, OperatorError
from redgui.priors import PriorError, hub
from redgui.priors.folder import chosen_weights
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import example_of
from redgui.runs.stream import measured, solve
from redgui.samplers import RedDiff

EXAMPLE = "example:face-06"
GREY = "gaussian:size=16,channels=1"


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """No prior of another test is taken for one of the same name."""
    priors._load.cache_clear()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def load(folder: Path | str, **options: Any) -> priors.Prior:
    return priors.load(str(folder), "cpu", "fp32", **options)


def of_vp(net: torch.nn.Module, x: Tensor, t: int) -> Tensor:
    """D of a network that predicts epsilon on DDPM's linear betas, by the definition."""
    abar = float(DDPMScheduler().alphas_cumprod.double()[t])
    with torch.no_grad():
        eps = net(abar**0.5 * x, torch.tensor(t)).sample
    return x - ((1 - abar) / abar) ** 0.5 * eps


# ---- one channel: luma in, grey out


def test_a_network_of_one_channel_works_on_the_luma_and_gives_grey(tmp_path):
    tiny.save(tmp_path / "grey", tiny.unet(1, sample_size=16))
    prior = str(tmp_path / "grey")
    got = api.restore(EXAMPLE, prior=prior, operator="superres:factor=2", sampler="reddiff:steps=3", fit="crop")
    assert got.restored.shape == got.picture.shape == (1, 1, 16, 16)
    source = images.fit(images.read(api.resolve(EXAMPLE)), 16, 16).convert("L")
    assert np.array_equal(images.to_uint8(got.picture)[..., 0], np.asarray(source))
    out = got.save(tmp_path / "out")
    for name in ("input.png", "measurement.png", "restored.png", "restored-full.png"):
        pixels = np.asarray(Image.open(out / name).convert("RGB"))
        assert (pixels == pixels[..., :1]).all(), name
    again, same = api.replay(out / "record.json")
    assert same
    assert torch.equal(again.restored, got.restored)
    kept = Image.open(io.BytesIO(base64.b64decode(Record.read(out / "record.json").image)))
    assert kept.mode == "L"
    assert example_of(got.record.image, "crop") == "face-06"  # a link to it needs no picture


def test_the_hole_of_a_grey_prior_lies_in_a_grey_picture(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(tmp_path / "colour.png")
    got = api.restore(tmp_path / "colour.png", prior=GREY, operator="inpaint", sampler="reddiff:steps=2")
    whole = np.asarray(got.full)
    luma = np.asarray(Image.open(tmp_path / "colour.png").convert("L"))
    assert whole.shape == (30, 40, 3)
    assert (whole == whole[..., :1]).all()
    assert (whole[:, 0, 0] == luma[:, 0]).all()  # outside of the crop


@pytest.mark.parametrize("H", OPERATORS, ids=lambda H: H.name)
def test_every_degradation_takes_one_channel_or_says_why_not(H):
    prior = load(GREY)
    picture = prior.sample(1, torch.Generator().manual_seed(1)).clamp(-1, 1)
    if H.name == "colorize":
        with pytest.raises(OperatorError, match="colorize needs pictures of 3 channels"):
            Problem.simulate(picture, operators.build("colorize"))
        return
    problem = Problem.simulate(picture, operators.build(H.name), 0.05)
    *_, last = measured(solve(problem, prior, RedDiff(steps=3)), problem)
    assert last.x0_hat.shape == (1, 1, 16, 16)
    assert np.isfinite(last.psnr)


def test_a_grey_jpeg_is_pillows():
    x = images.to_tensor(images.fit(images.read(api.resolve(EXAMPLE)), 64, 64), 1)
    buffer = io.BytesIO()
    images.to_pil(x).convert("L").save(buffer, "jpeg", quality=30)
    assert float(metrics.psnr(operators.build("jpeg:quality=30")(x), images.to_tensor(Image.open(buffer), 1))) > 45


def test_command_line_and_benchmark_take_a_grey_prior(tmp_path, capsys):
    words = ["restore", EXAMPLE, "--prior", GREY, "--sampler", "reddiff:steps=2", "--out", str(tmp_path / "one")]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["prior"] == "gaussian:size=16,channels=1"
    words = ["bench", "--limit", "2", "--prior", GREY, "--operators", "superres", "--samplers", "reddiff:steps=2"]
    assert cli.main([*words, "--out", str(tmp_path / "bench")]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["n"] == 2


def test_the_page_takes_a_grey_prior(home: Served, tmp_path):
    tiny.save(tmp_path / "grey", tiny.unet(1, sample_size=16))
    page = home.page()
    page.values["prior"] = str(tmp_path / "grey")
    assert page.call("choose_prior").toasts == []
    page.call("get_ready", shows="live")
    outputs = page.call("start", shows="live", **{"reddiff-steps": 3}).outputs
    assert outputs["live"]["status"] == "done"
    frame = np.asarray(images.read(base64.b64decode(outputs["result"]["after"]["src"].partition(",")[2])))
    assert (frame == frame[..., :1]).all()
    answer = page.call("restore", data=[EXAMPLE, "blur", "reddiff:steps=2", 0.0, 0, 1, str(tmp_path / "grey"), None, False,
                                        "crop", None, False, False, False, None])  # fmt: skip
    assert answer.error is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(in_channels=2, out_channels=2), "takes 2 channels"),
        (dict(in_channels=9, out_channels=4), "takes 9 channels"),  # an inpainting network
        (dict(in_channels=3, out_channels=4), "makes 4 channels of 3"),
    ],
)
def test_other_channels_are_refused_in_one_line(tmp_path, options, told):
    tiny.save(tmp_path, tiny.unet(**options))
    with pytest.raises(PriorError, match=told) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_grey_network_is_not_trained_further(tmp_path, capsys):
    tiny.save(tmp_path / "grey", tiny.unet(1))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ["train", str(tmp_path), "--init", str(tmp_path / "grey"), "--steps", "1", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has 1 channel" in line


def latents(folder: Path, pictures: int = 3, of: int = 4, **told: object) -> AutoencoderKL:
    """A latent model of 32x32 pictures, its weights random."""
    tiny.save(folder, tiny.unet(of))
    torch.manual_seed(0)
    vae = AutoencoderKL(in_channels=pictures, out_channels=pictures, latent_channels=4, block_out_channels=(8, 8, 16),
                        norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 3,
                        up_block_types=("UpDecoderBlock2D",) * 3, **told)  # fmt: skip
    vae.save_pretrained(folder / "vae")
    return vae.eval()


def test_latents_of_grey_pictures_with_a_shift(tmp_path):
    vae = latents(tmp_path, 1, scaling_factor=0.5, shift_factor=0.25)
    prior = load(tmp_path)
    assert (prior.shape, prior.picture_shape) == ((4, 8, 8), (1, 32, 32))
    picture = noise(1, 1, 32, 32).clamp(-1, 1)
    z = (vae.encode(picture).latent_dist.mode() - 0.25) * 0.5
    torch.testing.assert_close(prior.encode(picture) * 4, z)
    torch.testing.assert_close(prior.decode(prior.encode(picture)), vae.decode(z / 0.5 + 0.25).sample, rtol=1e-4, atol=1e-4)
    assert api.restore(EXAMPLE, prior=str(tmp_path), operator="superres", sampler="reddiff:steps=2").restored.shape[1] == 1


def test_latents_that_do_not_fit_each_other_are_refused_in_one_line(tmp_path):
    latents(tmp_path / "a", of=3)
    latents(tmp_path / "b", pictures=2)
    latents(tmp_path / "c", scaling_factor="much")
    for name, told in (("a", "takes 3 channels; redgui reads networks of 4"), ("b", "2 channels"), ("c", "scaling_factor")):
        with pytest.raises(PriorError, match=told):
            load(tmp_path / name)


# ---- weights


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("shards", [{}, dict(max_shard_size="20KB")], ids=["", "sharded"])
@pytest.mark.parametrize("variant", [None, "fp16", "non_ema"])
def test_weights_of_every_layout_are_read(tmp_path, variant, shards, safe, offline):
    net = tiny.unet()
    net = net.half() if variant == "fp16" else net
    tiny.save(tmp_path, net, variant=variant, safe_serialization=safe, **shards)
    files = sorted(p.name for p in (tmp_path / "unet").iterdir())
    assert any("-of-" in name for name in files) == bool(shards)
    assert hub.wanted([f"unet/{name}" for name in files] + ["scheduler/scheduler_config.json"], "r")[2:]
    x = noise(1, 3, 8, 8)
    prior = load(tmp_path)
    torch.testing.assert_close(prior.denoise(x, float(prior.sigmas[300])), of_vp(net.float(), x, 300), rtol=1e-4, atol=1e-4)
    if shards:
        next((tmp_path / "unet").glob("*-of-*")).unlink()
        priors._load.cache_clear()
        with pytest.raises(PriorError, match="no weights"):
            load(tmp_path)


def test_full_precision_is_preferred_and_old_names_of_shards_are_known():
    full, half = "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"
    assert chosen_weights([half, full]) == ([full], False, None)
    assert chosen_weights([half, half.replace("fp16", "non_ema")]) == ([half], True, "fp16")
    index = "diffusion_pytorch_model.safetensors.index.fp16.json"
    for names in (".fp16-0000{}-of-00002.safetensors", "-0000{}-of-00002.fp16.safetensors"):
        shards = [f"diffusion_pytorch_model{names.format(k)}" for k in (1, 2)]
        assert chosen_weights([index, *shards]) == ([index, *shards], True, "fp16")
        assert chosen_weights([index, shards[0]]) is None
    assert chosen_weights(["config.json", "diffusion_flax_model.msgpack", "model.safetensors"]) is None


def test_averaged_weights_are_taken_where_there_are_any(tmp_path):
    tiny.save(tmp_path)
    averaged = tiny.unet()
    with torch.no_grad():
        averaged.conv_out.bias += 1
    tiny.save(tmp_path, averaged, within="unet_ema")
    x, prior = noise(1, 3, 8, 8), load(tmp_path)
    torch.testing.assert_close(prior.denoise(x, float(prior.sigmas[300])), of_vp(averaged, x, 300), rtol=1e-4, atol=1e-4)
    (tmp_path / "unet/config.json").unlink()  # it may also be alone
    priors._load.cache_clear()
    torch.testing.assert_close(load(tmp_path).denoise(x, 1.0), prior.denoise(x, 1.0))
    files = {part: [f"{part}/config.json", f"{part}/diffusion_pytorch_model.safetensors"] for part in ("unet", "unet_ema")}
    scheduler = ["scheduler/scheduler_config.json"]
    assert hub.wanted([*files["unet"], *files["unet_ema"], *scheduler], "r") == [*scheduler, *files["unet_ema"]]


# ---- embeddings of time


def test_a_learned_embedding_of_time_is_asked_at_whole_times(tmp_path):
    net = tiny.unet(time_embedding_type="learned", num_train_timesteps=1000)
    tiny.save(tmp_path, net)
    prior, x = load(tmp_path), noise(2, 3, 8, 8)
    for t in (0, 300, 999):
        s = float(prior.sigmas[t])
        torch.testing.assert_close(prior.denoise(x * (1 + s), s), of_vp(net, x * (1 + s), t), rtol=1e-4, atol=1e-3 * (1 + s))
    between = float((prior.sigmas[40] ** 0.3) * (prior.sigmas[41] ** 0.7))  # nearer to 41
    abar = 1 / (1 + between**2)
    with torch.no_grad():
        eps = net(abar**0.5 * x, torch.tensor(41)).sample
    torch.testing.assert_close(prior.denoise(x, between), x - between * eps, rtol=1e-4, atol=1e-4)
    api.restore(EXAMPLE, prior=str(tmp_path), operator="superres:factor=2", sampler="reddiff:steps=3", device="cpu")


def test_a_fourier_embedding_of_time_is_never_asked_at_zero(tmp_path):
    net = tiny.unet(time_embedding_type="fourier")
    tiny.save(tmp_path, net)
    prior, x = load(tmp_path), noise(1, 3, 8, 8)
    assert len(prior.sigmas) == 999
    for t in (1, 300, 999):
        s = float(prior.sigmas[t - 1])
        torch.testing.assert_close(prior.denoise(x * (1 + s), s), of_vp(net, x * (1 + s), t), rtol=1e-4, atol=1e-3 * (1 + s))
    assert bool(prior.denoise(x, 1e-6).isfinite().all())
    for other in (FlowMatchEulerDiscreteScheduler(), diffusers.ScoreSdeVeScheduler()):
        tiny.save(tmp_path / "other", net, other)
        priors._load.cache_clear()
        assert bool(load(tmp_path / "other").denoise(x, 1.0).isfinite().all())


@pytest.mark.parametrize(
    ("options", "scheduler", "told"),
    [
        (dict(time_embedding_type="learned", num_train_timesteps=100), DDPMScheduler(), "table of 100 times .* has 1000"),
        (dict(time_embedding_type="learned", num_train_timesteps=1001), FlowMatchEulerDiscreteScheduler(), "table of times"),
        (dict(time_embedding_type="fourier"), diffusers.EDMEulerScheduler(), "logarithm of its time"),
    ],
)
def test_times_that_a_network_does_not_have_are_refused_in_one_line(tmp_path, options, scheduler, told):
    tiny.save(tmp_path, tiny.unet(**options), scheduler)
    with pytest.raises(PriorError, match=told) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


# ---- schedulers


@pytest.mark.parametrize("scheduler", [diffusers.EulerDiscreteScheduler(), diffusers.EDMEulerScheduler(),
                                       FlowMatchEulerDiscreteScheduler(shift=3.0), diffusers.CMStochasticIterativeScheduler(),
                                       diffusers.LCMScheduler()], ids=lambda s: type(s).__name__)  # fmt: skip
def test_folders_of_every_kind_of_training_restore_and_replay(tmp_path, scheduler):
    tiny.save(tmp_path, tiny.unet(), scheduler)
    for sampler in ("reddiff:steps=4", "diffpir:steps=4", "dps:steps=4"):
        got = api.restore(EXAMPLE, prior=str(tmp_path), operator="superres:factor=2", sampler=sampler, device="cpu")
        assert bool(got.restored.isfinite().all())
        assert api.replay(got.record)[1]


# ---- names


@pytest.mark.parametrize("name", [r"C:\models\my prior", r"C:\models\a=b, c", "D:prior", r"\\server\share:x=1"])
def test_a_name_with_a_colon_works_on_every_way_in(name, tmp_path, monkeypatch, home: Served, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.save(Path(name))  # here these are names of folders as any other
    assert load(name).name == name
    assert priors.size_of(name) is None
    words = ["restore", EXAMPLE, "--prior", name, "--operator", "superres:factor=2", "--sampler", "reddiff:steps=2",
             "--out", "out"]  # fmt: skip
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["prior"] == name
    record = Record.read("out/record.json")
    assert api.replay(record)[1]
    read = snippets.read_link(snippets.link(record))
    assert read is not None
    assert read.prior == name
    page = home.page()
    page.values["prior"] = name
    assert page.call("choose_prior").toasts == []
    page.call("get_ready", shows="live")
    live = page.call("start", shows="live", **{"reddiff-steps": 2}).outputs["live"]
    assert live["status"] == "done"


def test_the_class_of_a_network_may_follow_a_name_with_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save(Path(r"C:\x=1"), tiny.unet(num_class_embeds=5))
    assert load(r"C:\x=1:label=3").label == 3
    with pytest.raises(PriorError, match="say which class"):
        load(r"C:\x=1")
    with pytest.raises(PriorError, match="there is no prior"):
        load(r"C:\no\such=thing")


# ---- a benchmark's pictures


def test_a_benchmark_finds_pictures_in_folders_within(tmp_path, capsys):
    for k, name in enumerate(("set/b/1.png", "set/a/1.png", "set/a/deep/2.jpg", "set/.thumbs/1.png", "set/a/notes.txt")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (k * 40, 0, 0)).save(tmp_path / name, "png")
    assert [p.name for p in bench.pictures(tmp_path, 16, 16)] == ["a/1", "a/deep/2", "b/1"]
    assert [p.name for p in bench.pictures(tmp_path / "set/b", 16, 16)] == ["1"]
    assert bench.pictures(tmp_path, 16, 16, 1, channels=1)[0].x.shape == (1, 1, 16, 16)
    words = ["bench", "--images", str(tmp_path), "--prior", "gaussian:size=16", "--operators", "superres", "--samplers",
             "reddiff:steps=2", "--out", str(tmp_path / "results")]  # fmt: skip
    for _ in range(2):  # its own sheets are no pictures of the next run
        assert cli.main(words) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"][0]["n"] == 3

