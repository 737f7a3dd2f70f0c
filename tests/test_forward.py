"""The network's call when memory is short, and on CUDA as a graph."""

import pytest
import torch
from torch import Tensor

from redgui import api, images
from redgui.errors import out_of_memory
from redgui.operators import build
from redgui.priors import PriorError
from redgui.priors import graphs as module
from redgui.priors.forward import Forward
from redgui.priors.graphs import Graphs
from redgui.priors.network import DiffusersPrior
from redgui.runs.problem import Problem
from redgui.runs.stream import measured, solve
from redgui.samplers import DPS, SAMPLERS, RedDiff, SamplerError
from redgui.schedule import linear_beta

ALPHA_BAR = 1 / (1 + linear_beta() ** 2)
CPU_WORDS = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."
CUDA_WORDS = "CUDA out of memory. Tried to allocate 20.00 GiB."


class Net(torch.nn.Module):
    """Its output depends on the picture, the time and the class; above `most` pictures it has no memory."""

    def __init__(self, most: int, error: Exception | None = None):
        super().__init__()
        self.most, self.sizes = most, []
        self.error = error or RuntimeError(CPU_WORDS)

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None, return_dict: bool = True) -> tuple[Tensor]:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error
        add = 0 if class_labels is None else class_labels[:, None, None, None]
        return (torch.tanh(x) * (1 + t[:, None, None, None] / 1000) + add,)


def prior(most: int, error: Exception | None = None, **options) -> DiffusersPrior:
    return DiffusersPrior(Net(most, error), ALPHA_BAR, "epsilon", (3, 16, 16), **options)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("error", [RuntimeError(CPU_WORDS), torch.OutOfMemoryError(CUDA_WORDS), MemoryError()], ids=type)
@pytest.mark.parametrize("label", [None, 3])
@pytest.mark.parametrize(("most", "sizes"), [(8, [7]), (4, [7, 4, 3]), (3, [7, 4, 2, 2, 2, 1]), (1, [7, 4, 2, *[1] * 7])])
def test_a_batch_is_split_until_it_fits_and_the_result_is_the_same(most, sizes, label, error):
    x, sigma = noise(7, 3, 16, 16), torch.linspace(0.1, 5, 7)
    short, ample = prior(most, error, label=label), prior(7, label=label)
    with torch.no_grad():
        assert torch.equal(short.denoise(x, sigma), ample.denoise(x, sigma))
        assert short.net.sizes == sizes
        short.net.sizes.clear()
        short.denoise(x, sigma)
        assert max(short.net.sizes) <= most  # what did not fit is not tried again
        short.denoise(x[:1], sigma[:1])
        assert short.net.sizes[-1] == 1


def test_one_picture_that_does_not_fit_says_what_to_do():
    told = r"one picture of 16x16 does not fit into the memory\. Use a smaller size"
    with torch.no_grad(), pytest.raises(PriorError, match=told):
        prior(0).denoise(noise(4, 3, 16, 16), 1.0)


def test_a_call_with_gradients_is_not_split_and_says_what_to_do():
    short = prior(2)
    x = noise(4, 3, 16, 16).requires_grad_()
    with pytest.raises(PriorError, match=r"4 pictures of 16x16, kept for a gradient.*Use fewer particles, a sampler without"):
        short.denoise(x, 1.0)
    assert short.net.sizes == [4]
    assert torch.autograd.grad(short.denoise(x[:2], 1.0).sum(), x)[0].shape == x.shape


def test_the_advice_names_the_samplers_that_say_they_need_no_gradient():
    with pytest.raises(PriorError) as caught:
        prior(0).denoise(noise(1, 3, 16, 16).requires_grad_(), 1.0)
    named = str(caught.value).partition("(")[2].partition(")")[0].split(", ")
    assert named == [cls.name for cls in SAMPLERS if not cls().needs_gradient]
    assert {"reddiff", "vml-map", "repaint", "rsd"} <= set(named)


def test_another_error_is_no_lack_of_memory():
    with torch.no_grad(), pytest.raises(PriorError, match="shapes"):
        prior(1, RuntimeError("shapes do not match")).denoise(noise(2, 3, 16, 16), 1.0)
    assert not out_of_memory(ValueError("out of memory"))


