"""Numbers that can be trusted: no nan comes out, and a run is the same whoever watches it and whatever runs beside it."""

import dataclasses
import json
import math
import pickle
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from redgui import api, bench, cli, images, knobs, priors
from redgui.operators import Blur, Inpaint, Operator, OperatorError
from redgui.priors import Counted, GaussianPrior, Prior
from redgui.priors.network import DiffusersPrior
from redgui.randomness import MEASUREMENT, Generators
from redgui.runs import remote
from redgui.runs.divergence import LARGEST, Diverged
from redgui.runs.problem import Problem
from redgui.runs.race import Contestant, Race
from redgui.runs.record import Record
from redgui.runs.run import Run
from redgui.runs.settings import Settings
from redgui.runs.stream import measured, solve
from redgui.runs.sweep import Grid, Sweep, axis
from redgui.runs.watch import watch
from redgui.samplers import SAMPLERS, RedDiff, Sampler, VmlMap
from redgui.samplers import build as sampler_of
from redgui.schedule import linear_beta
from redgui.ui.restore import outcome

PRIOR = GaussianPrior(size=16)
PICTURE = images.to_pil(PRIOR.sample(1, torch.Generator().manual_seed(3)).clamp(-1, 1))
ALL = float("inf")
SIGMA_Y = 0.1
OF_ALL = [sampler_of(f"{cls.name}:steps=6") for cls in SAMPLERS if cls.learned]
every_sampler = pytest.mark.parametrize("sampler", OF_ALL, ids=lambda s: s.name)


def problem(seed: int = 2) -> Problem:
    return Problem.simulate(images.to_tensor(PICTURE), Inpaint(), SIGMA_Y, seed=seed)


def run_of(prior: Prior, sampler: Sampler, particles: int = 1) -> list:
    counted = Counted(prior)
    return list(measured(solve(problem(), counted, sampler, particles), problem(), counted))


class Breaking(Prior):
    """One pixel of its answers for picture `row` of a batch is `bad` from the k-th call on, or in that one alone (`once`)."""

    def __init__(self, k: int, bad: float = math.nan, row: int = 0, once: bool = False):
        self.inner, self.k, self.bad, self.row, self.once, self.calls = PRIOR, k, bad, row, once, 0
        self.name, self.shape, self.sigmas, self.multiple = PRIOR.name, PRIOR.shape, PRIOR.sigmas, PRIOR.multiple

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        self.calls += 1
        x0_hat = self.inner.denoise(x, sigma)
        if self.calls == self.k or (self.calls > self.k and not self.once):
            hit = torch.zeros(x0_hat.shape, dtype=torch.bool)
            hit[self.row, 1, 5, 9] = True
            x0_hat = torch.where(hit, self.bad, x0_hat)
        return x0_hat


