"""Checkpoints of guided-diffusion: every published structure converts to a network with the original's outputs."""

import json
import os
from pathlib import Path

import pytest
import torch
from adm_unet import ADM
from diffusers import DDPMScheduler, UNet2DModel

from redgui import cli, priors
from redgui.knobs import KnobError
from redgui.priors import PriorError, adm
from redgui.priors.adm_network import apart, empty, layout_of, renamed, unet_config
from redgui.priors.network import DiffusersPrior

# The published structures at a fraction of their widths: heads are narrowed with them.
_256 = dict(mult=(1, 1, 2, 2, 4, 4), blocks=2, attention=(3, 4, 5), head_channels=16)
STRUCTURES = {
    "imagenet-64": dict(mult=(1, 2, 3, 4), blocks=3, attention=(1, 2, 3), head_channels=16, order="new", classes=1000),
    "imagenet-128": dict(mult=(1, 1, 2, 3, 4), blocks=2, attention=(2, 3, 4), heads=4, classes=1000),
    "imagenet-256": dict(**_256, classes=1000),
    "imagenet-256-uncond": _256,
    "imagenet-512": dict(_256, channels=64, mult=(0.5, 1, 1, 2, 2, 4, 4), attention=(4, 5, 6), classes=1000),
    "lsun-256": _256,
    "ffhq-256": dict(mult=(1, 1, 2, 2, 4, 4), blocks=1, attention=(4,), head_channels=16),
}  # fmt: skip
SMALL = dict(mult=(1, 2), blocks=1, attention=(1,), head_channels=16)


def oracle(channels: int = 32, **structure) -> ADM:
    """The original architecture with random weights that keep signals at about their size, none of them zero."""
    torch.manual_seed(0)
    net = ADM(channels, **structure).eval().requires_grad_(False)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, 0.5 if weight.ndim == 1 else 0, 0.1 if weight.ndim == 1 else weight[0].numel() ** -0.5)
    return net


