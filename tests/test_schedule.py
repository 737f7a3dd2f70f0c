"""Noise levels: the table of DDPM's schedule, and the spacings as diffusers has them."""

import itertools

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from redgui import schedule

T = 1000
INDICES = torch.arange(T, dtype=torch.float64)  # a grid whose levels are their own indices


def test_the_linear_beta_schedule_has_the_known_levels():
    sigmas = schedule.linear_beta()
    table = {0: 0.0100, 10: 0.0469, 50: 0.176, 100: 0.342, 200: 0.724, 300: 1.24, 400: 2.04, 500: 3.44, 600: 6.17, 700: 12.0,
             800: 25.7, 900: 60.8, 999: 157.4}  # fmt: skip
    for t, sigma in table.items():
        assert float(sigmas[t]) == pytest.approx(sigma, rel=5e-3), t
    assert len(sigmas) == T
    assert bool((sigmas.diff() > 0).all())


def test_alpha_bar_and_sigma_are_inverse():
    sigmas = schedule.linear_beta()
    torch.testing.assert_close(schedule.sigma_of(schedule.alpha_bar(sigmas)), sigmas, rtol=1e-9, atol=0)
    assert float(schedule.alpha_bar(torch.tensor(2.0))) == pytest.approx(0.2)
    assert float(schedule.sigma_of(torch.tensor(0.0))) == float("inf")


def test_linear_beta_is_that_of_diffusers():
    theirs = schedule.sigma_of(DDPMScheduler().alphas_cumprod.double())
    torch.testing.assert_close(schedule.linear_beta(), theirs, rtol=1e-3, atol=0)  # theirs is made in float32


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("n", [2, 3, 7, 10, 20, 50, 100, 250, 1000])
@pytest.mark.parametrize(("spacing", "ours"), [("trailing", schedule.trailing), ("linspace", schedule.uniform)])
def test_spacings_equal_those_of_diffusers(scheduler, n, spacing, ours):
    theirs = scheduler(timestep_spacing=spacing)
    theirs.set_timesteps(n)
    assert ours(INDICES, n).long().tolist() == theirs.timesteps.tolist()


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("n", [1, 2, 10, 50, 100, 250, 1000])
def test_leading_equals_that_of_diffusers_where_n_divides_the_grid(scheduler, n):
    theirs = scheduler(timestep_spacing="leading")
    theirs.set_timesteps(n)
    assert schedule.leading(INDICES, n).long().tolist() == theirs.timesteps.tolist()


def test_leading_has_more_levels_than_asked_where_n_does_not_divide_the_grid():
    levels = schedule.leading(INDICES, 300)
    assert levels.tolist() == list(range(999, -1, -3))
    assert len(levels) == 334


def test_leading_with_more_levels_than_the_grid_is_the_grid():
    assert schedule.leading(INDICES, 5000).tolist() == INDICES.flip(0).tolist()


def test_trailing_starts_at_the_top_and_stops_before_the_bottom():
    assert schedule.trailing(INDICES, 4).tolist() == [999, 749, 499, 249]


def test_uniform_has_both_ends_and_exactly_n_levels():
    for n in (2, 3, 300, 999, 1000, 2500):
        levels = schedule.uniform(INDICES, n)
        assert len(levels) == n
        assert (levels[0], levels[-1]) == (999, 0)
        assert bool((levels.diff() <= 0).all())
    assert schedule.uniform(INDICES, 1).tolist() == [999]


def test_karras_is_even_in_the_root():
    levels = schedule.karras(5, 0.01, 80.0, rho=7)
    assert float(levels[0]) == pytest.approx(80)
    assert float(levels[-1]) == pytest.approx(0.01)
    steps = (levels ** (1 / 7)).diff()
    torch.testing.assert_close(steps, steps[0].expand(4))
    torch.testing.assert_close(schedule.karras(3, 1.0, 3.0, rho=1), torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    assert torch.equal(schedule.karras(5, 0.01, 80.0), levels)  # the paper's rho is the default


# ---- the pairs of a descent ----


def test_a_descent_visits_the_levels_in_pairs_and_ends_at_0():
    levels = [*schedule.uniform(INDICES, 7).tolist(), 0.0]
    assert schedule.descent(INDICES, 7) == list(itertools.pairwise(levels))


def test_a_descent_can_start_at_a_level():
    assert schedule.descent(INDICES, 3, start=400.0) == [(400.0, 200.0), (200.0, 0.0), (0.0, 0.0)]


@pytest.mark.parametrize(
    ("n", "length", "repeats", "calls"),
    [(250, 10, 10, 2410), (50, 5, 3, 140), (100, 10, 3, 280), (100, 10, 10, 910), (100, 10, 1, 100), (5, 10, 10, 5)],
)
def test_time_travel_costs_what_the_papers_say(n, length, repeats, calls):
    assert len(schedule.descent(INDICES, n, length=length, repeats=repeats)) == calls


def test_time_travel_goes_back_up_from_every_multiple_of_its_length():
    down = [(4, 3), (3, 2), (4, 3), (3, 2), (2, 1), (1, 0), (2, 1), (1, 0), (0, 0)]
    assert schedule.descent(INDICES[:5], 5, length=2, repeats=2) == down
