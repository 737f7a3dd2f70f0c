"""Files that others have blurred: what is restored of them, at the border too, and what samplers take to lie beyond it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from redgui import api, fitting, images, presets
from redgui.classics import wiener
from redgui.operators import LinearOperator, build
from redgui.priors import GaussianPrior
from redgui.priors.base import Prior
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import SAMPLERS
from redgui.samplers.base import with_spectrum


def blurred(kernel: np.ndarray, n: int = 48, seed: int = 3, exponent: float = 2.0) -> tuple[Tensor, Image.Image]:
    """A part (1, 3, n, n) of a larger scene, and the file of it after the scene was blurred and rounded to 8 bits."""
    scene = (
        GaussianPrior(size=96, std=0.4, exponent=exponent).sample(1, torch.Generator().manual_seed(seed))[0].clamp(-1, 1) + 1
    ).numpy() * 127.5
    scene = scene.round()
    part = np.s_[:, 20 : 20 + n, 30 : 30 + n]
    after = np.stack([ndimage.convolve(channel, kernel, mode="mirror") for channel in scene])
    file = Image.fromarray(after[part].round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
    return torch.from_numpy(scene[part] / 127.5 - 1).float()[None], file


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(4 / (a.clamp(-1, 1) - b).square().mean()))


def ring_and_inside(a: Tensor, b: Tensor, width: int) -> tuple[float, float]:
    """PSNR in the outermost `width` pixels, and within."""
    inside = torch.zeros(a.shape[-2:], dtype=torch.bool)
    inside[width:-width, width:-width] = True
    return psnr(a[..., ~inside], b[..., ~inside]), psnr(a[..., inside], b[..., inside])


class Mirrored(Prior):
    """The closed-form prior without its torus: at one side of a picture it knows nothing of the other."""

    multiple = 1

    def __init__(self, size: int, exponent: float = 2.0):
        self.of = GaussianPrior(size=size, std=0.4, exponent=exponent)
        self.name, self.shape, self.sigmas = "mirrored", self.of.shape, self.of.sigmas

    def denoise(self, x: Tensor, sigma):
        h, w = x.shape[-2:]
        whole = torch.cat([x, x.flip(-1)], -1)
        return self.of.denoise(torch.cat([whole, whole.flip(-2)], -2), sigma)[..., :h, :w]


# Those that end near the mean. A draw has twice its error in this field, which no border is to blame for.
QUICK = {"reddiff": 100, "ddrm": 20, "ddnm": 20, "diffpir": 20, "vml-map": 20}


@pytest.mark.parametrize("spec", ["blur:size=5,width=1", "blur:size=5,kind=disc"])
def test_no_sampler_makes_a_blurred_file_worse_anywhere(spec):
    H = build(spec)
    truth, file = blurred(H.kernel(), n=32, exponent=3.0)
    before = ring_and_inside(images.to_tensor(file), truth, H.overlap)
    prior, name = Mirrored(32, exponent=3.0), spec.replace("blur:", "given:of=blur,")
    accepting = {s.name for s in SAMPLERS if s.accepts(H.placed(48, 48, (8, 8, 40, 40)))}
    assert accepting >= QUICK.keys() | {"pigdm", "dps", "daps", "sitcom"}
    gains = {}
    for sampler, steps in QUICK.items():
        found = api.restore(file, prior=prior, operator=name, sampler=f"{sampler}:steps={steps}").restored
        gains[sampler] = [round(a - b, 2) for a, b in zip(ring_and_inside(found, truth, H.overlap), before, strict=True)]
    assert min(min(gain) for gain in gains.values()) > 0, gains


def test_taking_the_scene_to_repeat_spoils_the_border_and_a_frame_does_not():
    H = build("blur:size=9,width=2")
    truth, file = blurred(H.kernel())
    before = ring_and_inside(images.to_tensor(file), truth, 4)
    prior = Mirrored(48)

    def run(spec: str, picture: Image.Image) -> tuple[float, float]:
        made = api.restore(picture, prior=prior, operator=spec, sampler="reddiff")
        return ring_and_inside(made.restored, truth, 4)

    wrapped, framed = (run(f"given:of=blur,size=9,width=2{border}", file) for border in (",border=wrap", ""))
    assert wrapped[0] < before[0] - 1
    assert framed[0] > before[0] + 0.5
    circular = run("given:of=blur,size=9,width=2,border=wrap", images.to_pil(H(truth)))
    assert framed[1] > circular[1] - 0.5


def test_the_frame_of_a_gaussian_field_is_restored_as_its_posterior_mean_says():
    H, n, p = build("blur:size=5,width=1.2,border=valid"), 24, 2
    prior = GaussianPrior(size=n + 2 * p, std=0.4)
    x = prior.sample(1, torch.Generator().manual_seed(4))
    problem = Problem.simulate(x, H, 0.05, seed=1)
    units = torch.eye((n + 2 * p) ** 2, dtype=torch.float64).view(-1, 1, n + 2 * p, n + 2 * p)
    A = H(units).flatten(1).T
    spectrum = prior.spectrum(n + 2 * p, n + 2 * p)
    C = torch.fft.ifft2(spectrum * torch.fft.fft2(units)).real.flatten(1)
    y = problem.y.double().flatten(2)[0].T
    mean = C @ A.T @ torch.linalg.solve(A @ C @ A.T + 0.05**2 * torch.eye(len(A), dtype=torch.float64), y)
    wanted = mean.T.reshape(1, 3, n + 2 * p, n + 2 * p).float()
    found = {}
    for name in ("vml-map", "reddiff", "ddrm"):
        *_, last = solve(problem, prior, presets.sampler_for(name, H, 0.05))
        found[name] = float((last.x0_hat - wanted).square().mean().sqrt())
    assert found["vml-map"] < 0.03  # of a Gaussian the mode is the mean
    assert max(found["reddiff"], found["ddrm"]) < 0.5 * float((problem.start() - wanted).square().mean().sqrt())


def test_a_file_that_was_blurred_is_said_by_a_page_as_by_python():
    data = io.BytesIO()
    blurred(build("blur:size=5").kernel())[1].save(data, "png")
    opened = Image.open(data)
    fitted = fitting.plan((48, 48), (64, 64), "native", multiple=8, H=build("blur:size=5"), given=True)
    assert fitted.apply(opened).size == (48, 48)
    assert fitted.solved == (64, 64)


# ---- what is taken to lie beyond the frame ----


@pytest.mark.parametrize("spec", ["blur:border=valid,kind=disc,size=7", "compose:of=blur(size=5;kind=disc)>superres(factor=2)"])
def test_the_better_the_estimate_the_truer_is_what_is_made_up_around_the_frame(spec):
    x = GaussianPrior(size=40).sample(1, torch.Generator().manual_seed(1))
    H = build(spec).placed(40, 40, (6, 6, 34, 34))
    assert isinstance(H, LinearOperator)
    y = H(x)
    near, once = with_spectrum(H, y)
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    off = [float((with_spectrum(H, y, x + e * n)[1] - near(x)).norm()) for e in (0.1, 0.01, 0.0)]
    assert off[0] > 5 * off[1]
    assert off[1] < 0.1 * float((once - near(x)).norm())
    assert off[2] < 1e-4  # of the truth all is known


def test_a_sampler_that_needs_a_spectrum_is_not_bound_to_what_it_made_up_first():
    said = "kind=motion,angle=30,size=9"
    truth, file = blurred(build(f"blur:{said}").kernel(), exponent=3.0)
    found = []
    for sampler in ("ddrm", "diffpir:steps=20"):  # the systems of the latter are those of the frame alone
        made = api.restore(file, prior=Mirrored(48, exponent=3.0), operator=f"given:of=blur,{said}", sampler=sampler)
        found.append(ring_and_inside(made.restored, truth, 9))
    ddrm, exact = found
    assert ddrm[0] > exact[0] - 0.3
    assert ddrm[1] > exact[1] - 0.3


@pytest.mark.parametrize("kind", ["gaussian", "disc", "motion"])
def test_wieners_filter_draws_no_grey_in_from_beyond_the_frame(kind):
    H = build(f"blur:border=valid,size=7,kind={kind}")
    y = torch.full((1, 3, 20, 20), 0.8)
    torch.testing.assert_close(wiener(H, y, 0.0), torch.full((1, 3, 26, 26), 0.8))


@pytest.mark.parametrize("sampler", ["dps:steps=2", "sitcom:steps=2,inner=1"])
@pytest.mark.parametrize("sigma_max", [1000.0, 0.3])
def test_a_low_first_level_begins_at_the_measurement(sampler, sigma_max):
    asked = []

    class Asked(Mirrored):
        def denoise(self, x: Tensor, sigma):
            asked.append((x.detach().clone(), float(torch.as_tensor(sigma).flatten()[0])))
            return super().denoise(x, sigma)

    H = build("blur:size=5,width=1")
    problem = Problem.given(blurred(H.kernel())[0], H)
    prior = Asked(48)
    list(solve(problem, prior, presets.sampler_for(f"{sampler},sigma_max={sigma_max}", H)))
    x, sigma = asked[0]
    assert sigma == pytest.approx(float(prior.sigmas[prior.sigmas <= sigma_max].max()))
    start = wiener(H, problem.y, 0.0) if sigma_max < 1 else 0
    assert float((x - start).std()) == pytest.approx(sigma, rel=0.05)
