"""VML-MAP and its limit MAP-GA: the loss, its gradient, the preconditioner, the modes they find, and their cost."""

import math
from dataclasses import dataclass
from typing import final

import pytest
import torch
from strict import Strict
from torch import Tensor

from redgui.knobs import knob
from redgui.operators import OPERATORS, LinearOperator, Operator, build
from redgui.priors import Counted, GaussianPrior, MixturePrior, Prior
from redgui.randomness import Generators
from redgui.samplers import SITCOM, VmlMap


@final
@dataclass(frozen=True, kw_only=True)
class Row(LinearOperator):
    """y = a x1 + b x2 of points in the plane, which are pictures of shape (2, 1, 1) here."""

    name, label, about = "row", "Row", ""
    a: float = knob(1.0, help="")
    b: float = knob(0.0, help="")

    def __call__(self, x: Tensor) -> Tensor:
        return self.a * x[:, :1] + self.b * x[:, 1:]

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.cat([self.a * y, self.b * y], 1)


@final
@dataclass(frozen=True, kw_only=True)
class Parabola(Operator):
    """y = x1 + x2^2 / 2 of points in the plane."""

    name, label, about = "parabola", "Parabola", ""

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, :1] + x[:, 1:].square() / 2

    def start(self, y: Tensor) -> Tensor:
        return torch.cat([y, torch.zeros_like(y)], 1)


def points(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).view(-1, 2, 1, 1)


THREE = MixturePrior(points((-0.8, 0.2), (0.6, 0.7), (0.3, -0.9)), 0.25, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))


def log_p(prior: MixturePrior, x: Tensor, sigma: float) -> Tensor:
    """log of the density of x0 + sigma eps, (b,)."""
    variance = prior.std**2 + sigma**2
    d2 = (x.flatten(1)[:, None] - prior.means.flatten(1)).square().sum(-1)
    n = x[0].numel()
    return (prior.weights.log() - d2 / (2 * variance) - n / 2 * math.log(2 * math.pi * variance)).logsumexp(1)


def vml_s(prior: MixturePrior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, sigma: float) -> Tensor:
    """VML without its trace terms and its constant, (b,)."""
    D = prior.denoise(x, sigma)
    data = H.residual(D, y).flatten(1).square().sum(1)
    return -log_p(prior, x, sigma) - (D - x).flatten(1).square().sum(1) / (2 * sigma**2) + data / (2 * sigma_y**2)


def at(sampler: VmlMap, prior: Prior, H: Operator, y: Tensor, sigma_y: float, x: Tensor, sigma: float) -> Tensor:
    """x after the sampler's descent at one level."""
    return sampler.descend(prior, H, y, sigma_y, x, sigma, torch.ones(len(x)).to(x))[0]


def dense(H: LinearOperator, like: Tensor) -> Tensor:
    """H as a matrix (m, n)."""
    eye = torch.eye(like[0].numel(), dtype=like.dtype).view(-1, *like.shape[1:])
    return H(eye).flatten(1).T


# ---- the loss ----


@pytest.mark.parametrize("sigma", [0.2, 0.6, 2.0])
@pytest.mark.parametrize("H", [Row(a=1.0, b=0.5), Row(a=0.0, b=2.0)], ids=["slanted", "second"])
def test_proposition_2_is_the_divergence_between_the_two_posteriors(H, sigma):
    sigma_y, x, y = 0.3, points((0.2, -0.1)), torch.tensor([[[[0.4]]]], dtype=torch.float64)
    axis = torch.linspace(-2.8, 2.8, 301, dtype=torch.float64)
    area = float(axis[1] - axis[0]) ** 2
    x0 = torch.cartesian_prod(axis, axis).view(-1, 2, 1, 1)
    log_prior = log_p(THREE, x0, 0.0)
    log_x = -(x0 - x).flatten(1).square().sum(1) / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)
    log_y = -(H(x0) - y).flatten(1).square().sum(1) / (2 * sigma_y**2) - math.log(2 * math.pi * sigma_y**2) / 2
    px, py = ((log_prior + log).exp().sum() * area for log in (log_x, log_y))
    given_x, given_y = log_prior + log_x - px.log(), log_prior + log_y - py.log()
    divergence = (given_x.exp() * (given_x - given_y)).sum() * area

    p = given_x.exp() * area
    D = (p[:, None] * x0.flatten(1)).sum(0)
    torch.testing.assert_close(D, THREE.denoise(x, sigma).flatten(), rtol=0, atol=1e-9)
    d = x0.flatten(1) - D
    cov = (p[:, None] * d).T @ d
    A = dense(H, x)
    constant = -math.log(2 * math.pi * sigma**2) + math.log(2 * math.pi * sigma_y**2) / 2 + py.log()
    traces = -cov.trace() / (2 * sigma**2) + (A @ cov @ A.T).trace() / (2 * sigma_y**2)
    proposition = vml_s(THREE, H, y, sigma_y, x, sigma)[0] + traces + constant
    assert float(proposition - divergence) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.2, 0.6, 2.0])
