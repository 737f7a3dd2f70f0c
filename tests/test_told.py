"""What a damaged picture tells of its damage, a JPEG by its tables and a posterized one by its tones, on every way in."""

import io

import numpy as np
import pytest
import torch
from made import saved, turned
from PIL import Image, ImageOps
from ways import Ways

from redgui import api, files, images, knobs, reading
from redgui.operators import JPEG, Quantize, jpeg, quantize

WAYS = ("python", "command", "http", "page")
ROWS, COLUMNS = np.mgrid[0:16, 0:16]
PICTURE = Image.fromarray(np.stack([COLUMNS * 15, ROWS * 15, 240 - COLUMNS * 6 - ROWS * 6], -1).astype(np.uint8))
GREYS = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
ASKEW = [[3 + 2 * (n // 8) + n % 8 for n in range(64)], [5 + 3 * (n // 8) for n in range(64)]]  # rows and columns differ


@pytest.fixture
def ways(home, tmp_path) -> Ways:
    return Ways(home, tmp_path)


def even(bits: int) -> Image.Image:
    """To the nearest of evenly spaced tones."""
    steps = 2**bits - 1
    return Image.fromarray((np.round(np.round(np.asarray(PICTURE) / 255 * steps) / steps * 255)).astype(np.uint8))


# ---- tones


@pytest.mark.parametrize("bits", range(1, 9))
def test_rounding_down_is_what_pillow_s_posterize_does(bits):
    H, x = Quantize(bits=bits, rounding="down"), images.to_tensor(GREYS, 1)
    y = images.to_tensor(ImageOps.posterize(GREYS, bits), 1)
    torch.testing.assert_close(H(x), y)
    assert float(H.residual(x, y).abs().max()) < 1e-6  # every number lies in its own cell
    if 2 <= bits <= 5:
        assert float(Quantize(bits=bits).residual(x, y).abs().max()) > 0.3 * H.width  # and not in one around its tone
    numbers = torch.arange(256) // 2 ** (8 - bits)
    middles = torch.stack([x.flatten()[numbers == n].mean() for n in range(2**bits)])
    torch.testing.assert_close(H.start(y).flatten(), middles[numbers])


@pytest.mark.parametrize("rounding", ["nearest", "down"])
def test_a_picture_in_its_cells_is_plausible_and_the_outer_walls_are_open(rounding):
    H = Quantize(bits=2, rounding=rounding)
    y = H(images.to_tensor(PICTURE))
    assert float(H.residual(H.plausible(y, torch.Generator().manual_seed(0)), y).abs().max()) < 1e-6
    far = torch.tensor([-9.0, 9.0])
    assert H.residual(far, H(far)).tolist() == [0, 0]


def test_the_fewest_tones_that_a_picture_has_are_told():
    for bits in (1, 2, 3, 5):
        assert quantize.told(ImageOps.posterize(PICTURE, bits)) == {"bits": bits, "rounding": "down"}
        assert quantize.told(even(bits)) == {"bits": bits, "rounding": "nearest"}
    assert quantize.told(PICTURE) == {}
    assert quantize.told(ImageOps.posterize(PICTURE, 2), bits=4) == {"bits": 4, "rounding": "down"}  # said, and true of it
    assert quantize.told(even(2), rounding="down") == {}


# ---- a JPEG


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_tables_of_a_turned_jpeg_are_turned_with_it(orientation):
    rng = np.random.default_rng(0)
    lying = Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = images.read(saved(lying, "JPEG", qtables=ASKEW, subsampling=0, exif=exif))
    upright = images.read(turned(lying, orientation))
    x, y = images.to_tensor(upright), images.to_tensor(source)
    right = JPEG(**jpeg.told(source))
    assert float(right.residual(x, y).square().mean().sqrt()) * 127.5 < 0.5
    if orientation > 4:
        straight = JPEG(**jpeg.told(images.read(saved(lying, "JPEG", qtables=ASKEW, subsampling=0))))
        assert float(straight.residual(x, y).square().mean().sqrt()) * 127.5 > 1


def test_a_picture_that_is_no_longer_the_file_s_tells_nothing():
    source = images.read(saved(PICTURE.resize((40, 48)), "JPEG", quality=30, subsampling=0))
    assert jpeg.told(source) == {"quality": 30, "subsampling": "444"}
    assert jpeg.told(source.resize((32, 32))) == jpeg.told(source.crop((4, 4, 20, 20))) == {}
    lying = Image.Exif()
    lying[0x0112] = 6
    odd = PICTURE.resize((41, 48))
    assert jpeg.told(images.read(saved(odd, "JPEG", quality=30, subsampling=0)))
    assert jpeg.told(images.read(saved(odd, "JPEG", quality=30, subsampling=0, exif=lying))) == {}  # blocks begin elsewhere
    assert jpeg.told(images.read(saved(PICTURE, "JPEG", quality=30, subsampling=1, exif=lying))) == {}  # 4:4:0 now


TOLD = {
    "a JPEG": (saved(PICTURE, "JPEG", quality=33, subsampling=0), JPEG(quality=33, subsampling="444")),
    "a grey JPEG": (saved(PICTURE.convert("L"), "JPEG", quality=40), JPEG(quality=40, subsampling="444")),
    "a JPEG of its own tables": (saved(PICTURE, "JPEG", qtables=ASKEW), None),
    "posterized": (saved(ImageOps.posterize(PICTURE, 2)), Quantize(bits=2, rounding="down")),
    "four tones": (saved(even(2)), Quantize(bits=2)),
    "posterized to 8 tones": (saved(ImageOps.posterize(PICTURE, 3)), Quantize(bits=3, rounding="down")),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_picture_tells_is_taken_on_every_way_in(ways, way):
    for name, (content, wanted) in TOLD.items():
        of = "quantize" if isinstance(wanted, Quantize) else "jpeg"
        found = getattr(ways, way)(content, operator=of, given=True).record.settings.H
        wanted = wanted or JPEG(**jpeg.told(reading.read(content)))
        if of == "jpeg" and wanted.tables:
            assert (found.tables, found.subsampling) == (wanted.tables, wanted.subsampling)
        else:
            assert found == wanted, name


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_that_does_not_tell_is_told_of(ways, way):
    for of, taken in (("jpeg", "quality 10, subsampling 420 is taken"), ("quantize", "bits 2, rounding nearest is taken")):
        found = getattr(ways, way)(saved(PICTURE), operator=of, given=True)
        assert "the picture does not tell its" in found.said
        assert taken in found.said


@pytest.mark.parametrize("way", WAYS[:3])  # on the page a person corrects what was told
def test_what_is_said_counts_more_than_what_is_told(ways, way):
    found = getattr(ways, way)(TOLD["a JPEG"][0], operator="jpeg:quality=60", given=True)
    assert knobs.spec(found.record.settings.H) == "jpeg:quality=60"
    found = getattr(ways, way)(TOLD["posterized"][0], operator="quantize:bits=4", given=True)
    assert knobs.spec(found.record.settings.H) == "quantize:bits=4,rounding=down"
    assert found.said == ""


def test_asking_a_file_does_not_use_it_up(tmp_path):
    (tmp_path / "a.jpg").write_bytes(TOLD["a JPEG"][0])
    call = dict(operator="given:of=jpeg", prior="gaussian:size=16", sampler="reddiff:steps=1", device="cpu")
    with (tmp_path / "a.jpg").open("rb") as opened:
        for source in (opened, io.BytesIO(TOLD["a JPEG"][0]), Image.open(tmp_path / "a.jpg"), tmp_path / "a.jpg"):
            assert knobs.spec(api.restore(source, **call).problem.H) == "jpeg:quality=33,subsampling=444"
    assert files.of_picture("given:of=blur", PICTURE) == ("given:of=blur", ())


def test_on_the_page_a_quality_that_is_chosen_ends_the_tables_of_the_file(home):
    page = home.page()
    page.values |= {"given": True, "operator": "jpeg", "prior": "gaussian:size=16"}
    path = page.upload("a.jpg", TOLD["a JPEG of its own tables"][0]).json()[0]
    tables = page.call("open_picture", picture={"path": path}).outputs["jpeg-tables"]
    assert tables.startswith("8x16:")
    asked = page.call("ask", operator="quantize").toasts  # of a JPEG, which has more tones
    assert "does not tell its Quantisation" in asked[0]
    assert page.call("ask", operator="jpeg").outputs["jpeg-tables"] == tables
