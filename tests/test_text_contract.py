"""What every prior promises, and every sampler that takes latents, on text-to-image models of each layout."""

import pytest
import torch
from text_models import flow_model, make, xl_model
from tiny import load, noise
from torch import Tensor

from redgui import knobs
from redgui.operators import build
from redgui.priors.latent import LatentPrior
from redgui.runs.latent import Decoded
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.samplers import SAMPLERS

FEW = dict(steps=2, langevin_steps=1, inner=2)


@pytest.fixture(scope="module", params=["sd", "xl", "sd3", "flux"])
def prior(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LatentPrior:
    folder = tmp_path_factory.mktemp("contract")
    makers = {"sd": make, "xl": xl_model, "sd3": lambda f: flow_model(f, "sd3"), "flux": lambda f: flow_model(f, "flux")}
    makers[request.param](folder)
    return load(f"{folder}:prompt=a red cup:negative=blur, noise: none:guidance=2")


def picture_for(prior: LatentPrior) -> Tensor:
    """A white square on black: a record holds a picture of 8 bits."""
    picture = torch.full((1, *prior.picture_shape), -1.0)
    picture[..., 8:24, 8:24] = 1.0
    return picture


def test_a_prior_keeps_its_contract(prior):
    assert bool((prior.sigmas.diff() > 0).all())
    x, u = noise(3, *prior.shape), noise(3, *prior.shape, seed=1)
    sigma = torch.tensor([0.05, 0.7, 3.0])
    D, back = prior.linearized(x, sigma)
    for k in range(3):  # a level per image is the same as one by one
        torch.testing.assert_close(D[k : k + 1], prior.denoise(x[k : k + 1], float(sigma[k])), rtol=1e-4, atol=1e-5)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(back(u), torch.autograd.grad(prior.denoise(leaf, sigma), leaf, u)[0])
    assert (D.dtype, D.requires_grad, D.shape) == (torch.float32, False, x.shape)
    assert prior.encode(prior.decode(x)).shape == x.shape


def test_every_sampler_that_takes_latents_runs_and_its_record_replays_to_the_bit(prior):
    picture = picture_for(prior)
    problem = Problem.simulate(picture, build("inpaint:kind=box"), 0.05)
    fitting = [cls for cls in SAMPLERS if cls.accepts(Decoded(H=problem.H, prior=prior))]
    assert {cls.name for cls in fitting} >= {"reddiff", "vml-map", "dps", "daps", "sitcom", "rsd"}
    for cls in fitting:
        few = {k.name: FEW[k.name] for k in knobs.knobs(cls) if k.name in FEW and k.kind is int}
        *_, last = (run := Run(picture, problem, prior, knobs.build(cls, few))).play()
        assert last.x0_hat.shape == picture.shape
        assert bool(last.x0_hat.isfinite().all()), cls.name
        *_, again = (record := Record.from_json(run.record().to_json())).replay(prior)
        assert record.reproduces(again), cls.name
        assert torch.equal(again.x0_hat, last.x0_hat), cls.name
