"""DPS, ΠGDM, DDRM, MCG, DDNM and RePaint: the identities that tie them to their papers and to each other."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from redgui import schedule
from redgui.operators import Operator, SpectralOperator, build
from redgui.priors import GaussianPrior, Prior
from redgui.randomness import Generators
from redgui.samplers import DDNM, DDRM, DPS, MCG, PiGDM, RePaint, Sampler, Step
from redgui.samplers.base import pull

BOX = build("inpaint")
WHITE = GaussianPrior(size=8, exponent=0.0)  # every pixel for itself


def run(
    sampler: Sampler, prior: Prior, H: Operator, y: Tensor, sigma_y: float = 0.0, seeds: list[int] | None = None
) -> list[Step]:
    return list(sampler(prior, H, y, sigma_y, generator=Generators(seeds or list(range(len(y))))))


def last(*args, **kwargs) -> Tensor:
    return run(*args, **kwargs)[-1].x0_hat


# ---- what is measured says nothing: the samplers are DDIM and DDPM ----


@final
@dataclass(frozen=True, kw_only=True)
class Blind(SpectralOperator):
    """H = 0."""

    name, label, about = "blind", "Nothing", ""

    def __call__(self, x: Tensor) -> Tensor:
        return 0 * x

    def adjoint(self, y: Tensor) -> Tensor:
        return 0 * y

    def spectral(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return f(x.new_zeros(())) * x


def theirs(scheduler: DDIMScheduler | DDPMScheduler, prior: Prior, n: int, seed: int, **kwargs) -> list[Tensor]:
    """The denoised pictures of diffusers' sampler on the levels 999, 999 - gap, ..., 0, from the first numbers of a seed."""
    gap = 999 // (n - 1)
    scheduler.num_inference_steps, scheduler.timesteps = 1000 // gap, torch.arange(999, -1, -gap)
    (g,) = Generators([seed]).generators
    sigmas = (1 / scheduler.alphas_cumprod - 1).sqrt()
    x, pictures = torch.randn(1, *prior.shape, generator=g) * sigmas[-1] * scheduler.alphas_cumprod[-1].sqrt(), []
    for t in range(999, -1, -gap):
        sigma, root = float(sigmas[t]), scheduler.alphas_cumprod[t].sqrt()
        out = scheduler.step(prior.eps(x / root, sigma), t, x, generator=g, **kwargs)
        x = out.prev_sample
        pictures.append(out.pred_original_sample)
    return pictures


@pytest.mark.parametrize(
    ("sampler", "eta"),
    [(cls(steps=10, clip=False, eta=eta), eta) for cls in (DPS, PiGDM) for eta in (0.0, 0.5, 1.0)]
    + [(PiGDM(steps=10, clip=False, variant=v), 1.0) for v in "BC"]
    + [(DDRM(steps=10, eta=0.0), 0.0), (DDNM(steps=10, eta=0.0), 0.0)],
    ids=str,
)
def test_without_information_it_is_diffusers_ddim(gaussian, sampler, eta):
    wanted = theirs(DDIMScheduler(clip_sample=False), gaussian, 10, 3, eta=eta)
    steps = run(sampler, gaussian, Blind(), torch.zeros(1, 3, 16, 16), 0.1, seeds=[3])
    for step, picture in zip(steps, wanted, strict=True):
        torch.testing.assert_close(step.x0_hat, picture, rtol=0, atol=5e-4)


@pytest.mark.parametrize("sampler", [DPS(steps=28, clip=False), PiGDM(steps=28, clip=False)], ids=str)
def test_without_information_it_is_diffusers_ddpm(gaussian, sampler):
    wanted = theirs(DDPMScheduler(clip_sample=False), gaussian, 28, 3)
    steps = run(sampler, gaussian, Blind(), torch.zeros(1, 3, 16, 16), 0.1, seeds=[3])
    for step, picture in zip(steps, wanted, strict=True):
        torch.testing.assert_close(step.x0_hat, picture, rtol=0, atol=5e-4)


@pytest.mark.parametrize("sampler", [MCG(steps=10, clip=False), RePaint(steps=10, repeats=1, clip=False)], ids=str)
def test_in_the_hole_of_a_white_prior_masks_are_plain_sampling_too(sampler):
    # Nothing outside a pixel says anything about it, so that in the hole only the law of the noise is left to be right.
    y = BOX(WHITE.sample(1).clamp(-1, 1)).expand(400, -1, -1, -1)
    hole = ~BOX.keep(8, 8)
    for step, plain in zip(run(sampler, WHITE, BOX, y), run(DPS(steps=10, clip=False), WHITE, Blind(), y), strict=True):
        ours, ddpm = step.x0_hat[:, :, hole], plain.x0_hat[:, :, hole]
        assert float(ours.std()) == pytest.approx(float(ddpm.std()), rel=0.03)
        assert float(ours.mean()) == pytest.approx(float(ddpm.mean()), abs=0.02)


