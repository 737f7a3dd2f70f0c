"""Masks: exact shares, one seed one mask, and a text form that nothing else gets through."""

import base64
import tracemalloc
import zlib

import numpy as np
import pytest

from redgui.operators import Inpaint, OperatorError, masks

SIZES = [(64, 64), (256, 256), (33, 50), (7, 5), (2, 2), (1, 1)]
KINDS = ["box", "half", "outpaint", "random", "stripes", "freeform", "text"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("h", "w"), SIZES)
@pytest.mark.parametrize("fraction", [0.0, 0.375, 0.98])
def test_every_mask_fits_and_keeps_something(kind, h, w, fraction):
    hole = masks.hole(kind, h, w, fraction=fraction, seed=4)
    assert hole.shape == (h, w)
    assert hole.dtype == bool
    assert not hole.all() or kind == "text"
    if fraction == 0 and kind != "text":
        assert not hole.any()
    assert np.array_equal(hole, masks.hole(kind, h, w, fraction=fraction, seed=4))


@pytest.mark.parametrize("kind", ["half", "outpaint", "random", "stripes", "freeform"])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.7, 0.95])
@pytest.mark.parametrize(("h", "w"), [(64, 64), (96, 130)])
def test_fraction_is_the_removed_share(kind, fraction, h, w):
    assert masks.hole(kind, h, w, fraction=fraction).mean() == pytest.approx(fraction, abs=0.012)


@pytest.mark.parametrize("kind", ["box", "random", "freeform"])
def test_another_seed_another_mask(kind):
    drawn = {masks.hole(kind, 64, 64, seed=seed).tobytes() for seed in range(6)}
    assert len(drawn) == 6


def test_the_box_of_the_bundled_example():
    expected = np.zeros((64, 64), bool)
    expected[20:44, 20:44] = True
    assert np.array_equal(masks.hole("box", 64, 64, fraction=0.375), expected)


def test_box_follows_each_side_and_stays_off_the_border():
    for seed in range(1, 30):
        rows, cols = np.nonzero(masks.box(64, 128, 0.5, seed))
        assert (np.ptp(rows) + 1, np.ptp(cols) + 1) == (32, 64)
        assert rows.min() >= 4
        assert rows.max() < 60
        assert cols.min() >= 8
        assert cols.max() < 120


@pytest.mark.parametrize(("side", "pixel"), [("left", (5, 0)), ("right", (5, 9)), ("top", (0, 5)), ("bottom", (9, 5))])
def test_half(side, pixel):
    hole = masks.half(10, 10, 0.5, side)
    assert hole[pixel]
    assert hole.sum() == 50
    assert not hole[9 - pixel[0], 9 - pixel[1]]


def test_outpaint_keeps_the_middle():
    kept = ~masks.outpaint(64, 64, 0.75)
    assert kept[16:48, 16:48].all()
    assert kept.sum() == 32 * 32


def test_random_is_exact():
    assert masks.scattered(33, 50, 0.7, seed=1).sum() == round(0.7 * 33 * 50)
    assert np.flatnonzero(masks.scattered(4, 4, 0.3)).tolist() == [0, 2, 3, 10, 11]


def test_stripes_are_even():
    rows = masks.stripes(64, 16, 0.375)[:, 0]
    assert rows.sum() == 24
    starts = np.flatnonzero(np.diff(rows.astype(int)) == 1)
    assert starts.tolist() == list(range(starts[0], 64, 8))
    assert (rows == masks.stripes(64, 16, 0.375).T).all()


@pytest.mark.parametrize("seed", range(5))
def test_freeform_is_strokes(seed):
    hole = masks.freeform(128, 128, 0.25, seed)
    # Thick: most of it survives losing a pixel on all sides, unlike single pixels; and it is not one block.
    inner = hole[1:-1, 1:-1] & hole[:-2, 1:-1] & hole[2:, 1:-1] & hole[1:-1, :-2] & hole[1:-1, 2:]
    assert inner.sum() > 0.7 * hole.sum()
    assert hole.any(1).mean() > 0.5
    assert hole.any(0).mean() > 0.5


def test_text_is_thin_and_everywhere():
    hole = masks.lettering(64, 64, "redgui")
    assert 0.08 < hole.mean() < 0.4
    assert all(quarter.any() for half in np.split(hole, 2) for quarter in np.split(half, 2, axis=1))
    assert not np.array_equal(hole, masks.lettering(64, 64, "other"))
    with pytest.raises(OperatorError, match="nothing to write"):
        masks.lettering(64, 64, " \n")


def test_an_empty_text_is_refused_where_it_is_to_be_written_and_nowhere_else():
    with pytest.raises(OperatorError, match="give `text` some letters"):
        Inpaint(kind="text", text=" ")
    for kind in ("box", "half", "outpaint", "random", "stripes", "freeform"):
        assert Inpaint(kind=kind, text=" ").hole(16, 16).any()


def test_unknown_kind():
    with pytest.raises(OperatorError, match="Choose one of: box, half"):
        masks.hole("circle", 8, 8)


# --- the text form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(1, 1), (3, 5), (64, 64), (256, 200)])
@pytest.mark.parametrize("kind", ["random", "freeform"])
def test_text_form_there_and_back(kind, h, w):
    hole = masks.hole(kind, h, w, fraction=0.4)
    text = masks.encode(hole)
    assert text.startswith(f"{w}x{h}:")
    assert "," not in text
    assert np.array_equal(masks.decode(text), hole)


def test_a_mask_written_earlier_still_reads():
    assert np.array_equal(masks.decode("5x3:eNpr4gAAAQ4Aiw=="), np.eye(3, 5, dtype=bool))


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "WxH:"),
        ("8x8", "WxH:"),
        ("0x8:" + packed(b""), "WxH:"),
        ("-8x8:" + packed(bytes(8)), "WxH:"),
        ("8x8:" + packed(bytes(8)) + "\n", "WxH:"),
        ("8x8:<b>", "WxH:"),
        ("٨x8:" + packed(bytes(8)), "WxH:"),
        ("8193x8:" + packed(bytes(8)), "at most 8192"),
        ("8x8:abcde", "damaged"),
        ("8x8:AAAA", "damaged"),
        ("8x8:" + packed(bytes(7)), "8 bytes"),
        ("8x8:" + packed(bytes(9)), "8 bytes"),
        ("8x8:" + base64.urlsafe_b64encode(zlib.compress(bytes(8))[:-4]).decode(), "8 bytes"),
        ("8x8:" + base64.urlsafe_b64encode(zlib.compress(bytes(8)) + b"more").decode(), "8 bytes"),
    ],
)
def test_text_form_refuses(text, message):
    with pytest.raises(OperatorError, match=message):
        masks.decode(text)


def test_a_bomb_is_not_unpacked():
    text = "8x8:" + packed(bytes(10**8))
    tracemalloc.start()
    with pytest.raises(OperatorError, match="does not hold"):
        masks.decode(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(text)
