"""Models of noise: what they draw, the likelihood that samplers are given, and the stabilised problem of the linear ones."""

import json
import math

import pytest
import torch
from torch import Tensor

from redgui import api, bench, bundled, finishing, images, metrics, noise, presets, priors, snippets
from redgui.knobs import KnobError
from redgui.noise import NOISES, Likelihood
from redgui.noise.models import HUBER, LEAST, LEAST_HUBER
from redgui.noise.stabilised import Stabilised
from redgui.operators import OPERATORS, Denoise, OperatorError, build
from redgui.operators.tangent import Tangent
from redgui.priors import GaussianPrior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve, stream
from redgui.samplers import DDRM, SAMPLERS, DiffPIR, RedDiff, SamplerError

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
    (wanted,) = torch.autograd.grad(units * nll(spec, H(at), y.double(), sigma_y).sum(), at)
    torch.testing.assert_close(g, wanted, rtol=1e-6, atol=1e-6)
    # half its square is the likelihood itself, over the one of the best z
    z = H(at.detach())
    light = y.double().clamp(min=2 * getattr(model, "darkest", -9) - 1)  # a model's best z is no darker
    gap = units * (nll(spec, z, y.double(), sigma_y) - nll(spec, light, y.double(), sigma_y))
    shown = y > 2 * getattr(model, "darkest", -9) - 1
    torch.testing.assert_close((r.square() / 2)[shown], gap[shown], rtol=1e-5, atol=1e-7)
    assert bool((r.sign() == (z - y).sign()).all())


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


# ---- samplers


@pytest.mark.parametrize("cls", [s for s in SAMPLERS if s.accepts(Likelihood(H=Denoise(), noise=NOISES[1](), sigma_y=0.1))],
                         ids=lambda cls: cls.name)  # fmt: skip
def test_a_picture_in_a_batch_is_as_it_is_alone(cls):
    if cls.coupled:
        pytest.skip("its particles see each other")
    H = Denoise()
    problems = [Problem.simulate(picture(k), H, 0.05, k, noise.build("poisson:photons=40")) for k in range(2)]
    y, first = torch.cat([p.y for p in problems]), problems[0]

    def last(y: Tensor, seeds: list[int]) -> Tensor:
        *_, step = stream(PRIOR, first.likelihood, y, first.level, cls(steps=3), Generators(seeds))
        return step.x0_hat

    torch.testing.assert_close(last(y, [1, 2])[1:], last(y[1:], [2]), rtol=0, atol=1e-5)


def test_methods_that_need_a_linear_operator_say_so_where_there_is_no_transform():
    with pytest.raises(SamplerError, match=r"DDRM needs a spectral operator, and .* with the noise poisson is not that"):
        next(iter(solve(Problem.simulate(picture(), build("blur:size=3"), 0.0, 0, noise.build("poisson")), PRIOR, DDRM())))
    assert not DDRM.accepts(Likelihood(H=Denoise(), noise=noise.build("outliers"), sigma_y=0.1))


@pytest.mark.parametrize("sigma_y", [0.0, 0.2])
@pytest.mark.parametrize("photons", [20, 100])
def test_the_anscombe_transform_makes_the_noise_alike_and_its_inverse_has_no_bias(photons, sigma_y):
    model = noise.build(f"poisson:photons={photons}")
    through = Stabilised.of(Denoise(), model, sigma_y)
    assert through is not None
    for grey in (-0.5, 0.0, 0.8):
        z = torch.full((1, 1, 400, 400), grey)
        y = through.measurement(z + model.drawn(z, sigma_y, Generators([1])))
        assert float(y.std()) == pytest.approx(through.level, rel=0.06)
        mean = through.picture(y.mean().view(1, 1, 1, 1))
        assert float(mean) == pytest.approx(grey, abs=0.02)
    assert Stabilised.of(build("blur"), model, sigma_y) is None  # the transform of a blur is not the blur of the transform
    assert Stabilised.of(build("compose:of=inpaint>denoise"), model, sigma_y) is not None


