"""Every way to write a mask is read as it is meant, soft edges and all; what could mean two things is refused."""

import io

import numpy as np
import pytest
import torch
from made import npy, png16, saved, turned
from PIL import Image, ImageDraw, ImageFilter

from redgui.fitting import plan, read_mask
from redgui.operators import Inpaint, masks
from redgui.reading import ImageError, holes, read_hole

H, W = 48, 64
BOX = np.zeros((H, W), bool)
BOX[10:30, 20:45] = True
LINE = np.zeros((H, W), bool)
LINE[:, 31] = True
WHITE, RED, BLUE, CLEAR = (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0, 0)


def strokes(colour, ground=(0, 0, 0), hole=BOX) -> np.ndarray:
    layer = np.empty((*hole.shape, len(ground)), np.uint8)
    layer[:] = ground
    layer[hole] = colour
    return layer


def palette(ground, colour) -> Image.Image:
    image = Image.fromarray(BOX.astype(np.uint8)).convert("P")
    image.putpalette([*ground, *colour])
    return image


def layer(colour, more=None) -> np.ndarray:
    found = strokes((*colour, 255), CLEAR)
    if more is not None:
        found[40:44] = (*more, 255)
    return found


WRITTEN = {
    "white on black": saved(strokes(WHITE)),
    "0 and 255": saved(BOX.astype(np.uint8) * 255),
    "0 and 1": saved(BOX.astype(np.uint8)),
    "100 and 101": saved(BOX.astype(np.uint8) + 100),
    "one bit": saved(Image.fromarray(BOX)),
    "16 bits, 0 and 1": saved(BOX.astype(np.uint16)),
    "16 bits": saved(BOX.astype(np.uint16) * 65535),
    "16-bit colours, 0 and 1": png16(BOX[..., None].repeat(3, 2).astype(np.uint16)),
    "float tiff": saved(Image.fromarray(BOX.astype(np.float32)), "TIFF"),
    "a palette": saved(palette((0, 0, 0), WHITE)),
    "a palette of colours": saved(palette((0, 0, 0), (128, 0, 0))),
    "a palette of near blacks": saved(palette((0, 0, 0), (1, 1, 1))),
    "a palette whose ground is clear": saved(palette(WHITE, (0, 128, 0)), transparency=0),
    "blue on black": saved(strokes(BLUE)),
    "dark red on black": saved(strokes((90, 0, 0))),
    "white on clear": saved(layer(WHITE)),
    "black on clear": saved(layer((0, 0, 0))),
    "red on clear": saved(layer(RED)),
    "black beside white on clear": saved(layer(WHITE, more=(0, 0, 0))),
    "opaque black and white": saved(strokes((*WHITE, 255), (0, 0, 0, 255))),
    "grey and alpha": saved(Image.fromarray(strokes(WHITE)).convert("LA")),
    "turned by EXIF": turned(Image.fromarray(BOX).transpose(Image.Transpose.ROTATE_90).convert("L")),
    "npy": npy(alone=BOX),
    "npy of 0 and 1": npy(alone=BOX.astype(np.int64)),
    "npz": npy(hole=BOX),
    "npz with others": npy(mask=BOX, other=np.zeros(3)),
    "a boolean array": BOX,
    "a float array": BOX.astype(np.float32),
    "a tensor": torch.tensor(BOX),
    "a tensor with a batch": torch.tensor(BOX)[None, None].float(),
    "Pillow": Image.fromarray(strokes(WHITE)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_way_to_write_a_mask(name, tmp_path):
    source = WRITTEN[name]
    np.testing.assert_array_equal(read_hole(source), BOX)
    if isinstance(source, bytes):
        (tmp_path / "mask.png").write_bytes(source)  # by content, not by suffix
        np.testing.assert_array_equal(read_hole(tmp_path / "mask.png"), BOX)
        np.testing.assert_array_equal(read_hole(io.BytesIO(source)), BOX)
    np.testing.assert_array_equal(read_hole(source, keep=True), ~BOX)


def test_strokes_of_many_colours_are_all_of_the_hole():
    many = strokes(RED)
    many[40:44] = BLUE
    wanted = BOX.copy()
    wanted[40:44] = True
    np.testing.assert_array_equal(read_hole(saved(many)), wanted)
    clear = layer(RED, more=BLUE)
    np.testing.assert_array_equal(read_hole(saved(clear)), wanted)
    rainbow = layer(RED)
    rainbow[BOX, :3] = np.random.default_rng(0).integers(0, 256, (BOX.sum(), 3))
    np.testing.assert_array_equal(read_hole(saved(rainbow)), BOX)


@pytest.mark.parametrize("colour", [RED, BLUE, (0, 160, 0), (120, 0, 0)])
def test_coloured_strokes_on_white_are_refused_as_they_can_mean_two_things(colour):
    with pytest.raises(ImageError, match="can be understood in two ways; paint white on black"):
        read_hole(saved(strokes(colour, WHITE)))


def test_two_colours_alike_in_brightness_are_refused():
    with pytest.raises(ImageError, match="can be understood in two ways"):
        read_hole(saved(palette((128, 0, 0), (0, 128, 0))))


def test_a_photograph_is_no_mask():
    y, x = np.mgrid[0:H, 0:W]
    photo = np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).astype(np.uint8)
    with pytest.raises(ImageError, match="looks like a photograph"):
        read_hole(saved(photo))
    with pytest.raises(ImageError, match="looks like a photograph"):  # erased where the hole is meant to be, perhaps
        read_hole(saved(np.dstack([photo, np.where(BOX, 0, 255).astype(np.uint8)])))


@pytest.mark.parametrize(
    ("source", "said"),
    [(np.zeros((4, 4), np.uint8), "0 % of the picture: it is empty"),
     (np.full((4, 4), 255, np.uint8), "100 % of the picture: nothing"),
     (saved(np.zeros((64, 64), np.uint8), "JPEG"), "it is empty"),
     (saved(strokes(CLEAR, CLEAR)), "it is empty"),
     (np.eye(64, dtype=bool), "fills in 1.6 % of the picture"),
     (np.arange(10**4).reshape(100, 100) == 5, "0.01 %")],
)  # fmt: skip
def test_what_was_read_is_told_in_a_line(source, said):
    assert said in holes.share(read_hole(source))


# ---- soft edges ----


def test_any_pixel_that_is_painted_in_part_is_of_the_hole():
    soft = np.array([[0, 4, 8, 9, 40, 127, 128, 255]], np.uint8)
    assert read_hole(soft).tolist() == [[False] * 3 + [True] * 5]
    assert read_hole(255 - soft).tolist() == [[True] * 7 + [False]]


@pytest.mark.parametrize("mode", ["white on black", "white on clear", "black on clear"])
def test_a_soft_brush_leaves_no_ghost(mode):
    """What is damaged by a soft dab, and masked by the very dab, is measured nowhere by more than the eye sees."""
    disc = Image.new("L", (96, 96))
    ImageDraw.Draw(disc).ellipse((30, 30, 66, 66), fill=255)
    dab = np.asarray(disc.filter(ImageFilter.GaussianBlur(5)))
    clean = np.full((96, 96), 230.0)
    damaged = clean * (1 - dab / 255)
    colour = 0 if mode == "black on clear" else 255
    painted = dab if mode == "white on black" else np.dstack([np.full((96, 96, 3), colour, np.uint8), dab])
    hole = read_hole(saved(painted))
    assert abs(damaged - clean)[~hole].max() <= 8
    assert abs(damaged - clean)[dab < 128].max() > 100  # half white was too high a threshold


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_the_noise_of_a_jpeg_is_not_painted(quality):
    page = Image.new("L", (320, 200))
    draw = ImageDraw.Draw(page)
    draw.rectangle((40, 53, 130, 133), fill=255)
    draw.line((160, 10, 300, 180), fill=255, width=3)
    exact = read_hole(saved(page))
    for content in (saved(page, "JPEG", quality=quality), saved(page.convert("RGB"), "JPEG", quality=quality)):
        found = read_hole(content)
        assert not (exact & ~found).any()
        assert (found & ~masks.grown(exact, 2)).sum() < 0.002 * found.size


def test_a_hole_grows_by_pixels_on_all_sides():
    hole = np.zeros((40, 40), bool)
    hole[20, 20] = True
    y, x = np.mgrid[0:40, 0:40]
    H = Inpaint(kind="mask", painted=masks.encode(hole), grow=5)
    np.testing.assert_array_equal(H.hole(40, 40), (x - 20) ** 2 + (y - 20) ** 2 <= 25)
    np.testing.assert_array_equal(H.drawn(40, 40), hole)
    assert H.hole(40, 40).sum() == 81
    np.testing.assert_array_equal(masks.grown(hole, 0), hole)


# ---- on the picture ----


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_a_mask_lies_where_it_lies_on_the_picture(how):
    """A picture 320x160 with a red square, the mask a little larger: after the fit no red is left outside of the hole."""
    photo = Image.new("RGB", (320, 160), (120, 130, 140))
    photo.paste((255, 0, 0), (90, 60, 130, 100))
    mask = Image.new("L", photo.size)
    mask.paste(255, (88, 58, 132, 102))
    fitted = plan((160, 320), (64, 64), how)
    low, drawn = read_mask(saved(mask), fitted)
    small = np.asarray(fitted.apply(photo)).astype(int)
    ghost = small[..., 0] - small[..., 1] > 12
    assert not (ghost & ~low).any()
    assert ghost.sum() >= 0.5 * low.sum()  # and the hole is not much more than that
    np.testing.assert_array_equal(drawn, np.asarray(mask) > 0)


def test_a_thin_line_survives_every_size():
    line = np.zeros((480, 640), np.uint8)
    line[:, 321] = 255
    for original in ((480, 640), (120, 160), (960, 1280)):
        low, drawn = read_mask(saved(line), plan(original, (64, 64)))
        assert low.any(0).sum() in (1, 2)
        assert low.any(1).all()
        assert drawn.shape == original
        assert drawn.any(1).all()
        assert drawn.any(0).sum() == max(1, original[1] // 640)


def test_covered_is_any_touched_pixel():
    rng = np.random.default_rng(0)
    mask = rng.random((12, 18)) < 0.1
    np.testing.assert_array_equal(masks.covered(mask, 4, 6), mask.reshape(4, 3, 6, 3).any((1, 3)))
    np.testing.assert_array_equal(masks.covered(mask, 24, 36), mask.repeat(2, 0).repeat(2, 1))
    fine = masks.covered(mask, 7, 5)  # by the definition: cells of the two grids that share some area
    for i in range(7):
        for j in range(5):
            rows, cols = (slice(k * n // m, -(-(k + 1) * n // m)) for k, n, m in ((i, 12, 7), (j, 18, 5)))
            assert fine[i, j] == mask[rows, cols].any()


@pytest.mark.parametrize(("size", "fits"), [
    ((213, 320), True), ((107, 160), True), ((106, 160), True), ((854, 1280), True), ((320, 213), False), ((200, 320), False),
    ((64, 64), True), ((63, 63), False), ((214, 320), True), ((300, 300), False),
])  # fmt: skip
def test_a_mask_of_another_shape_is_refused_with_both_sizes(size, fits):
    """The picture is 640x427; 64x64 is what it is fitted to, as the page saves a mask."""
    fitted = plan((427, 640), (64, 64))
    mask = np.zeros(size, bool)
    mask[size[0] // 2, size[1] // 2] = True
    if fits:
        assert read_mask(mask, fitted)[0].any()
        return
    with pytest.raises(ImageError, match=f"the mask is {size[1]}x{size[0]} and the picture 640x427"):
        read_mask(mask, fitted)
