"""Pictures of every kind of depth, colour and transparency, and by every door, are read as they are meant."""

import io
import sys

import numpy as np
import pytest
import torch
from made import npy, png16, saved, tiff, turned, wide_gamut
from PIL import Image, ImageCms

from redgui import reading
from redgui.reading import ImageError, files, profiles

RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WIDE = COLOURS.astype(np.uint16) * 257


def pixels(source) -> np.ndarray:
    return np.asarray(reading.read(source))


# ---- doors ----


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1)


@pytest.mark.parametrize(
    "door",
    [
        Image.fromarray, saved, lambda a: io.BytesIO(saved(a)), lambda a: bytearray(saved(a)),
        lambda a: Image.open(io.BytesIO(saved(a))), lambda a: npy(alone=a), lambda a: npy(picture=a),
        lambda a: a, lambda a: a[::-1][::-1], np.asfortranarray, lambda a: a.astype(np.int64),
        lambda a: a.astype(np.uint16) * 257, lambda a: np.dstack([a, np.full(a.shape[:2], 255, np.uint8)]),
        lambda a: a / 255, lambda a: (a / 255).astype(np.float32), lambda a: a.astype(np.float32), lambda a: a / 127.5 - 1,
        as_tensor, lambda a: as_tensor(a)[None], lambda a: as_tensor(a).float() / 255,
        lambda a: as_tensor(a)[None].float() / 127.5 - 1,
    ],
)  # fmt: skip
def test_one_picture_by_every_door(door):
    np.testing.assert_array_equal(pixels(door(COLOURS)), COLOURS)


def test_paths_of_both_kinds_and_an_open_file(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(saved(COLOURS))
    with path.open("rb") as file:
        for source in (path, str(path), file):
            np.testing.assert_array_equal(pixels(source), COLOURS)


GREY = COLOURS[..., 0]


@pytest.mark.parametrize("array", [GREY, GREY[..., None], GREY / 255, torch.tensor(GREY)[None]])
def test_grey_arrays(array):
    np.testing.assert_array_equal(pixels(array), COLOURS[..., :1].repeat(3, 2))
    assert reading.origin(reading.read(array)).grey


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "a picture is a path, bytes, .* got NoneType"),
        (3, "got int"),
        ({"path": "a"}, "got dict"),
        ([[0, 1]], "got list"),
        (np.zeros((3, 5, 7)), r"an array of a picture is .* got float64 of shape \(3, 5, 7\)"),
        (np.zeros((4, 4), complex), "of numbers; got complex128"),
        (np.array([["a"]]), "of numbers; got <U1"),
        (np.zeros((0, 4)), "no pixels"),
        (np.full((4, 4), 3.0), "holds numbers from 3 to 3"),
        (np.array([[-900, 3000]]), "holds numbers from -900 to 3000"),
        (torch.zeros(2, 3, 4, 4), r"a tensor of a picture is .* got \(2, 3, 4, 4\)"),
        (io.StringIO("text"), 'gives text. Open it with "rb"'),
        (npy(a=COLOURS, b=COLOURS), r"holds several arrays \(a, b\)"),
        (npy(alone=np.array([object()])), "holds an array of object"),
        (npy(alone=COLOURS)[:-9], "cut off"),
    ],
)
def test_what_is_no_picture_is_one_line_at_every_door(source, told):
    with pytest.raises(ImageError, match=told) as caught:
        reading.read(source)
    assert "\n" not in str(caught.value)


def test_an_array_that_announces_too_much_is_refused_unread():
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|b1", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(ImageError, match="1000000x1000000; at most 50 million"):
        reading.read(head.getvalue())


def test_a_picture_of_pillow_is_turned_as_its_file_is():
    content = turned(Image.fromarray(COLOURS))
    np.testing.assert_array_equal(pixels(Image.open(io.BytesIO(content))), pixels(content))
    assert pixels(content).shape == (9, 6, 3)


def test_what_was_read_is_not_read_again_and_knows_where_it_came_from():
    content = saved(Image.fromarray(COLOURS), "JPEG", quality=70, subsampling=2, exif=turned_exif())
    once = reading.read(content)
    assert reading.read(once) is once
    origin = reading.origin(once)
    assert (origin.format, origin.grey, origin.rgba, origin.profile, origin.notes) == ("JPEG", False, None, None, ())
    again = Image.open(io.BytesIO(saved(once, "JPEG", exif=origin.exif, **origin.jpeg)))
    assert again.quantization == Image.open(io.BytesIO(content)).quantization
    assert again.getexif().get(0x010F) == "Maker"
    assert 0x0112 not in again.getexif()  # upright already
    assert reading.origin(once.resize((3, 3))).format == "JPEG"


def turned_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "Maker"
    return exif


# ---- depth ----


