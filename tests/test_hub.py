"""Priors of the Hub, against a server on loopback that answers as the Hub does."""

import json
import socket
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from hub_server import WEIGHTS, Hub
from huggingface_hub import constants

from redgui import cli, priors
from redgui.priors import PriorError, hub


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a tiny model with all that a prior does not need beside what it does."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = UNet2DModel(sample_size=8, block_out_channels=(32,), layers_per_block=1, down_block_types=("DownBlock2D",),
                      up_block_types=("UpBlock2D",), norm_num_groups=4, add_attention=False)  # fmt: skip
    net.save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    weights = files[WEIGHTS]
    assert len(weights) > 100_000
    unused = {"README.md": b"#", "images/a.png": b"0", "unet/diffusion_pytorch_model.bin": b"0" * 99,
              "unet/diffusion_pytorch_model.fp16.safetensors": b"0" * 99, "unet/diffusion_flax_model.msgpack": b"0" * 99,
              "run.py": b"raise SystemExit", "logs/events.json": b"{}"}  # fmt: skip
    return {**files, "model_index.json": json.dumps(index).encode(), **unused}


@pytest.fixture
def served(model, tmp_path, monkeypatch):
    """A Hub on loopback with `tiny/unet`, and an empty cache."""
    server = Hub()
    server.repos["tiny/unet"] = dict(model)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)  # what comes at the end of less than one of these is lost
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))
    priors._load.cache_clear()
    yield server
    server.close()
    priors._load.cache_clear()


def load(name: str = "tiny/unet"):
    priors._load.cache_clear()
    return priors.load(name, "cpu", "fp32")


def test_a_model_is_fetched_once_with_what_is_needed_and_no_more(served, capsys):
    prior = load()
    assert (prior.shape, prior.name) == ((3, 8, 8), "tiny/unet")
    fetched = {path.split("/resolve/main/")[1] for method, path, _ in served.asked if method == "GET" and "/resolve/" in path}
    assert fetched == {"model_index.json", "unet/config.json", "scheduler/scheduler_config.json", WEIGHTS}
    assert "fetching tiny/unet" in capsys.readouterr().err
    served.asked.clear()
    x = torch.ones(1, 3, 8, 8)
    again = load()
    torch.testing.assert_close(again.denoise(x, 1.0), prior.denoise(x, 1.0), rtol=0, atol=0)
    assert served.asked == []  # not even asked


def test_a_cached_model_loads_at_once_when_the_hub_is_gone(served):
    load()
    served.close()
    began = time.perf_counter()
    assert load().shape == (3, 8, 8)
    assert time.perf_counter() - began < 2


def test_a_model_that_is_not_cached_is_a_quick_clear_error_when_the_hub_is_gone(served):
    served.close()
    began = time.perf_counter()
    with pytest.raises(PriorError, match=r"could not be reached \(\w+\)\. Go online once"):
        load()
    assert time.perf_counter() - began < 3


def test_a_hub_that_does_not_answer_is_given_up(served, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE", 1.5)
    with socket.socket() as silent:  # connections wait in its queue for ever
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.perf_counter()
        with pytest.raises(PriorError, match="could not be reached"):
            load()
    assert time.perf_counter() - began < 4


def test_a_download_that_is_cut_off_goes_on_where_it_ended(served, model):
    served.cut_after, served.dies = 20_000, True  # less than the weights, more than anything else
    with pytest.raises(PriorError, match="what was fetched so far is kept"):
        load()
    got = sum(p.stat().st_size for p in Path(constants.HF_HUB_CACHE).rglob("*.part"))
    assert 0 < got < len(model[WEIGHTS])
    served.cut_after, served.closed = None, False
    served.asked.clear()
    assert load().shape == (3, 8, 8)
    assert served.bodies(WEIGHTS) == [f"bytes={got}-"]
    assert next(Path(constants.HF_HUB_CACHE).rglob("*.safetensors")).read_bytes() == model[WEIGHTS]


def test_weights_that_came_damaged_are_thrown_away(served, model):
    served.cut_after, served.dies = 20_000, True
    with pytest.raises(PriorError):
        load()
    part = next(Path(constants.HF_HUB_CACHE).rglob("*.part"))
    part.write_bytes(b"0" * part.stat().st_size)
    served.cut_after, served.closed = None, False
    with pytest.raises(PriorError, match="damaged"):
        load()
    assert load().shape == (3, 8, 8)


def test_a_connection_that_breaks_now_and_then_is_mended_on_the_way(served, model):
    served.cut_after = len(model[WEIGHTS]) // 3 + 1
    assert load().shape == (3, 8, 8)
    assert len(served.bodies(WEIGHTS)) >= 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nobody/nothing", "no model nobody/nothing"),
        ("gated/model", "no model gated/model|only for those"),
        ("tiny/unet@v9", "no revision 'v9'"),
    ],
)
def test_what_is_not_there_is_one_quick_clear_error(served, name, told):
    began = time.perf_counter()
    with pytest.raises(PriorError, match=told):
        load(name)
    assert time.perf_counter() - began < 3


