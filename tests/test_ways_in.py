"""Whatever people bring is read alike on every way in: Python, command line, HTTP and page."""

import numpy as np
import pytest
from made import npy, png16, saved, turned, wide_gamut
from PIL import Image, ImageDraw, ImageFilter
from ways import RefusedError, Ways, url

from redgui import fitting, reading
from redgui.asked import undamaged
from redgui.ui.parts import components

WAYS = ("python", "command", "http", "page")
RNG = np.random.default_rng(1)


@pytest.fixture
def ways(home, tmp_path) -> Ways:
    return Ways(home, tmp_path)


def smooth(h: int, w: int) -> Image.Image:
    y, x = np.mgrid[0:h, 0:w]
    return Image.fromarray(np.stack([200 * x / w, 200 * y / h, 220 - 100 * x / w - 100 * y / h], -1).astype(np.uint8))


def boxed(h: int, w: int, inside: int = 255) -> np.ndarray:
    mask = np.zeros((h, w), np.uint8)
    mask[h // 4 : h // 2, w // 3 : 2 * w // 3] = inside
    return mask


def soft(h: int, w: int) -> Image.Image:
    dab = Image.new("L", (w, h))
    ImageDraw.Draw(dab).ellipse((w // 3, h // 3, 2 * w // 3, 2 * h // 3), fill=255)
    return dab.filter(ImageFilter.GaussianBlur(w / 40))


def line(h: int, w: int) -> np.ndarray:
    mask = np.zeros((h, w), np.uint8)
    mask[:, w // 2 + 1] = 255
    return mask


PICTURE = smooth(80, 160)
BOX = np.dstack([boxed(80, 160)] * 3)
ON_CLEAR = np.dstack([np.zeros((80, 160, 3), np.uint8), boxed(80, 160)])
BLUE = np.dstack([np.zeros((80, 160, 2), np.uint8), boxed(80, 160)])
MASKS = {
    "white on black": saved(BOX),
    "0 and 1": saved(boxed(80, 160, 1)),
    "one bit": saved(Image.fromarray(boxed(80, 160) > 0)),
    "16 bits": saved(boxed(80, 160).astype(np.uint16)),
    "black on clear": saved(ON_CLEAR),
    "blue on black": saved(BLUE),
    "npy": npy(alone=boxed(80, 160) > 0),
    "npz": npy(mask=boxed(80, 160) > 0),
    "soft": saved(soft(80, 160)),
    "a thin line": saved(line(80, 160)),
    "twice as large": saved(line(160, 320)),
    "a jpeg": saved(BOX, "JPEG", quality=75),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_read_alike(ways, way, name):
    found = getattr(ways, way)(saved(PICTURE), MASKS[name])
    fitted = fitting.plan((80, 160), (16, 16))
    wanted, _ = fitting.read_mask(MASKS[name], fitted)
    np.testing.assert_array_equal(found.hole, wanted)
    if name not in ("soft", "a thin line", "twice as large"):
        np.testing.assert_array_equal(wanted, fitted.hole(boxed(80, 160) > 0))
    assert reading.share(wanted).lower() in found.said.lower()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", fitting.WAYS)
def test_a_mask_follows_the_fit_of_its_picture(ways, way, fit):
    found = getattr(ways, way)(saved(PICTURE), MASKS["soft"], fit=fit)
    fitted = fitting.plan((80, 160), (16, 16), fit, multiple=1)
    given = way == "page"  # of an own picture on the page what is under the mask is to go, and is no original
    assert found.record.settings.given == given
    seen = undamaged(PICTURE, fitted, found.record.settings.H) if given else PICTURE
    np.testing.assert_array_equal(found.picture, np.asarray(fitted.apply(seen)))
    np.testing.assert_array_equal(found.hole, fitting.read_mask(MASKS["soft"], fitted)[0])


def test_on_the_page_a_mask_follows_its_picture_into_another_fit_whether_given_or_painted(home):
    page = home.page()
    page.call("open_picture", picture={"path": page.upload("a.png", saved(PICTURE)).json()[0]})
    read = page.call("upload_mask", event={"file": url(MASKS["soft"])}).outputs
    page.values |= {"inpaint-kind": "mask", "mask": read["mask"]}
    for fit in ("pad", "stretch", "native", "crop"):
        fitted = fitting.plan((80, 160), (16, 16), fit, multiple=1)
        page.values["mask"] = page.call("refit", fit=fit).outputs["mask"]
        found = components.mask_bits(page.values["mask"], *fitted.size)
        np.testing.assert_array_equal(found, fitting.read_mask(MASKS["soft"], fitted)[0])
    painted = components.mask_value(None, np.eye(16, dtype=bool), page.values["mask"]["version"])  # on the crop
    kept = page.call("refit", fit="pad", mask=painted).outputs["mask"]
    crop, pad = (fitting.plan((80, 160), (16, 16), fit) for fit in ("crop", "pad"))
    wanted = pad.hole(crop.hole_of_picture(np.eye(16, dtype=bool)))
    np.testing.assert_array_equal(components.mask_bits(kept, 16, 16), wanted)


REFUSED = {
    "another aspect": (saved(boxed(80, 80)), "the mask is 80x80 and the picture 160x80"),
    "on its side": (saved(boxed(160, 80)), "the mask is 80x160 and the picture 160x80"),
    "all white": (saved(np.full((80, 160), 255, np.uint8)), "covers the whole picture"),
    "colours on white": (saved(255 - BLUE), "can be understood in two ways"),
    "a photograph": (saved(PICTURE), "looks like a photograph"),
    "no picture": (b"hello" * 9, "not a picture"),
    "several arrays": (npy(a=boxed(80, 160), b=boxed(80, 160)), "holds several arrays"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_mask_that_cannot_be_read_right_is_refused_in_a_line(ways, way, name):
    content, told = REFUSED[name]
    with pytest.raises(RefusedError, match=told):
        getattr(ways, way)(saved(PICTURE), content)


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_mask_is_warned_of(ways, way):
    if way == "page":  # where it has yet to be painted
        with pytest.raises(RefusedError, match=r"it is empty.*Nothing is painted yet"):
            ways.page(saved(PICTURE), saved(np.zeros((80, 160), np.uint8)))
        return
    found = getattr(ways, way)(saved(PICTURE), saved(np.zeros((80, 160), np.uint8)))
    assert not found.hole.any()
    assert "it is empty" in found.said


@pytest.mark.parametrize("way", WAYS[:3])  # the page has a button that inverts what is shown
def test_a_mask_that_says_what_is_kept(ways, way):
    found = getattr(ways, way)(saved(PICTURE), npy(alone=boxed(80, 160) == 0), mask_keep=True)
    np.testing.assert_array_equal(found.hole, fitting.plan((80, 160), (16, 16)).hole(boxed(80, 160) > 0))


@pytest.mark.parametrize("way", WAYS)
def test_a_hole_grows(ways, way):
    found = getattr(ways, way)(saved(smooth(16, 16)), saved(boxed(16, 16)), operator="inpaint:grow=2")
    y, x = np.mgrid[0:16, 0:16]
    rows, cols = np.nonzero(boxed(16, 16))
    near = ((y[..., None] - rows) ** 2 + (x[..., None] - cols) ** 2).min(-1)
    np.testing.assert_array_equal(found.hole, near <= 4)


PICTURES = {
    "turned by EXIF": (turned(smooth(32, 16).transpose(Image.Transpose.ROTATE_90)), smooth(32, 16)),
    "16-bit colours": (png16(np.asarray(smooth(16, 16)).astype(np.uint16) * 257), smooth(16, 16)),
    "12 bits in 16": (png16((np.asarray(smooth(16, 16)) / 220 * 4095).round().astype(np.uint16)), None),
    "grey 12 bits": (saved(np.asarray(smooth(16, 16))[..., 0].astype(np.uint16) * 16), None),
    "float tiff": (saved(Image.fromarray(np.asarray(smooth(16, 16))[..., 0].astype(np.float32) / 127.5 - 1), "TIFF"), None),
    "a wide gamut": (saved(smooth(16, 16), icc_profile=wide_gamut()), None),
    "npy": (npy(alone=np.asarray(smooth(16, 16)) / 255), smooth(16, 16)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_alike(ways, way, name):
    content, wanted = PICTURES[name]
    found = getattr(ways, way)(content, operator="denoise")
    read = reading.read(content)
    np.testing.assert_array_equal(found.picture, np.asarray(fitting.plan((read.height, read.width), (16, 16)).apply(read)))
    if wanted is not None:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(wanted))
    assert found.picture.max() > 150  # nothing is black that was not
    assert ("12 bits" in found.said) == ("12" in name)


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_of_no_known_scale_is_refused(ways, way):
    with pytest.raises(RefusedError, match="holds numbers from 0 to 7"):
        getattr(ways, way)(saved(Image.fromarray(np.linspace(0, 7, 256, dtype=np.float32).reshape(16, 16)), "TIFF"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_nothing_of_what_is_damaged_reaches_the_pixels_that_count_as_measured(ways, way, fit):
    """Resizing mixes pixels: a white scratch under a mask of exactly its size once shone 17 levels beside the hole."""
    clean = smooth(80, 160)
    damaged = np.asarray(clean).copy()
    scratch = line(80, 160) | boxed(80, 160)
    damaged[scratch > 0] = 255
    found = getattr(ways, way)(saved(damaged), saved(scratch), given=True, fit=fit)
    wanted = np.asarray(fitting.plan((80, 160), (16, 16), fit).apply(clean)).astype(int)
    off = abs(found.picture - wanted).max(-1)
    assert off[~found.hole].max() <= 4
    assert off[found.hole].max() <= 40  # what lies in the hole is of no account, and is no scratch either


# ---- what is given back


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (80, 160)])
def test_kept_pixels_are_those_of_the_picture_exactly(ways, way, given, size):
    picture = Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8))
    found = getattr(ways, way)(saved(picture), saved(boxed(*size)), given=given, **({"raw": True} if way == "http" else {}))
    kept = boxed(*size) == 0
    name = "restored.png" if size == (16, 16) else "restored-full.png"
    restored = np.asarray(found.files[name].convert("RGB"))
    if size != (16, 16):  # within the hole of the fitted picture, which is a little more
        kept = ~fitting.plan(size, (16, 16)).hole_of_picture(found.hole)
    np.testing.assert_array_equal(restored[kept], np.asarray(picture)[kept])
    raw = np.asarray(found.files["restored-raw.png"].convert("RGB"))
    assert raw.shape == (16, 16, 3)
    assert (raw != found.picture)[~found.hole].any()  # the sampler itself has changed them
    if "restored.png" in found.files:
        fitted = np.asarray(found.files["restored.png"].convert("RGB"))
        np.testing.assert_array_equal(fitted[~found.hole], found.picture[~found.hole])


@pytest.mark.parametrize("way", WAYS)
def test_with_noise_the_sampler_s_own_picture_is_given_back(ways, way):
    found = getattr(ways, way)(saved(smooth(16, 16)), saved(boxed(16, 16)), sigma_y=0.2)
    restored = np.asarray(found.files["restored.png"])
    assert (restored != found.picture)[~found.hole].any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(16, 16), (40, 60)])
def test_grey_comes_back_grey_unless_its_colours_are_looked_for(ways, way, size):
    grey = smooth(*size).convert("L")
    for mode, operator in (("L", "denoise"), ("RGB", "inpaint")):
        found = getattr(ways, way)(saved(grey.convert(mode)), operator=operator)
        assert {name: image.mode for name, image in found.files.items() if "raw" not in name} == dict.fromkeys(
            (name for name in found.files if "raw" not in name), "L"
        )
    colours = getattr(ways, way)(saved(grey), operator="colorize", given=True).files
    assert {image.mode for name, image in colours.items() if "raw" not in name} == {"RGB"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(16, 16), (40, 60)])
def test_transparency_comes_back(ways, way, size):
    alpha = np.full(size, 255, np.uint8)
    alpha[: size[0] // 2] = np.linspace(0, 255, size[1]).astype(np.uint8)
    layer = np.dstack([np.asarray(smooth(*size)), alpha])
    found = getattr(ways, way)(saved(layer), operator="denoise", sigma_y=0.05)
    largest = found.files["restored.png" if size == (16, 16) else "restored-full.png"]
    assert largest.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(largest)[..., 3], alpha)


@pytest.mark.parametrize("operator", ["blur:size=5", "superres:factor=2", "superres:factor=2,kernel=bicubic", "colorize"])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (40, 60)])
def test_transparency_lies_where_it_lay_where_more_is_restored_than_was_measured(ways, operator, size):
    alpha = np.zeros(size, np.uint8)
    alpha[size[0] // 2 :] = 255
    found = ways.python(saved(np.dstack([np.asarray(smooth(*size)), alpha])), operator=operator, given=True)
    for image in (found.files["restored.png"], found.files.get("restored-full.png", found.files["restored.png"])):
        opaque = np.asarray(image)[..., -1] > 127
        middle = image.height / 2
        edge = np.flatnonzero(opaque[:, image.width // 2]).min()
        assert abs(edge - middle) <= max(1, image.height / size[0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(16, 16), (40, 60)])
def test_what_is_transparent_is_the_hole_of_a_picture_given_without_a_mask(ways, way, size):
    alpha = np.full(size, 255, np.uint8)
    left = size[1] // 2
    alpha[5:9, left : left + 4] = 0
    alpha[4, left : left + 4] = 200  # the edge of a soft eraser
    layer = np.dstack([RNG.integers(0, 256, (*size, 3), dtype=np.uint8), alpha])
    found = getattr(ways, way)(saved(layer), given=True)
    np.testing.assert_array_equal(found.hole, fitting.plan(size, (16, 16)).hole(alpha < 255))
    largest = np.asarray(found.files["restored.png" if size == (16, 16) else "restored-full.png"].convert("RGBA"))
    assert (largest[alpha < 255][:, 3] == 255).all()  # filled in
    kept = ~fitting.plan(size, (16, 16)).hole_of_picture(found.hole)
    np.testing.assert_array_equal(largest[kept], layer[kept])
    assert "fills in" in found.said


@pytest.mark.parametrize("way", WAYS[:3])  # the page shows the box over the picture
def test_no_box_that_nobody_asked_for_is_cut_into_a_damaged_picture(ways, way):
    with pytest.raises(RefusedError, match="nothing says what is missing: give a mask"):
        getattr(ways, way)(saved(smooth(16, 16)), given=True)
    asked = getattr(ways, way)(saved(smooth(16, 16)), given=True, operator="inpaint:kind=box")
    assert asked.hole.any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(16, 16), (40, 60)])
def test_the_result_of_a_picture_with_a_profile_says_srgb(ways, way, size):
    from redgui.reading.profiles import SRGB

    found = getattr(ways, way)(saved(smooth(*size), icc_profile=wide_gamut()), operator="denoise")
    for name, image in found.files.items():
        if "raw" not in name:
            assert image.info.get("icc_profile") == SRGB
