"""What the class of a sampler says of itself: what fits, what it seeks and costs, its paper, its place in the list."""

import dataclasses
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import final

import pytest
import torch
from contract import PRIOR, SIGMA_Y, every_sampler, measurement, small, stream
from torch import Tensor

from redgui import samplers
from redgui.operators import Blur, Operator, SpectralOperator, build
from redgui.priors import Counted, GaussianPrior
from redgui.randomness import Generators
from redgui.runs.budget import with_steps
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import SAMPLERS, Sampler, SamplerError, Step

# ---- what does not fit ----


@final
@dataclass(frozen=True, kw_only=True)
class Square(Operator):
    """Not linear."""

    name, label, about = "square", "Squaring", ""

    def __call__(self, x: Tensor) -> Tensor:
        return x.square()

    def start(self, y: Tensor) -> Tensor:
        return y.clamp(min=0).sqrt()


@final
@dataclass(frozen=True, kw_only=True)
class Spectral(Sampler):
    """Needs H^T H diagonalised."""

    name, label, paper, about, needs = "spectral", "Spectral", "", "", SpectralOperator

    def __call__(self, prior, H, y, sigma_y, *, generator):
        yield Step(0, 1, 1.0, prior.denoise(H.start(y), 1.0))


class Untouched(GaussianPrior):
    """Must not be asked."""

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        raise AssertionError("the network was called")


def test_an_operator_that_does_not_fit_is_refused_before_the_network_runs():
    problem = Problem.simulate(torch.zeros(1, 3, 16, 16), Square())
    with pytest.raises(SamplerError, match="Spectral needs a spectral operator, and Squaring is not that") as caught:
        solve(problem, Untouched(size=16), Spectral())
    fitting = [s for s in SAMPLERS if s.accepts(Square())]
    assert fitting
    assert all(s.label in str(caught.value) for s in fitting)


def test_an_operator_that_fits_is_let_through():
    assert Spectral.accepts(build("blur:size=3"))
    problem = Problem.simulate(PRIOR.sample(1, torch.Generator().manual_seed(1)), Blur(size=3))
    assert len(list(solve(problem, PRIOR, Spectral()))) == 1


@every_sampler
def test_a_non_linear_operator_of_ones_own_works_where_it_is_accepted(cls):
    H = Square()
    if cls.accepts(H):
        assert bool(
            list(stream(cls, H, H(PRIOR.sample(1, torch.Generator().manual_seed(1))) + 0.1, [0]))[-1].x0_hat.isfinite().all()
        )
    else:
        with pytest.raises(SamplerError):
            cls().check_fit(H, SAMPLERS)


# ---- what a class says of itself ----

VARIANTS = ["vml-map:use_jacobian=true", "vml-map:objective=map-ga", "vml-map:objective=map-ga-np", "sitcom:inner=1"]


class NoGraph(GaussianPrior):
    """Its denoiser is not for autograd; the Jacobian is the filter itself."""

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        assert not x.requires_grad
        return super().denoise(x, sigma)

    def linearized(self, x, sigma):
        return self.denoise(x, sigma), lambda u: self.denoise(u + self.mean, sigma) - self.mean


@every_sampler
def test_a_sampler_says_whether_it_seeks_a_mode_and_whether_it_needs_a_gradient(cls):
    assert isinstance(cls.seeks_mode, bool)
    assert isinstance(cls().needs_gradient, bool)


@pytest.mark.parametrize("spec", [*(s.name for s in SAMPLERS), *VARIANTS])
def test_what_is_said_of_gradients_is_what_is_counted_and_no_graph_goes_through_the_network(spec):
    sampler = with_steps(samplers.build(spec), 3)
    H, prior = build("inpaint"), Counted(NoGraph(size=16))
    list(sampler(prior, H, measurement(H, 2), SIGMA_Y, generator=Generators([0, 1])))
    assert sampler.needs_gradient == (prior.backwards > 0)
    assert sampler.learned == (prior.forwards > 0)


# ---- the registry ----


def test_every_sampler_in_the_package_is_listed_once():
    found = set()
    for module in pkgutil.iter_modules(samplers.__path__, "redgui.samplers."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Sampler) and not inspect.isabstract(cls) and cls.__module__ == module.name:
                found.add(cls)
    assert found == set(SAMPLERS)
    assert len({s.name for s in SAMPLERS}) == len({s.label for s in SAMPLERS}) == len(SAMPLERS)


def test_no_sampler_imports_another_or_what_a_sampler_has_no_business_with():
    for cls in SAMPLERS:
        source = inspect.getsource(inspect.getmodule(cls))
        imported = [line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))]
        for name in imported:
            assert name.split(".")[0] not in ("gradio", "PIL", "tqdm", "diffusers"), f"{cls.name} imports {name}"
            assert not name.startswith("redgui.samplers.") or name == "redgui.samplers.base", f"{cls.name} imports {name}"


@every_sampler
def test_a_sampler_cites_its_paper_and_is_built_from_its_text_form(cls):
    assert "arXiv" in cls.paper
    assert samplers.build(cls.name) == cls()
    assert dataclasses.is_dataclass(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().steps = 3


@every_sampler
def test_what_can_go_on_after_its_last_step_says_so(cls):
    H = build("inpaint")
    sampler = small(cls)
    longer = with_steps(sampler, 9)
    steps = sampler(PRIOR, H, measurement(H, 1), SIGMA_Y, generator=Generators([0]))
    step = next(steps)
    while step.i + 1 < step.n:
        step = next(steps)
    if not cls.endless:
        with pytest.raises(StopIteration):
            steps.send(longer)
        return
    after = steps.send(longer)
    assert after.i == step.i + 1
    assert after.n == step.n + 3
