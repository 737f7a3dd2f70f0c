"""What each degradation does: known answers, kernels without shift or loss, and errors that say what to do."""

import numpy as np
import pytest
import torch

from redgui.operators import OPERATORS, Inpaint, OperatorError, build, masks
from redgui.operators.superres import bicubic, keys


def test_inpaint_zeroes_the_box():
    H = build("inpaint")
    x = torch.full((1, 3, 64, 64), 0.5)
    y = H(x)
    assert (y[..., 20:44, 20:44] == 0).all()
    assert y.sum() == 0.5 * 3 * (64**2 - 24**2)
    assert H.entries(y) == 3 * (64**2 - 24**2)
    assert torch.equal(H.keep(64, 64), torch.from_numpy(~H.hole(64, 64)))
    assert torch.equal(H.pinv(y), y)


def test_painted_mask_is_resized_by_the_nearest_pixel():
    hole = np.zeros((4, 4), bool)
    hole[1, 2] = True
    big = Inpaint(kind="mask", painted=masks.encode(hole)).hole(8, 12)
    assert np.argwhere(big).tolist() == [[r, c] for r in (2, 3) for c in (6, 7, 8)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "mask"}, "Paint over what is to be filled in"),
        ({"kind": "mask", "painted": "4x4:nonsense"}, "damaged"),
        ({"kind": "text", "text": "  "}, "letters"),
    ],
)
def test_inpaint_refuses(given, message):
    with pytest.raises(OperatorError, match=message):
        Inpaint(**given)


def test_inpaint_needs_something_to_go_by():
    H = Inpaint(kind="mask", painted=masks.encode(np.ones((4, 4), bool)))
    with pytest.raises(OperatorError, match="covers the whole picture"):
        H.check_size(4, 4)


def test_a_mask_is_made_once():
    H = build("inpaint:kind=freeform,seed=11")
    assert H.hole(64, 64) is build("inpaint:kind=freeform,seed=11").hole(64, 64)
    with pytest.raises(ValueError, match="read-only"):
        H.hole(64, 64)[0, 0] = True
    H.keep(64, 64).fill_(False)  # a copy: the operator is not changed
    assert H.keep(64, 64).any()


