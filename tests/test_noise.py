"""Models of noise: what they draw, the likelihood that samplers are given, and the stabilised problem of the linear ones."""

import math

import pytest
import torch
from torch import Tensor

from redgui import bundled, images, metrics, noise
from redgui.noise import NOISES, Likelihood
from redgui.noise.likelihood import stray
from redgui.noise.models import HUBER, LEAST, LEAST_HUBER
from redgui.operators import OPERATORS, Denoise, OperatorError, build
from redgui.operators.tangent import Tangent
from redgui.priors import GaussianPrior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.settings import Settings
from redgui.runs.stream import solve
from redgui.samplers import RedDiff

CASES = [("poisson:photons=30", 0.0), ("poisson:photons=30", 0.1), ("speckle:looks=9", 0.0), ("speckle:looks=9", 0.1),
         ("outliers:share=0.1", 0.05), ("outliers", 0.0), ("outliers:loss=huber", 0.1),
         ("outliers:loss=huber", 0.0)]  # fmt: skip
every_case = pytest.mark.parametrize(("spec", "sigma_y"), CASES, ids=lambda v: str(v).replace(":", "-"))
PRIOR = GaussianPrior(size=16)


def picture(seed: int = 0, size: int = 16) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9


def face() -> Tensor:
    return images.load(images.folder(bundled.EXAMPLES)[1], 64, 64)


def nll(spec: str, z: Tensor, y: Tensor, sigma_y: float) -> Tensor:
    """The negative log-likelihood of z as text books have it, up to a constant, of values no darker than `darkest`."""
    model, u, v = noise.build(spec), (z + 1) / 2, (y + 1) / 2
    if model.name == "poisson":  # a read noise of s photons: N + s^2 ~ Poisson(k u + s^2)
        k, s2 = model.photons, (model.photons * sigma_y / 2) ** 2
        return k * u + s2 - (k * v + s2) * torch.log(k * u + s2)
    if model.name == "speckle" and sigma_y == 0:  # v / u ~ Gamma(L) / L
        return model.looks * (torch.log(u) + v / u)
    if model.name == "speckle":  # the integral of (u - v) / (c + b u^2)
        c, b = (sigma_y / 2) ** 2, 1 / model.looks
        return torch.log(c + b * u * u) / (2 * b) - v * torch.atan(u * math.sqrt(b / c)) / math.sqrt(b * c)
    if model.loss == "huber":
        s = max(sigma_y, LEAST_HUBER)
        r = (z - y).abs() / s
        return torch.where(r <= HUBER, r**2 / 2, HUBER * r - HUBER**2 / 2)
    s = max(sigma_y, LEAST)
    good = torch.exp(-((z - y) ** 2) / (2 * s * s)) / (math.sqrt(2 * math.pi) * s)
    ends = torch.where((y.abs() - 1).abs() < 1e-3, 255 / 2, 0.0)  # a grey level has a width of 2 / 255
    return -torch.log((1 - model.share) * good + model.share * (0.5 / 2 + 0.5 * ends / 2))


def scale(spec: str, sigma_y: float) -> float:
    """The variance that the residual's square is in units of."""
    model = noise.build(spec)
    if model.name == "outliers":
        return max(sigma_y, LEAST_HUBER if model.loss == "huber" else LEAST) ** 2
    return model.level(sigma_y) ** 2


# ---- what is drawn


@pytest.mark.parametrize("sigma_y", [0.0, 0.2])
@pytest.mark.parametrize("grey", [-0.8, 0.0, 0.9])
@pytest.mark.parametrize("spec", ["gaussian", "poisson:photons=20", "poisson-gaussian:photons=100", "speckle:looks=4"])
def test_the_noise_has_the_mean_and_the_variance_of_its_model(spec, grey, sigma_y):
    model, u = noise.build(spec), (grey + 1) / 2
    variance = sigma_y**2 + {"gaussian": 0, "poisson": 4 * u / getattr(model, "photons", 1),
                             "speckle": 4 * u**2 / getattr(model, "looks", 1)}[model.name]  # fmt: skip
    n = Problem.simulate(torch.full((1, 3, 160, 160), grey), build("denoise"), sigma_y, 3, model).y - grey
    assert abs(float(n.mean())) < 4 * math.sqrt(variance / n.numel()) + 1e-6
    assert float(n.var()) == pytest.approx(variance, rel=0.05, abs=1e-12)