class Net(torch.nn.Module):
    """A small convolutional network beside the denoiser of white pictures, so that a run behaves as with a trained one."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.out = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1)
        self.register_buffer("sigmas", linear_beta())

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = True) -> tuple[Tensor]:
        sigma = self.sigmas[t.round().long()][:, None, None, None].to(x)
        eps = x * sigma * (1 + sigma**2) ** 0.5 / (0.25 + sigma**2)
        return (eps + 0.3 / (1 + sigma) * self.out(torch.nn.functional.silu(self.into(x))),)


def network(precision: str = "fp32") -> DiffusersPrior:
    alpha_bar = 1 / (1 + linear_beta() ** 2)
    return DiffusersPrior(Net(), alpha_bar, "epsilon", (3, 16, 16), name="tiny", precision=precision)


# ---- no nan comes out

INNER = [
    VmlMap(steps=6, inner=4, use_jacobian=True),
    sampler_of("daps:steps=6,ode_steps=4"),
    sampler_of("sitcom:steps=6,inner=4"),
]


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("sampler", OF_ALL + INNER, ids=lambda s: knobs.spec(s).partition(",")[0])
def test_a_prior_that_breaks_ends_the_run_at_that_step_and_the_one_before_is_kept(sampler, bad):
    """Also where the sampler clips an inf to a picture, or takes back the step that led to a nan."""
    healthy = run_of(PRIOR, sampler)
    for broken_at in (1, len(healthy) - 1):
        k = healthy[broken_at - 1].nfe + 1
        for call in {k, healthy[broken_at].nfe}:  # the first and the last of the step
            told = rf"step {broken_at + 1} of {len(healthy)}; step {broken_at} is kept; lower"
            with pytest.raises(Diverged, match=told) as caught:
                run_of(Breaking(call, bad), sampler)
            last = caught.value.last
            assert last.i == broken_at - 1
            assert torch.equal(last.x0_hat, healthy[last.i].x0_hat)
            assert (last.psnr, last.residual, last.nfe) == tuple(
                getattr(healthy[last.i], name) for name in ("psnr", "residual", "nfe")
            )


def test_one_bad_answer_in_the_middle_of_a_step_is_not_forgotten():
    """VML-MAP takes a step back that leads to a nan, and its picture is finite all the same."""
    sampler = INNER[0]
    healthy = run_of(PRIOR, sampler)
    within = Breaking(healthy[2].nfe + 3, once=True)
    *_, last = solve(problem(), within, sampler)
    assert bool(last.x0_hat.isfinite().all())
    with pytest.raises(Diverged, match="step 4 of 6; step 3 is kept"):
        run_of(Breaking(within.k, once=True), sampler)


@every_sampler
def test_a_prior_that_is_broken_from_the_start_gives_nothing(sampler):
    with pytest.raises(Diverged, match="step 1 of") as caught:
        run_of(Breaking(1), sampler, particles=2)
    assert caught.value.last is None


@every_sampler
def test_restore_gives_the_last_sound_step_and_its_record_replays_it(sampler):
    whole = api.restore(PICTURE, prior=PRIOR, sampler=knobs.spec(sampler), sigma_y=SIGMA_Y, particles=2)
    steps = whole.figures["steps"]
    short = run_of_record(whole.record, steps - 1)
    prior = Breaking(short.nfe + 1)
    with pytest.raises(Diverged) as caught:
        api.restore(PICTURE, prior=prior, sampler=knobs.spec(sampler), sigma_y=SIGMA_Y, particles=2)
    result = caught.value.result
    assert result.figures["error"] == str(caught.value)
    assert result.figures["steps"] == result.record.steps == steps - 1
    assert torch.equal(result.particles, short.x0_hat)
    assert torch.equal(result.film[-1], result.restored)
    assert result.record.result["planned"] == steps
    record = Record.from_json(result.record.to_json())
    json.dumps(dataclasses.asdict(record), allow_nan=False)
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    assert result.figures["psnr"] == again.psnr


def run_of_record(record: Record, steps: int):
    *_, last = dataclasses.replace(record, steps=steps).replay(PRIOR)
    return last


# Knobs within their bounds at which a run diverges, and some as wild at which pulls that are normalised or clipped hold it.
WILD = [
    "reddiff:steps=100,lr=2,lam=10,optimizer=momentum,weighting=square",
    "reddiff:steps=100,lr=2,lam=10,optimizer=sgd,weighting=square",
    "pigdm:steps=200,weight=4,variant=C,clip=false",
    "pigdm:steps=100,weight=4,variant=B,spread=4,clip=false",
]
BOUNDED = [
    "reddiff:steps=50,lr=2,lam=10,optimizer=adam",
    "rsd:steps=30,lr=2,lam=10,gamma=10",
    "dps:steps=10,zeta=20,clip=false",
    "mcg:steps=10,zeta=20,clip=false",
    "pigdm:steps=50,weight=4",
    "vml-map:steps=10,inner=20,step=2,use_jacobian=true,clip=100",
    "daps:steps=5,inner=langevin,lr=1.9",
    "sitcom:steps=5,lr=1",
]


@pytest.mark.parametrize("spec", WILD + BOUNDED)
def test_knobs_at_their_bounds_end_with_numbers_that_mean_something(spec):
    operator = "inpaint" if spec.startswith("mcg") else "superres"
    try:
        found = api.restore(PICTURE, prior=PRIOR, sampler=spec, operator=operator)
    except Diverged as error:
        found = error.result
    told = found.figures.get("error", "")
    assert ("lower the learning rate, the strength of the pull or the weight of the prior" in told) == (spec in WILD)
    assert float(found.particles.abs().max()) < LARGEST
    assert all(math.isfinite(v) for v in found.figures.values() if isinstance(v, float))
    *_, again = found.record.replay(PRIOR)
    assert found.record.reproduces(again)


def test_a_picture_far_out_of_all_range_is_told_from_one_that_is_not_finite():
    with pytest.raises(Diverged, match=r"the run diverged to values of [1-9]e\+0[3-9], where pictures lie within 1, at step"):
        api.restore(PICTURE, prior=PRIOR, sampler=WILD[1], operator="denoise")


def test_a_network_that_overflows_in_fp16_is_given_another_precision():
    prior = Breaking(3, math.inf)
    prior.precision = "fp16"
    with pytest.raises(Diverged, match="or use precision fp32"):
        run_of(prior, RedDiff(steps=6))


class Latent(Prior):
    """Of latents of half the size; its decoder says inf from the k-th call on."""

    name, shape, picture_shape, sigmas = "latent", (3, 8, 8), (3, 16, 16), PRIOR.sigmas  # type: ignore[assignment]

    def __init__(self, k: int):
        self.k, self.calls = k, 0

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return PRIOR.denoise(x, sigma)

    def encode(self, picture: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(picture, 2)

    def decode(self, x: Tensor) -> Tensor:
        self.calls += not torch.is_grad_enabled()  # those for a person to see
        return torch.nn.functional.interpolate(x, scale_factor=2) + (math.inf if self.calls >= self.k else 0.0)


def test_a_decoder_that_overflows_gives_no_saturated_picture():
    with pytest.raises(Diverged, match="step 4 of 6; step 3 is kept") as caught:
        run_of(Latent(4), sampler_of("reddiff:steps=6,noise_aware=false"))
    assert caught.value.last.x0_hat.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_measurement_that_is_not_finite_is_refused_before_the_network_is_asked(bad):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Torn(Operator):
        """One number of its measurement is no number."""

        name, label, about = "torn", "Torn", ""

        def __call__(self, x: Tensor) -> Tensor:
            return x.index_fill(3, torch.tensor([4]), bad)

        def start(self, y: Tensor) -> Tensor:
            return y

    prior = Breaking(99)
    with pytest.raises(OperatorError, match="the measurement holds 48 of 768 numbers that are not finite"):
        api.restore(PICTURE, prior=prior, operator=Torn())
    x = torch.zeros(1, 3, 16, 16)
    x[0, 0, 0, 0] = bad
    with pytest.raises(OperatorError, match="the original holds 1 of"):
        Problem.simulate(x, Inpaint())
    assert prior.calls == 0


def test_the_command_line_writes_the_last_sound_step_and_returns_the_status_of_an_error(tmp_path, capsys, monkeypatch):
    PICTURE.save(tmp_path / "in.png")
    command = ["restore", str(tmp_path / "in.png"), "--sampler", "ddrm:steps=5", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(api.priors, "load", lambda *_: Breaking(4))
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("redgui: the run left the finite numbers at step 4 of 5; step 3 is kept; lower")
    figures = json.loads(said.out.splitlines()[-1])
    assert (figures["steps"], figures["nfe"]) == (3, 3)
    assert "step 4 of 5" in figures["error"]
    record = Record.read(tmp_path / "out" / "record.json")
    *_, last = record.replay(PRIOR)
    assert record.reproduces(last)
    assert Image.open(tmp_path / "out" / "restored.png").tobytes() == images.to_pil(last.estimate).tobytes()
    monkeypatch.setattr(api.priors, "load", lambda *_: Breaking(1))
    assert cli.main([*command[:-1], str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert list((tmp_path / "none").iterdir()) == []


def unplayed(prior: Prior, sampler: Sampler) -> Run:
    return Run(images.to_tensor(PICTURE), problem(), prior, sampler)


@pytest.mark.parametrize("spec", ["reddiff:steps=8", "dps:steps=8", "vml-map:steps=8"])
def test_a_run_that_is_watched_keeps_its_last_sound_step_and_cannot_go_on(spec):
    sampler = sampler_of(spec)
    run = unplayed(Breaking(run_of(PRIOR, sampler)[4].nfe + 1), sampler)
    with pytest.raises(Diverged, match="step 6 of 8; step 5 is kept"):
        list(watch(run, ALL))
    assert (run.last.i, len(run.rows), run.film()[-1].i) == (4, 5, 5)
    assert run.broken
    record = Record.from_json(run.record().to_json())
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    assert torch.equal(again.x0_hat, run.last.x0_hat)
    layout = SimpleNamespace(view="live", result="result", film="film", run="run", stop="stop", resume="more")
    updates = outcome.ended(layout, outcome.LiveBoard(run, 7), "what was wrong", "error")
    live, result, film, stop, more = (updates[name] for name in ("live", "result", "film", "stop", "more"))
    assert (live["status"], live["message"], live["i"]) == ("error", "what was wrong", 5)
    assert result["after"]["src"] == images.data_url(again.estimate)
    assert film["frames"][-1]["i"] == 5
    assert (stop["interactive"], more["interactive"]) == (False, False)
    json.dumps([live, result, film], allow_nan=False)


def test_from_a_worker_the_last_sound_step_comes_before_the_error(monkeypatch):
    sampler = RedDiff(steps=8)
    run = unplayed(PRIOR, sampler)
    job = remote.PlayJob(pickle.dumps(run), 1.0, ALL)
    monkeypatch.setattr(priors, "load", lambda _: Breaking(6))

    def listen() -> None:
        for state in job.news(lambda: None):
            run.take(state)

    with pytest.raises(Diverged):
        listen()
    assert run.last.i == 4
    assert torch.equal(run.last.x0_hat, run_of(PRIOR, sampler)[4].x0_hat)


def test_one_of_a_race_and_of_a_sweep_keeps_its_last_sound_step():
    race = Race([Contestant(s.name, s.label, unplayed(p, s)) for p, s in [(Breaking(4), OF_ALL[0]), (PRIOR, OF_ALL[4])]])
    list(race.play())
    broken, other = race.contestants
    assert (broken.status, broken.run.last.i, other.status) == ("error", 2, "done")
    assert torch.equal(broken.run.last.x0_hat, run_of(PRIOR, OF_ALL[0])[2].x0_hat)
    grid = Grid(RedDiff(steps=6), axis(RedDiff, "lr", "0.1"), axis(RedDiff, "lam", "0.1, 0.25, 1"))
    sweep = Sweep(images.to_tensor(PICTURE), problem(), Breaking(4, row=1, once=True), grid)
    list(sweep.play())
    assert [(cell.status, cell.last.i) for cell in sweep.cells] == [("done", 5), ("error", 2), ("done", 5)]
    assert "step 4 of 6; step 3 is kept" in sweep.cells[1].message
    record = sweep.cells[1].run.record()
    *_, again = record.replay(PRIOR)
    assert record.reproduces(again)
    torch.testing.assert_close(again.x0_hat, run_of(PRIOR, sweep.cells[1].sampler)[2].x0_hat, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler", [s for s in OF_ALL if not s.coupled], ids=lambda s: s.name)
def test_a_picture_of_a_benchmark_that_breaks_is_a_row_that_says_so_and_the_others_are_as_without_it(sampler):
    shown = [bench.Picture(f"p{k}", PRIOR.sample(1, torch.Generator().manual_seed(k)).clamp(-1, 1)) for k in range(3)]
    batch = [bench.Job(p, k, Settings(H=Inpaint(), sampler=sampler, sigma_y=SIGMA_Y, seed=k)) for k, p in enumerate(shown)]
    whole = bench.run(PRIOR, batch)
    last_but_one = run_of_record(bench.record_of(whole[1][0], shown[1]), whole[1][0]["steps"] - 1)
    rows = bench.run(Breaking(last_but_one.nfe + 1, row=1), batch)
    assert "error" in rows[1][0]
    assert f"step {whole[1][0]['steps'] - 1} is kept" in rows[1][0]["error"]
    assert not {"psnr", "record"} & set(rows[1][0])
    assert bool(rows[1][1].isfinite().all())
    assert not torch.equal(rows[1][1], whole[1][1])
    for k in (0, 2):
        assert torch.equal(rows[k][1], whole[k][1])
        assert rows[k][0]["psnr"] == whole[k][0]["psnr"]
    (row,) = bench.summarise([row for row, _ in rows])
    assert (row["n"], row["failed"]) == (2, 1)
    assert math.isfinite(row["psnr"])


# ---- the same run, whatever is around it


def test_a_seed_means_the_same_numbers_everywhere():
    """Of torch's generator on the CPU; its vectorised forms differ in the last digits."""
    noise = Generators.of_run(7, 2).randn(3, 4, 4)
    assert [round(v, 4) for v in noise.flatten()[:3].tolist()] == GOLDEN[0]
    assert [round(v, 4) for v in noise[1].flatten()[-3:].tolist()] == GOLDEN[1]
    assert torch.equal(noise[:1], Generators.of_run(7, 1).randn(3, 4, 4))
    assert not torch.equal(noise, Generators.of_run(7, 2, MEASUREMENT).randn(3, 4, 4))


