"""SITCOM: where it stops, what it optimises, and its cost."""

import dataclasses

import pytest
import torch
from torch import Tensor

from redgui.operators import build
from redgui.priors import Counted, GaussianPrior
from redgui.randomness import Generators
from redgui.samplers import SITCOM, VmlMap


def test_sitcom_stops_at_the_noise_level_picture_by_picture():
    prior, H, sigma_y = GaussianPrior(size=8), build("inpaint:kind=random,fraction=0.5"), 0.1
    x_true = prior.sample(4, torch.Generator().manual_seed(1))
    y = H(x_true) + sigma_y * H.on_support(Generators([5, 6, 7, 8]).randn_like(x_true))
    sampler = SITCOM(steps=20, inner=60, lr=0.1, clip=False)
    steps = [step for step in sampler(prior, H, y, sigma_y, generator=Generators(range(4))) if step.sigma < 0.5]
    assert len(steps) >= 2
    for step in steps:  # at very high levels the network gives its mean whatever it is given
        assert bool((step.scalars["residual"] < sigma_y + 0.001).all())
        assert bool((step.scalars["residual"] > 0.5 * sigma_y).all())  # and no further
    assert len({float(k) for step in steps for k in step.scalars["inner"]}) > 1


def test_sitcom_optimises_in_the_networks_own_scale():
    class Watched(GaussianPrior):
        def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
            seen.append((x.detach().clone(), float(sigma)))
            return super().denoise(x, sigma)

    seen: list[tuple[Tensor, float]] = []
    prior, H = Watched(size=8), build("denoise")
    y = prior.sample(1, torch.Generator().manual_seed(0))
    list(SITCOM(steps=3, inner=2, lr=0.02)(prior, H, y, 0.0, generator=Generators([0])))
    for (x, sigma), (moved, _) in zip(seen[::2], seen[1::2], strict=True):
        # Adam's first step moves every entry of u = x / sqrt(1 + sigma^2) by lr.
        torch.testing.assert_close((moved - x).abs(), torch.full_like(x, 0.02 * (1 + sigma**2) ** 0.5), rtol=2e-2, atol=0)


@torch.no_grad()
def test_sitcoms_proximity_keeps_the_input_where_it_was(gaussian, drawn):
    H = build("inpaint")
    y, x = H(drawn(1)), Generators([0]).randn(3, 16, 16)
    residual = [SITCOM(inner=40, proximity=p).fit(gaussian, H, y, x, 0.3, 0.0)[1].item() for p in (0.0, 1.0, 10.0)]
    assert residual[0] < residual[1] < residual[2]


def test_network_calls_of_sitcom(gaussian, drawn):
    H, counted = build("inpaint"), Counted(gaussian)
    list(SITCOM(steps=6, inner=5, stop=0.0)(counted, H, H(drawn(1)), 0.0, generator=Generators([0])))
    assert (counted.forwards, counted.backwards) == (30, 24)
    counted = Counted(gaussian)
    list(SITCOM(steps=6, inner=5, stop=3.0)(counted, H, H(drawn(1)), 2.0, generator=Generators([0])))  # all is noise
    assert (counted.forwards, counted.backwards) == (6, 0)


def test_knobs_of_both_are_kept_within_their_bounds():
    for sampler in (VmlMap(), SITCOM()):
        with pytest.raises(Exception, match="steps lies in"):
            dataclasses.replace(sampler, steps=0)
