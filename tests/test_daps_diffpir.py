"""DiffPIR and DAPS: their draws and proximal steps are exact, and on a Gaussian prior they get near the exact posterior."""

import itertools

import pytest
import torch
from strict import Strict
from torch import Tensor

from redgui.operators import LinearOperator, Operator, SpectralOperator, build
from redgui.operators.tangent import Tangent, lift
from redgui.priors import Counted, GaussianPrior
from redgui.randomness import Generators
from redgui.samplers import DAPS, DiffPIR

SPECS = ["denoise", "inpaint", "superres:factor=4", "superres:factor=2,kernel=bicubic", "blur:size=5", "colorize"]
WHITE = GaussianPrior(size=8, exponent=0.0, std=0.5)


def dense(H: LinearOperator, c: int, side: int) -> Tensor:
    """H as a matrix (m, n), float64."""
    n = c * side**2
    return H(torch.eye(n, dtype=torch.float64).view(n, c, side, side)).flatten(1).T


def pictures(n: int, side: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Iterated(LinearOperator):
    """Any linear operator without its spectrum: solves by conjugate gradients."""

    name, label, about = "iterated", "Iterated", ""

    def __init__(self, H: LinearOperator):
        object.__setattr__(self, "H", H)

    def __call__(self, x: Tensor) -> Tensor:
        return self.H(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.H.adjoint(y)


# ---- the solve that all of them step with ----


@pytest.mark.parametrize("reg", [1e-4, 1e-2, 3.0])
@pytest.mark.parametrize("spec", SPECS)
def test_push_through_conjugate_gradients_and_a_dense_solve_agree(spec, reg):
    H = build(spec)
    A, w = dense(H, 3, 12), H(pictures(2))
    wanted = torch.linalg.solve(A.T @ A + reg * torch.eye(A.shape[1]).to(A), A.T @ w.flatten(1).T).T.view(2, 3, 12, 12)
    pushed = (A.T @ torch.linalg.solve(A @ A.T + reg * torch.eye(len(A)).to(A), w.flatten(1).T)).T.view(2, 3, 12, 12)
    torch.testing.assert_close(pushed, wanted, rtol=0, atol=1e-8)
    torch.testing.assert_close(lift(H, w, reg), wanted, rtol=0, atol=1e-8)
    torch.testing.assert_close(lift(Iterated(H), w, reg), wanted, rtol=0, atol=max(1e-3, 1e-6 / reg))


@pytest.mark.parametrize("spec", SPECS)
def test_with_hardly_any_regularisation_it_is_the_pseudo_inverse_even_in_single_precision(spec):
    H = build(spec)
    w = H(pictures(2).float())
    for reg in (0.0, 1e-11, 1e-7 * H.lam_max):
        torch.testing.assert_close(lift(H, w, reg), H.pinv(w), rtol=0, atol=1e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_the_norm_of_an_operator_is_the_same_by_power_iteration(spec):
    H, x = build(spec), pictures(2)
    assert isinstance(H, SpectralOperator)
    exact = float(torch.linalg.matrix_norm(dense(H, 3, 12), 2)) ** 2
    for known in (H, Iterated(H)):
        norm2 = Tangent(known, x, H(x)).norm2()
        assert norm2.shape == (2, 1, 1, 1)
        torch.testing.assert_close(norm2, torch.full_like(norm2, exact), rtol=0.05, atol=0)


class Wavy(Operator):
    """Not linear: y = sin(2 x1) + x2 x3 over the channels."""

    name, label, about = "wavy", "Wavy", ""

    def __call__(self, x: Tensor) -> Tensor:
        return (2 * x[:, :1]).sin() + x[:, 1:2] * x[:, 2:]

    def start(self, y: Tensor) -> Tensor:
        return y.expand(-1, 3, -1, -1)


def test_the_tangent_of_an_operator_that_is_not_linear_is_its_jacobian():
    H, x = Wavy(), pictures(1, 3)
    A = Tangent(H, x, H(x) + 1)
    torch.testing.assert_close(A.r, -torch.ones_like(A.r))
    J = torch.autograd.functional.jacobian(lambda v: H(v.view(1, 3, 3, 3)).flatten(), x.flatten())
    v, w = pictures(1, 3, 1), pictures(1, 3, 2)[:, :1]
    torch.testing.assert_close(A(v).flatten(), J @ v.flatten())
    torch.testing.assert_close(A.adjoint(w).flatten(), J.T @ w.flatten())
    wanted = torch.linalg.solve(J.T @ J + 0.1 * torch.eye(27).to(J), J.T @ w.flatten())
    torch.testing.assert_close(A.lift(w, 0.1).flatten(), wanted, rtol=0, atol=1e-3)
    assert float(A.norm2()) == pytest.approx(float(torch.linalg.matrix_norm(J, 2)) ** 2, rel=0.05)


# ---- DiffPIR ----


@pytest.mark.parametrize("spec", SPECS)
def test_diffpirs_proximal_step_with_lam_1_is_the_exact_posterior_mean(spec):
    H, sigma, sigma_y = build(spec), 0.7, 0.2
    A, D, y = dense(H, 3, 12), pictures(1), H(pictures(1, seed=1))
    gain = sigma**2 * A.T @ torch.linalg.inv(sigma**2 * A @ A.T + sigma_y**2 * torch.eye(len(A)).to(A))
    mean = D.flatten() + gain @ (y - H(D)).flatten()
    torch.testing.assert_close(DiffPIR(lam=1.0).proximal(H, D, y, sigma, sigma_y).flatten(), mean, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lam", [0.25, 7.0])
def test_diffpirs_lambda_weighs_the_denoised_picture(lam):
    H, sigma, sigma_y = build("blur:size=5"), 0.7, 0.2
    D, y = pictures(1), H(pictures(1, seed=1))
    v = DiffPIR(lam=lam).proximal(H, D, y, sigma, sigma_y)
    slope = H.adjoint(H(v) - y) + lam * sigma_y**2 / sigma**2 * (v - D)
    assert float(slope.abs().max()) < 1e-10


def test_diffpir_without_noise_returns_what_is_measured(gaussian, drawn):
    y = drawn(2)
    *_, step = DiffPIR(steps=10)(gaussian, build("denoise"), y, 0.0, generator=Generators([0, 1]))
    torch.testing.assert_close(step.x0_hat, y, rtol=0, atol=0.05)


def test_quad_spacing_is_dense_at_low_noise_and_spans_the_grid(gaussian):
    levels = DiffPIR(spacing="quad").plan(gaussian.sigmas, 20, 1000.0)
    index = [int((gaussian.sigmas - s).abs().argmin()) for s, _ in levels]
    gaps = [a - b for a, b in itertools.pairwise(index)]
    assert (index[0], index[-1]) == (999, 0)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 5 * gaps[-1]


# ---- DAPS ----


@pytest.mark.parametrize("inner", ["exact", "langevin"])
def test_daps_draws_from_its_gaussian(inner):
    H, r, sigma_y = build("colorize"), 0.4, 0.1
    x0_hat, y = torch.tensor([0.5, -0.2, 0.1]).view(1, 3, 1, 1), torch.full((1, 1, 1, 1), 0.4)
    n = 1000
    draw = DAPS(inner=inner, lr=0.1, langevin_steps=150).draw
    v = draw(H, x0_hat.expand(n, -1, -1, -1), y.expand(n, -1, -1, -1), r, sigma_y, 1.0, Generators(range(n))).flatten(1)
    A = dense(H, 3, 1).float()
    precision = A.T @ A / sigma_y**2 + torch.eye(3) / r**2
    mean = torch.linalg.solve(precision, (A.T * 0.4 / sigma_y**2).flatten() + x0_hat.flatten() / r**2)
    cov = torch.linalg.inv(precision)
    torch.testing.assert_close(v.mean(0), mean, rtol=0, atol=4 * r / n**0.5)
    torch.testing.assert_close(v.T.cov(), cov, rtol=0, atol=(0.15 if inner == "exact" else 0.25) * r**2)


@pytest.mark.parametrize("inner", ["exact", "langevin"])
@pytest.mark.parametrize("spec", SPECS)
def test_daps_last_draw_without_noise_is_the_mode(spec, inner):
    H, x0_hat, y, r, sigma_y = build(spec), pictures(2), build(spec)(pictures(2, seed=1)), 0.3, 0.2
    v = DAPS(inner=inner, lr=1.0, langevin_steps=300).draw(H, x0_hat, y, r, sigma_y, 0.0, Generators([0, 1]))
    slope = (v - x0_hat) / r**2 + H.adjoint(H(v) - y) / sigma_y**2
    assert float(slope.abs().max()) < 1e-6


@pytest.mark.parametrize("lr", [0.05, 1.0, 1.9])
@pytest.mark.parametrize("H", [build("blur:size=5"), build("superres:factor=4"), Wavy()], ids=["blur", "superres", "wavy"])
def test_daps_langevin_chain_is_stable_at_every_level(H, lr):
    x = pictures(2).float() / 2
    for r in (0.02, 1.0, 100.0):
        v = DAPS(inner="langevin", lr=lr, langevin_steps=100).draw(H, x, H(x), r, 0.01, 1.0, Generators([0, 1]))
        assert bool(v.isfinite().all())
        assert float((v - x).abs().max()) < 30 * r


def test_daps_ode_reaches_the_end_of_the_flow_as_its_steps_grow():
    # Under N(0, p^2 I) the flow takes x at sigma to x p / sqrt(p^2 + sigma^2); one step is D itself.
    x, sigma = torch.ones(1, 3, 8, 8, dtype=torch.float64), 3.0
    end = 0.5 / (0.5**2 + sigma**2) ** 0.5
    error = [abs(float(DAPS(ode_steps=k).ode(WHITE, x, sigma)[0, 0, 0, 0]) - end) for k in (5, 10, 20, 40)]
    assert error[3] < 0.05 * end
    assert all(0.35 < b / a < 0.7 for a, b in itertools.pairwise(error))  # order 1
    assert torch.equal(DAPS(ode_steps=1).ode(WHITE, x, sigma), WHITE.denoise(x, sigma))


def test_the_spread_of_daps_fits_its_three_regimes():
    paper, white, pictures_ = DAPS(texture=1e4, prior_std=1e4), DAPS(texture=1e4, prior_std=0.5), DAPS()
    for sigma in (0.02, 1.0, 50.0):
        assert paper.spread(sigma) == pytest.approx(sigma, rel=1e-2)
        assert white.spread(sigma) == pytest.approx(0.5 * sigma / (0.25 + sigma**2) ** 0.5, rel=1e-2)
        assert pictures_.spread(sigma) <= white.spread(sigma)


# ---- against the exact posterior ----


def moments(sampler, H: Operator, sigma_y: float, y0: float, particles: int = 24) -> tuple[float, float]:
    """Mean and variance over entries and particles where all of y is y0."""
    like = H(torch.zeros(particles, *WHITE.shape))
    *_, step = sampler(WHITE, H, torch.full_like(like, y0), sigma_y, generator=Generators(range(particles)))
    return float(step.x0_hat.mean()), float(step.x0_hat.var())


Y0, SIGMA_Y = 0.6, 0.4
MEAN, VARIANCE = Y0 * 0.25 / (0.25 + SIGMA_Y**2), 0.25 * SIGMA_Y**2 / (0.25 + SIGMA_Y**2)  # 0.366, 0.0976


@pytest.mark.parametrize("steps", [3, 30])
def test_daps_is_exact_under_white_pictures(steps):
    """One ODE step gives E[x0 | x], the spread the true one, and the draw exact: a Gibbs sampler at any number of levels."""
    sampler = DAPS(steps=steps, ode_steps=1, texture=1e4, prior_std=0.5, final="draw")
    mean, variance = moments(sampler, build("denoise"), SIGMA_Y, Y0)
    assert mean == pytest.approx(MEAN, abs=0.015)
    assert variance == pytest.approx(VARIANCE, rel=0.08)


def test_daps_with_the_papers_spread_is_biased_by_a_known_amount():
    sampler = DAPS(steps=60, ode_steps=5, texture=1e4, prior_std=1e4, final="draw")
    mean, variance = moments(sampler, build("denoise"), SIGMA_Y, Y0)
    assert mean - MEAN == pytest.approx(0.08, abs=0.02)
    assert variance / VARIANCE == pytest.approx(1.18, abs=0.1)


def test_diffpir_gets_nearer_to_the_exact_posterior_with_more_steps():
    error = {}
    for steps in (10, 40, 160):
        mean, variance = moments(DiffPIR(steps=steps, clip=False, zeta=0.3), build("denoise"), SIGMA_Y, Y0)
        error[steps] = abs(mean - MEAN), abs(variance - VARIANCE)
    assert error[10][0] > 1.2 * error[40][0] > 1.2**2 * error[160][0]
    assert error[10][1] > 1.2 * error[40][1] > 1.2**2 * error[160][1]
    assert error[160][0] < 0.04
    assert error[160][1] < 0.025


# ---- what they cost ----


@pytest.mark.parametrize(
    ("sampler", "forwards"),
    [(DiffPIR(steps=7), 7), (DAPS(steps=7, ode_steps=3), 21), (DAPS(steps=2, inner="langevin"), 4)],
)
def test_network_calls(gaussian, drawn, sampler, forwards):
    H, counted = build("inpaint"), Counted(gaussian)
    list(sampler(counted, H, H(drawn(1)), 0.0, generator=Generators([0])))
    assert (counted.forwards, counted.backwards) == (forwards, 0)


@pytest.mark.parametrize("sampler", [DiffPIR(steps=3), DAPS(steps=3), DAPS(steps=3, inner="langevin")])
def test_no_graph_passes_through_the_network(drawn, sampler):
    H = build("superres:factor=2")
    assert len(list(sampler(Strict(size=16), H, H(drawn(1)), 0.0, generator=Generators([0])))) == 3


@pytest.mark.parametrize("cls", [DiffPIR, DAPS])
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
