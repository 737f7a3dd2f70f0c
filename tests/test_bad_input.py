"""Bad input by every way in (reader, command line, page, endpoints): one clear error, nothing lost, nothing left behind."""

import base64
import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad import BOMB, JSON, QUICK, one_line, png, saved
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from wire import Served, files_in

from redgui import api, images
from redgui.cli import main
from redgui.errors import RedguiError
from redgui.images import ImageError
from redgui.operators import masks
from redgui.ui.parts.components import mask_bits

NOISE = Image.effect_noise((64, 64), 80).convert("RGB")
SMALL = NOISE.resize((20, 16))
TEXT_BOMB = png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)), (b"IDAT", b""), (b"IEND", b""))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><image href="http://127.0.0.1/"/></svg>'
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a picture"),
    "text": (b"hello" * 99, "not a picture"),
    "svg": (SVG, "not a picture"),
    "html after a gif's name": (b"GIF89a<script>alert(1)</script>", "damaged|not a picture"),
    "pdf": (b"%PDF-1.7\n1 0 obj", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run", "not a picture"),  # would start a program
    "png cut off": (saved(NOISE, "PNG")[:900], "damaged or cut off"),
    "jpeg cut off": (saved(NOISE, "JPEG")[:900], "damaged or cut off"),
    "webp cut off": (saved(NOISE, "WEBP")[:900], "damaged|not a picture"),
    "tiff cut off": (saved(NOISE, "TIFF")[:900], "damaged|not a picture"),
    "a bomb of pixels": (BOMB, "400 million pixels; at most 50 million are read"),
    "a bomb of text": (TEXT_BOMB, "damaged"),
    "no pixels": (png(0, 7), "damaged|not a picture"),
}  # fmt: skip

# A zip behind a picture, and a page within its comment: what follows the pixels is nobody's business, and is not kept.
ODD: dict[str, bytes] = {
    "one pixel": saved(Image.new("RGB", (1, 1), "red"), "PNG"),
    "one row": saved(Image.new("RGB", (3000, 1), "red"), "PNG"),
    "cmyk": saved(NOISE.convert("CMYK"), "JPEG"),
    "16 bits": saved(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160), "PNG"),
    "palette": saved(NOISE.convert("P"), "PNG", transparency=0),
    "animated gif": saved(SMALL.convert("P"), "GIF", save_all=True, append_images=[SMALL.rotate(90).convert("P")]),
    "animated webp": saved(SMALL, "WEBP", save_all=True, append_images=[SMALL.rotate(90)]),
    "animated png": saved(SMALL, "PNG", save_all=True, append_images=[SMALL.rotate(90)]),
    "turned": saved(SMALL, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    "picture and zip": saved(SMALL, "PNG") + b"PK\x03\x04" + bytes(100),
    "picture and page": saved(SMALL, "GIF", comment=b"<script>alert(1)</script>"),
}


# ---- pictures: the reader


@pytest.mark.parametrize("name", BAD)
def test_the_reader_has_one_line_for_each(name):
    content, told = BAD[name]
    with pytest.raises(ImageError, match=told) as caught:
        images.read(content)
    one_line(caught.value)


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_a_picture_is_restored(name):
    picture = images.read(ODD[name])
    assert picture.mode == "RGB"
    assert picture.size == ((16, 20) if name == "turned" else Image.open(io.BytesIO(ODD[name])).size)
    for fit in ("crop", "pad"):
        found = api.restore(picture, fit=fit, prior="gaussian:size=16", sampler="reddiff:steps=1", device="cpu")
        assert found.restored.shape == (1, 3, 16, 16)
        assert bool(found.restored.isfinite().all())


FORMS = [saved(SMALL, "PNG"), saved(SMALL, "JPEG"), saved(SMALL.convert("P"), "GIF"), saved(SMALL, "BMP"), saved(SMALL, "TIFF"),
         saved(SMALL, "WEBP"), ODD["animated webp"], ODD["animated png"], ODD["cmyk"], ODD["16 bits"]]  # fmt: skip


