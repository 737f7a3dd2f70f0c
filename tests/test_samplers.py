"""The contract of every sampler with every operator that it accepts: a new one is held to it as soon as it is listed."""

import dataclasses
import itertools
import math
import threading
from dataclasses import dataclass
from typing import final

import pytest
import torch
from contract import PRIOR, SIGMA_Y, every_pair, measurement, small, stream
from torch import Tensor

from redgui import knobs, samplers
from redgui.operators import Operator, build
from redgui.priors import MixturePrior, Prior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import SAMPLERS, Sampler, Step

MODES = MixturePrior(PRIOR.sample(4, torch.Generator().manual_seed(3)), 0.1)


def hides_something(H: Operator) -> bool:
    """Whether pictures differ that H measures alike."""
    x = PRIOR.sample(1, torch.Generator().manual_seed(2))
    return bool((H.start(H(x)) - x).abs().max() > 1e-2)


@every_pair
def test_steps_are_as_announced_finite_and_free_of_graphs(cls, H):
    steps = list(stream(cls, H, measurement(H, 2), [0, 1]))
    assert [step.i for step in steps] == list(range(len(steps)))
    assert {step.n for step in steps} == {len(steps)}
    for step in steps:
        assert step.x0_hat.shape == (2, 3, 16, 16)
        assert step.x0_hat.dtype == torch.float32
        assert bool(step.x0_hat.isfinite().all())
        assert not step.x0_hat.requires_grad
        assert isinstance(step.sigma, float)
        assert math.isfinite(step.sigma)
        for name, value in step.scalars.items():
            value = torch.as_tensor(value)
            assert bool(value.isfinite().all()), name
            assert value.shape in ((), (2,)), name
            assert not value.requires_grad, name


@every_pair
def test_every_step_is_the_receivers_own(cls, H):
    y = measurement(H, 1)
    before = y.clone()
    untouched = [step.x0_hat for step in stream(cls, H, y, [0])]
    assert torch.equal(y, before)
    kept = []
    for step, wanted in zip(stream(cls, H, y, [0]), untouched, strict=True):
        assert torch.equal(step.x0_hat, wanted)  # scribbling on the ones before had no effect
        kept.append(step.x0_hat.fill_(7.0))
    assert len({x.untyped_storage().data_ptr() for x in kept}) == len(kept)
    assert all(bool((x == 7).all()) for x in kept)


@every_pair
@pytest.mark.parametrize("enabled", [True, False])
def test_the_callers_grad_mode_is_its_own(cls, H, enabled):
    with torch.set_grad_enabled(enabled):
        for _ in stream(cls, H, measurement(H, 1), [0]):
            assert torch.is_grad_enabled() is enabled
        assert torch.is_grad_enabled() is enabled
        left = stream(cls, H, measurement(H, 1), [0])
        next(left)
        left.close()
        assert torch.is_grad_enabled() is enabled


@every_pair
def test_another_thread_gets_the_same_result(cls, H):
    y = measurement(H, 1)
    here, there, other = [s.x0_hat for s in stream(cls, H, y, [0])], [], stream(cls, H, y, [0])
    there.append(next(other).x0_hat)

    def rest() -> None:
        torch.set_num_threads(1)  # of this thread, as conftest has it for the main one: with more, an FFT rounds otherwise
        there.extend(s.x0_hat for s in other)

    thread = threading.Thread(target=rest)
    thread.start()
    thread.join()
    assert len(here) == len(there)
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@every_pair
def test_the_same_seed_is_the_same_run_whatever_the_global_generator(cls, H):
    y = measurement(H, 1)
    torch.manual_seed(0)
    first = [s.x0_hat for s in stream(cls, H, y, [3])]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second = [s.x0_hat for s in stream(cls, H, y, [3])]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@every_pair
def test_a_picture_alone_is_the_same_as_in_a_batch_of_eight(cls, H):
    y, seeds = measurement(H, 8), list(range(8))
    *_, together = stream(cls, H, y, seeds)
    for k in (0, 5):
        *_, alone = stream(cls, H, y[k : k + 1], seeds[k : k + 1])
        if cls.coupled:  # by design, as far as the measurement leaves anything open
            assert hides_something(H) == bool((together.x0_hat[k] - alone.x0_hat[0]).abs().max() > 1e-3)
            continue
        torch.testing.assert_close(together.x0_hat[k : k + 1], alone.x0_hat, rtol=0, atol=1e-5)


@every_pair
def test_another_seed_is_another_run_where_chance_has_a_part(cls, H):
    y = measurement(H, 1)
    (*_, first), (*_, second) = stream(cls, H, y, [0]), stream(cls, H, y, [1])
    assert torch.equal(first.x0_hat, second.x0_hat) != cls.learned


@every_pair
def test_a_closed_stream_is_over(cls, H):
    left = stream(cls, H, measurement(H, 1), [0])
    next(left)
    left.close()
    assert list(left) == []


