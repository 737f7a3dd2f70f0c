"""Compositions: the order, the level that their parts allow, and a pseudo-inverse that is one."""

import copy
import dataclasses
import pickle

import pytest
import torch
from torch import Tensor

from redgui import knobs
from redgui.knobs import KnobError
from redgui.operators import OPERATORS, Compose, LinearOperator, Operator, OperatorError, SpectralOperator, build, masks
from redgui.priors import GaussianPrior
from redgui.runs.problem import Problem
from redgui.runs.stream import solve
from redgui.samplers import RedDiff

LEVELS = [
    ("denoise", SpectralOperator),
    ("inpaint>inpaint(kind=random)", SpectralOperator),
    ("inpaint>superres(factor=2)", SpectralOperator),
    ("superres(factor=2)>inpaint", SpectralOperator),
    ("blur>blur(kind=disc)", SpectralOperator),
    ("blur>superres(factor=2)>blur(size=3)", SpectralOperator),
    ("blur>fourier", SpectralOperator),
    ("colorize>blur>superres(factor=2)", SpectralOperator),
    ("compressed-sensing", SpectralOperator),
    ("colorize>compressed-sensing", SpectralOperator),
    ("inpaint>blur(size=3)", LinearOperator),
    ("blur(size=3)>inpaint", LinearOperator),
    ("blur(size=3)>superres(factor=2;kernel=bicubic)", LinearOperator),
    ("inpaint>fourier", LinearOperator),
    ("blur(size=3)>colorize>compressed-sensing", LinearOperator),
    ("superres(factor=2;kernel=bicubic)>inpaint", LinearOperator),
    ("inpaint>hdr", Operator),
    ("jpeg>blur", Operator),
    ("blur>phase", Operator),
    ("blur>quantize", Operator),
]
LINEAR = [
    ("inpaint(kind=random;fraction=0.4)>blur(size=3;width=0.4)", 5, 6),
    ("blur(size=3;width=0.4)>inpaint(kind=half)", 6, 5),
    ("blur(size=3;width=0.4)>superres(factor=2;kernel=bicubic)>colorize", 6, 8),
    ("inpaint(kind=half)>fourier(pattern=random;acceleration=2)", 5, 6),
    ("superres(factor=2;kernel=bicubic)>inpaint(kind=random;fraction=0.5)", 6, 8),
]
every_linear = pytest.mark.parametrize(("of", "h", "w"), LINEAR)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrices(of: str, h: int, w: int) -> tuple[Operator, Tensor, Tensor]:
    """H, and H and H^+ as matrices."""
    H = Compose(of=of)
    A = H(torch.eye(3 * h * w, dtype=torch.float64).reshape(-1, 3, h, w)).flatten(1).T
    shape = H(noise(1, 3, h, w)).shape[1:]
    P = H.pinv(torch.eye(len(A), dtype=A.dtype).reshape(-1, *shape)).flatten(1).T
    return H, A, P


# --- levels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "level"), LEVELS)
def test_a_composition_can_what_its_parts_allow(of, level):
    H = Compose(of=of)
    assert [isinstance(H, c) for c in (SpectralOperator, LinearOperator, Operator)] == [
        issubclass(level, c) for c in (SpectralOperator, LinearOperator, Operator)
    ]
    assert isinstance(H, Compose)
    assert H.name == "compose"
    assert H == build(knobs.spec(H)) == Compose(**knobs.values(H)) == copy.deepcopy(H) == pickle.loads(pickle.dumps(H))
    assert type(pickle.loads(pickle.dumps(H))) is type(H)


def test_other_parts_make_another_level():
    H = Compose()
    assert isinstance(H, SpectralOperator)
    assert not isinstance(dataclasses.replace(H, of="hdr"), LinearOperator)
    assert isinstance(dataclasses.replace(Compose(of="hdr"), of="blur"), SpectralOperator)


# --- order and algebra ----------------------------------------------------------------------------------------------


