"""Noise levels: the table of DDPM's schedule, and the spacings as diffusers has them."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

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


# ---- a path that is followed ----


@dataclass(frozen=True)
class Walker:
    """What a path asks of a sampler."""

    steps: int
    repeats: int = 1
    other: float = 0.0
    grid: ClassVar[tuple[str, ...]] = ("steps", "repeats")
    endless: ClassVar[bool] = False

    def plan(self, sigmas, n, start):
        return schedule.descent(sigmas, n, start=start, length=2, repeats=self.repeats)


class Endless(Walker):
    endless = True

    def plan(self, sigmas, n, start):
        rest = sigmas[sigmas < start]
        return schedule.pairs(schedule.uniform(rest if len(rest) else sigmas, n).tolist())


def walk(walker, told=None, **options):
    """(i, n, sigma, s) of every iteration, s as it is after other knobs, told at some of them, are followed."""
    path, seen = schedule.Path(walker, INDICES, **options), []
    for i, sigma in path:
        n = path.n
        walker = path.follow((told or {}).get(i) or walker)
        seen.append((i, n, sigma, path.s))
    return seen


def test_a_path_visits_what_was_planned_and_says_how_many():
    assert [(sigma, s) for _, _, sigma, s in walk(Walker(7, 3))] == schedule.descent(INDICES, 7, length=2, repeats=3)
    seen = walk(Walker(7), start=500.0)
    assert seen[0][2] == 500
    assert [(i, n) for i, n, *_ in seen] == [(i, 7) for i in range(7)]


def test_another_knob_leaves_the_path_as_it_is():
    assert walk(Walker(7), {2: Walker(7, other=1.0)}) == walk(Walker(7))


@pytest.mark.parametrize(("at", "steps", "n"), [(2, 20, 20), (2, 5, 5), (4, 2, 6), (6, 20, 7)])
def test_other_steps_are_spread_from_the_present_level_down(at, steps, n):
    seen = walk(Walker(7), {at: Walker(steps)})
    assert [row[0] for row in seen] == list(range(n))
    assert seen[-1][1] == n
    assert seen[: at + 1] == [*walk(Walker(7))[:at], (at, 7, seen[at][2], seen[at][3])]
    below = [row[2] for row in seen[at + 1 :]]
    assert below == schedule.uniform(INDICES[: int(seen[at][2]) + 1], n - at).tolist()[1:]
    assert seen[at][3] == (below[0] if below else 0.0)


@pytest.mark.parametrize("steps", [12, 4])
def test_whoever_is_ahead_keeps_the_next_level(steps):
    plain, seen = walk(Walker(7), ahead=True), walk(Walker(7), {2: Walker(steps)}, ahead=True)
    assert seen[2] == plain[2]
    assert seen[3][2] == seen[2][3]
    assert seen[-1][1] == len(seen) == steps


@pytest.mark.parametrize(("at", "steps", "n"), [(2, 9, 9), (4, 2, 6), (6, 9, 9), (6, 3, 7)])
def test_an_endless_walk_goes_on_below_or_passes_over_the_grid_again(at, steps, n):
    seen = walk(Endless(7), {at: Endless(steps)})
    assert len(seen) == seen[-1][1] == n
    if at == 6 and steps > 7:
        assert [row[2] for row in seen[7:]] == [999, 0]
    elif n > at + 1:
        assert seen[at + 1][2] < seen[at][2]


def test_time_travel_counts_levels_not_iterations():
    down = schedule.descent(INDICES, 9, length=2, repeats=2)
    for at in range(len(down)):
        seen = walk(Walker(9, 2), {at: Walker(12, 1)})
        levels = {sigma for sigma, _ in down[: at + 1] if sigma >= down[at][0]}
        left = 12 - len(levels) if at < len(down) - 1 else 0
        assert len(seen) == at + 1 + left, at


def test_a_jump_back_up_is_announced():
    path = schedule.Path(Walker(5, 2), INDICES)
    ups = [(path.s, path.up) for _ in path]
    assert ups[1][1] > ups[1][0]
    assert ups[0][0] == ups[0][1]
    assert ups[-1] == (0.0, 0.0)