@pytest.mark.parametrize("H", [Row(a=1.0, b=0.5), Parabola()], ids=["row", "parabola"])
def test_the_plain_step_is_the_gradient_of_the_simplified_loss(H, sigma):
    sigma_y, y = 0.3, torch.tensor([[[[0.4]]]], dtype=torch.float64).expand(3, 1, 1, 1)
    x = points((0.2, -0.1), (1.0, 0.4), (-0.5, 0.3))
    plain = VmlMap(preconditioner="plain", use_jacobian=True, clip=100.0, backtrack=False)
    moved = at(plain, THREE, H, y, sigma_y, x, sigma) - x

    gradient, step = torch.zeros_like(x), 1e-5
    for k in range(2):
        e = torch.zeros_like(x)
        e[:, k] = step
        difference = vml_s(THREE, H, y, sigma_y, x + e, sigma) - vml_s(THREE, H, y, sigma_y, x - e, sigma)
        gradient[:, k, 0, 0] = difference / (2 * step)
    D = THREE.denoise(x, sigma)
    A2 = H.a**2 + H.b**2 if isinstance(H, Row) else 1 + D[:, 1:].square()
    safe = 1 / (A2 / sigma_y**2 + 1 / (4 * sigma**2))  # one over the largest curvature
    torch.testing.assert_close(moved, -safe * gradient, rtol=1e-5, atol=1e-8)


# ---- the preconditioner ----