@every_pair
def test_sending_the_same_knobs_changes_nothing(cls, H):
    y = measurement(H, 1)
    plain, told = list(stream(cls, H, y, [0])), stream(cls, H, y, [0])
    for k, step in enumerate(plain):
        same = told.send(None if k == 0 else small(cls))
        assert torch.equal(step.x0_hat, same.x0_hat)
        assert (step.i, step.n) == (same.i, same.n)


# ---- live knobs: what is turned in mid-run acts ----


def turned(k: knobs.Knob, value: object) -> list[object]:
    """Other values of a knob, far from its own: all choices, both truths, both bounds."""
    others = k.choices or ((True, False) if k.kind is bool else (20,) if k.name == "steps" else (k.lo, k.hi))
    if k.kind is int and k.name != "steps":
        others = (min(int(value) + 3, int(k.hi)), k.lo)
    return [other for other in others if other != value]


# What it takes for a knob to act where one other knob is not enough.
SETTING = {("vml-map", "backtrack"): "vml-map:use_jacobian=true,inner=4"}


def settings(cls: type[Sampler], k: knobs.Knob) -> list[Sampler]:
    """Samplers in whose run a knob can act: the defaults, then each with one other value of another knob."""
    spec = SETTING.get((cls.name, k.name))
    plain = dataclasses.replace(samplers.build(spec) if spec else cls(), steps=6)
    if k.only_with:
        plain = dataclasses.replace(plain, **{k.only_with[0]: k.only_with[1][0]})
    others = [other for other in knobs.knobs(cls) if other.name not in (k.name, "steps", *(k.only_with or ())[:1])]
    return [plain, *(dataclasses.replace(plain, **{o.name: v}) for o in others for v in turned(o, getattr(plain, o.name)))]


def acts(prior: Prior, sampler: Sampler, H: Operator, y: Tensor, sigma_y: float, name: str, value: object) -> bool:
    """Whether a knob that is turned after the third step changes what follows, or how many; what was before must stay."""

    def run(told: Sampler | None) -> list[Step]:
        stream = sampler(prior, H, y, sigma_y, generator=Generators([0, 1]))
        return [next(stream), stream.send(None), stream.send(None), stream.send(told), *stream]

    plain, seen = run(None), run(dataclasses.replace(sampler, **{name: value}))
    assert all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(plain[:3], seen[:3], strict=True))
    return len(plain) != len(seen) or not all(torch.equal(a.x0_hat, b.x0_hat) for a, b in zip(plain, seen, strict=True))


def ignored(cls: type[Sampler], name: str) -> bool:
    """Whether a live knob acts in none of its settings, with noise and without, under one mode and under several."""
    k = next(k for k in knobs.knobs(cls) if k.name == name)
    H = build("inpaint")
    clean = H(PRIOR.sample(2, torch.Generator().manual_seed(1)).clamp(-1, 1))
    problems = [(measurement(H, 2), SIGMA_Y), (clean, 0.0)]
    for prior, sampler, (y, sigma_y) in itertools.product((PRIOR, MODES), settings(cls, k), problems):
        if any(acts(prior, sampler, H, y, sigma_y, name, value) for value in turned(k, getattr(sampler, name))):
            return False
    return True


LIVE = [(cls, k.name) for cls in SAMPLERS for k in knobs.knobs(cls) if k.live]


@pytest.mark.parametrize(("cls", "name"), LIVE, ids=[f"{cls.name}-{name}" for cls, name in LIVE])
def test_a_live_knob_that_is_turned_in_mid_run_acts(cls, name):
    assert not ignored(cls, name), f"{cls.name} says that {name} is live, and ignores it"


@final
@dataclass(frozen=True, kw_only=True)
class Deaf(Sampler):
    """Follows one knob and not the other."""

    name, label, paper, about = "deaf", "Deaf", "", ""
    steps: int = knobs.knob(6, 1, 100, help="")
    gain: float = knobs.knob(0.5, 0.0, 1.0, help="")

    @torch.no_grad()
    def __call__(self, prior, H, y, sigma_y, *, generator):
        n, x = self.steps, H.start(y)
        for i in range(n):
            x = prior.denoise(x, 1.0 + self.gain)
            self = (yield Step(i, n, 1.0, x.clone())) or self


def test_the_contract_of_live_knobs_finds_one_that_is_ignored():
    assert ignored(Deaf, "steps")
    assert not ignored(Deaf, "gain")


@every_pair
def test_sixty_four_particles_start_with_the_single_one(cls, H):
    problem = Problem.simulate(PRIOR.sample(1, torch.Generator().manual_seed(1)), H, SIGMA_Y, seed=4)
    one, two = (list(solve(problem, PRIOR, small(cls), n))[-1].x0_hat for n in (1, 64))
    if not cls.coupled:
        torch.testing.assert_close(two[:1], one, rtol=0, atol=1e-5)
    assert (float(two.std(0).max()) > 0) == cls.learned
