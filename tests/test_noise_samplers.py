"""Samplers, runs and records under noise that is not Gaussian."""

import json

import pytest
import torch
from torch import Tensor

from redgui import api, bench, bundled, finishing, images, metrics, noise, presets, priors, snippets
from redgui.knobs import KnobError
from redgui.noise import NOISES, Likelihood
from redgui.noise.stabilised import Stabilised
from redgui.operators import Denoise, build
from redgui.priors import GaussianPrior
from redgui.randomness import Generators
from redgui.runs.problem import Problem
from redgui.runs.record import Record
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve, stream
from redgui.samplers import DDRM, SAMPLERS, DiffPIR, SamplerError

PRIOR = GaussianPrior(size=16)


def picture(seed: int = 0, size: int = 16) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9


def face() -> Tensor:
    return images.load(images.folder(bundled.EXAMPLES)[1], 64, 64)


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
    assert last.psnr > float(metrics.psnr(problem.start(), x)) + 1
    assert 0.5 * problem.level < last.residual < 2 * problem.level


# ---- pictures of faces


@pytest.fixture(scope="module")
def faces():
    return priors.load("faces-64", "cpu", "fp32")


def restored(problem: Problem, prior, spec: str = "reddiff") -> float:
    sampler = presets.sampler_for(spec, problem.H, problem.level)
    *_, last = measured(solve(problem, prior, sampler), problem)
    return last.psnr


@pytest.mark.parametrize("operator", ["inpaint", "superres"])
def test_outliers_cost_red_diff_less_than_a_decibel_with_a_gaussian_prior(operator):
    H, prior, spec = build(operator), GaussianPrior(size=64), "reddiff:steps=40,lr=0.1,optimizer=adam"
    problems = [Problem.simulate(face(), H, 0.0, 0, noise.build(model)) for model in ("gaussian", "outliers")]
    clean, dirty = (restored(problem, prior, spec) for problem in problems)
    assert dirty > clean - 1


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
