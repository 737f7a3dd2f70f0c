"""Files and arrays that are odd but right: read as they are meant, or refused in a line; never read wrong without a word."""

import io
import struct

import numpy as np
import pytest
import tiny
import torch
from made import chunk, npy, png16, saved, tiff, turned, wide_gamut
from PIL import Image, ImageCms
from ways import RefusedError, Ways

from redgui import fitting, images, priors, reading
from redgui.reading import ImageError, read_hole

WAYS = ("python", "command", "http", "page")
ROWS, COLUMNS = np.mgrid[0:16, 0:16]
COLOURS = np.stack([COLUMNS * 15, ROWS * 15, 240 - COLUMNS * 6 - ROWS * 6], -1).astype(np.uint8)
GREY = COLOURS[..., 0].copy()
WIDE, WIDE_GREY = COLOURS.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257
HOLE = np.zeros((16, 16), bool)
HOLE[4:9, 6:12] = True
FULL = np.full((16, 16, 1), 65535, np.uint16)
PLANES = np.moveaxis(WIDE, -1, 0).copy()
LINEAR = (255 * (COLOURS / 255) ** 2.2).round().astype(np.uint8)
GAMMA_1 = struct.pack(">I", 100_000)


def read(source) -> np.ndarray:
    return np.asarray(reading.read(source)).astype(int)


def png(image: np.ndarray, **chunks: bytes) -> bytes:
    """A PNG with chunks by their names, behind its head."""
    content = saved(image)
    return content[:33] + b"".join(chunk(name, data) for name, data in chunks.items()) + content[33:]


def lab(image: Image.Image) -> Image.Image:
    made = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*made, "RGB", "LAB"))


# ---- pictures

