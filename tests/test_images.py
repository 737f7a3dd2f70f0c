"""Pictures of every kind that people have come in upright and in RGB; what is no picture is one clear error."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redgui import images
from redgui.images import ImageError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(source: bytes | Path) -> np.ndarray:
    return np.asarray(images.read(source))


def two(left: tuple, right: tuple, mode: str = "RGB") -> Image.Image:
    """Two pixels side by side."""
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), left)
    image.putpixel((1, 0), right)
    return image


def png_header(w: int, h: int) -> bytes:
    """A PNG that announces w x h pixels and ends where they should begin."""
    head = b"IHDR" + struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    signature, lengths = b"\x89PNG\r\n\x1a\n", [struct.pack(">I", n) for n in (13, zlib.crc32(head), 1000)]
    return signature + lengths[0] + head + lengths[1] + lengths[2] + b"IDAT"


# ---- tensors ----


def test_every_8_bit_value_survives_the_round_trip():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.stack([values, values.T, 255 - values], -1)
    x = images.to_tensor(Image.fromarray(picture))
    assert x.shape == (1, 3, 16, 16)
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(images.to_uint8(x), picture)
    np.testing.assert_array_equal(pixels(images.encode(x)), picture)


def test_values_beyond_the_range_are_clipped_and_grey_becomes_rgb():
    x = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5)
    np.testing.assert_array_equal(images.to_uint8(x)[0], np.repeat([[0], [0], [128], [255], [255]], 3, 1))


def test_a_tensor_is_upright_and_in_the_order_of_its_channels():
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), RED)
    x = images.to_tensor(image)
    assert x.shape == (1, 3, 2, 3)
    assert x[0, :, 1, 2].tolist() == [1, -1, -1]


def test_fitting_crops_the_middle_or_distorts():
    wide = Image.new("RGB", (40, 10), BLUE)
    wide.paste(RED, (15, 0, 25, 10))
    cropped, stretched = (np.asarray(images.fit(wide, 10, 10, how)) for how in ("crop", "stretch"))
    assert (cropped == RED).all()
    assert tuple(stretched[5, 0]) == BLUE
    assert images.fit(wide, 10, 40) is wide


def test_a_row_of_pictures_of_different_sizes_is_one_sheet():
    x = torch.ones(1, 3, 4, 4)
    assert images.row([x, -x, x[..., :2, :2]]).size == (4 * 3 + 2 * 2, 4)
    assert images.row([x] * 5, per_row=2).size == (4 * 2 + 2, 4 * 3 + 2 * 2)


def test_a_data_url_is_the_file_itself():
    x = torch.zeros(1, 3, 4, 4)
    assert images.data_url(x).startswith("data:image/png;base64,iVBOR")
    assert images.data_url(x, "jpeg").startswith("data:image/jpeg;base64,/9j/")


# ---- files of all kinds ----


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (5, 3)), (6, (3, 0)), (8, (0, 5)), (2, (5, 0))])
def test_photos_are_turned_upright_by_their_exif(orientation, corner):
    image = Image.new("RGB", (6, 4), BLUE)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = images.read(saved(image, "PNG", exif=exif))
    assert upright.size == ((4, 6) if orientation in (6, 8) else (6, 4))
    assert upright.getpixel(corner) == RED


def test_a_picture_with_broken_exif_is_still_a_picture():
    source = saved(Image.new("RGB", (4, 4), RED), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff" + b"\x12\x01" * 20)
    assert pixels(source).shape == (4, 4, 3)


def test_transparency_lies_on_white():
    half = saved(two((255, 0, 0, 255), (255, 0, 0, 0), "RGBA"), "PNG")
    assert pixels(half).tolist() == [[[*RED], [*WHITE]]]
    grey = saved(two((10, 255), (10, 0), "LA"), "PNG")
    assert pixels(grey).tolist() == [[[10, 10, 10], [*WHITE]]]


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    assert pixels(saved(image, "PNG")).tolist() == [[[*RED], [*GREEN]]]
    assert pixels(saved(image, "PNG", transparency=1)).tolist() == [[[*RED], [*WHITE]]]
    assert pixels(saved(image, "GIF", transparency=1)).tolist() == [[[*RED], [*WHITE]]]


def test_a_colour_declared_transparent_in_rgb_lies_on_white():
    assert pixels(saved(two(RED, GREEN), "PNG", transparency=GREEN)).tolist() == [[[*RED], [*WHITE]]]


@pytest.mark.parametrize("values", [[0, 32768, 65535], [0, 100, 200], [0, 1, 1]])
def test_16_bits_are_scaled_to_8_whatever_the_brightest_pixel(values):
    # A dark one was once taken for 8 bits, and a nearly black one for a mask.
    image = Image.fromarray(np.array([values], dtype=np.uint16))
    wanted = [[[round(v / 257)] * 3 for v in values]]
    assert pixels(saved(image, "PNG")).tolist() == wanted
    assert pixels(saved(image, "TIFF")).tolist() == wanted


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_pictures_are_scaled_by_what_their_white_seems_to_be(white):
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0, -0.04]], dtype=np.float32) * white)
    assert pixels(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255, 0]


def test_a_float_picture_with_holes_is_read():
    image = Image.fromarray(np.array([[np.nan, 1.0]], dtype=np.float32))
    assert pixels(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 255]


def test_grey_bilevel_and_cmyk_become_rgb():
    assert pixels(saved(Image.new("L", (1, 1), 77), "PNG")).tolist() == [[[77] * 3]]
    assert pixels(saved(Image.new("1", (1, 1), 1), "PNG")).tolist() == [[[255] * 3]]
    cmyk = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    assert Image.open(io.BytesIO(cmyk)).mode == "CMYK"
    np.testing.assert_allclose(pixels(cmyk)[4, 4], RED, atol=6)


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (3, 3), c) for c in (RED, GREEN, BLUE)]
    source = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert (pixels(source) == RED).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_every_format_is_read_from_bytes_and_from_a_file(tmp_path, format):
    source = saved(Image.new("RGB", (9, 7), (200, 40, 40)), format)
    path = tmp_path / "file"  # by content, not by suffix
    path.write_bytes(source)
    for picture in (pixels(source), pixels(path), pixels(str(path))):
        assert picture.shape == (7, 9, 3)
        np.testing.assert_allclose(picture[3, 4], (200, 40, 40), atol=4)


# ---- what cannot be read ----


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a picture"),
        (b"hello, this is a text\n" * 50, "not a picture"),
        (b"%PDF-1.4\n", "not a picture"),
        (saved(Image.effect_noise((64, 64), 80).convert("RGB"), "PNG")[:600], "damaged"),
        (saved(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")[:600], "damaged"),
        (png_header(8, 8), "damaged"),
    ],
    ids=["empty", "text", "pdf", "png cut off", "jpeg cut off", "header only"],
)
def test_what_is_no_picture_is_one_clear_error(tmp_path, content, told):
    path = tmp_path / "upload.png"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ImageError, match=told) as caught:
            images.read(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"upload\.png"):
        images.read(path)


@pytest.mark.parametrize(("w", "h"), [(10_000, 6_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_by_the_header_alone(w, h):
    with pytest.raises(ImageError, match=r"at most 50 million|too large"):
        images.read(png_header(w, h))


def test_a_missing_file_and_a_folder_say_what_they_are(tmp_path):
    with pytest.raises(ImageError, match="no file"):
        images.read(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="directory"):  # once "damaged or cut off"
        images.read(tmp_path)
    with pytest.raises(ImageError, match="folder"):
        images.folder(tmp_path / "nothing")


def test_damaged_files_never_raise_anything_but_an_image_error():
    """Bytes changed at random: each file is read or refused."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.effect_noise((24, 24), 80)
    refused = 0
    for format in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        good = np.frombuffer(saved(noise.convert("P" if format == "GIF" else "RGB"), format, exif=exif), np.uint8)
        for _ in range(25):
            bad = good.copy()
            bad[rng.integers(0, min(len(bad), 200), 4)] = rng.integers(0, 256, 4)
            try:
                assert images.read(bad.tobytes()).mode == "RGB"
            except ImageError:
                refused += 1
    assert refused > 20


def test_a_folder_lists_its_pictures_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", "c.webp"):
        (tmp_path / name).touch()
    assert [p.name for p in images.folder(tmp_path)] == ["a.JPG", "b.png", "c.webp"]
