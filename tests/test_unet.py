"""The plain UNet2DModel in torch alone has the bits of that of diffusers, and nothing else is taken for one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers import UNet2DModel as Theirs

from redgui import bundled
from redgui.priors import schedulers, unet

ODD = dict(
    sample_size=8, layers_per_block=2, block_out_channels=(16, 32, 24), norm_num_groups=8, attention_head_dim=8, in_channels=1,
    out_channels=2, down_block_types=("AttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D"),
)  # fmt: skip


@pytest.mark.parametrize("changed", [{}, {"add_attention": False, "attention_head_dim": None, "layers_per_block": 1}])
def test_it_has_the_bits_of_diffusers(tmp_path, changed):
    torch.manual_seed(0)
    theirs = Theirs(**{**ODD, **changed}).eval()
    theirs.save_pretrained(tmp_path)
    ours = unet.read(tmp_path, json.loads((tmp_path / "config.json").read_text()))
    assert ours is not None
    x, t = torch.randn(3, 1, 16, 8).to(memory_format=torch.channels_last), torch.tensor([3.0, 40.5, 999.0])
    for made in (ours, theirs):
        made.to(memory_format=torch.channels_last)
    torch.testing.assert_close(ours(x, t)[0], theirs(x, t, return_dict=False)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    "changed",
    [{"resnet_time_scale_shift": "scale_shift"}, {"time_embedding_type": "fourier"}, {"norm_eps": 1e-6}, {"freq_shift": 1},
     {"down_block_types": ("DownBlock2D", "SkipDownBlock2D", "DownBlock2D")}, {"num_class_embeds": 4}],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_diffusers(tmp_path, changed):
    Theirs(**ODD).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert unet.read(tmp_path, config | changed) is None
    (tmp_path / unet.WEIGHTS).write_bytes(b"no weights")
    assert unet.read(tmp_path, config) is None


def test_the_usual_schedule_is_that_of_diffusers():
    config = json.loads((bundled.PRIORS / "faces-64" / "scheduler" / "scheduler_config.json").read_text())
    assert torch.equal(schedulers.alphas_cumprod(config), DDPMScheduler.from_config(config).alphas_cumprod)


def test_a_run_with_a_bundled_prior_needs_neither_diffusers_nor_the_compiler():
    """torch._dynamo is what torch.optim would import, in as much time as torch itself."""
    code = """import sys; from redgui import api, priors; priors.load('photos')
api.restore('example:face-06', operator='inpaint', sampler='reddiff:steps=2')
assert not {'diffusers', 'transformers', 'accelerate', 'torch._dynamo'} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
