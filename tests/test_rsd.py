"""RSD: independent RED-diff runs without repulsion, several modes with it."""

import math
from dataclasses import dataclass
from typing import final

import pytest
import torch
from torch import Tensor

from redgui.operators import LinearOperator, build
from redgui.priors import Counted, MixturePrior
from redgui.randomness import Generators
from redgui.samplers import RSD, RedDiff

SPECS = ["denoise", "inpaint", "superres:factor=2", "blur:size=5", "colorize"]


@final
@dataclass(frozen=True, kw_only=True)
class First(LinearOperator):
    """y = x1 of points in the plane, pictures of shape (2, 1, 1)."""

    name, label, about = "first", "First", ""

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, :1]

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.cat([y, torch.zeros_like(y)], 1)


def last(sampler, prior, H, y, sigma_y=0.0, seeds=(0, 1, 2)):
    *_, step = sampler(prior, H, y, sigma_y, generator=Generators(seeds))
    return step.x0_hat


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("knobs", [{}, dict(spacing="karras", sigma_start=5.0, lr=0.03, lam=0.1)], ids=["paper", "karras"])
@pytest.mark.parametrize("sigma_y", [0.0, 0.1])
def test_without_repulsion_it_is_red_diff_to_the_bit(gaussian, drawn, spec, knobs, sigma_y):
    H = build(spec)
    y = H(drawn(1)).expand(3, -1, -1, -1).contiguous() + sigma_y
    together = last(RSD(steps=12, gamma=0.0, **knobs), gaussian, H, y, sigma_y)
    assert torch.equal(together, last(RedDiff(steps=12, **knobs), gaussian, H, y, sigma_y))
    for k in range(3):
        alone = last(RedDiff(steps=12, **knobs), gaussian, H, y[k : k + 1], sigma_y, (k,))
        torch.testing.assert_close(together[k : k + 1], alone, rtol=0, atol=1e-6)


def test_a_particle_alone_is_red_diff_whatever_its_gamma(gaussian, drawn):
    H = build("inpaint")
    repelled, plain = (last(s, gaussian, H, H(drawn(1)), seeds=(4,)) for s in (RSD(steps=12, gamma=3.0), RedDiff(steps=12)))
    assert torch.equal(repelled, plain)


@pytest.mark.parametrize("where", ["null", "pixels"])
@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2", "colorize"])
def test_the_repulsion_is_its_formula(drawn, spec, where):
    H, mu = build(spec), drawn(4)
    z = mu - H.pinv(H(mu)) if where == "null" else mu
    n = len(z)
    d2 = torch.tensor([[float((a - b).square().mean()) for b in z] for a in z])
    h = torch.tensor([d2[i, j] for i in range(n) for j in range(n) if i != j]).median() / math.log(n + 1)
    for i in range(n):
        k = torch.exp(-d2[i] / h)
        wanted = sum(2 / h * k[j] * (z[i] - z[j]) for j in range(n)) / k.sum()
        torch.testing.assert_close(RSD(where=where).repulsion(H, mu)[i], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2", "colorize"])
def test_the_repulsion_is_invisible_to_the_measurement_and_points_apart(drawn, spec):
    H, mu = build(spec), drawn(4)
    r = RSD().repulsion(H, mu)
    assert float(H(r).abs().max()) < 1e-4 * float(r.abs().max())
    spread = [float(torch.pdist((mu + step * r).flatten(1)).min()) for step in (0.0, 0.01)]
    assert spread[1] > spread[0]


def test_particles_on_one_spot_are_left_to_their_noise(drawn):
    mu = drawn(1).expand(3, -1, -1, -1)
    assert float(RSD().repulsion(build("inpaint"), mu).abs().max()) == 0


def test_repelled_particles_find_the_mode_that_red_diff_misses():
    # x1 is measured and says nothing of x2, which is at 0.4 (weight 0.7) or at -0.8 (0.3). RED-diff starts at x2 = 0.
    prior = MixturePrior(torch.tensor([[0.2, 0.4], [0.2, -0.8]]).view(2, 2, 1, 1), 0.1, torch.tensor([0.7, 0.3]))
    y, both, share = torch.full((6, 1, 1, 1), 0.2), {}, {}
    for gamma in (0.0, 0.3):
        sampler = RSD(steps=100, lr=0.05, gamma=gamma, spacing="karras", sigma_start=5.0)
        ends = torch.stack([last(sampler, prior, First(), y, seeds=range(6 * k, 6 * k + 6))[:, 1, 0, 0] for k in range(20)])
        high, low = (ends - 0.4).abs() < 0.3, (ends + 0.8).abs() < 0.3
        both[gamma] = int((high.any(1) & low.any(1)).sum())
        share[gamma] = float(low.float().mean())
    assert both[0.3] >= 18  # of 20 runs of 6 particles
    assert both[0.0] <= 3
    assert 0.2 < share[0.3] < 0.4


def test_network_calls(gaussian, drawn):
    H, counted = build("inpaint"), Counted(gaussian)
    list(RSD(steps=7)(counted, H, H(drawn(3)), 0.0, generator=Generators([0, 1, 2])))
    assert (counted.forwards, counted.backwards) == (7, 0)  # of the batch: once per particle


def test_gamma_and_steps_can_change_in_the_middle(gaussian, drawn):
    H = build("inpaint")
    y = H(drawn(3))
    steps, run = [], RSD(steps=8, gamma=0.0)(gaussian, H, y, 0.0, generator=Generators(range(3)))
    steps.append(next(run))
    steps.append(run.send(RSD(steps=5, gamma=1.0)))
    steps += list(run)
    assert [step.n for step in steps] == [8, 5, 5, 5, 5]
    assert float(steps[0].scalars["repulsion"].max()) == 0
    assert float(steps[-1].scalars["repulsion"].min()) > 0
