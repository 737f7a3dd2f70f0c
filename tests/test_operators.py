"""Operators are what they say: adjoints, spectra and pseudo-inverses against the dense matrix, in float64."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from torch import Tensor

from redgui import knobs, operators
from redgui.operators import OPERATORS, LinearOperator, Operator, SpectralOperator, build, masks

PAINTED = masks.encode(np.eye(5, 9, dtype=bool))

# Every linear operator and kind, on small pictures: odd, not square, even.
CASES = [
    ("denoise", 5, 4),
    ("inpaint", 6, 9),
    ("inpaint:seed=7,fraction=0.5", 6, 9),
    ("inpaint:kind=half,side=bottom,fraction=0.5", 5, 7),
    ("inpaint:kind=outpaint,fraction=0.7", 7, 6),
    ("inpaint:kind=random,fraction=0.6,seed=3", 5, 8),
    ("inpaint:kind=stripes,fraction=0.5", 8, 5),
    ("inpaint:kind=freeform,fraction=0.4,seed=1", 7, 7),
    ("inpaint:kind=text", 8, 6),
    (f"inpaint:kind=mask,painted={PAINTED}", 5, 9),
    ("superres:factor=2", 4, 6),
    ("superres:factor=3", 6, 9),
    ("superres:factor=2,kernel=bicubic", 10, 6),
    ("superres:factor=3,kernel=bicubic", 9, 6),
    ("superres:factor=4,kernel=bicubic", 4, 12),
    ("blur:size=5,width=1", 5, 8),
    ("blur:size=3,kind=uniform", 6, 7),
    ("blur:size=5,kind=anisotropic,width=3,across=0.4,angle=30", 7, 6),
    ("blur:size=5,kind=motion,angle=-20", 8, 6),
    ("blur:size=5,kind=motion,seed=3", 5, 6),
    ("blur:size=5,kind=disc", 5, 5),
    ("colorize", 4, 5),
    ("colorize:weights=luma", 5, 3),
    ("compressed-sensing", 4, 8),
    ("compressed-sensing:signs=none,ratio=0.5,seed=3", 8, 4),
    ("compressed-sensing:signs=none,keep_dc=false,ratio=0.3", 4, 4),
    ("fourier:acceleration=2", 5, 8),
    ("fourier:pattern=random,acceleration=3,seed=2", 6, 7),
    ("fourier:pattern=radial,acceleration=2", 6, 6),
    ("compose", 6, 8),
    ("compose:of=inpaint>inpaint(kind=random;fraction=0.3)", 5, 7),
    ("compose:of=inpaint(kind=half;fraction=0.3)>superres(factor=2)", 6, 8),
    ("compose:of=inpaint(kind=half)>superres(factor=2)>inpaint(kind=random;fraction=0.3)", 4, 8),
    ("compose:of=superres(factor=2)>superres(factor=3)", 6, 12),
    ("compose:of=blur(size=3;width=1)>denoise>blur(size=3;kind=disc)", 5, 6),
    ("compose:of=blur(size=3;width=0.6)>fourier(pattern=random;acceleration=2)", 6, 5),
    ("compose:of=blur(size=3)>superres(factor=2)>blur(size=3;width=0.5)>colorize", 6, 8),
    ("compose:of=colorize(weights=luma)>blur(size=3;width=0.6)", 4, 5),
    ("compose:of=inpaint(kind=half)>superres(factor=2)>colorize", 4, 6),
    ("compose:of=superres(factor=2;kernel=bicubic)>colorize", 6, 4),
    ("compose:of=denoise>denoise", 4, 3),
]
IDS = [f"{spec[:45]}-{h}x{w}" for spec, h, w in CASES]
every_case = pytest.mark.parametrize(("spec", "h", "w"), CASES, ids=IDS)

FUNCTIONS = {
    "1": torch.ones_like,
    "lam": lambda lam: lam,
    "1/(lam+reg)": lambda lam: 1 / (lam + 0.03),
    "sqrt": torch.sqrt,
    "a filter": lambda lam: torch.where(lam > 0.1, (-lam).exp(), torch.cos(lam)),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many small matrices: threads only stand in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(H: Operator, h: int, w: int) -> Tensor:
    """The matrix of H, a column per unit picture."""
    return H(torch.eye(3 * h * w, dtype=torch.float64).reshape(-1, 3, h, w)).flatten(1).T


def column(x: Tensor) -> Tensor:
    return x.reshape(-1, 1)


# --- the registry ---------------------------------------------------------------------------------------------------


def test_every_operator_is_listed():
    for module in pkgutil.iter_modules(operators.__path__):
        found = vars(importlib.import_module(f"redgui.operators.{module.name}")).values()
        for cls in found:
            if inspect.isclass(cls) and issubclass(cls, Operator) and not inspect.isabstract(cls):
                assert issubclass(cls, OPERATORS), (
                    f"{cls.__name__} of {module.name}.py is missing from redgui.operators.OPERATORS"
                )


def test_names_are_unique():
    assert len({cls.name for cls in OPERATORS}) == len(OPERATORS)


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
def test_what_people_read(cls):
    assert cls.label
    assert cls.about
    assert cls.__doc__
    for k in knobs.knobs(cls):
        assert k.help, f"{cls.name}: the knob {k.name} has no help"
        assert k.choices or k.kind in (bool, str) or (k.lo is not None and k.hi is not None), (
            f"{cls.name}: {k.name} has no bounds"
        )
        if k.only_with:
            other, wanted = k.only_with
            choices = {o.name: o.choices for o in knobs.knobs(cls)}[other]
            assert set(wanted) <= set(choices)


@every_case
def test_the_record_gives_the_operator_back(spec, h, w):
    H = build(spec)
    assert build(spec) == H
    assert hash(build(spec)) == hash(H)
    assert knobs.build(type(H), knobs.values(H)) == H
    assert build(knobs.spec(H)) == H


def test_build_says_what_there_is():
    with pytest.raises(knobs.KnobError, match=r"'inpant' \(did you mean 'inpaint'\?\)"):
        build("inpant")
    with pytest.raises(knobs.KnobError, match="blur has no knob 'sise'"):
        build("blur:sise=5")


def test_every_spectral_operator_is_put_to_the_tests():
    listed = {cls for cls in OPERATORS if issubclass(cls, SpectralOperator)}
    assert {cls.name for cls in listed} <= {build(spec).name for spec, _, _ in CASES}


# --- linear algebra -------------------------------------------------------------------------------------------------


@every_case
def test_adjoint(spec, h, w):
    H = build(spec)
    x = noise(2, 3, h, w).requires_grad_()
    y = H(x)
    u = noise(*y.shape, seed=1)
    torch.testing.assert_close((y * u).sum(), (x * H.adjoint(u)).sum(), rtol=1e-10, atol=1e-12)
    (vjp,) = torch.autograd.grad(y, x, u)
    torch.testing.assert_close(H.adjoint(u), vjp, rtol=1e-10, atol=1e-12)


@every_case
def test_gradient_is_autograds(spec, h, w):
    H = build(spec)
    x, y = noise(1, 3, h, w), H(noise(1, 3, h, w, seed=1))
    residual, gradient = H.gradient(x, y)
    by_autograd = Operator.gradient(H, x, y)
    torch.testing.assert_close(residual, by_autograd[0])
    torch.testing.assert_close(gradient, by_autograd[1])
    assert not gradient.requires_grad


@every_case
def test_spectral_is_the_eigendecomposition(spec, h, w):
    H = build(spec)
    A = dense(H, h, w)
    lam, V = torch.linalg.eigh(A.T @ A)
    lam = lam.clamp(min=0)
    assert lam.max() <= H.lam_max * (1 + 1e-9)
    assert lam.max() >= H.lam_max * 0.9
    x = noise(1, 3, h, w)
    for name, f in FUNCTIONS.items():
        expected = V @ (f(lam)[:, None] * (V.T @ column(x)))
        torch.testing.assert_close(
            column(H.spectral(f, x)), expected, rtol=1e-7, atol=1e-7, msg=lambda m, name=name: f"f = {name}: {m}"
        )
    torch.testing.assert_close(H.spectral(torch.ones_like, x), x)
    torch.testing.assert_close(H.spectral(lambda lam: lam, x), H.gram(x))


@every_case
def test_pseudo_inverse(spec, h, w):
    """The four Penrose conditions; a blur meets them on the part of H above its cutoff."""
    H = build(spec)
    A = dense(H, h, w)
    m = A.shape[0]
    shape = H(noise(1, 3, h, w)).shape[1:]
    P = H.pinv(torch.eye(m, dtype=A.dtype).reshape(m, *shape)).flatten(1).T
    kept = A @ P @ A
    torch.testing.assert_close(P @ kept @ P, P)
    torch.testing.assert_close(P @ A, (P @ A).T)
    torch.testing.assert_close(A @ P, (A @ P).T)
    assert torch.linalg.matrix_norm(kept - A, 2) <= H.cutoff * H.lam_max**0.5 + 1e-12
    torch.testing.assert_close(P, torch.linalg.pinv(A, rtol=H.cutoff), rtol=1e-7, atol=1e-9)
    y = noise(1, *shape)
    assert torch.equal(H.start(y), H.pinv(y))


@every_case
def test_solve(spec, h, w):
    H = build(spec)
    b = noise(2, 3, h, w)
    for reg in (1e-4, 0.3):
        v = H.solve(b, reg)
        torch.testing.assert_close(H.gram(v) + reg * v, b, rtol=0, atol=1e-8)
    torch.testing.assert_close(LinearOperator.solve(H, b, 0.3), v, rtol=0, atol=5e-5)  # by conjugate gradients


# --- manners --------------------------------------------------------------------------------------------------------


@every_case
def test_alone_as_in_a_batch(spec, h, w):
    H = build(spec)
    x = noise(3, 3, h, w)
    y = H(x)
    for out, of in ((H, x), (H.adjoint, y), (H.pinv, y), (lambda x: H.solve(x, 0.1), x)):
        torch.testing.assert_close(out(of)[1:2], out(of[1:2]), rtol=1e-12, atol=1e-12)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_input(spec, h, w, dtype):
    H = build(spec)
    x = noise(1, 3, h, w).to(dtype)
    y = H(x)
    assert {t.dtype for t in (y, H.adjoint(y), H.pinv(y), H.solve(x, 0.1), H.on_support(y), H.picture(y))} == {dtype}
    torch.testing.assert_close(y.double(), H(x.double()), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(H.pinv(y).double(), H.pinv(y.double()), rtol=1e-3, atol=1e-3)


@every_case
def test_input_is_left_alone(spec, h, w):
    H = build(spec)
    x = noise(1, 3, h, w)
    before = x.clone()
    y = H(x)
    y.add_(1)
    H.adjoint(y).mul_(2)
    H.spectral(torch.ones_like, x).mul_(2)
    assert torch.equal(x, before)
    torch.testing.assert_close(H(x) + 1, y)


@every_case
def test_the_global_generators_are_left_alone(spec, h, w):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    H = build(spec)
    big = 4 * h * (12 if "text" in spec else 1), 4 * w  # a size no other test has cached
    y = H(torch.ones(1, 3, *big))
    H.start(y)
    H.on_support(y)
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


@every_case
def test_noise_lives_where_something_is_measured(spec, h, w):
    H = build(spec)
    y = H(noise(1, 3, h, w))
    support = H.on_support(torch.ones_like(y))
    assert set(support.unique().tolist()) <= {0.0, 1.0}
    assert H.entries(y) == int(support.sum())
    assert torch.equal(H.on_support(y), y)
    n = H.on_support(0.3 * noise(4000, *y.shape[1:]))
    torch.testing.assert_close(n.std(0), 0.3 * support[0], rtol=0.08, atol=0)


@every_case
def test_a_person_can_look_at_it(spec, h, w):
    H = build(spec)
    picture = H.picture(H(torch.rand(2, 3, h, w) * 2 - 1))
    assert picture.shape[:2] in ((2, 1), (2, 3))
    assert picture.abs().max() <= 1.3