def test_a_linear_sampler_restores_pictures_and_tells_misfits_in_their_units():
    x, prior = face(), GaussianPrior(size=64)
    problem = Problem.simulate(x, build("inpaint:kind=random,fraction=0.1"), 0.0, 0, noise.build("poisson:photons=100"))
    *_, last = measured(solve(problem, prior, DiffPIR(steps=20)), problem)
    assert last.psnr is not None
    assert last.psnr > float(metrics.psnr(problem.start(), x)) + 2
    assert 0.5 * problem.level < last.residual < 2 * problem.level


# ---- pictures of faces


@pytest.fixture(scope="module")
def faces():
    return priors.load("faces-64", "cpu", "fp32")


def restored(problem: Problem, prior, spec: str = "reddiff") -> float:
    sampler = presets.sampler_for(spec, problem.H, problem.level)
    *_, last = measured(solve(problem, prior, sampler), problem)
    return last.psnr


def test_two_in_a_hundred_outliers_cost_red_diff_less_than_a_decibel(faces):
    H = build("inpaint:kind=random,fraction=0.7")
    clean = restored(Problem.simulate(face(), H, 0.0, 0), faces)
    dirty = Problem.simulate(face(), H, 0.0, 0, noise.build("outliers:share=0.02"))
    assert restored(dirty, faces) > clean - 1
    assert restored(Problem(dirty.y, H, 0.0, 0, face()), faces) < clean - 1  # least squares lose more


def test_values_that_may_be_wrong_are_not_put_back_into_the_result():
    H, x = build("inpaint:kind=box"), picture(size=16)
    for spec, kept in (("gaussian", True), ("outliers", False), ("poisson", False)):
        problem = Problem.simulate(x, H, 0.0, 0, noise.build(spec))
        found = finishing.finished(torch.zeros_like(x), x, problem)
        assert torch.equal(found, problem.y if kept else torch.zeros_like(x))


# ---- in records, links, commands and benchmarks


def test_a_record_replays_and_a_link_and_a_command_say_the_noise():
    result = api.restore("example:face-06", operator="denoise", sampler="reddiff:steps=3", sigma_y=0.02,
                         noise="poisson-gaussian:photons=50", prior="gaussian:size=64", seed=3, threads=1)  # fmt: skip
    again = Record.from_json(result.record.to_json())
    assert again.settings.noise == "poisson:photons=50"
    assert torch.equal(again.problem().y, result.problem.y)
    assert api.replay(again)[1]
    assert snippets.read_link(snippets.link(again)).noise == "poisson:photons=50"
    assert "--noise poisson:photons=50" in snippets.command(again)
    assert result.figures["noise"] == "poisson:photons=50"
    older = json.loads(result.record.to_json())
    del older["noise"]
    assert Record.from_json(json.dumps(older)).settings.noise == "gaussian"


@pytest.mark.parametrize(("said", "reason"), [
    ("poison", "did you mean 'poisson'"), ("poisson:photons=0", "photons lies in 1 to"), ("speckle:photons=3", "has no knob"),
    ("poisson:photons=many", "photons is a number"), ("outliers:share=0.9", "share lies in"),
])  # fmt: skip
def test_a_noise_that_there_is_not_is_refused_with_what_there_is(said, reason):
    with pytest.raises(KnobError, match=reason):
        Settings.read({"noise": said})


def test_a_benchmark_has_rows_of_its_own_for_a_noise(tmp_path):
    shown = bench.pictures("examples", 64, 64, 2)
    prior = priors.load("gaussian:size=64", "cpu", "fp32")

    def rows(model: str) -> list:
        return bench.bench(shown, prior, ["denoise"], ["reddiff:steps=2", "diffpir:steps=2"], noise=model, out=tmp_path)

    plain, photons = rows("gaussian"), rows("poisson:photons=20")
    assert [row["noise"] for row in plain + photons] == ["gaussian"] * 2 + ["poisson:photons=20"] * 2
    assert plain[0]["psnr_measurement"] > photons[0]["psnr_measurement"] + 10
    row = bench.read(tmp_path)[-1]
    assert row["record"]["noise"] == "poisson:photons=20"
    assert rows("poisson:photons=20") == photons  # from the folder