@pytest.mark.parametrize("top", [65535, 4095])
@pytest.mark.parametrize("kind", ["png", "tiff", "grey png", "grey tiff", "array", "lazily opened"])
def test_12_and_16_bits_keep_their_scale(kind, top):
    exact = RNG.integers(0, top + 1, (8, 7, 3)).astype(np.uint16)
    exact[0, 0] = top
    if kind.startswith("grey"):
        exact = exact[..., 0]
        source = saved(exact, kind.split()[1])
    elif kind == "tiff":
        source = tiff(exact)
    else:
        source = {"png": png16, "array": lambda a: a, "lazily opened": lambda a: Image.open(io.BytesIO(png16(a)))}[kind](exact)
    wanted = (exact / top * 255).round()
    np.testing.assert_array_equal(pixels(source), wanted if exact.ndim == 3 else wanted[..., None].repeat(3, 2))
    notes = reading.origin(reading.read(source if not isinstance(source, Image.Image) else exact)).notes
    assert any("12 bits" in note for note in notes) == (top == 4095)


def test_16_bits_with_transparency():
    exact = np.dstack([WIDE, np.full(WIDE.shape[:2], 65535, np.uint16)])
    exact[0, 0, 3] = 0
    found = reading.read(png16(exact))
    assert found.getpixel((0, 0)) == (255, 255, 255)
    np.testing.assert_array_equal(np.asarray(found)[1:], COLOURS[1:])
    np.testing.assert_array_equal(np.asarray(reading.origin(found).rgba)[..., :3], COLOURS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [lambda u: u, lambda u: 2 * u - 1, lambda u: 255 * u, lambda u: 65535 * u])
def test_float_tiffs_are_recognised(scale, channels):
    unit = np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 12)
    unit = unit if channels == 1 else np.stack([unit, unit[::-1], unit[:, ::-1]], -1)
    found = pixels(tiff(scale(unit).astype(np.float32)))
    np.testing.assert_array_equal(found if channels == 3 else found[..., 0], (unit * 255).round())


@pytest.mark.parametrize("values", [[0, 7.5], [-3, 1], [-200, 255], [0, 1e9]])
def test_float_tiffs_of_no_known_scale_are_refused_with_their_range(values):
    with pytest.raises(ImageError, match=r"holds numbers from .* scale them to one of these"):
        reading.read(tiff(np.array([values], np.float32)))


# ---- colour ----


def test_a_profile_is_converted_to_srgb():
    profile = wide_gamut()
    flat = np.full((4, 4, 3), (90, 180, 60), np.uint8)
    found = reading.read(saved(flat, icc_profile=profile))
    # By the profile's own mathematics: linear light, its primaries, XYZ (D50), those of sRGB, the curve of sRGB.
    to_xyz = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    linear = (np.linalg.inv(srgb) @ to_xyz @ (np.array([90, 180, 60]) / 255) ** 2.2).clip(0, 1)
    wanted = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert abs(np.asarray(found)[0, 0] - wanted).max() < 2
    assert abs(wanted - (90, 180, 60)).max() > 20  # to take it for sRGB would be seen
    profile = ImageCms.ImageCmsProfile(io.BytesIO(reading.origin(found).profile))
    assert ImageCms.getProfileDescription(profile).startswith("sRGB")


def test_srgb_itself_stays_to_the_bit_and_a_broken_profile_is_told():
    np.testing.assert_array_equal(pixels(saved(COLOURS, icc_profile=profiles.SRGB)), COLOURS)
    broken = reading.read(saved(COLOURS, icc_profile=b"no profile" * 20))
    np.testing.assert_array_equal(np.asarray(broken), COLOURS)
    assert "taken as sRGB" in reading.origin(broken).notes[0]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGB"])
def test_grey_is_known_in_every_mode(mode):
    grey = Image.fromarray(COLOURS[..., 0]).convert(mode)
    assert reading.origin(reading.read(saved(grey))).grey
    assert not reading.origin(reading.read(saved(COLOURS))).grey


def test_transparency_is_kept_beside_the_picture_with_its_own_colours():
    layer = np.dstack([COLOURS, np.linspace(0, 255, 54).reshape(6, 9).astype(np.uint8)])
    origin = reading.origin(reading.read(saved(layer)))
    np.testing.assert_array_equal(np.asarray(origin.rgba), layer)
    assert reading.origin(reading.read(saved(layer)).crop((0, 0, 3, 3))).rgba is None  # of another size: of another picture


# ---- formats ----


@pytest.mark.skipif("AVIF" not in files._formats(), reason="this Pillow reads no AVIF")
def test_avif_is_read():
    flat = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    assert abs(pixels(saved(flat, "AVIF", quality=95)).astype(int) - flat).max() < 6


def test_heic_is_read_or_says_what_to_install(monkeypatch):
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    monkeypatch.setattr(Image, "OPEN", {name: how for name, how in Image.OPEN.items() if name != "HEIF"})
    with pytest.raises(ImageError, match="HEIC picture, which needs a package: pip install pillow-heif"):
        reading.read(head)


def test_heic_of_a_phone():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    flat = np.full((64, 48, 3), (200, 40, 90), np.uint8)
    assert abs(pixels(saved(flat, "HEIF", quality=95)).astype(int) - flat).max() < 6