def test_photons_are_whole_and_outliers_are_as_many_as_they_are_said_to_be_and_nothing_else():
    y = Problem.simulate(picture(size=64), build("denoise"), 0.0, 0, noise.build("poisson:photons=12")).y
    counts = (y + 1) / 2 * 12
    torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
    x = picture(size=64)
    y = Problem.simulate(x, build("denoise"), 0.0, 0, noise.build("outliers:share=0.1")).y
    wrong = y != x
    assert float(wrong.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert set(y[wrong].round(decimals=5).tolist()) == {-1.0, 1.0}
    assert float((y[wrong] > 0).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("cls", NOISES, ids=lambda cls: cls.name)
def test_noise_follows_from_the_seed_and_lives_only_where_there_is_a_measurement(cls):
    H, x = build("inpaint:kind=random,fraction=0.5"), picture()
    torch.manual_seed(0)
    one = Problem.simulate(x, H, 0.1, 7, cls())
    torch.manual_seed(1)
    assert torch.equal(one.y, Problem.simulate(x, H, 0.1, 7, cls()).y)
    assert not torch.equal(one.y, Problem.simulate(x, H, 0.1, 8, cls()).y)
    assert not one.y[..., torch.from_numpy(H.hole(16, 16).copy())].any()
    z = torch.cat([picture(k) for k in range(3)])
    together = cls().drawn(z, 0.1, Generators([4, 5, 6]))
    assert torch.equal(together[1:2], cls().drawn(z[1:2], 0.1, Generators([5])))


def test_gaussian_noise_is_what_it_was_to_the_bit():
    H, x = build("blur:size=3"), picture()
    problem = Problem.simulate(x, H, 0.1, 7)
    assert torch.equal(problem.y, H(x) + 0.1 * H.on_support(Generators.of_run(7, 1, 0).randn_like(x)))
    assert problem.likelihood is H
    assert problem.level == 0.1


# ---- the likelihood


@every_case
@pytest.mark.parametrize("operator", ["denoise", "blur:size=3", "superres:factor=2"])
def test_the_gradient_is_that_of_the_negative_log_likelihood(spec, sigma_y, operator):
    H, model, x = build(operator), noise.build(spec), picture()
    y = Problem.simulate(x, H, sigma_y, 1, model).y
    at = (x + 0.2 * picture(5)).clamp(-0.9, 1).double()
    r, g = Likelihood(H=H, noise=model, sigma_y=sigma_y).gradient(at, y.double())
    at.requires_grad_(True)
    units = scale(spec, sigma_y)
    kept = ~stray(y, H, model.share) if model.name == "outliers" else torch.ones_like(y) > 0  # what stands alone is left out
    (wanted,) = torch.autograd.grad(units * (kept * nll(spec, H(at), y.double(), sigma_y)).sum(), at)
    torch.testing.assert_close(g, wanted, rtol=1e-6, atol=1e-6)
    # half its square is the likelihood itself, over the one of the best z
    z = H(at.detach())
    light = y.double().clamp(min=2 * getattr(model, "darkest", -9) - 1)  # a model's best z is no darker
    gap = units * (nll(spec, z, y.double(), sigma_y) - nll(spec, light, y.double(), sigma_y))
    shown = kept & (y > 2 * getattr(model, "darkest", -9) - 1)
    torch.testing.assert_close((r.square() / 2)[shown], gap[shown], rtol=1e-5, atol=1e-7)
    assert bool((r.sign() == (z - y).sign())[kept].all())
    assert not r[~kept].any()


@every_case
def test_the_residual_is_smooth_where_it_is_zero_and_finite_everywhere(spec, sigma_y):
    model = noise.build(spec)
    z = torch.linspace(-3, 3, 6001, dtype=torch.float64).view(1, 1, 1, -1)
    for y0 in (-1.3, -1.0, -0.2, 1.0, 1.4):
        y = torch.full_like(z, y0)
        leaf = z.clone().requires_grad_(True)
        r = model.residual(leaf, y, sigma_y)
        (slope,) = torch.autograd.grad(r.sum(), leaf)
        assert bool(slope.isfinite().all())
        assert bool((slope >= 0).all())
        r = r.detach()
        central = (r[..., 2:] - r[..., :-2]) / (z[..., 2:] - z[..., :-2])
        off = (slope[..., 1:-1] - central).abs() / slope.max()
        assert float(off.quantile(0.99)) < 2e-3  # but at Huber's corner, and where a variance has one
        rise = r.square().diff()
        assert bool((rise[z[..., 1:] <= y0] <= 1e-12).all())  # one minimum, at y
        assert bool((rise[z[..., :-1] >= max(y0, 2 * getattr(model, "darkest", -9) - 1)] >= -1e-12).all())


@every_case
def test_at_the_truth_the_residual_has_the_level_that_samplers_are_told(spec, sigma_y):
    x = picture(size=64)
    problem = Problem.simulate(x, build("denoise"), sigma_y, 2, noise.build(spec))
    rms = metrics.residual(x, problem.y, problem.likelihood)
    floor = problem.likelihood.noise_floor(problem.y, problem.level)
    if problem.level:
        torch.testing.assert_close(floor, rms, rtol=0.1, atol=0)
        if not spec.startswith("outliers"):
            assert float(rms) == pytest.approx(problem.level, rel=0.12)
    else:
        assert float(floor) == 0


def test_an_outlier_pulls_little_or_not_at_all_and_bright_pixels_pull_less_than_dark_ones():
    y, z = torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.01, 1.3]]]])
    for loss, far in (("huber", HUBER * 0.1), ("mixture", 0.0)):
        _, g = Likelihood(H=Denoise(), noise=noise.build(f"outliers:loss={loss}"), sigma_y=0.1).gradient(z, y)
        torch.testing.assert_close(g.flatten(), torch.tensor([0.01, far]), rtol=2e-3, atol=1e-6)
    # of equal distances from y, that of a dark pixel counts more where bright ones are noisier
    y = torch.tensor([[[[-0.8, 0.8]]]])
    for spec in ("poisson", "speckle"):
        r, _ = Likelihood(H=Denoise(), noise=noise.build(spec), sigma_y=0.0).gradient(y + 0.1, y)
        assert float(r[..., 0]) > 1.5 * float(r[..., 1])