@QUICK
@given(st.sampled_from(FORMS), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6), st.integers(0, 30)), max_size=6))
def test_a_file_changed_anywhere_is_a_picture_or_an_error(form, changes):
    content = bytearray(form)
    for at, new, old in changes:
        content[at : at + old] = new
    try:
        assert images.read(bytes(content)).mode == "RGB"
    except ImageError as error:
        one_line(error)


# ---- pictures: the command line, the page, the endpoints


def test_on_the_command_line_each_is_one_line_and_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, (content, told) in BAD.items():
        Path("photo.png").write_bytes(content)
        for words in (["photo.png"], ["example:face-06", "--mask", "photo.png"]):
            assert main(["restore", *words, "--prior", "gaussian:size=16", "--sampler", "reddiff:steps=1"]) == 2, name
            out, err = capsys.readouterr()
            assert out == ""
            assert len(err.splitlines()) == 1, err
            assert re.search(told, err)
            assert "photo.png" in err
    assert files_in(tmp_path) == {tmp_path / "photo.png"}


def test_on_the_page_each_is_a_toast_and_the_page_keeps_what_it_had(home: Served, kept: Path):
    page = home.page()
    mine = page.upload("mine.png", saved(NOISE, "PNG")).json()[0]
    opened = page.call("open_picture", picture={"path": mine})
    assert opened.toasts == []
    shown = page.call("preview").outputs["measurement"]
    session = home.host.sessions.of(page.key)
    source, before = session.source, files_in(kept)
    for name, (content, told) in BAD.items():
        answer = page.upload("photo.png", content)
        refused = page.call("open_picture", picture={"path": answer.json()[0]})
        assert refused.error is None, name
        assert len(refused.toasts) == 1
        assert re.search(told, one_line(refused.toasts[0])), name
        assert Path(refused.outputs["picture"]["path"]).read_bytes() == saved(NOISE, "PNG")
        assert session.source is source
        more = [{"path": page.upload("photo.png", content).json()[0], "meta": {"_type": "gradio.FileData"}}]
        added = page.call("add_pictures", **{"compare-upload": more})
        assert (added.error, len(added.toasts)) == (None, 1), name
        assert re.search(told, one_line(added.toasts[0])), name
        assert not any(row["removable"] for row in added.outputs["compare-pictures"]["rows"])
        assert files_in(kept) == before, name
    assert page.call("preview").outputs["measurement"] == shown
    assert np.array_equal(np.asarray(session.source), np.asarray(NOISE))


def test_a_page_that_closes_takes_its_uploads_along_and_leaves_those_of_others(home: Served, kept: Path):
    one, other, before = home.page(), home.page(), files_in(kept)
    for page in (one, other):
        for name, content in (("same.png", saved(NOISE, "PNG")), (f"{page.key}.png", saved(SMALL, "PNG", compress_level=1))):
            path = page.upload(name, content).json()[0]
            assert page.call("open_picture", picture={"path": path}).toasts == []
    assert {p.name for p in files_in(kept) - before} == {"same.png", f"{one.key}.png", f"{other.key}.png"}
    home.host.sessions.drop(one.key)
    assert {p.name for p in files_in(kept) - before} == {"same.png", f"{other.key}.png"}
    home.host.sessions.drop(other.key)
    assert files_in(kept) == before


def test_an_example_that_somebody_uploads_stays_for_everybody(home: Served):
    page, example = home.page(), home.host.examples[2]
    path = page.upload(example.name, example.read_bytes()).json()[0]
    assert page.call("open_picture", picture={"path": path}).toasts == []
    home.host.sessions.drop(page.key)
    assert Path(path).read_bytes() == example.read_bytes()  # the gallery shows this very file
    assert home.http.get(f"/gradio_api/file={path}").status_code == 200