def test_a_run_of_many_particles_is_the_same_where_memory_is_short():
    picture = noise(1, 3, 16, 16).clamp(-1, 1)
    runs = [api.restore(images.to_pil(picture), prior=prior(most), sampler=RedDiff.name + ":steps=4", particles=6)
            for most in (6, 2)]  # fmt: skip
    assert torch.equal(runs[0].particles, runs[1].particles)
    assert runs[0].figures["nfe"] == runs[1].figures["nfe"] == 4
    with pytest.raises(PriorError, match="Use fewer particles"):
        api.restore(images.to_pil(picture), prior=prior(2), sampler="dps:steps=4", particles=6)


def test_memory_that_runs_out_elsewhere_in_a_step_is_a_clear_error():
    class Greedy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise torch.OutOfMemoryError(CUDA_WORDS)

    class Back(Net):
        def forward(self, x, t, class_labels=None, return_dict=True):
            return (Greedy.apply(x),)

    problem = Problem.simulate(noise(1, 3, 16, 16), build("inpaint"))
    back = DiffusersPrior(Back(9), ALPHA_BAR, "epsilon", (3, 16, 16))
    with pytest.raises(SamplerError, match=r"the memory of the cpu ran out\. Use fewer particles"):
        list(measured(solve(problem, back, DPS(steps=3)), problem))


# ---- CUDA graphs: what holds on any machine ----


class FakeGraph:
    """A captured call that is made anew on replay."""

    def __init__(self, net, places, out):
        self.net, self.places, self.out, self.replays = net, places, out, 0

    def replay(self):
        self.replays += 1
        self.out.copy_(self.net(*self.places, return_dict=False)[0])


def test_a_shape_is_captured_after_a_few_calls_and_replayed(monkeypatch):
    made = []

    def capture(net, x, t, labels):
        places = (x.clone(), t.clone(), None)
        made.append(FakeGraph(net, places, torch.empty_like(x)))
        return made[-1], places, made[-1].out

    monkeypatch.setattr(module, "captured", capture)
    net = Net(99)
    graphs = Graphs(net)
    t = torch.full((2,), 300.0)
    outs = []
    for k in range(5):
        x = noise(2, 3, 16, 16) + k
        outs.append(graphs(x, t + k, None))
        assert torch.equal(outs[-1], net(x, t + k)[0])
    assert not torch.equal(outs[3], outs[4])  # each has memory of its own
    assert (len(made), made[0].replays) == (1, 5 - module.EAGER_FIRST)
    for n in range(3, 3 + module.GRAPHS):
        for _ in range(module.EAGER_FIRST + 1):
            graphs(noise(n, 3, 8, 8), torch.full((n,), 1.0), None)
    assert len(graphs.captured) == module.GRAPHS
    before = len(made)
    for _ in range(4):
        graphs(noise(17, 3, 128, 128), torch.full((17,), 1.0), None)
    assert len(made) == before  # large batches gain nothing


def test_a_capture_that_fails_leaves_the_eager_network(monkeypatch):
    tried = []
    monkeypatch.setattr(module, "captured", lambda *_: tried.append(1) or (_ for _ in ()).throw(RuntimeError("not permitted")))
    net = Net(99)
    graphs = Graphs(net)
    x, t = noise(1, 3, 16, 16), torch.ones(1)
    for _ in range(6):
        assert torch.equal(graphs(x, t, None), net(x, t)[0])
    assert len(tried) == 1


def test_a_call_with_gradients_is_never_a_graph():
    forward = Forward(Net(9), torch.device("cpu"))
    assert forward.graphs is None
    forward.graphs = lambda *_: pytest.fail("a graph has no gradient")
    assert forward(noise(1, 3, 8, 8).requires_grad_(), torch.ones(1)).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_graph_gives_the_very_pixels_of_the_eager_call():
    from redgui import priors

    prior = priors.load("faces-64", "cuda")
    x = noise(2, 3, 64, 64).cuda()
    with torch.no_grad():
        outs = [prior.denoise(x, 1.0) for _ in range(5)]
    assert all(torch.equal(out, outs[0]) for out in outs)
    assert prior.forward.graphs.captured