SAME = {  # what is read, and by how many levels it may differ
    "16 bits of grey and transparency": (png16(np.dstack([WIDE_GREY, FULL])), GREY, 0),
    "12 bits of grey and transparency": (png16(np.dstack([WIDE_GREY // 16, FULL])), GREY, 1),
    "planes of 16 bits": (tiff(PLANES, planarconfig="separate"), COLOURS, 0),
    "planes of 16 bits, opened by Pillow": (Image.open(io.BytesIO(tiff(PLANES, planarconfig="separate"))), COLOURS, 0),
    "16 bits, big-endian": (tiff(WIDE, byteorder=">"), COLOURS, 0),
    "white is 0, 8 bits": (tiff(255 - GREY, photometric="miniswhite"), GREY, 0),
    "white is 0, 16 bits": (tiff(65535 - WIDE_GREY, photometric="miniswhite"), GREY, 0),
    "white is 0, floats": (tiff((1 - GREY / 255).astype(np.float32), photometric="miniswhite"), GREY, 0),
    "TIFF of grey and transparency": (tiff(np.dstack([WIDE_GREY, FULL]), photometric="minisblack", extrasamples=[2]), GREY, 0),
    "linear PNG": (png(LINEAR, gAMA=GAMMA_1), COLOURS, 12),  # dark tones have few levels there
    "gamma of sRGB": (png(COLOURS, gAMA=struct.pack(">I", 45_455)), COLOURS, 0),
    "a gamma that sRGB overrules": (png(COLOURS, sRGB=b"\0", gAMA=GAMMA_1), COLOURS, 0),
    "Lab": (lab(Image.fromarray(COLOURS)), COLOURS, 35),  # of 8 bits
    "La": (Image.fromarray(GREY).convert("LA").convert("La"), GREY, 0),
    "RGBa": (Image.fromarray(COLOURS).convert("RGBA").convert("RGBa"), COLOURS, 0),
    "CMYK": (saved(Image.fromarray(COLOURS).convert("CMYK"), "TIFF"), COLOURS, 0),
    "YCbCr": (Image.fromarray(COLOURS).convert("YCbCr"), COLOURS, 3),
    "I;16B": (Image.frombytes("I;16B", (16, 16), WIDE_GREY.astype(">u2").tobytes()), GREY, 0),
    "(h, w, 2)": (np.dstack([GREY, np.full_like(GREY, 255)]), GREY, 0),
    "(h, w, 4) in [-1, 1]": (np.dstack([COLOURS / 127.5 - 1, np.ones((16, 16))]), COLOURS, 0),
    "(h, w, 4) of 12 bits": (np.dstack([WIDE // 16, FULL // 16]), COLOURS, 1),
    "bfloat16": (torch.tensor(COLOURS).permute(2, 0, 1).div(255).bfloat16(), COLOURS, 1),
    "negative strides": (COLOURS[::-1, ::-1][::-1, ::-1], COLOURS, 0),
    "big-endian": (WIDE.astype(">u2"), COLOURS, 0),
    "a file that was just written": (io.BytesIO(), COLOURS, 0),
    "a file behind something else": (io.BytesIO(b"head" + saved(COLOURS)), COLOURS, 0),
}  # fmt: skip
Image.fromarray(COLOURS).save(SAME["a file that was just written"][0], "PNG")
SAME["a file behind something else"][0].seek(4)


@pytest.mark.parametrize("name", SAME)
def test_what_is_odd_is_read_as_it_is_meant(name):
    source, wanted, off = SAME[name]
    wanted = wanted if wanted.ndim == 3 else wanted[..., None].repeat(3, 2)
    found = read(source)
    assert found.shape == wanted.shape
    assert abs(found - wanted).max() <= off
    assert reading.origin(reading.read(wanted)).rgba is None


def test_one_clear_colour_of_16_bits_is_clear():
    for values in (WIDE_GREY[..., None], WIDE):
        clear = values[3, 5]
        content = png16(values, tRNS=clear.astype(">u2").tobytes())
        alpha = np.asarray(reading.origin(reading.read(content)).rgba)[..., 3]
        np.testing.assert_array_equal(alpha == 0, (values == clear).all(-1))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_upright(format, orientation):
    turns = [None, *(Image.Transpose(k) for k in (0, 3, 1, 5, 2, 6, 4))]  # what undoes orientations 1 to 8
    lying = Image.fromarray(COLOURS[:, :12])
    lying = lying if turns[orientation - 1] is None else lying.transpose(turns[orientation - 1])
    found = read(turned(lying, orientation, format))
    assert found.shape == (16, 12, 3)
    assert abs(found - COLOURS[:, :12]).mean() < 6


def test_a_profile_is_taken_by_what_it_does_and_not_by_its_name():
    named = read(saved(COLOURS, icc_profile=wide_gamut(b"sRGB linear")))
    np.testing.assert_array_equal(named, read(saved(COLOURS, icc_profile=wide_gamut())))
    assert abs(named - COLOURS).max() > 20
    grey = reading.read(saved(GREY, icc_profile=wide_gamut(space=b"GRAY", gamma=1.0)))
    assert abs(np.asarray(grey).astype(int)[..., 0] - GREY).max() > 20
    assert reading.origin(grey).grey


def test_a_profile_of_grey_takes_no_colours_away():
    found = reading.read(saved(COLOURS, icc_profile=wide_gamut(space=b"GRAY")))
    np.testing.assert_array_equal(np.asarray(found), COLOURS)
    assert "taken as sRGB" in reading.origin(found).notes[0]


SEVERAL = dict(save_all=True, append_images=[Image.fromarray(255 - COLOURS)])
TOLD = {
    "a GIF that moves": (saved(Image.fromarray(COLOURS), "GIF", **SEVERAL), "the first is read"),
    "a PNG that moves": (saved(Image.fromarray(COLOURS), "PNG", **SEVERAL), "the first is read"),
    "a WebP that moves": (saved(Image.fromarray(COLOURS), "WEBP", **SEVERAL), "the first is read"),
    "a TIFF of pages": (saved(Image.fromarray(COLOURS), "TIFF", **SEVERAL), "the first is read"),
    "8 bits in 16": (COLOURS.astype(np.uint16), "240 of 65535: it is nearly black"),
    "nan": (np.where(COLOURS > 200, np.nan, COLOURS / 255), "nan is taken as black"),
    "inf": (np.where(COLOURS > 200, np.inf, COLOURS / 255), "inf as white"),
    "a gamma": (SAME["linear PNG"][0], "gamma 1: it is converted to sRGB"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_had_to_be_taken_to_mean_something_is_told(name):
    source, told = TOLD[name]
    found = reading.read(source)
    assert told in "; ".join(reading.origin(found).notes)
    if "several" in told:
        assert abs(np.asarray(found).astype(int) - COLOURS).mean() < 20


def test_nan_is_black_whatever_the_range():
    for scaled in (COLOURS / 255, COLOURS / 127.5 - 1):
        holed = scaled.copy()
        holed[2, 3] = np.nan
        assert read(holed)[2, 3].tolist() == [0, 0, 0]


def closed() -> io.BytesIO:
    file = io.BytesIO(saved(COLOURS))
    file.close()
    return file


REFUSED = {
    "signed bytes": (tiff((GREY.astype(int) - 128).astype(np.int8)), "holds numbers from -128"),
    "a plane for each colour": (np.moveaxis(COLOURS, -1, 0), r"\(h, w\) or \(h, w, 3\).* got uint8 of shape \(3, 16, 16\)"),
    "a batch": (COLOURS[None], r"got uint8 of shape \(1, 16, 16, 3\)"),
    "an array with a mask": (np.ma.masked_array(COLOURS, COLOURS > 9), "says two things"),
    "a record array": (np.zeros((4, 4), [("r", "u1"), ("g", "u1")]), "of numbers; got"),
    "dates": (np.zeros((4, 4), "M8[s]"), "of numbers; got datetime64"),
    "colours last in a tensor": (torch.tensor(COLOURS), r"a tensor of a picture is .* got \(16, 16, 3\)"),
    "a tensor without numbers": (torch.empty(3, 4, 4, device="meta"), "got one that is meta"),
    "a sparse tensor": (torch.eye(4).to_sparse(), "got one that is sparse"),
    "a generator": ((row for row in COLOURS), "got generator"),
    "a closed file": (closed(), "the file of a picture is closed"),
    "a text file": (io.TextIOWrapper(io.BytesIO(saved(COLOURS)), "utf-8"), 'gives text. Open it with "rb"'),
    "no path": ("", "there is no file ''"),
    "a path with a zero": ("a\0b", r"there is no file a\?b"),
    "a path of lines": ("a\nb", r"there is no file a\?b"),
    "a long path": ("x" * 5000, "x… cannot be read: File name too long"),
    "a data URL": ("data:image/png;base64," + "A" * 5000, "cannot be read: File name too long|there is no file data:image"),
    "(1, h, w) in a file": (npy(alone=HOLE[None]), r"got bool of shape \(1, 16, 16\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line_and_says_what_came(name):
    source, told = REFUSED[name]
    with pytest.raises(ImageError, match=told) as caught:
        reading.read(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a é b.JFIF").write_bytes(saved(COLOURS))
    (folder / "._a é b.JFIF").write_bytes(b"what a Mac keeps beside it")
    np.testing.assert_array_equal(read("~/mine/a é b.JFIF"), COLOURS)
    assert [path.name for path in images.folder("~/mine")] == ["a é b.JFIF"]
    assert priors.load("empirical:folder=~/mine,size=8").shape == (3, 8, 8)
    tiny.save(tmp_path / "net", tiny.unet())
    assert priors.load("~/net").name == "~/net"


# ---- masks

NEAR = np.where(HOLE, 140, 110).astype(np.uint8)
MASKS = {
    "16 bits of grey and transparency, 0 and 1": png16(np.dstack([HOLE.astype(np.uint16), FULL])),
    "transparency of 16 bits, 0 and 1": png16(np.dstack([FULL * 0, HOLE.astype(np.uint16)])),
    "white is 0, 16 bits": tiff(np.where(HOLE, 0, 65535).astype(np.uint16), photometric="miniswhite"),
    "La": Image.fromarray(np.dstack([GREY * 0, HOLE * np.uint8(255)])).convert("La"),
    "RGBa": Image.fromarray(np.dstack([COLOURS * 0, HOLE * np.uint8(255)])).convert("RGBa"),
    "HSV": Image.fromarray(HOLE * np.uint8(255)).convert("RGB").convert("HSV"),
    "CMYK": Image.fromarray(HOLE * np.uint8(255)).convert("CMYK"),
    "Lab": lab(Image.fromarray(HOLE * np.uint8(255)).convert("RGB")),
    "fax": saved(Image.fromarray(HOLE), "TIFF", compression="group4"),
    "signed bytes": tiff(HOLE.astype(np.int8)),
    "-1 and 1": HOLE * 2.0 - 1,
    "bfloat16": torch.tensor(HOLE).bfloat16(),
}


@pytest.mark.parametrize("name", MASKS)
def test_odd_masks_are_read_as_they_are_meant(name):
    np.testing.assert_array_equal(read_hole(MASKS[name]), HOLE)


def test_a_jpeg_of_two_greys_that_are_near_is_two_valued():
    near = np.kron(NEAR, np.ones((8, 8), np.uint8))  # whole blocks: nothing rings
    np.testing.assert_array_equal(read_hole(saved(near, "JPEG", quality=85)), np.kron(HOLE, np.ones((8, 8))) > 0)


@pytest.mark.parametrize("source", [np.where(HOLE, np.nan, 0), npy(alone=np.where(HOLE, 1, np.nan)), np.where(HOLE, np.inf, 0)])
def test_numbers_of_a_mask_that_are_not_finite_are_refused(source):
    with pytest.raises(ImageError, match="the mask holds numbers that are not finite; give truth values"):
        read_hole(source)


# ---- on every way in


@pytest.fixture
def ways(home, tmp_path) -> Ways:
    return Ways(home, tmp_path)


FILES = [name for name, (source, *_) in SAME.items() if isinstance(source, bytes)]


@pytest.mark.parametrize("way", WAYS)
def test_odd_files_are_read_alike_on_every_way_in(ways, way):
    for name in FILES:
        found = getattr(ways, way)(SAME[name][0], operator="denoise", sigma_y=0.1)
        np.testing.assert_array_equal(found.picture, read(SAME[name][0]), err_msg=name)
    for name, (source, told) in TOLD.items():
        content = source if isinstance(source, bytes) else npy(alone=source)
        assert told in getattr(ways, way)(content, operator="denoise", sigma_y=0.1).said, name


@pytest.mark.parametrize("way", WAYS)
def test_odd_masks_are_read_alike_on_every_way_in(ways, way):
    for name, source in MASKS.items():
        if isinstance(source, bytes):
            np.testing.assert_array_equal(getattr(ways, way)(saved(COLOURS), source).hole, HOLE, err_msg=name)
    with pytest.raises(RefusedError, match="holds numbers that are not finite"):
        getattr(ways, way)(saved(COLOURS), npy(alone=np.where(HOLE, np.nan, 0.0)))


@pytest.mark.parametrize("way", WAYS)
def test_picture_and_mask_of_a_phone_held_upright(ways, way):
    """Both lie on their side in their files, and each EXIF says so; the mask alone stood up before it was saved."""
    picture, hole = np.kron(COLOURS, np.ones((2, 1, 1), np.uint8)), np.kron(HOLE, np.ones((2, 1))) > 0
    sides = [Image.fromarray(picture), Image.fromarray(hole * np.uint8(255))]
    lying = [turned(side.transpose(Image.Transpose.ROTATE_90), 6) for side in sides]
    for mask in (lying[1], saved(sides[1])):
        found = getattr(ways, way)(lying[0], mask)
        np.testing.assert_array_equal(found.hole, fitting.plan((32, 16), (16, 16)).hole(hole))
    with pytest.raises(RefusedError, match="the mask is 32x16 and the picture 16x32"):
        getattr(ways, way)(lying[0], saved(sides[1].transpose(Image.Transpose.ROTATE_90)))
