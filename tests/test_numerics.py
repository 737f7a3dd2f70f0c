"""Numbers that can be trusted: a run is the same whoever watches it and whatever runs beside it."""

import re
import threading
from pathlib import Path

import pytest
import torch
from breaking import ALL, OF_ALL, PICTURE, PRIOR, SIGMA_Y, every_sampler, problem, unplayed
from torch import Tensor

from redgui import api, knobs
from redgui.operators import Blur, Inpaint
from redgui.priors import Counted, Prior
from redgui.priors.network import DiffusersPrior
from redgui.randomness import MEASUREMENT, Generators
from redgui.runs.record import Record
from redgui.runs.stream import measured, solve
from redgui.runs.watch import watch
from redgui.schedule import linear_beta


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