@pytest.mark.parametrize("sigma", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("operator", OPERATORS, ids=[o.name for o in OPERATORS])
def test_the_gauss_newton_direction_solves_its_equation_and_is_pigdms_guidance_in_the_data(operator, sigma):
    H, sigma_y, draw = operator(), 0.1, torch.Generator().manual_seed(0)
    if not isinstance(H, LinearOperator):
        return
    D, x = (torch.randn(2, 3, 16, 16, generator=draw, dtype=torch.float64) for _ in range(2))
    y = H(torch.randn(2, 3, 16, 16, generator=draw, dtype=torch.float64))
    A, rho = dense(H, D), (sigma_y / sigma) ** 2
    r = (y - H(D)).flatten(1).T

    u = VmlMap().direction(GaussianPrior(size=16), H, y, sigma_y, x, D, sigma)
    right = rho * (D - x).flatten(1).T + A.T @ r
    wanted = torch.linalg.solve(A.T @ A + rho * torch.eye(A.shape[1], dtype=A.dtype), right).T
    torch.testing.assert_close(u.flatten(1), wanted, rtol=0, atol=1e-9)

    data = VmlMap().direction(GaussianPrior(size=16), H, y, sigma_y, D, D, sigma)
    gram = sigma**2 * A @ A.T + sigma_y**2 * torch.eye(A.shape[0], dtype=A.dtype)
    guidance = sigma**2 * A.T @ torch.linalg.solve(gram, r)
    torch.testing.assert_close(data.flatten(1), guidance.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2", "colorize"])
def test_without_noise_map_ga_is_plain_descent_of_the_simplified_loss_where_all_singular_values_agree(spec):
    H, draw = build(spec), torch.Generator().manual_seed(0)
    prior = GaussianPrior(size=8)
    x, x_true = (torch.randn(2, 3, 8, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    ga = VmlMap(objective="map-ga-np", clip=100.0, backtrack=False)
    vml = VmlMap(preconditioner="plain", use_jacobian=True, clip=100.0, backtrack=False)
    for sigma in (0.1, 3.0):
        a, b = at(ga, prior, H, H(x_true), 0.0, x, sigma), at(vml, prior, H, H(x_true), 1e-9, x, sigma)
        assert float((a - x).abs().max()) > 1e-3
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_map_ga_with_its_prior_adds_the_pull_of_the_lowest_level():
    H, prior, sigma_y = build("inpaint"), GaussianPrior(size=8), 0.05
    D, y = torch.ones(1, 3, 8, 8, dtype=torch.float64), torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    full, bare = (VmlMap(objective=o).direction(prior, H, y, sigma_y, D, D, 1.0) for o in ("map-ga", "map-ga-np"))
    v = VmlMap().sigma_min
    torch.testing.assert_close(full - bare, (sigma_y**2 + v**2) * (prior.denoise(D, v) - D) / v**2)


# ---- what it finds ----


def map_estimate(prior: GaussianPrior, H: LinearOperator, y: Tensor, sigma_y: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """argmax p(x0 | y), and the covariance C of the prior as a matrix."""
    A, eye = dense(H, like), torch.eye(like[0].numel(), dtype=like.dtype)
    gain = prior.denoise(eye.view(-1, *like.shape[1:]), 1.0).flatten(1)  # C (C + I)^-1
    C = gain @ torch.linalg.inv(eye - gain)
    return (C @ A.T @ torch.linalg.solve(A @ C @ A.T + sigma_y**2 * torch.eye(len(A)).to(A), y.flatten())).view_as(like), C


@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2", "blur:size=3", "colorize"])
def test_under_a_gaussian_prior_every_level_denoises_to_the_map_estimate(spec):
    prior, H, sigma_y = GaussianPrior(size=8, exponent=1.0, std=0.4), build(spec), 0.2
    x_true = prior.sample(1, torch.Generator().manual_seed(3)).double()
    noise = torch.randn(H(x_true).shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = H(x_true) + sigma_y * H.on_support(noise)
    wanted, C = map_estimate(prior, H, y, sigma_y, x_true)
    free, through = VmlMap(inner=200), VmlMap(inner=200, use_jacobian=True)

    # The x that denoises to the MAP estimate is where every descent stands still,
    for sigma in (0.02, 0.3, 1.0, 10.0):
        x = (wanted.flatten() + sigma**2 * torch.linalg.solve(C, wanted.flatten())).view_as(wanted)
        for still in (free, through, VmlMap(preconditioner="plain", use_jacobian=True)):
            torch.testing.assert_close(at(still, prior, H, y, sigma_y, x, sigma), x, rtol=0, atol=1e-7 * (1 + sigma**2))
    # and where it gets to from elsewhere.
    for mover in (free, through):
        x = at(mover, prior, H, y, sigma_y, torch.ones_like(x_true), 0.3)
        torch.testing.assert_close(prior.denoise(x, 0.3), wanted, rtol=0, atol=2e-3)


def reached(sampler: VmlMap, prior: MixturePrior, H: Operator, y: float, sigma_y: float, seeds: int) -> Tensor:
    """Where runs from many seeds end, (seeds, 2)."""
    many = torch.full((seeds, 1, 1, 1), y, dtype=torch.float64)
    *_, step = sampler(prior, H, many, sigma_y, generator=Generators(range(seeds)))
    return step.x0_hat.flatten(1)


@pytest.mark.parametrize("sigma_y", [0.5, 0.1])
def test_gauss_newton_through_the_network_finds_the_dominant_mode_of_a_posterior_with_two(sigma_y):
    prior = MixturePrior(points((0.3, 0.8), (0.3, -0.7)), 0.2, torch.tensor([0.65, 0.35], dtype=torch.float64))
    sampler = VmlMap(steps=20, inner=10, use_jacobian=True)
    ends = reached(sampler, prior, Row(), 0.3, sigma_y, 60)
    hits = (ends - torch.tensor([0.3, 0.8])).norm(dim=1) < 0.1
    assert int(hits.sum()) >= 58


@pytest.mark.parametrize("sigma_y", [0.3, 0.1, 0.01])
def test_backtracking_makes_the_loss_fall_where_full_steps_overshoot(sigma_y):
    # Two narrow modes: between them J is up to 9.
    prior = MixturePrior(points((0.7, 0.8), (-0.6, -0.7)), 0.1, torch.tensor([0.5, 0.5], dtype=torch.float64))
    H, y = Row(a=1.0, b=0.5), torch.full((200, 1, 1, 1), 0.5, dtype=torch.float64)
    rises = {}
    for backtrack in (True, False):
        sampler, made, rises[backtrack] = VmlMap(use_jacobian=True, backtrack=backtrack), 0, 0
        for sigma in (0.2, 0.5, 1.0, 3.0):
            x = sigma * torch.randn(200, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            share = torch.ones(200, dtype=torch.float64)
            before = vml_s(prior, H, y, sigma_y, x, sigma)
            for _ in range(8):
                x, _, share = sampler.descend(prior, H, y, sigma_y, x, sigma, share)
                after = vml_s(prior, H, y, sigma_y, x, sigma)
                rises[backtrack] += int((after > before + 1e-9 * (1 + before.abs())).sum())
                made, before = made + 200, after
    assert rises[True] <= 0.003 * made
    assert rises[False] >= 0.15 * made


@pytest.mark.parametrize("knobs", [{}, dict(use_jacobian=True)], ids=["free", "jacobian"])
def test_an_operator_that_is_not_linear_is_fitted_too(knobs):
    ends = torch.cat([reached(VmlMap(steps=40, inner=4, **knobs), THREE, Parabola(), y, 0.01, 5) for y in (0.3, -0.5)])
    measured = ends[:, 0] + ends[:, 1].square() / 2
    torch.testing.assert_close(measured, torch.tensor([0.3] * 5 + [-0.5] * 5, dtype=torch.float64), rtol=0, atol=0.03)


# ---- what it costs ----


@pytest.mark.parametrize(
    ("knobs", "forwards", "backwards"),
    [
        (dict(inner=1), 12, 0),
        (dict(inner=3), 24, 0),
        (dict(inner=3, use_jacobian=True), 24, 18),
        (dict(inner=3, objective="map-ga-np"), 24, 18),
        (dict(inner=3, objective="map-ga"), 42, 18),
    ],
)
def test_network_calls_of_vml_map(gaussian, drawn, knobs, forwards, backwards):
    H, counted = build("inpaint"), Counted(gaussian)
    list(VmlMap(steps=6, **knobs)(counted, H, H(drawn(1)), 0.0, generator=Generators([0])))
    assert (counted.forwards, counted.backwards) == (forwards, backwards)


def test_without_the_jacobian_no_graph_passes_through_the_network(drawn):
    H = build("superres:factor=2")
    assert len(list(VmlMap(steps=3)(Strict(size=16), H, H(drawn(1)), 0.0, generator=Generators([0])))) == 3


@pytest.mark.parametrize("objective", ["vml", "map-ga", "map-ga-np"])
@pytest.mark.parametrize("transition", ["ode", "renoise"])
def test_every_variant_fits_the_measurement_and_restores_what_is_missing(objective, transition):
    prior, H = GaussianPrior(size=16), build("inpaint:kind=random,fraction=0.5")
    x_true = prior.sample(2, torch.Generator().manual_seed(2))
    sampler = VmlMap(steps=60, inner=2, objective=objective, transition=transition)
    *_, step = sampler(prior, H, H(x_true), 0.0, generator=Generators([0, 1]))
    assert float((step.x0_hat - x_true).square().mean()) < 0.8 * float((H(x_true) - x_true).square().mean())
    assert bool((step.scalars["residual"] < 1e-3).all())


@pytest.mark.parametrize("cls", [VmlMap, SITCOM])
def test_more_or_fewer_steps_are_taken_from_where_the_run_is(gaussian, drawn, cls):
    H = build("inpaint")
    for wanted, total in ((10, 10), (4, 4), (1, 3)):
        run = cls(steps=6)(gaussian, H, H(drawn(1)), 0.0, generator=Generators([0]))
        seen = [next(run), run.send(None)]
        seen += [run.send(cls(steps=wanted)), *run]
        assert [step.i for step in seen] == list(range(total))
        assert [step.n for step in seen[2:]] == [total] * (total - 2)
        sigmas = [step.sigma for step in seen]
        assert sigmas == sorted(sigmas, reverse=True)
