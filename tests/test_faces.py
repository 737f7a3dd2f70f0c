"""Faces: found, aligned to the prior's places, restored and laid back; and files written as they came."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from redgui import api, cli, faces, fitting, images, mtcnn, saving
from redgui.faces import PLACES, Face, FaceFitting
from redgui.images import ImageError
from redgui.operators import build
from redgui.runs.record import Record

FAST = dict(prior="gaussian:size=64", sampler="reddiff:steps=3", device="cpu")


def face() -> Image.Image:
    """An example picture on a larger, plain sheet, turned: a portrait without a photograph."""
    example = images.read(api.resolve("example:face-13")).resize((320, 320), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (640, 480), (120, 110, 100))
    sheet.paste(example, (200, 60))
    return sheet


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return face()


def smooth(h: int, w: int) -> Image.Image:
    y, x = np.mgrid[:h, :w]
    return Image.fromarray(np.stack([255 * x // w, 255 * y // h, 60 + 0 * x], -1).astype(np.uint8))


def turned(degrees: float, scale: float, h: int = 300, w: int = 400, at: complex = 200 + 140j) -> FaceFitting:
    """A fitting by a face that lies there, turned and scaled."""
    a = scale * np.exp(1j * np.deg2rad(degrees))
    b = at - a * (32 + 32j)
    box, inner = (0.0, 0.0, float(w), float(h)), (0, 0, 64, 64)
    return FaceFitting("face", (h, w), (64, 64), box, inner, (64, 64), a=complex(a), b=complex(b))


def fit(image: Image.Image, prior: tuple[int, int] = (64, 64), **options) -> fitting.Fitting:
    return fitting.for_picture(image, prior, "face", **options)


# ---- finding ----


@pytest.mark.parametrize("degrees", [0, 17, -25])
def test_a_face_is_found_and_comes_to_the_priors_places_whatever_its_angle(portrait, degrees):
    sheet = portrait.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(120, 110, 100))
    found = faces.find(sheet)
    assert found is not None
    assert found.score > 0.9
    a, _ = found.similarity()
    assert np.rad2deg(np.angle(a)) == pytest.approx(-degrees, abs=6)
    assert abs(a) * 64 == pytest.approx(320, rel=0.12)
    again = faces.find(fit(sheet).apply(sheet))
    assert again is not None
    off = abs(np.array(again.points) - PLACES)  # in pixels of 64; a face has its own proportions
    assert off[:2].max() < 2  # the eyes
    assert off.mean() < 2.2


def test_no_face_is_no_face_and_says_so():
    for nothing in (smooth(200, 300), Image.new("RGB", (30, 1000)), Image.new("RGB", (5, 5))):
        assert faces.find(nothing) is None
        with pytest.raises(ImageError, match="finds no face"):
            fit(nothing)
    with pytest.raises(ImageError, match="square pictures; this one's are 96x64"):
        fit(face(), (64, 96))
    with pytest.raises(ImageError, match="a size goes with the fit native; got face"):
        fitting.for_picture(face(), (64, 64), "face", longest=128)


def test_a_portrait_shows_little_but_a_face(portrait):
    assert faces.portrait(portrait) is not None
    crowd = Image.new("RGB", (2000, 1600), (120, 110, 100))
    crowd.paste(portrait.resize((512, 384)), (900, 700))
    assert faces.find(crowd) is not None
    assert faces.portrait(crowd) is None


def test_the_similarity_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    points = PLACES * (3 + 1j) + 40 + rng.normal(size=5) + 1j * rng.normal(size=5)
    a, b = Face(tuple(complex(p) for p in points), 1.0).similarity()
    rows = np.stack([PLACES, np.ones(5)], 1)
    best = np.linalg.lstsq(rows, points, rcond=None)[0]
    np.testing.assert_allclose([a, b], best, rtol=1e-12)


def test_pyramids_of_boxes_are_thinned_by_overlap_and_the_surest_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10, 0.7], [1, 1, 11, 11, 0.9], [30, 30, 40, 40, 0.8], [0, 0, 4, 4, 0.6]])
    assert mtcnn._apart(boxes, 0.5).tolist() == [1, 2, 3]
    assert mtcnn._apart(boxes, 0.5, within=True).tolist() == [1, 2]  # the small one lies within the surest


# ---- there and back ----


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (0, 3.0), (20, 2.5), (-75, 4.2), (180, 0.6)])
def test_a_smooth_picture_comes_back_with_no_seam(degrees, scale):
    fitted, image = turned(degrees, scale), smooth(300, 400)
    back = fitted.undo(images.to_tensor(fitted.apply(image)), image)
    off = abs(np.asarray(back).astype(int) - np.asarray(image))
    assert off.max() <= 4
    assert off.mean() < 0.3


def test_without_a_turn_it_is_the_picture_itself():
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    fitted = turned(0, 1.0, at=132 + 132j)  # its square begins at a whole pixel
    np.testing.assert_array_equal(np.asarray(fitted.apply(image)), np.asarray(image)[100:164, 100:164])


def test_beyond_the_photo_is_its_edge():
    fitted = turned(0, 2.0, at=0 + 140j)  # half of the square is left of it
    seen = np.asarray(fitted.apply(smooth(300, 400)))
    assert abs(seen[:, :31].astype(int) - seen[:, 30:31]).max() <= 1


def test_the_seam_is_soft_and_far_from_it_nothing_changes():
    fitted, image = turned(30, 2.0), Image.new("RGB", (400, 300), (100, 100, 100))
    back = np.asarray(fitted.undo(torch.ones(1, 3, 64, 64), image)).astype(int)[..., 0]
    assert back[140, 200] == 255
    assert back[5, 5] == 100
    steps = np.maximum(abs(np.diff(back, axis=0)).max(), abs(np.diff(back, axis=1)).max())
    assert steps < 0.25 * 155  # no jump at an edge: SEAM is 16 pixels here


@pytest.mark.parametrize(("degrees", "scale"), [(0, 3.0), (33, 5.3), (-60, 0.8)])
def test_of_a_hole_all_else_stays_bit_for_bit_and_no_speck_of_it_is_lost(degrees, scale):
    fitted, image = turned(degrees, scale), smooth(300, 400)
    drawn = np.zeros((300, 400), bool)
    drawn[138:141, 190:214] = True
    drawn[150, 205] = True  # a speck
    low = fitted.hole(drawn)
    there = fitted.hole_of_picture(low)
    assert there[drawn].all()
    restored = torch.full((1, 3, 64, 64), 0.9)
    back = np.asarray(fitted.undo(restored, image, drawn))
    np.testing.assert_array_equal(back[~drawn], np.asarray(image)[~drawn])
    assert (back[drawn] == 242).all()
    of_small = np.asarray(fitted.undo(restored, image, low))
    np.testing.assert_array_equal(of_small[~there], np.asarray(image)[~there])
    assert (of_small[there] == 242).all()


def test_a_hole_at_the_photos_edge_goes_on_beyond_it():
    fitted, drawn = turned(0, 2.0, at=0 + 140j), np.zeros((300, 400), bool)
    drawn[130:150, :10] = True
    assert fitted.hole(drawn)[:, :31].any(1).sum() == 10
    assert fitted.hole(drawn)[32, :36].all()


# ---- all ways in ----


def test_python_and_the_command_line_take_a_face_and_the_record_replays(portrait, tmp_path, capsys):
    portrait.save(tmp_path / "photo.png")
    mask = np.zeros((480, 640), np.uint8)
    mask[180:200, 330:380] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = api.restore(portrait, mask=tmp_path / "mask.png", fit="face", **FAST)
    assert result.full is not None
    full = np.asarray(result.full)
    np.testing.assert_array_equal(full[mask == 0], np.asarray(portrait)[mask == 0])
    assert (full != np.asarray(portrait)).any(-1)[mask > 0].mean() > 0.8
    assert result.record.settings.fit == "face"
    again, same = api.replay(Record.from_json(result.record.to_json()))
    assert same
    assert torch.equal(again.restored, result.restored)

    words = ["restore", str(tmp_path / "photo.png"), "--mask", str(tmp_path / "mask.png"), "--fit", "face"]
    words += ["--prior", FAST["prior"], "--sampler", FAST["sampler"], "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 3
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "restored-full.png")), full)
    # What the record names as its picture is aligned already, and is taken as it is.
    assert fit(images.to_pil(result.picture)).apply(images.to_pil(result.picture)).size == (64, 64)


def test_a_measurement_of_a_face_is_of_the_measured_size(portrait):
    fitted = fit(portrait, H=build("superres:factor=4"), given=True)
    assert (fitted.size, fitted.solved) == ((16, 16), (64, 64))
    full = fitted.undo(torch.zeros(1, 3, 64, 64), portrait)
    assert full.size == (4 * 640, 4 * 480)


def test_the_networks_are_loaded_when_they_are_asked_for():
    import subprocess
    import sys

    code = "import sys, redgui.api, redgui.fitting; assert not {'redgui.mtcnn', 'redgui.faces'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- files as they came ----


def phone(size=(160, 96), quality=83, orientation=6) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769).update({0xA002: size[0], 0xA003: size[1], 0x829A: 0.01})
    buffer = io.BytesIO()
    smooth(size[1], size[0]).save(buffer, "jpeg", quality=quality, subsampling=2, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [40, 83, 97])
def test_a_jpeg_is_written_with_its_quality_and_exif_upright(quality):
    data = phone(quality=quality)
    came, image = Image.open(io.BytesIO(data)), images.read(data)
    again = Image.open(io.BytesIO(saving.as_it_came(image) or b""))
    assert again.size == image.size == (96, 160)
    assert again.quantization == came.quantization
    exif = again.getexif()
    assert exif.get(0x0112, 1) == 1
    assert exif[0x010F] == "Maker"
    assert dict(exif.get_ifd(0x8769)) == {0xA002: 96, 0xA003: 160, 0x829A: 0.01}
    assert abs(np.asarray(again).astype(int) - np.asarray(image)).max() <= 6


def test_other_files_and_none_are_png_and_broken_exif_is_left_out():
    image = smooth(20, 30)
    for other in (image, images.read(images.encode(image)), images.read(np.asarray(image))):
        assert saving.as_it_came(other) is None
    broken = phone().replace(b"Exif\0\0II*\0", b"Exif\0\0XX*\0").replace(b"Exif\0\0MM\0*", b"Exif\0\0XX\0*")
    written = saving.as_it_came(images.read(broken))
    assert written is not None
    assert not Image.open(io.BytesIO(written)).getexif()
    clear = images.read(phone()).convert("RGBA")
    assert saving.as_it_came(clear) is None  # a JPEG has no transparency


def test_python_writes_the_full_picture_as_it_came(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(phone())
    out = api.restore(tmp_path / "photo.jpg", operator="inpaint:kind=box,fraction=0.2", **FAST).save(tmp_path / "out")
    came = Image.open(out / "restored-full.jpg")
    assert came.size == (96, 160)
    assert came.quantization == Image.open(tmp_path / "photo.jpg").quantization
    assert came.getexif()[0x010F] == "Maker"


def test_the_weights_go_with_their_licence():
    from redgui import bundled

    assert "MIT License" in (bundled.FACES / "LICENSE.MTCNN").read_text()
    assert "facenet-pytorch" in (bundled.FACES / "LICENSE.MTCNN").read_text()
