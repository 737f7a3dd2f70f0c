"""Two pixels: the line, the exact posterior on it, and what walks there."""

import math

import pytest
import torch

from redgui import knobs
from redgui.knobs import KnobError
from redgui.samplers import RSD, RedDiff, VmlMap
from redgui.ui.learn import plane
from redgui.ui.learn.plane import Plane, Ray, walk


def test_the_line_is_a_projection():
    H, x = Ray(angle=30.0), torch.randn(5, 1, 1, 2, dtype=torch.float64)
    a = torch.tensor([math.cos(math.pi / 6), 0.5], dtype=torch.float64)
    y = H(x)
    assert torch.allclose(y.flatten(), x.reshape(5, 2) @ a)
    u = torch.randn_like(y)
    assert torch.allclose((H(x) * u).sum(), (x * H.adjoint(u)).sum())
    assert torch.allclose(H(H.pinv(y)), y)
    b = torch.randn_like(x)
    torch.testing.assert_close(H.gram(H.solve(b, 0.3)) + 0.3 * H.solve(b, 0.3), b, rtol=1e-5, atol=1e-5)


def test_the_exact_shares_are_those_of_the_posterior():
    """Integrated on a fine grid of the plane around each mode, prior times likelihood."""
    on = Plane(prior="three modes", angle=20.0, y=0.2, sigma_y=0.3)
    prior, H = on.mixture(), Ray(angle=20.0)
    axis = torch.linspace(-3, 3, 601, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    near = (x - prior.means.reshape(3, 1, 1, 1, 2)).square().sum((2, 3, 4))
    parts = prior.weights.double()[:, None] * torch.exp(-near / 2 / prior.std**2)
    joint = (parts * torch.exp(-((H(x).flatten() - on.y) ** 2) / 2 / on.sigma_y**2)).sum(1)
    assert torch.allclose(on.posterior_weights(), joint / joint.sum(), rtol=0, atol=1e-4)
    assert torch.allclose(on.posterior_weights().sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("sampler", plane.WALKERS, ids=lambda s: s.name)
def test_every_walker_ends_on_the_line_at_modes(sampler):
    on = Plane()
    found = walk(on, sampler, seconds=60)
    assert found.whole
    assert len(found.sigma) == len(found.points) == len(found.share) == sampler.steps
    assert torch.allclose(found.share.sum(1), torch.ones(sampler.steps))
    ends, means = found.points[-1], on.mixture().means.reshape(-1, 2)
    nearest = torch.cdist(ends, means).min(1)
    assert (nearest.values < 4 * on.mixture().std).float().mean() > 0.8
    assert found.share[-1][2] < 0.05  # the mode off the line


def test_modes_are_sought_drawn_and_repelled():
    """The lesson of the tab, on the plane it opens with, whose larger mode has 0.71 of the posterior."""
    on = Plane()
    largest = {type(s): float(walk(on, s, seconds=60).share[-1].max()) for s in plane.WALKERS}
    exact = float(on.posterior_weights().max())
    assert exact == pytest.approx(0.714, abs=0.001)
    assert largest[VmlMap] == 1.0
    assert largest[RedDiff] > exact + 0.1  # collapsed
    assert largest[RSD] < exact  # driven apart
    drawn = [share for cls, share in largest.items() if cls.seeks_mode is False]
    assert len(drawn) == 2
    assert all(abs(share - exact) < 0.15 for share in drawn)


def test_a_walk_that_takes_too_long_ends():
    found = walk(Plane(), plane.WALKERS[0], seconds=0.0)
    assert not found.whole
    assert len(found.sigma) < 5


def test_a_walk_is_the_same_again_and_another_with_another_seed():
    sampler = RedDiff(steps=5)
    first, again, other = (walk(Plane(seed=seed), sampler).points for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_values_that_cannot_be():
    with pytest.raises(KnobError, match="sigma_y"):
        knobs.build(Plane, {"sigma_y": 0.0})
    with pytest.raises(KnobError):
        Ray(angle=100.0)