def test_the_first_is_applied_first():
    x = noise(1, 3, 8, 8)
    mask, blur = build("inpaint"), build("blur:size=3")
    torch.testing.assert_close(Compose(of="inpaint>blur(size=3)")(x), blur(mask(x)))
    torch.testing.assert_close(Compose(of="blur(size=3)>inpaint")(x), mask(blur(x)))


@every_linear
def test_adjoint(of, h, w):
    H = Compose(of=of)
    x = noise(2, 3, h, w).requires_grad_()
    y = H(x)
    u = noise(*y.shape, seed=1)
    torch.testing.assert_close((y * u).sum(), (x * H.adjoint(u)).sum(), rtol=1e-10, atol=1e-12)
    (vjp,) = torch.autograd.grad(y, x, u)
    torch.testing.assert_close(H.adjoint(u), vjp, rtol=1e-10, atol=1e-12)
    r, g = H.gradient(x.detach(), u)
    torch.testing.assert_close(g, Operator.gradient(H, x.detach(), u)[1])
    torch.testing.assert_close(r, y.detach() - u)


@every_linear
def test_pseudo_inverse_by_conjugate_gradients(of, h, w):
    _, A, P = matrices(of, h, w)
    for found, wanted in ((A @ P @ A, A), (P @ A @ P, P), (P @ A, (P @ A).T), (A @ P, (A @ P).T)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@every_linear
def test_solve_by_conjugate_gradients(of, h, w):
    H = Compose(of=of)
    b = noise(2, 3, h, w)
    v = H.solve(b, 0.05)
    torch.testing.assert_close(H.gram(v) + 0.05 * v, b, rtol=0, atol=1e-4)


def test_the_pseudo_inverse_of_a_product_is_not_the_product_of_pseudo_inverses():
    first, second = build("inpaint:kind=random,fraction=0.4,seed=1"), build("superres:factor=2")
    H, A, P = matrices("inpaint(kind=random;fraction=0.4;seed=1)>superres(factor=2)", 8, 8)
    units = torch.eye(len(A), dtype=A.dtype).reshape(-1, *H(noise(1, 3, 8, 8)).shape[1:])
    product = first.pinv(second.pinv(units)).flatten(1).T
    assert float((A @ product @ A - A).abs().max()) > 0.05
    torch.testing.assert_close(A @ P @ A, A)
    torch.testing.assert_close(P, torch.linalg.pinv(A))


def test_mask_before_block_means_counts_the_pixels_that_are_kept():
    x = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    H = Compose(of=f"inpaint(kind=mask;painted={painted()})>superres(factor=2)")
    gamma = H(H.adjoint(torch.ones_like(H(x))))
    assert (gamma[0, 0] * 16).flatten().tolist() == [4, 3, 0, 2]
    y = torch.ones(1, 3, 2, 2, dtype=torch.float64)
    assert H.pinv(y)[0, 0].flatten().unique().tolist() == pytest.approx([0, 1, 4 / 3, 2])
    assert H.on_support(y)[0, 0].flatten().tolist() == [1, 1, 0, 1]  # the empty block measures nothing
    assert H.entries(y) == 9


def painted() -> str:
    hole = torch.zeros(4, 4, dtype=torch.bool)
    hole[0, 2] = hole[2:, :2] = hole[3, 2:] = True
    return masks.encode(hole.numpy())


# --- what it says of the whole --------------------------------------------------------------------------------------


def test_noise_lives_where_the_last_part_measures():
    H = Compose(of="blur(size=3)>inpaint(kind=half;fraction=0.5)")
    y = H(noise(1, 3, 4, 6))
    assert H.entries(y) == 3 * 4 * 3
    H = Compose(of="inpaint(kind=half;fraction=0.5)>colorize")
    assert H.entries(H(noise(1, 3, 4, 6))) == 4 * 3
    assert Compose(of="blur(size=3)>hdr").entries(noise(1, 3, 4, 6)) == 3 * 4 * 6


def test_the_residual_is_that_of_the_last_part():
    x, y = noise(1, 3, 16, 16, seed=1), noise(1, 3, 16, 16)
    blur, tones = build("blur:size=3"), build("quantize")
    torch.testing.assert_close(Compose(of="blur(size=3)>quantize").residual(x, y), tones.residual(blur(x), y))
    H = Compose(of="blur(size=3)>jpeg")
    assert float(H.residual(x / 4, H(x / 4)).abs().max()) < 1e-9


def test_sizes_and_given_pictures_go_through_all_parts():
    H = Compose(of="superres(factor=2)>colorize>superres(factor=2)>inpaint")
    assert H.measured_size(16, 24) == (4, 6)
    assert H.measurement_of(torch.zeros(1, 3, 4, 6)).shape == H(torch.zeros(1, 3, 16, 24)).shape
    with pytest.raises(OperatorError, match="divisible by the factor 2"):
        H.check_size(18, 24)
    assert Compose(of="colorize>fourier").measurement_of(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 8, 8)
    assert Compose(of="colorize>fourier").picture(torch.zeros(1, 2, 8, 8)).shape == (1, 1, 8, 8)


def test_ambiguity_is_inherited_and_what_is_no_picture_is_known():
    assert Compose(of="blur>phase").ambiguous
    assert not Compose(of="blur").ambiguous
    assert [Compose(of=of).pictorial for of in ("blur", "blur>fourier", "inpaint>phase")] == [True, False, False]


@pytest.mark.parametrize(
    "of", ["inpaint>blur(size=3)", "blur(size=3)>superres(factor=2)>jpeg(subsampling=444)", "colorize>phase"]
)
def test_it_can_be_restored(of):
    prior = GaussianPrior(size=16)
    problem = Problem.simulate(prior.sample(1), Compose(of=of), 0.05)
    *_, step = solve(problem, prior, RedDiff(steps=3), 2)
    assert step.x0_hat.shape == (2, 3, 16, 16)
    assert bool(step.x0_hat.isfinite().all())


# --- the text form --------------------------------------------------------------------------------------------------


def test_one_operator_has_one_text():
    H = build(r"compose:of= inpaint( kind = random ; fraction=0.5 ) > blur(size=9\,kind=disc)")
    assert H.of == "inpaint(kind=random;fraction=0.5)>blur(kind=disc)"
    assert build("compose:of=inpaint(kind=random;fraction=0.50)>blur(kind=disc)") == H
    assert [part.name for part in H.parts] == ["inpaint", "blur"]


@pytest.mark.parametrize("text", ["a;b", "a>b", "(a)", "a,b", "back\\slash", "a = b", "\\(", " spaces "])
def test_any_text_can_be_written(text):
    part = build("inpaint:kind=text")
    part = dataclasses.replace(part, text=text)
    escaped = "".join("\\" + c if c in "\\,;()>" or (c == " " and i in (0, len(text) - 1)) else c for i, c in enumerate(text))
    H = Compose(of=f"blur>inpaint(kind=text;text={escaped})")
    assert H.parts[1] == part
    assert build(knobs.spec(H)) == H


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ("", "operator\\(knob=value;knob=value\\)>operator.*got 'nothing'"),
        ("blur>", "got 'nothing' at the end"),
        ("blur(size=3", "got 'blur\\(size=3'"),
        ("blur>>hdr", "got '>hdr'"),
        ("blurr", "no operator to compose 'blurr' \\(did you mean 'blur'\\?\\)"),
        ("blur(sise=3)", "blur has no knob 'sise' \\(did you mean 'size'"),
        ("blur(3)", "knobs are written knob=value.*'3' in blur"),
        ("compose", "no operator to compose 'compose'"),
        ("phase>blur", "phase measures no picture"),
        ("colorize>blur>jpeg", "jpeg needs colours, but colorize comes before it"),
        ("colorize>colorize", "colorize needs colours"),
    ],
)
def test_errors_say_what_to_do(of, message):
    with pytest.raises((KnobError, OperatorError), match=message):
        Compose(of=of)


def test_every_operator_can_be_composed():
    for cls in OPERATORS:
        if cls is not Compose:
            H = Compose(of=f"blur(size=3)>{cls.name}")
            H.check_size(32, 32)
            assert H.picture(H(torch.zeros(1, 3, 32, 32))).shape[1] in (1, 3)