def saved(net: ADM, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(net.state_dict(), folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def agree(net: ADM, prior: DiffusersPrior, size: int, label: int | None, tolerance: float = 1e-4) -> None:
    """The prior's eps_hat is the first half of the original's output, to a share of its largest value."""
    t = torch.tensor([7, 640])
    sigma = prior.sigmas[t]
    x = (
        torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
        * (1 + sigma.float()[:, None, None, None] ** 2) ** 0.5
    )
    alpha = (1 / (1 + sigma**2)).sqrt().float()[:, None, None, None]
    wanted = net(alpha * x, t, None if label is None else torch.tensor([label, label]))[:, :3]
    got = prior.net(alpha * x, t.float(), **({} if label is None else {"class_labels": torch.tensor([label, label])}))
    assert float((got.sample[:, :3] - wanted).abs().max() / wanted.abs().max()) < tolerance
    x0_hat = x - sigma.float()[:, None, None, None] * wanted
    torch.testing.assert_close(prior.denoise(x, sigma), x0_hat, rtol=1e-3, atol=1e-3 * float(x0_hat.abs().max()))


@pytest.mark.parametrize("name", adm.PUBLISHED)
def test_every_published_structure_is_recognised_and_has_the_originals_outputs(tmp_path, name):
    structure = STRUCTURES[name]
    net = oracle(**structure)
    change = "" if name == "imagenet-128" else ":head_channels=16"
    config = name if name == "lsun-256" else "auto"
    found = adm.convert(saved(net, tmp_path), tmp_path / "out", config + change)
    assert found["config"] == name
    assert found["size"] == int(name.split("-")[1])
    assert found["parameters"] == sum(w.numel() for w in net.parameters())
    label = 417 if structure.get("classes") else None
    prior = priors.load(str(tmp_path / "out") + ("" if label is None else f":label={label}"), "cpu", "fp32")
    assert prior.shape == (3, found["size"], found["size"])
    agree(net, prior, 2 ** (len(structure["mult"]) - 1), label)
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "out/scheduler")
    if name == "imagenet-64":  # cosine, arXiv 2102.09672, eq. 17
        t = torch.arange(1, 1001, dtype=torch.float64) / 1000
        wanted = (((t + 0.008) / 1.008 * torch.pi / 2).cos() / torch.tensor(0.008 / 1.008 * torch.pi / 2).cos()).square()
        torch.testing.assert_close(scheduler.alphas_cumprod[:950].double(), wanted[:950], rtol=1e-3, atol=1e-5)
    else:
        torch.testing.assert_close(scheduler.betas, torch.linspace(1e-4, 0.02, 1000))
    assert scheduler.config.variance_type == "learned_range"


# Widths of the published models, and millions of their weights as the paper has them (None: it has not this one).
FULL = {"imagenet-64": (192, 296), "imagenet-128": (256, 422), "imagenet-256": (256, 554), "imagenet-256-uncond": (256, 552),
        "imagenet-512": (256, 559), "ffhq-256": (128, None)}  # fmt: skip


@pytest.mark.parametrize("name", FULL)
def test_at_full_width_every_weight_has_its_place_and_their_number_is_the_papers(name):
    width, millions = FULL[name]
    heads = {} if name == "imagenet-128" else {"head_channels": 64}
    with torch.device("meta"):
        state = ADM(**{**STRUCTURES[name], **heads, "channels": width}).state_dict()
    layout = layout_of(state)
    found, chosen = adm.choose("auto", layout)
    assert found == name
    wanted = {key: tuple(w.shape) for key, w in empty(unet_config(layout, chosen)).state_dict().items()}
    assert {key: tuple(w.shape) for key, w in renamed(state, layout, chosen).items()} == wanted
    assert millions is None or sum(w.numel() for w in state.values()) / 1e6 == pytest.approx(millions, abs=1)


@pytest.mark.parametrize(
    ("structure", "config"),
    [
        (dict(mult=(1, 2, 2), blocks=2, attention=(1, 2), heads=4, scale_shift=False, resblock=False, out=3), "heads=4"),
        (
            dict(mult=(1, 2), blocks=1, attention=(), head_channels=32, resblock=False, order="new"),
            "head_channels=32,order=new",
        ),
        (dict(mult=(1, 2), blocks=2, attention=(0, 1), heads=2, inputs=1, out=1, scale_shift=False), "heads=2,betas=cosine"),
    ],
    ids=["convolutions, no scale-shift", "no attention but the middle", "grey"],
)
def test_other_structures_convert_when_the_rest_is_said(tmp_path, structure, config):
    net = oracle(**structure)
    found = adm.convert(saved(net, tmp_path), tmp_path / "out", f"adm:size=16,{config}")
    prior = priors.load(str(tmp_path / "out"), "cpu", "fp32")
    channels = structure.get("inputs", 3)
    assert (found["config"], prior.shape) == ("adm", (channels, 16, 16))
    x, t = torch.randn(1, channels, 16, 16), torch.tensor([300])
    torch.testing.assert_close(prior.net(x, t).sample, net(x, t), rtol=1e-4, atol=1e-4)


def test_the_two_orders_of_qkv_differ_and_a_wrong_one_is_seen(tmp_path):
    rows = torch.arange(12.0)  # two heads of two channels
    assert [p.tolist() for p in apart(rows, 2, "new")] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [p.tolist() for p in apart(rows, 2, "legacy")] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    net = oracle(**SMALL)
    adm.convert(saved(net, tmp_path), tmp_path / "out", "adm:size=8,head_channels=16,order=new")
    prior = priors.load(str(tmp_path / "out"), "cpu", "fp32")
    with pytest.raises(AssertionError):
        agree(net, prior, 8, None)


def test_what_unet2dmodel_can_say_is_one_and_what_it_cannot_is_marked(tmp_path):
    plain, own = oracle(**SMALL), oracle(**{**SMALL, "head_channels": 0, "heads": 2})
    adm.convert(saved(plain, tmp_path), tmp_path / "plain", "adm:size=8,head_channels=16")
    adm.convert(saved(own, tmp_path), tmp_path / "own", "adm:size=8,heads=2")
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([300])
    net = UNet2DModel.from_pretrained(tmp_path / "plain/unet").eval()  # as any other program reads it
    torch.testing.assert_close(net(x, t).sample, plain(x, t), rtol=1e-4, atol=1e-4)
    config = json.loads((tmp_path / "own/unet/config.json").read_text())
    assert (config["_class_name"], config["num_heads"]) == ("ADMUNet2DModel", 2)


class Bomb:
    """Unpickled, this would make a directory."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, zipped):
    torch.save({**oracle(**SMALL).state_dict(), "more": Bomb(tmp_path / "trace")}, tmp_path / "c.pt",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    with pytest.raises(PriorError, match="is not run"):
        adm.convert(tmp_path / "c.pt", tmp_path / "out")
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()


def without(*names: str, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {key: w for key, w in oracle(**SMALL).state_dict().items() if not key.startswith(names)} | more


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: [1], "state dict"),
        (lambda: {"model": {"a": torch.ones(1)}}, "state dict"),
        (lambda: {"a": torch.ones(1)}, "no denoiser"),
        (lambda: without("output_blocks"), "levels"),
        (lambda: without("output_blocks.1."), "no network of guided-diffusion"),
        (lambda: without("output_blocks.1.0.in_layers.0.bias"), "does not fit"),
        (lambda: without(stray=torch.ones(1)), "stray"),
        (lambda: oracle(**SMALL, inputs=6, out=3).state_dict(), "Upsamplers"),
    ],
)  # fmt: skip
def test_what_is_no_denoiser_is_one_clear_error_and_writes_nothing(tmp_path, content, told):
    torch.save(content(), tmp_path / "c.pt")
    with pytest.raises(PriorError, match=told):
        adm.convert(tmp_path / "c.pt", tmp_path / "out", "adm:size=8,head_channels=16")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("auto", "adm:size="),
        ("imagenet", "Choose auto"),
        ("ffhq-256", "is not of configuration ffhq-256"),
        ("adm:sise=8", "did you mean 'size'"),
        ("adm:size=8,head_channels=5", "divided into heads"),
        ("adm:size=9,head_channels=16", "halved"),
        ("adm:heads=2,head_channels=16", "either"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_clear_error(tmp_path, config, told):
    with pytest.raises((PriorError, KnobError), match=told):
        adm.convert(saved(oracle(**SMALL), tmp_path), tmp_path / "out", config)


def test_files_that_cannot_be_read_or_written_over(tmp_path):
    with pytest.raises(PriorError, match="no file"):
        adm.convert(tmp_path / "none.pt", tmp_path / "out")
    (tmp_path / "c.pt").write_bytes(b"<html>not found</html>")
    with pytest.raises(PriorError):
        adm.convert(tmp_path / "c.pt", tmp_path / "out")
    checkpoint = saved(oracle(**SMALL), tmp_path)
    adm.convert(checkpoint, tmp_path / "out", "adm:size=8,head_channels=16")
    with pytest.raises(PriorError, match="holds a prior already"):
        adm.convert(checkpoint, tmp_path / "out", "adm:size=8,head_channels=16")


def test_the_command_line_converts_and_says_how_to_use_it(tmp_path, capsys):
    checkpoint = saved(oracle(**SMALL, classes=10), tmp_path)
    out = str(tmp_path / "out")
    assert cli.main(["convert-adm", str(checkpoint), out, "--config", "adm:size=8,head_channels=16"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert f"--prior {out}:label=N" in told[0]
    assert json.loads(told[-1])["classes"] == 10
    assert cli.main(["convert-adm", str(tmp_path / "no.pt"), out]) == 2
    assert capsys.readouterr().err.startswith("redgui: there is no file")


# ---- labels ----


def test_a_label_is_part_of_the_name_and_of_the_record(tmp_path):
    from redgui import api

    net = oracle(**SMALL, classes=10)
    adm.convert(saved(net, tmp_path), tmp_path / "out", "adm:size=8,head_channels=16")
    folder = str(tmp_path / "out")
    agree(net, priors.load(f"{folder}:label=0", "cpu", "fp32"), 8, 0)
    result = api.restore("example:" + api.listing()["examples"][0], prior=f"{folder}:label=3", device="cpu",
                         operator="denoise", sampler="reddiff:steps=3", sigma_y=0.5)  # fmt: skip
    assert result.record.settings.prior == f"{folder}:label=3"
    again, same = api.replay(result.record)
    assert same
    other = api.restore("example:" + api.listing()["examples"][0], prior=f"{folder}:label=4", device="cpu",
                        operator="denoise", sampler="reddiff:steps=3", sigma_y=0.5)  # fmt: skip
    assert not torch.equal(other.restored, again.restored)


@pytest.mark.parametrize(
    ("label", "told"),
    [("", ":label=0 to :label=9"), (":label=10", "0 to 9"), (":label=x", "number"), (":lable=1", "did you mean 'label'")],
)
def test_a_missing_or_wrong_label_is_one_clear_error(tmp_path, label, told):
    adm.convert(saved(oracle(**SMALL, classes=10), tmp_path), tmp_path / "out", "adm:size=8,head_channels=16")
    with pytest.raises(PriorError, match=told):
        priors.load(f"{tmp_path / 'out'}{label}", "cpu")


def test_a_label_for_a_network_without_classes_is_one_clear_error():
    with pytest.raises(PriorError, match="not class-conditional"):
        priors.load("faces-64:label=1", "cpu")