def test_the_page_tells_the_server_that_it_closed(home: Served):
    page = home.page()
    page.call("preview")
    unloads = [event for event in home.events.values() if event["targets"] and event["targets"][0][1] == "unload"]
    assert len(unloads) == 1
    assert page.key in home.host.sessions._sessions
    page.call("leave")
    assert page.key not in home.host.sessions._sessions
    assert home.demo.delete_cache == (600, 3600)  # for who closes without telling


@pytest.mark.parametrize("way", ["file", "url"])
def test_to_an_endpoint_each_is_its_error_and_nothing_stays(home: Served, kept: Path, way):
    page, before = home.page(), files_in(kept)
    for name, (content, told) in BAD.items():
        if way == "file":
            path = page.upload("photo.png", content).json()[0]
            picture: Any = {"path": path, "meta": {"_type": "gradio.FileData"}}
        else:
            picture = "data:image/png;base64," + base64.b64encode(content).decode()
        data = [picture, "blur", 0.0, 0, None, None, False, "crop", None, False, False, None, "gaussian"]
        answer = page.call("degrade", data=data)
        assert re.search(told, one_line(answer.error or "")), name
        assert files_in(kept) == before, name


# ---- masks


MASKS = {
    "white": ([[255] * 64] * 64, "covers the whole picture"),
    "another size": ([[0, 255], [0, 0]], None),
    "black": ([[0] * 64] * 64, None),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_are_all_or_nothing_or_of_another_size(tmp_path, home: Served, name):
    rows, told = MASKS[name]
    content = saved(Image.fromarray(np.array(rows, np.uint8)), "PNG")
    (tmp_path / "mask.png").write_bytes(content)
    call = dict(mask=tmp_path / "mask.png", prior="gaussian:size=16", sampler="reddiff:steps=1", device="cpu")
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    data = ["example:face-06", "inpaint", 0.0, 0, None, url, False, "crop", None, False, False, None, "gaussian"]
    answer = home.page().call("degrade", data=data)
    if told:
        with pytest.raises(RedguiError, match=told):
            api.restore("example:face-06", **call)
        assert told in one_line(answer.error or "")
        return
    assert api.restore("example:face-06", **call).figures["steps"] == 1  # a black one: all is kept, nothing to fill in
    assert answer.error is None


def editor(bits: np.ndarray) -> dict[str, Any]:
    h, w = bits.shape
    return {"w": w, "h": h, "mask": base64.b64encode(np.packbits(bits).tobytes()).decode(), "version": 1}


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (editor(np.ones((16, 16), bool)), "covers the whole picture"),
        (editor(np.ones((8, 16), bool)), "the mask is 16x8 but the picture 16x16"),
        (None, "there is no mask"),
        ([1], "there is no mask"),
        ({"w": 16, "h": 16, "mask": "A" * 10**6}, "must be 32 bytes"),
        ({"w": float("nan"), "h": 16}, "no valid size"),
        ({"w": 2**31, "h": 2**31, "mask": ""}, "no valid size"),
    ],
    ids=["all", "size", "none", "list", "long", "nan", "huge"],
)
def test_a_mask_of_the_editor_that_cannot_be_is_told_and_a_good_one_works_after_it(home: Served, mask, told):
    page, kind = home.page(), "inpaint-kind"
    bad = page.call("get_ready", shows="live", **{kind: "mask", "mask": mask})
    assert told in one_line(bad.error or bad.outputs["live"]["message"])
    assert bad.error or bad.outputs["run"]["interactive"]  # the page can go on
    good = page.call("get_ready", shows="live", **{kind: "mask", "mask": editor(np.eye(16, dtype=bool))})
    assert (good.error, good.outputs["live"]["status"]) == (None, "waiting")


@QUICK
@given(JSON | st.fixed_dictionaries({"w": JSON, "h": JSON, "mask": JSON}), st.text(max_size=30))
def test_any_json_for_a_mask_is_refused_in_a_line(value, text):
    with pytest.raises(RedguiError) as caught:
        mask_bits(value, 4, 4)
    one_line(caught.value)
    with pytest.raises(RedguiError) as caught:
        masks.decode(text)
    one_line(caught.value)