def test_block_means():
    H = build("superres:factor=2")
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert H(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert H.pinv(H(x))[0, 0, 0].tolist() == [2.5, 2.5, 4.5, 4.5]


def test_bicubic_is_keys_kernel():
    A = bicubic(64, 4)
    t = (np.arange(16) - 8 + 0.5) / 4  # distances as in the specification
    expected = keys(t) / keys(t).sum()
    np.testing.assert_allclose(A[5, 5 * 4 + 2 - 8 : 5 * 4 + 2 + 8], expected, atol=1e-15)
    np.testing.assert_allclose(keys(np.array([0, 0.5, 1, -1.5, 2])), [1, 0.5625, 0, -0.0625, 0], atol=1e-15)  # a = -1/2
    np.testing.assert_allclose(A.sum(1), 1)
    np.testing.assert_allclose(A[:, ::-1], A[::-1], atol=1e-15)  # no shift
    s = np.linalg.svd(bicubic(256, 4), compute_uv=False)
    np.testing.assert_allclose([s.min(), s.max()], [0.349, 0.5], atol=5e-4)
    # The mirrored border folds the taps at -1, -2, ... onto 0, 1, ...
    np.testing.assert_allclose(A[0, :4], expected[6:10] + expected[5:1:-1], atol=1e-15)


def test_sizes_that_do_not_fit_are_told_apart():
    with pytest.raises(OperatorError, match="Crop to 60x48"):
        build("superres:factor=4").check_size(63, 50)
    with pytest.raises(OperatorError, match="factor 4"):
        build("superres:factor=4")(torch.zeros(1, 3, 63, 50))
    with pytest.raises(OperatorError, match="at most 7"):
        build("blur:size=9").check_size(64, 8)
    with pytest.raises(OperatorError, match="at most 7"):
        build("blur:size=9")(torch.zeros(1, 3, 64, 8))
    with pytest.raises(OperatorError, match="at most 7"):
        build("blur:size=9").check_size(7, 64)
    with pytest.raises(OperatorError, match="Use 7 or 9"):
        build("blur:size=8")
    with pytest.raises(OperatorError, match="3 channels"):
        build("colorize")(torch.zeros(1, 1, 8, 8))
    for cls in OPERATORS:
        cls().check_size(64, 64)


def test_colorize_weights():
    red, green, blue = torch.eye(3)[:, :, None, None].expand(3, 3, 2, 2)
    luma = build("colorize:weights=luma")
    assert [round(luma(c[None]).mean().item(), 3) for c in (red, green, blue)] == [0.299, 0.587, 0.114]
    grey = torch.full((1, 3, 2, 2), 0.4)
    for H in (luma, build("colorize")):
        torch.testing.assert_close(H(grey), grey[:, :1])
    torch.testing.assert_close(build("colorize").pinv(grey[:, :1]), grey)


KERNELS = [
    "kind=gaussian,width=3",
    "kind=gaussian,width=10",
    "kind=uniform",
    "kind=anisotropic,width=20,across=1",
    "kind=anisotropic,width=4,angle=37",
    "kind=disc",
    "kind=motion",
    "kind=motion,angle=45",
    *(f"kind=motion,seed={s}" for s in range(1, 9)),
]


@pytest.mark.parametrize("size", [3, 5, 9, 31])
@pytest.mark.parametrize("kind", KERNELS)
def test_kernel_is_centred_whole_and_sums_to_one(kind, size):
    k = build(f"blur:size={size},{kind}").kernel()
    assert k.shape == (size, size)
    assert (k >= 0).all()
    assert abs(k.sum() - 1) < 1e-12
    offsets = np.arange(size) - size // 2
    assert abs(k.sum(1) @ offsets) < 1e-9
    assert abs(k.sum(0) @ offsets) < 1e-9


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize(("h", "w"), [(16, 16), (15, 18)])
def test_blur_of_a_point_is_the_kernel_around_it(kind, h, w):
    H = build(f"blur:size=9,{kind}")
    x = torch.zeros(1, 1, h, w, dtype=torch.float64)
    x[..., 7, 8] = 1
    y = H(x)[0, 0].numpy()
    np.testing.assert_allclose(y[3:12, 4:13], H.kernel(), atol=1e-12)
    assert abs(y.sum() - 1) < 1e-12  # and nothing elsewhere
    np.testing.assert_allclose(H(torch.full_like(x, 0.7)), 0.7, atol=1e-12)


def test_golden_kernels():
    # All five taps (a public defect keeps four and loses a fifth of the brightness).
    assert np.count_nonzero(build("blur:size=5,width=10").kernel()) == 25
    np.testing.assert_allclose(build("blur:size=9,kind=uniform").kernel(), 1 / 81)
    straight = build("blur:size=5,kind=motion").kernel()
    np.testing.assert_allclose(straight[2], [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8])
    assert straight[[0, 1, 3, 4]].max() < 1e-12
    rising = build("blur:size=9,kind=motion,angle=45").kernel()
    assert rising[2, 6] > 0.05
    assert rising[6, 2] > 0.05
    assert rising[2, 2] < 1e-12


def test_the_gaussians_moments_are_its_knobs():
    k = build("blur:size=61,kind=anisotropic,width=4,across=2,angle=30").kernel()
    rows, cols = np.mgrid[-30:31, -30:31]
    # 4^2 along (cos 30, sin 30) and 2^2 across it, rows counting downwards.
    moments = [(k * cols * cols).sum(), (k * rows * rows).sum(), (k * rows * cols).sum()]
    np.testing.assert_allclose(moments, [16 * 3 / 4 + 4 / 4, 16 / 4 + 4 * 3 / 4, -(16 - 4) * 3**0.5 / 4], rtol=1e-6)


def test_same_seed_same_hand():
    one, two = (build(f"blur:kind=motion,size=15,seed={s}").kernel() for s in (1, 2))
    assert np.array_equal(one, build("blur:kind=motion,size=15,seed=1").kernel())
    assert np.abs(one - two).max() > 0.01
    assert np.count_nonzero(one) > 20  # a path, not a dot


def test_blurs_pseudo_inverse_is_a_picture():
    """In float32 and with a little noise the pseudo-inverse stays in sight of the picture, closer than the blurred one."""
    r, c = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    x = torch.stack([torch.sign(torch.sin(6 * r) + c), (4 * r * c).sin(), c])[None] * 0.8
    for spec in ("blur", "blur:kind=uniform", "blur:kind=disc", "blur:kind=motion,size=15,seed=1"):
        H = build(spec)
        y = H(x) + 0.005 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        assert (H.pinv(y) - x).square().mean() < 0.7 * (y - x).square().mean()