# ---- everything is measured without noise: the result is y ----


@pytest.mark.parametrize("sampler", [DDRM(), DDNM(steps=20), DDNM(steps=20, repeats=2), RePaint(steps=20)], ids=str)
def test_a_whole_picture_without_noise_is_returned(gaussian, drawn, sampler):
    H = build("inpaint:fraction=0") if isinstance(sampler, RePaint) else build("denoise")
    torch.testing.assert_close(last(sampler, gaussian, H, drawn(2)), drawn(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", [DDRM(), DDNM(steps=20), MCG(steps=20), RePaint(steps=20)], ids=str)
def test_the_measured_pixels_are_those_measured_and_the_hole_is_filled(gaussian, drawn, sampler):
    y = BOX(drawn(2))
    x0_hat = last(sampler, gaussian, BOX, y)
    torch.testing.assert_close(BOX(x0_hat), y, rtol=0, atol=1e-5)
    assert float((x0_hat - y).std()) > 0.05


@pytest.mark.parametrize("spec", ["superres:factor=2", "colorize", "blur:size=3,width=0.5"])
@pytest.mark.parametrize("sampler", [DDRM(), DDNM(steps=20)], ids=str)
def test_without_noise_the_result_explains_the_measurement(gaussian, drawn, sampler, spec):
    H = build(spec)
    step = run(sampler, gaussian, H, H(drawn(2)))[-1]
    assert float(step.scalars["residual"].max()) < 1e-5


# ---- little noise in single precision ----


@pytest.mark.parametrize("spec", ["superres:factor=2", "superres:factor=4,kernel=bicubic"])
def test_pigdm_does_not_multiply_the_rounding_errors_of_what_is_not_measured(gaussian, drawn, spec):
    # (H^T H + reg)^-1 applied to H^T r, with reg down to 1e-12, is off by more than the picture, or not a number at all.
    H = build(spec)
    exact, nearly = (last(PiGDM(steps=20, sigma_y_min=0.0), gaussian, H, H(drawn(2)), sigma_y) for sigma_y in (0.0, 1e-6))
    torch.testing.assert_close(nearly, exact, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("sampler", "gain"), [(PiGDM(steps=30), 1.2), (DDRM(sigma_y_min=0.002), 1.2)], ids=str)
def test_a_blur_without_noise_is_undone_further_when_a_little_noise_is_assumed(gaussian, drawn, sampler, gain):
    # The pseudo-inverse drops the singular values below its cutoff, 0.03; noise of 0.002 says far more than nothing there.
    H, x = build("blur:size=5"), drawn(4)
    error = {
        least: float((last(dataclasses.replace(sampler, sigma_y_min=least), gaussian, H, H(x)) - x).std())
        for least in (0.0, sampler.sigma_y_min)
    }
    assert error[sampler.sigma_y_min] * gain < error[0.0]


@pytest.mark.parametrize("sampler", [PiGDM(), DDRM(sigma_y_min=0.002)], ids=str)
def test_noise_that_is_more_than_the_least_is_taken_as_it_is(gaussian, drawn, sampler):
    H = build("blur:size=5")
    results = [last(dataclasses.replace(sampler, steps=8, sigma_y_min=least), gaussian, H, H(drawn(1)), 0.05)
               for least in (0.0, sampler.sigma_y_min)]  # fmt: skip
    assert torch.equal(*results)


# ---- DDRM and DDNM+ ----


@pytest.mark.parametrize("sigma_y", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("eta", "eta_b"), [(0.85, 1.0), (0.3, 0.7)])
@pytest.mark.parametrize(
    "spec", ["inpaint:kind=random", "superres:factor=2,kernel=bicubic", "blur:size=3,width=0.6", "colorize"]
)
def test_ddrm_is_the_papers_in_a_dense_singular_basis(spec, eta, eta_b, sigma_y):
    """Equations 4 to 8 with numpy's U, S, V; z in that basis is V^T of the noise in image space, which is as white."""
    H, prior = build(spec), GaussianPrior(size=6)
    y = H(prior.sample(1, torch.Generator().manual_seed(2))) + sigma_y * 0.3
    n = 3 * 6 * 6
    A = H(torch.eye(n, dtype=torch.float64).reshape(n, 3, 6, 6)).reshape(n, -1).T
    U, S, Vt = torch.linalg.svd(A)
    lam = torch.zeros(n, dtype=torch.float64)
    lam[: len(S)] = S**2
    known = H.kept(lam)
    root = torch.where(known, lam, 1.0).sqrt()
    Uy = torch.zeros(n, dtype=torch.float64)
    Uy[: len(S)] = (U.T @ y.double().flatten())[: len(S)]
    ybar = torch.where(known, Uy / root, 0.0)

    noise, old = Generators([0]), (1 - eta**2) ** 0.5
    levels = [*schedule.uniform(prior.sigmas, 12).tolist(), 0.0]
    z = Vt @ noise.randn(3, 6, 6).double().flatten()
    from_y = known & (root * levels[0] > sigma_y)
    xbar = torch.where(from_y, ybar + (levels[0] ** 2 - sigma_y**2 / root**2).clamp(min=0).sqrt() * z, levels[0] * z)
    for step, (sigma, s) in zip(
        run(DDRM(steps=12, eta=eta, eta_b=eta_b), prior, H, y, sigma_y), itertools.pairwise(levels), strict=True
    ):
        x = (Vt.T @ xbar).reshape(1, 3, 6, 6)
        x0 = Vt @ prior.denoise(x, sigma).flatten()
        shown = x0 if sigma_y > 0 else torch.where(known, (1 - eta_b) * x0 + eta_b * ybar, x0)
        torch.testing.assert_close(step.x0_hat.double().flatten(), Vt.T @ shown, rtol=0, atol=2e-4)
        z = Vt @ noise.randn(3, 6, 6).double().flatten()
        null = x0 + old * s * (xbar - x0) / sigma + eta * s * z
        poor = x0 + old * s * root / max(sigma_y, 1e-9) * (ybar - x0) + eta * s * z
        rich = (1 - eta_b) * x0 + eta_b * ybar + (s**2 - (eta_b * sigma_y / root) ** 2).clamp(min=0).sqrt() * z
        xbar = torch.where(known, torch.where(root * s < sigma_y, poor, rich), null)


@pytest.mark.parametrize("spec", ["denoise", "inpaint", "superres:factor=2", "blur:size=5", "colorize"])
@pytest.mark.parametrize("s", [0.0, 0.05, 0.3, 4.0])
def test_a_step_of_ddnm_plus_is_one_of_ddrm_with_eta_b_1(gaussian, drawn, spec, s):
    H, sigma, sigma_y, eta = build(spec), 6.0, 0.1, 0.6
    y, noise = H(drawn(2)) + 0.05, Generators([1, 2])
    x, z = sigma * noise.randn(3, 16, 16), noise.randn(3, 16, 16)
    denoised = gaussian.denoise(x, sigma)
    eps_hat = (x - denoised) / sigma
    ddnm = DDNM(eta=eta).plus(H, denoised, H.pinv(y - H(denoised)), eps_hat, z, s, sigma_y)
    ddrm = DDRM(eta=eta, eta_b=1.0).move(H, denoised, H.pinv(y), eps_hat, s, sigma_y, z)
    torch.testing.assert_close(ddnm, ddrm, rtol=0, atol=2e-5 * max(1, s))


def test_ddnm_plus_filters_the_noise_that_ddnm_keeps(gaussian, drawn):
    H, sigma_y = build("denoise"), 0.3
    x_true = drawn(4)
    y = x_true + sigma_y * Generators(range(4)).randn(3, 16, 16)
    error = {aware: float((last(DDNM(noise_aware=aware), gaussian, H, y, sigma_y) - x_true).std()) for aware in (True, False)}
    assert error[False] == pytest.approx(sigma_y, rel=0.05)
    assert error[True] < 0.9 * sigma_y


# ---- DPS and RePaint in the papers' own coordinates ----


@pytest.mark.parametrize("spec", ["inpaint", "superres:factor=2", "blur:size=5"])
@pytest.mark.parametrize("clip", [False, True])
def test_dps_in_the_coordinate_of_the_paper_is_ours(gaussian, drawn, spec, clip):
    """x_{i-1} = DDPM(x_i) - zeta grad_{x_i} |y - A(x0(x_i))|, in x_i = sqrt(abar) x0 + sqrt(1 - abar) eps."""
    H, zeta, n = build(spec), 0.4, 8
    y, noise = H(drawn(2)) + 0.1, Generators([0, 1])
    levels = [*schedule.uniform(gaussian.sigmas, n).tolist(), 0.0]
    alpha = [1 / (1 + sigma**2) for sigma in levels]
    x = noise.randn(3, 16, 16) * (1 - alpha[0]) ** 0.5
    for k, step in enumerate(run(DPS(steps=n, zeta=zeta, clip=clip), gaussian, H, y)):
        a, a_next = alpha[k], alpha[k + 1]
        x = x.detach().requires_grad_(True)
        x0 = gaussian.denoise(x / a**0.5, levels[k])
        x0 = x0.clamp(-1, 1) if clip else x0
        torch.testing.assert_close(step.x0_hat, x0.detach(), rtol=0, atol=1e-3)
        (g,) = torch.autograd.grad((H(x0) - y).flatten(1).norm(dim=1).sum(), x)
        beta = 1 - a / a_next
        mean = a_next**0.5 * beta / (1 - a) * x0 + (1 - beta) ** 0.5 * (1 - a_next) / (1 - a) * x
        x = mean.detach() - zeta * 1000 / n * g
        if a_next < 1:
            x = x + ((1 - a_next) / (1 - a) * beta) ** 0.5 * noise.randn(3, 16, 16)


def test_the_weight_of_red_diffs_dps_is_half_of_zeta(gaussian, drawn):
    """Its step is w / |r| times the gradient of |r|^2."""
    y, w = BOX(drawn(2)) + 0.1, 0.3
    x = gaussian.sample(2, torch.Generator().manual_seed(0)).requires_grad_(True)
    squared = (BOX(gaussian.denoise(x, 1.0)) - y).flatten(1).norm(dim=1)
    (g,) = torch.autograd.grad((squared**2).sum(), x)
    _, ours = pull(gaussian, BOX, y, x, 1.0, clip=False)
    torch.testing.assert_close(w / squared.detach()[:, None, None, None] * g, 2 * w * ours)


@pytest.mark.parametrize("sigma_y", [0.0, 0.5])
def test_repaint_in_the_coordinate_of_the_paper_is_ours(gaussian, drawn, sigma_y):
    n, length, repeats, y, noise = 12, 3, 3, BOX(drawn(2)), Generators([0, 1])
    keep = BOX.keep(16, 16)
    alpha = [1 / (1 + sigma**2) for sigma in schedule.uniform(gaussian.sigmas, n).tolist()] + [1.0]
    x = noise.randn(3, 16, 16) * (1 - alpha[0]) ** 0.5
    steps = iter(run(RePaint(steps=n, jump=length, repeats=repeats, clip=False, paste=False), gaussian, BOX, y, sigma_y))
    k, left = 0, {n - 1 - t: repeats - 1 for t in range(0, n - length, length)}
    while k < n:
        if left.get(k, 0) > 0:  # back up one level at a time has the law of one long jump
            left[k] -= 1
            ratio = alpha[k - length] / alpha[k]
            x = ratio**0.5 * x + (1 - ratio) ** 0.5 * noise.randn(3, 16, 16)
            k -= length
        a, a_next = alpha[k], alpha[k + 1]
        variance = 1 - a - a * sigma_y**2  # of the noise that y lacks
        if k and variance > 0:  # no travel here goes back to the very first level
            x = torch.where(keep, a**0.5 * y + variance**0.5 * noise.randn(3, 16, 16), x)
        x0 = gaussian.denoise(x / a**0.5, (1 / a - 1) ** 0.5)
        torch.testing.assert_close(next(steps).x0_hat, x0, rtol=0, atol=1e-3)
        beta = 1 - a / a_next
        x = a_next**0.5 * beta / (1 - a) * x0 + (1 - beta) ** 0.5 * (1 - a_next) / (1 - a) * x
        if a_next < 1:
            x = x + ((1 - a_next) / (1 - a) * beta) ** 0.5 * noise.randn(3, 16, 16)
        k += 1
    assert next(steps, None) is None


def test_mcg_is_dps_in_the_hole_and_y_with_its_noise_elsewhere(gaussian, drawn):
    y, noise = BOX(drawn(2)), Generators([0, 1])
    first, second = schedule.uniform(gaussian.sigmas, 5).tolist()[:2]
    x = first * noise.randn(3, 16, 16)
    denoised, g = pull(gaussian, BOX, y, x, first, clip=False)
    z, z_y = noise.randn(3, 16, 16), noise.randn(3, 16, 16)
    fresh = second * (1 - second**2 / first**2) ** 0.5
    x = denoised + second**2 / first**2 * (x - denoised) + fresh * z
    x = x - 0.5 * 1000 / 5 * ((1 + first**2) * (1 + second**2)) ** 0.5 * g
    x = torch.where(BOX.keep(16, 16), y + second * z_y, x)
    wanted = gaussian.denoise(x, second)
    step = run(MCG(steps=5, zeta=0.5, clip=False), gaussian, BOX, y)[1]
    torch.testing.assert_close(step.x0_hat, torch.where(BOX.keep(16, 16), y, wanted), rtol=0, atol=1e-4)
