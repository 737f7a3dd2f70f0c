"""Latent priors: H of the decoded picture, its gradient, and runs on a small random model of LDM's layout."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel, VQModel

from redgui import api, bench, knobs, operators, presets, priors
from redgui.operators.tangent import PlainAttention
from redgui.priors import Counted, PriorError
from redgui.runs.latent import Decoded
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.samplers import SAMPLERS, SamplerError
from redgui.samplers.dps import DPS
from redgui.samplers.reddiff import RedDiff


def make(folder: Path, kind: str = "vqvae", **config: object) -> Path:
    """A latent model of 32x32 pictures with latents 3x8x8, its weights random."""
    torch.manual_seed(0)
    unet = UNet2DModel(sample_size=8, block_out_channels=(16,), layers_per_block=1, down_block_types=("DownBlock2D",),
                       up_block_types=("UpBlock2D",), norm_num_groups=4, add_attention=False)  # fmt: skip
    unet.save_pretrained(folder / "unet")
    DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195).save_pretrained(folder / "scheduler")
    blocks = dict(block_out_channels=(8, 8, 16), latent_channels=3, norm_num_groups=4, layers_per_block=1,
                  down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)  # fmt: skip
    net = VQModel(**blocks, num_vq_embeddings=64, vq_embed_dim=3) if kind == "vqvae" else AutoencoderKL(**blocks)
    if kind == "vqvae":
        torch.nn.init.normal_(net.quantize.embedding.weight)
    net.save_pretrained(folder / kind)
    path = folder / kind / "config.json"
    told = {k: v for k, v in json.loads(path.read_text()).items() if k != "scaling_factor"}  # as the published file
    path.write_text(json.dumps(told | config))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("latent"))


@pytest.fixture(scope="module")
def prior(folder):
    return priors.load(str(folder), "cpu", "fp32")


def pictures(n: int = 1) -> torch.Tensor:
    x = torch.linspace(-1, 1, 32)
    return torch.stack([x.view(-1, 1) * x, x.view(-1, 1) + 0 * x, 0 * x.view(-1, 1) - x]).expand(n, -1, -1, -1).clone() * 0.5


def test_the_layout_of_a_published_latent_model_loads(prior):
    assert (prior.shape, prior.picture_shape, prior.factor) == ((3, 8, 8), (3, 32, 32), 1.0)
    assert prior.decode(torch.zeros(2, 3, 8, 8)).shape == (2, 3, 32, 32)
    assert prior.encode(pictures(2)).shape == (2, 3, 8, 8)
    assert priors.load(f"{prior.name}:quantise=true", "cpu", "fp32").quantise


def test_the_state_is_scaled_into_what_samplers_presume(prior):
    codebook = prior.autoencoder.quantize.embedding.weight
    assert float((codebook / prior.scale).abs().max()) == pytest.approx(1)
    x, sigma = torch.randn(2, 3, 8, 8), float(prior.sigmas[300])
    z0_hat = prior.inner.denoise(prior.scale * x, float(prior.inner.sigmas[300]))
    torch.testing.assert_close(prior.denoise(x, sigma), z0_hat / prior.scale, rtol=1e-4, atol=1e-4)


def test_the_pull_back_of_latents_is_autograds(prior):
    x, u, sigma = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), torch.tensor([0.1, 1.0])
    D, back = prior.linearized(x, sigma)
    leaf = x.clone().requires_grad_()
    wanted = prior.denoise(leaf, sigma)
    assert torch.equal(D, wanted)
    assert torch.equal(back(u), torch.autograd.grad(wanted, leaf, u)[0])


@pytest.mark.parametrize(("told", "factor"), [({}, 0.18215), ({"scaling_factor": 0.5}, 0.5)])
def test_a_gaussian_autoencoder_with_its_factor(tmp_path, told, factor):
    prior = priors.load(str(make(tmp_path, "vae", **told)), "cpu", "fp32")
    picture = pictures()
    x = prior.encode(picture)
    mode = prior.autoencoder.encode(picture).latent_dist.mode()
    torch.testing.assert_close(x * prior.scale, mode * factor)
    torch.testing.assert_close(prior.decode(x), prior.autoencoder.decode(mode).sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", ["superres:factor=4", "inpaint:kind=box", "hdr"])
def test_the_gradient_of_h_of_the_decoder_is_that_of_finite_differences(folder, spec):
    priors._load.cache_clear()
    prior = priors.load(str(folder), "cpu", "fp32")  # a copy of its own: it is made double
    prior.autoencoder.double()
    prior.inner.dtype = torch.float64
    H = Decoded(H=operators.build(spec), prior=prior)
    y = H.H(pictures().double())
    x = 0.3 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    r, g = H.gradient(x, y)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ahead, behind = (H.residual(x + s * 1e-6 * v, y).square().sum() / 2 for s in (1, -1))
    assert float((g * v).sum()) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-5)
    torch.testing.assert_close(r, H(x) - y if spec != "hdr" else r)
    priors._load.cache_clear()


def test_quantising_decodes_codebook_entries_with_the_gradient_of_the_identity(folder, prior):
    quantising = priors.load(f"{folder}:quantise=true", "cpu", "fp32")
    x = 0.3 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    codebook = prior.autoencoder.quantize.embedding.weight / prior.scale
    rows = x.permute(0, 2, 3, 1).reshape(-1, 3)
    nearest = codebook[torch.cdist(rows, codebook).argmin(1)].view(1, 8, 8, 3).permute(0, 3, 1, 2).contiguous()
    torch.testing.assert_close(quantising.decode(x), prior.decode(nearest), rtol=1e-4, atol=1e-4)
    grads = []
    for decoder, at in ((quantising, x), (prior, nearest)):
        at = at.clone().requires_grad_()
        grads.append(torch.autograd.grad(decoder.decode(at).square().sum(), at)[0])
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", [RedDiff(steps=40, lr=0.1, lam=0.0), RedDiff(steps=40, lr=0.1, lam=0.001),
                                     DPS(steps=40, zeta=0.05)],
                         ids=["RED-diff without a prior", "RED-diff", "DPS"])  # fmt: skip
def test_samplers_run_on_latents_and_the_data_residual_falls(prior, sampler):
    problem = Problem.simulate(prior.decode(0.3 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))),
                               operators.build("superres:factor=4"))  # fmt: skip
    counted = Counted(prior)
    steps = list(measured(solve(problem, counted, sampler, 2), problem, counted))
    assert steps[-1].x0_hat.shape == (2, 3, 32, 32)
    assert len(steps) == steps[-1].nfe == 40
    early = sum(s.residual for s in steps[:5])
    late = sum(s.residual for s in steps[-5:])
    assert late < 0.7 * early


@pytest.mark.parametrize("kind", ["vae", "vqvae"])
@pytest.mark.parametrize("spec", ["inpaint", "jpeg"])
def test_every_sampler_that_takes_a_latent_prior_runs_with_the_attention_of_an_autoencoder(tmp_path, kind, spec):
    prior = priors.load(str(make(tmp_path, kind)), "cpu", "fp32")
    assert any(type(part).__name__ == "Attention" for part in prior.autoencoder.modules())
    problem = Problem.simulate(pictures(), operators.build(spec), 0.05)
    fitting = [cls for cls in SAMPLERS if cls.accepts(Decoded(H=problem.H, prior=prior))]
    assert {cls.name for cls in fitting} >= {"reddiff", "vml-map", "dps", "daps", "sitcom", "rsd"}
    for cls in fitting:
        few = {k.name: 2 for k in knobs.knobs(cls) if k.name in ("steps", "langevin_steps")}
        last = [*measured(solve(problem, prior, knobs.build(cls, few)), problem)][-1]
        assert last.x0_hat.shape == problem.x_true.shape


def test_plain_attention_is_attention_and_differentiable_twice():
    q, k, v = (torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(n)) for n in range(3))
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    q.requires_grad_(True)
    with PlainAttention():
        got = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(got, want, atol=1e-6)
    (g,) = torch.autograd.grad(got.square().sum(), q, create_graph=True)
    assert torch.autograd.grad(g.sum(), q)[0].abs().max() > 0


def test_tuning_reaches_the_sampler_and_closing_ends_it(prior):
    problem = Problem.simulate(pictures(), operators.build("denoise"), 0.1)
    sampler = RedDiff(steps=10)
    stream = solve(problem, prior, sampler)
    next(stream)
    step = stream.send(RedDiff(steps=5))
    assert step.n == 5
    stream.close()


def test_samplers_that_need_a_linear_operator_say_so(prior):
    problem = Problem.simulate(pictures(), operators.build("superres"))
    for cls in SAMPLERS:
        if cls.needs is operators.Operator and cls.learned:
            solve(problem, prior, cls()).close()
        else:
            with pytest.raises(SamplerError, match="of a decoded latent"):
                solve(problem, prior, cls())


@pytest.mark.parametrize("sampler", ["reddiff:steps=4", "dps:steps=4"])
def test_a_record_replays_to_the_bit(folder, sampler, tmp_path):
    example = "example:" + api.listing()["examples"][0]
    result = api.restore(example, prior=str(folder), operator="inpaint:kind=box", sampler=sampler, particles=2, device="cpu")
    assert result.restored.shape == (1, 3, 32, 32)
    assert api.replay(result.record)[1]
    result.save(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: (f / "vqvae/config.json").unlink(), "vqvae/config.json is missing"),
        (lambda f: (f / "vqvae/diffusion_pytorch_model.safetensors").unlink(), "vqvae has no weights"),
        (lambda f: (f / "unet/config.json").unlink(), "unet/config.json is missing"),
        (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "scheduler/scheduler_config.json is missing"),
        (lambda f: (f / "vqvae/config.json").write_text('{"_class_name": "AutoencoderDC"}'), "AutoencoderDC"),
    ],
)
def test_a_missing_file_is_named(tmp_path, change, told):
    change(make(tmp_path))
    with pytest.raises(PriorError, match=told):
        priors.load(str(tmp_path), "cpu")


def test_the_benchmark_runs_on_decoded_pictures(prior, tmp_path):
    shown = [bench.Picture(str(k), picture[None]) for k, picture in enumerate(pictures(2))]
    (row,) = bench.bench(shown, prior, ["superres"], ["reddiff:steps=2", "ddrm:steps=2"], sigmas_y=[0.1], out=tmp_path)
    assert row["sampler"].startswith("reddiff"), "what needs a linear operator is left out"
    assert row["n"] == 2
    problem = Problem.simulate(shown[0].x, operators.build("superres"), 0.1)
    *_, last = measured(solve(problem, prior, presets.sampler_for("reddiff:steps=2", problem.H, 0.1)), problem)
    assert bench.read(tmp_path)[0]["psnr"] == pytest.approx(last.psnr, abs=1e-3)
