"""CUDA graphs on a pretend GPU: what is captured, when, whom it costs, and what becomes of a capture that fails."""

import logging
import threading
import time

import pytest
import torch
from on_device import network, picture
from pretend import pretend
from pretend_cuda import CAPTURE, current_stream
from torch import Tensor

from redgui import operators
from redgui.errors import out_of_memory
from redgui.priors import graphs as module
from redgui.priors.forward import Forward
from redgui.priors.graphs import Graphs
from redgui.runs.problem import Problem
from redgui.runs.rounds import played
from redgui.runs.run import Run
from redgui.samplers import RedDiff


class Net(torch.nn.Module):
    """A network of one operation; `fault` is raised by calls of more than `most` pictures while a graph is held."""

    def __init__(self, fault: Exception | None = None, most: int = 99):
        super().__init__()
        self.fault, self.most, self.graphs, self.sizes = fault, most, None, []

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None, return_dict: bool = True) -> tuple[Tensor]:
        self.sizes.append(len(x))
        if self.fault and len(x) > self.most and self.graphs is not None and self.graphs.captured:
            raise self.fault
        return (torch.tanh(x) * (1 + t[:, None, None, None]),)


def asked(graphs: Graphs, value: float = 0.5, n: int = 1) -> Tensor:
    return graphs(torch.full((n, 3, 8, 8), value, device="cuda"), torch.zeros(n, device="cuda"), None)


def test_a_graph_answers_what_the_network_does():
    with pretend() as traffic:
        graphs = Graphs(Net())
        for k in range(8):
            assert torch.equal(asked(graphs, k / 8).cpu(), torch.full((1, 3, 8, 8), k / 8).tanh())
        assert (traffic["captures"], traffic["replays"]) == (1, 7)  # the first is compared with the eager call


@pytest.mark.parametrize("shapes", [5, 6, 9])
def test_shapes_that_come_in_turn_are_captured_once_and_one_that_stays_away_makes_room(shapes):
    with pretend() as traffic:
        graphs = Graphs(Net())
        for k in range(20 * shapes):
            asked(graphs, n=1 + k % shapes)
        assert traffic["captures"] == module.GRAPHS
        for _ in range(module.IDLE + module.EAGER_FIRST + 1):
            asked(graphs, n=40)
        assert traffic["captures"] == module.GRAPHS + 1
        assert set(graphs.used) == set(graphs.captured) <= set(graphs.calls)


def test_the_counts_of_shapes_have_an_end():
    with pretend():
        graphs = Graphs(Net())
        for n in range(1, 2 * module.COUNTED):
            asked(graphs, n=n)
        assert len(graphs.calls) <= module.COUNTED


def test_numbers_that_are_not_finite_turn_no_graphs_off(caplog):
    with pretend() as traffic:
        graphs = Graphs(Net())
        for value in (0.1, 0.2, float("nan"), 0.3, 0.4, 0.5, 0.6):
            asked(graphs, value)
        assert traffic["captures"] == 1
        assert not caplog.records


@pytest.mark.parametrize("where", ["begin", "within"])
def test_a_capture_that_fails_is_told_once_tried_no_more_and_leaves_its_threads_stream(caplog, where):
    class Reads(Net):
        def forward(self, x: Tensor, *rest, **named) -> tuple[Tensor]:
            return super().forward(x * float(x.mean() >= -9), *rest, **named)

    with pretend(fail_capture=where == "begin") as traffic:
        graphs = Graphs(Net() if where == "begin" else Reads())
        before = current_stream()
        for n in (1, 2) * 6:
            asked(graphs, n=n)
        assert current_stream() is before is not CAPTURE
        assert traffic["captures"] <= 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_two_networks_are_captured_one_after_the_other():
    class Slow(Net):
        def forward(self, *given, **named) -> tuple[Tensor]:
            time.sleep(0.05)
            return super().forward(*given, **named)

    with pretend() as traffic:
        both = [Graphs(Slow()), Graphs(Slow())]
        threads = [threading.Thread(target=lambda g=g: [asked(g) for _ in range(module.EAGER_FIRST + 1)]) for g in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert traffic["captures"] == 2
        assert [(len(graphs.captured), graphs.off) for graphs in both] == [(1, False)] * 2


def test_memory_that_graphs_hold_is_given_back_before_a_batch_is_halved(caplog):
    net = Net(torch.OutOfMemoryError("CUDA out of memory."), most=1)
    with pretend():
        forward = Forward(net, torch.device("cuda"))
        net.graphs = forward.graphs
        call = lambda n: forward(torch.ones(n, 3, 8, 8, device="cuda"), torch.zeros(n, device="cuda"))  # noqa: E731
        with torch.no_grad():
            for _ in range(4):
                call(1)
            assert forward.graphs.captured
            net.sizes.clear()
            assert call(6).shape[0] == 6
        assert (net.sizes, forward.most) == ([6, 6], {})  # asked again whole, and it fits
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        with torch.no_grad():
            for _ in range(9):
                call(1)
        assert not forward.graphs.captured  # memory is short: no more of them


def test_the_memory_of_other_networks_graphs_is_given_back_too_and_for_a_call_with_gradients():
    net = Net(torch.OutOfMemoryError("CUDA out of memory."), most=1)
    with pretend():
        net.graphs = Graphs(Net())
        for _ in range(4):
            asked(net.graphs)
        x = torch.ones(2, 3, 8, 8, device="cuda").requires_grad_()
        assert Forward(net, torch.device("cuda"))(x, torch.zeros(2, device="cuda")).requires_grad


def test_nobody_is_charged_for_a_capture(monkeypatch):
    def slow(*given):
        time.sleep(0.2)
        return real(*given)

    real = module.captured
    monkeypatch.setattr(module, "captured", slow)
    with pretend() as traffic:
        problem = Problem.simulate(picture(), operators.build("denoise"), 0.05)
        runs = [Run(picture(), problem, network("cuda"), RedDiff(steps=5)) for _ in range(2)]
        jobs = [job for run in runs for job in run.jobs()]
        began = time.perf_counter()
        list(played(jobs))
        took = time.perf_counter() - began
        assert traffic["captures"] == 2
        assert sum(job.seconds for job in jobs) < took - 0.4 + 0.05
        assert all(run.last.seconds <= job.seconds + 0.05 for run, job in zip(runs, jobs, strict=True))


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("Unable to find a valid cuDNN algorithm to run convolution", True),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", True),
        ("MPS backend out of memory (MPS allocated: 9 GB)", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_memory_that_ran_out_is_known_in_disguise(said, short):
    assert out_of_memory(RuntimeError(said)) is short
