"""What a step of a sampler costs in network calls, and the most steps that a budget of them pays for."""

from functools import lru_cache
from typing import Any

import torch

from redgui import knobs
from redgui.operators import Inpaint
from redgui.priors import Counted, GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import Sampler

PROBE = 16  # side of the pictures on which the cost of a sampler is measured


def cost(step: Any) -> int:
    """Network budget of a Step, or of a counted prior's attributes: forwards + 2 x backwards."""
    return step.nfe + 2 * step.backward


@lru_cache(maxsize=256)
def spent(sampler: Sampler, sigma_y: float, most: int) -> tuple[int, ...]:
    """The budget that a run has used after each of its steps, counted in a run on tiny closed-form pictures.

    It ends early once the budget exceeds `most`: then the last number does, too.
    """
    counted = Counted(GaussianPrior(size=PROBE))
    picture = counted.inner.sample(1, torch.Generator().manual_seed(0)).clamp(-1, 1)  # type: ignore[attr-defined]
    problem = Problem.simulate(picture, Inpaint(), sigma_y, seed=0)
    used = []
    for _ in solve(problem, counted, sampler):
        used.append(counted.forwards + 2 * counted.backwards)
        if used[-1] > most:
            break
    return tuple(used)


def within(sampler: Sampler, sigma_y: float, budget: int) -> tuple[Sampler, tuple[int, ...]]:
    """The sampler with the most steps that `budget` (forwards + 2 x backwards) pays for, at least one, and its plan.

    The plan is `spent`. What a step costs is measured and in no table: it depends on the knobs. A sampler without `steps` is
    given back without a plan: its run ends where the budget does.
    """
    k = next((k for k in knobs.knobs(type(sampler)) if k.name == "steps"), None)
    if k is None:
        return sampler, ()
    lo, hi = int(k.lo or 1), int(min(k.hi or budget, budget)) + 1

    def plan(steps: int) -> tuple[int, ...]:
        return spent(with_steps(sampler, steps), sigma_y, budget)

    # From a short run a straight line, its neighbours, then halves: `lo` always fits (or is the least), `hi` never does.
    few = plan(min(lo + 1, hi - 1)) if hi - lo > 1 else plan(lo)
    straight = int(budget / (few[-1] / len(few))) if few[-1] <= budget else lo + 1
    guesses = [straight, straight + 1, straight - 1]
    while hi - lo > 1:
        steps = next((g for g in guesses if lo < g < hi), (lo + hi) // 2)
        guesses = [g for g in guesses if g != steps]
        if plan(steps)[-1] <= budget:
            lo = steps
        else:
            hi = steps
    return with_steps(sampler, lo), plan(lo)


def with_steps(sampler: Sampler, steps: int) -> Sampler:
    """The sampler with so many steps; itself where it has no such knob."""
    if "steps" not in knobs.values(sampler):
        return sampler
    return knobs.build(type(sampler), {**knobs.values(sampler), "steps": steps})
