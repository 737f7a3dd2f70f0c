"""Priors as people have them: half precision, shards, averaged weights, embeddings of time, odd paths."""

import json
import re
from pathlib import Path

import diffusers
import pytest
import tiny
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image
from tiny import load, noise
from torch import Tensor
from wire import Served

from redgui import api, bench, cli, priors, snippets
from redgui.priors import PriorError, hub
from redgui.priors.catalogue import MODELS
from redgui.priors.folder import chosen_weights
from redgui.priors.names import conditioned
from redgui.runs.record import Record

EXAMPLE = "example:face-06"
pytestmark = pytest.mark.usefixtures("forgetful")


def of_vp(net: torch.nn.Module, x: Tensor, t: int) -> Tensor:
    """D of a network that predicts epsilon on DDPM's linear betas, by the definition."""
    abar = float(DDPMScheduler().alphas_cumprod.double()[t])
    with torch.no_grad():
        eps = net(abar**0.5 * x, torch.tensor(t)).sample
    return x - ((1 - abar) / abar) ** 0.5 * eps


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


def test_the_docs_have_a_command_for_every_model_of_the_catalogue():
    text = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    rows = re.findall(r'^\| `--prior "(.+?)"` \| (.+) \|$', text, re.MULTILINE)
    found = {conditioned(prior)[0]: facts for prior, facts in rows}
    assert found == {
        card.name: f"{card.size} | {card.terms}{', gated' * card.gated} | {card.download_mb} MB | {card.memory_gb:g} GB"
        for card in MODELS
    }