def test_a_revision_is_pinned_and_part_of_the_name(served):
    assert load("tiny/unet@v1").name == "tiny/unet@v1"
    assert all("/resolve/v1/" in path for method, path, _ in served.asked if "/resolve/" in path)
    served.close()
    assert load("tiny/unet@v1").shape == (3, 8, 8)
    with pytest.raises(PriorError, match="could not be reached"):
        load("tiny/unet@v2")


@pytest.mark.parametrize(("gone", "told"), [("unet/config.json", "no unet/config.json"), (WEIGHTS, None),
                                            ("scheduler/scheduler_config.json", "no scheduler_config.json")])  # fmt: skip
def test_a_repository_that_is_no_prior_is_told_before_anything_is_fetched(served, gone, told):
    for file in (gone, "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors"):
        del served.repos["tiny/unet"][file]
    with pytest.raises(PriorError, match=told or "no weights"):
        load()
    assert not [path for _, path, _ in served.asked if "/resolve/" in path]


def test_a_model_of_half_precision_alone_comes_with_its_shards(served, model):
    files = served.repos["tiny/unet"]
    half = UNet2DModel.from_config(json.loads(model["unet/config.json"])).half()
    for file in [f for f in files if f.startswith("unet/diffusion")]:
        del files[file]
    with tempfile.TemporaryDirectory() as folder:
        half.save_pretrained(folder, variant="fp16", max_shard_size="100KB")
        files |= {f"unet/{p.name}": p.read_bytes() for p in Path(folder).iterdir()}
    fetched = [f for f in files if f.startswith("unet/diffusion")]
    assert len(fetched) > 2  # an index, and shards
    prior = load()
    assert all(served.bodies(f) == [None] for f in fetched)
    x = torch.ones(1, 3, 8, 8)
    served.close()
    assert torch.equal(load().denoise(x, 1.0), prior.denoise(x, 1.0))  # from the cache


def test_a_scheduler_that_is_not_read_is_told_before_the_weights_are_fetched(served):
    served.repos["tiny/unet"]["scheduler/scheduler_config.json"] = b'{"_class_name": "ScoreSdeVpScheduler"}'
    with pytest.raises(PriorError, match="ScoreSdeVpScheduler"):
        load()
    assert not served.bodies(WEIGHTS)


@pytest.mark.parametrize(("told", "said"), [({"_class_name": "UNetMotionModel"}, "UNetMotionModel"),
                                            ({"_class_name": "UNet2DConditionModel", "addition_embed_type": "image"},
                                             "text-to-image model with further inputs")])  # fmt: skip
def test_a_network_that_is_not_read_is_refused_before_its_weights_are_fetched(served, told, said):
    config = json.loads(served.repos["tiny/unet"]["unet/config.json"]) | told
    served.repos["tiny/unet"]["unet/config.json"] = json.dumps(config).encode()
    with pytest.raises(PriorError, match=said):
        load()
    assert not served.bodies(WEIGHTS)


def test_a_latent_model_comes_whole(served):
    # The weights of an autoencoder are the last to come: without them the cache does not count as whole.
    served.repos["tiny/unet"] |= {"vqvae/config.json": b'{"_class_name": "VQModel"}',
                                  "vqvae/diffusion_pytorch_model.bin": b"0" * 200_000}  # fmt: skip
    assert hub.download("tiny/unet").is_dir()
    assert served.bodies("vqvae/diffusion_pytorch_model.bin") == [None]
    served.asked.clear()
    next(Path(constants.HF_HUB_CACHE).rglob("vqvae/diffusion_pytorch_model.bin")).unlink()
    assert hub.cached("tiny/unet", "main") is None


def test_the_files_of_every_layout(served):
    flat = ["config.json", "scheduler_config.json", "diffusion_pytorch_model.bin", "README.md"]
    assert hub.wanted(flat, "r") == ["scheduler_config.json", "config.json", "diffusion_pytorch_model.bin"]
    shards = [f"unet/diffusion_pytorch_model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.json"
    config = ["scheduler/scheduler_config.json", "unet/config.json"]
    assert hub.wanted([*config, index, *shards, "unet/diffusion_pytorch_model.bin"], "r") == [*config, index, *shards]
    latent = [*config, "vqvae/config.json", WEIGHTS, "vqvae/diffusion_pytorch_model.bin"]
    assert hub.wanted(latent, "r") == latent


def test_the_catalogue_names_every_prior_once_and_the_command_line_shows_it(capsys):
    names = [card.name for card in priors.PRIORS]
    assert len(set(names)) == len(names)
    assert all(hub.split(card.name) for card in priors.PRIORS if card.download_mb)
    assert cli.main(["list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in names)