GOLDEN = [[-1.3211, 0.664, 0.4689], [0.1289, 1.2976, -0.622]]


def test_noise_is_drawn_on_the_cpu_in_fp32_and_brought_to_where_it_is_used():
    like = torch.zeros(2, 3, 4, 4)
    on_cpu = Generators.of_run(7, 2).randn_like(like)
    assert Generators.of_run(7, 2).randn_like(like.to("meta")).device.type == "meta"
    assert torch.equal(Generators.of_run(7, 2).randn_like(like.double()), on_cpu.double())
    assert torch.equal(Generators.of_run(7, 2).randn_like(like.bfloat16()), on_cpu.bfloat16())
    assert {g.device.type for g in Generators.of_run(7, 2).generators} == {"cpu"}


@every_sampler
def test_a_run_is_the_same_at_any_rate_of_watching_or_without_a_watcher(sampler):
    prior = network()
    plain = list(solve(problem(), prior, sampler))[-1].x0_hat
    *_, last = measured(solve(problem(), prior, sampler), problem())
    assert torch.equal(last.x0_hat, plain)
    for hz in (2.0, ALL):
        run = unplayed(prior, sampler)
        list(watch(run, hz))
        assert torch.equal(run.last.x0_hat, plain)


def test_all_samplers_at_once_on_one_prior_are_each_as_alone():
    """Twice over, so that two of each kind run beside each other, too."""
    prior, samplers = network(), OF_ALL * 2
    alone = {s.name: list(solve(problem(), prior, s, 2))[-1].x0_hat for s in OF_ALL}
    found: list[Tensor | None] = [None] * len(samplers)
    begin = threading.Barrier(len(samplers))

    def work(k: int) -> None:
        torch.set_num_threads(1)  # as conftest has it for the main thread
        begin.wait()
        found[k] = list(solve(problem(), prior, samplers[k], 2))[-1].x0_hat

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(samplers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sampler, x0_hat in zip(samplers, found, strict=True):
        assert torch.equal(x0_hat, alone[sampler.name]), sampler.name


@every_sampler
def test_a_record_of_a_network_replays_to_the_bit(sampler):
    prior = network()
    result = api.restore(PICTURE, prior=prior, sampler=knobs.spec(sampler), sigma_y=SIGMA_Y)
    *_, again = Record.from_json(result.record.to_json()).replay(network())
    assert torch.equal(again.x0_hat, result.particles)
    assert again.residual == measured_again(result, prior)


def measured_again(result: api.Result, prior: Prior) -> float:
    *_, last = result.record.replay(prior)
    return last.residual


@pytest.mark.parametrize("H", [Inpaint(), Blur(size=5)], ids=lambda H: H.name)
@pytest.mark.parametrize("sampler", [s for s in OF_ALL if not s.coupled], ids=lambda s: s.name)
def test_a_picture_is_the_same_alone_and_in_a_batch_up_to_the_rounding_of_the_network(sampler, H):
    if not sampler.accepts(H):
        pytest.skip("they do not go together")
    prior, x = network(), PRIOR.sample(5, torch.Generator().manual_seed(1)).clamp(-1, 1)
    y = H(x)
    *_, together = sampler(prior, H, y, SIGMA_Y, generator=Generators(range(5)))
    *_, alone = sampler(prior, H, y[3:4], SIGMA_Y, generator=Generators([3]))
    torch.testing.assert_close(together.x0_hat[3:4], alone.x0_hat, rtol=0, atol=1e-4)


@every_sampler
def test_bf16_is_near_fp32(sampler):
    exact, rounded = (list(solve(problem(), network(p), sampler))[-1].x0_hat for p in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).square().mean().sqrt()) < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@every_sampler
def test_cuda_is_near_the_cpu_and_without_gradients_the_same_to_the_bit_each_time(sampler):
    alpha_bar = 1 / (1 + linear_beta() ** 2)
    prior = Counted(DiffusersPrior(Net(), alpha_bar, "epsilon", (3, 16, 16), name="tiny", device="cuda"))
    first, second = (list(solve(problem(), prior, sampler))[-1].x0_hat for _ in range(2))
    assert prior.backwards or torch.equal(first, second)  # cuDNN may add up a gradient in another order each time
    torch.testing.assert_close(first, second, rtol=0, atol=1e-3)
    here = list(solve(problem(), network(), sampler))[-1].x0_hat
    torch.testing.assert_close(first.cpu(), here, rtol=0, atol=2e-2)


def test_every_claim_of_the_page_on_numerics_has_its_test():
    root = Path(__file__).parents[1]
    page = (root / "docs" / "numerics.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    written = "\n".join(path.read_text() for path in (root / "tests").glob("test_*.py"))
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in written] == []