def test_the_tangent_of_a_likelihood_is_its_derivative():
    H = Likelihood(H=build("blur:size=3"), noise=noise.build("poisson:photons=20"), sigma_y=0.1)
    x, y, v = picture(1).double(), picture(2).double(), picture(3).double()
    A = Tangent(H, x, y)
    torch.testing.assert_close(A(v), (H.residual(x + 1e-5 * v, y) - H.residual(x - 1e-5 * v, y)) / 2e-5, rtol=1e-4, atol=1e-6)
    w = picture(4).double()
    torch.testing.assert_close((A(v) * w).sum(), (v * A.adjoint(w)).sum())


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
def test_noise_of_cameras_is_for_pictures_and_is_otherwise_refused_in_one_line(cls):
    H = cls()
    fits = H.pictorial and H.name not in ("hdr", "jpeg", "quantize", "nonlinear-blur")
    for model in NOISES[1:]:
        if fits:
            problem = Problem.simulate(picture(size=16), H, 0.1, 0, model())
            *_, last = solve(problem, PRIOR, RedDiff(steps=2))
            assert bool(last.x0_hat.isfinite().all())
        else:
            with pytest.raises(OperatorError, match="Choose the noise gaussian"):
                Settings.read({"operator": H, "noise": model.name})


def test_outliers_are_taken_off_before_a_pseudo_inverse_spreads_them():
    H, x = build("blur:size=9,width=2"), face()
    problem = Problem.simulate(x, H, 0.0, 0, noise.build("outliers"))
    plain, robust = H.start(problem.y), problem.likelihood.start(problem.y)
    assert float((robust - x).square().mean()) < 0.1 * float((plain - x).square().mean())
    mask = build("inpaint:kind=random,fraction=0.7")  # most of what is around a pixel are holes
    problem = Problem.simulate(torch.full((1, 3, 32, 32), 0.3), mask, 0.0, 0, noise.build("outliers"))
    wrong = (problem.likelihood.start(problem.y) - mask(torch.full((1, 3, 32, 32), 0.3))).abs() > 1e-5
    assert float(wrong.float().mean()) < 0.002  # of a few that stand alone nobody can tell
