"""What training draws: the levels, the crops, and the order of the pictures."""

import numpy as np
import pytest
import torch
from discs import made
from PIL import Image

from redgui.schedule import linear_beta
from redgui.train.data import Pictures, Source
from redgui.train.objective import shares, timesteps

# ---- levels ----


def linear_alphas():
    return 1 / (1 + linear_beta() ** 2)


def test_timesteps_cover_all_slices_on_one_process_and_on_two():
    generator, even = torch.Generator().manual_seed(0), shares(linear_alphas(), 0.0)
    alone = timesteps(25, even, generator)
    both = torch.cat([timesteps(10, even, generator, rank, 2) for rank in (0, 1)])
    assert (alone // 40).tolist() == list(range(25))
    assert sorted((both // 100).tolist()) == list(range(10))


def test_lognormal_timesteps_have_the_quartiles_of_their_distribution():
    abar = linear_alphas()
    levels = shares(abar, 1.0)
    assert float(levels.sum()) == pytest.approx(1)
    t = timesteps(4000, levels, torch.Generator().manual_seed(0))
    found = (1 / abar[t].double() - 1).log().div(2).quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    assert found.tolist() == pytest.approx([-1.2 + 1.2 * z for z in (-0.6745, 0.0, 0.6745)], abs=0.06)
    mixed = timesteps(4000, shares(abar, 0.25), torch.Generator().manual_seed(0))
    assert (mixed >= 500).double().mean().item() == pytest.approx(0.75 * 0.5, abs=0.01)  # nearly all of these are even ones


def test_no_training_goes_to_levels_below_the_least():
    abar = linear_alphas()
    levels = shares(abar, 0.5, 0.25)
    sigma = (1 / abar - 1).sqrt()
    assert bool((levels[sigma < 0.25] == 0).all())
    assert bool((levels[sigma >= 0.25] > 0).all())
    assert float(levels.sum()) == pytest.approx(1)
    t = timesteps(4000, levels, torch.Generator().manual_seed(0))
    assert float(sigma[t].min()) >= 0.25


# ---- pictures ----


def test_crops_have_the_size_asked_for_at_all_scales(tmp_path):
    for k, side in enumerate((16, 24, 50)):
        Image.fromarray(made(1, k, side)[0][: side - k]).save(tmp_path / f"{k}.png")
    source = Source(str(tmp_path))
    pictures = Pictures([(source, name) for name in source.names], 16)
    assert pictures.batch(0, 0, 12, True).shape == (12, 16, 16, 3)
    whole, native = pictures[2], np.asarray([0.0, 0.5, 0.5])
    assert (pictures.crop(2, native) == whole[16:32, 17:33]).all()  # side 16 of 48 x 50, unscaled
    wide = pictures.crop(2, np.asarray([1.0, 0.0, 0.0]))
    assert abs(wide.mean() - whole[:48, :48].mean()) < 2  # the whole picture, made smaller


def test_an_epoch_has_every_picture_once_and_the_next_another_order():
    pictures = Pictures([(None, str(k)) for k in range(10)], 8)
    first, second = [[pictures.picked(1, epoch * 10 + k) for k in range(10)] for epoch in (0, 1)]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
