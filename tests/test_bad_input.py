"""Bad input by every way in (reader, command line, page, endpoints): one clear error, nothing lost, nothing left behind."""

import base64
import copy
import io
import json
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from wire import Served, files_in

from redgui import api, images, knobs, presets, priors
from redgui.cli import main
from redgui.errors import RedguiError
from redgui.images import ImageError
from redgui.operators import OPERATORS, Denoise, Inpaint, masks
from redgui.runs.record import Record
from redgui.samplers import SAMPLERS
from redgui.ui.history.entries import entry
from redgui.ui.history.tab import Kept
from redgui.ui.host.limits import HOME
from redgui.ui.parts.components import mask_bits

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
NUMBERS = st.sampled_from(["nan", "inf", "1e400", "-1", "0x10", "", "true", "9" * 400, float("nan"), -1, 2**70, 0.5])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | NUMBERS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=6,
)


def one_line(error: BaseException | str, most: int = 500) -> str:
    """The message of an error, which has to be a line that a person can read."""
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert len(text) <= most, text[:700]
    assert "Traceback" not in text
    return text


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(w: int, h: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that announces w x h pixels, with chunks of one's own."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)), *chunks]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + body


NOISE = Image.effect_noise((64, 64), 80).convert("RGB")
SMALL = NOISE.resize((20, 16))
# Twenty thousand pixels a side: a file of 1.2 MB that is 1.2 GB of pixels.
BOMB = png(20_000, 20_000, (b"IDAT", zlib.compress(bytes(60_001) * 2000, 9)), (b"IEND", b""))
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


# ---- knobs


EVERY = [(cls, k) for cls in (*SAMPLERS, *OPERATORS) for k in knobs.knobs(cls)]


@settings(QUICK, max_examples=150)
@given(st.sampled_from(EVERY), JSON)
def test_any_json_for_a_knob_is_within_its_bounds_or_refused_in_a_line(of, value):
    cls, k = of
    try:
        got = getattr(knobs.build(cls, {k.name: value}), k.name)
    except RedguiError as error:
        one_line(error)
        return
    assert isinstance(got, k.kind)
    assert not k.choices or got in k.choices
    assert k.kind not in (int, float) or k.lo is None or got >= k.lo
    assert k.kind not in (int, float) or k.hi is None or got <= k.hi


@QUICK
@given(st.sampled_from([*(cls.name for cls in (*SAMPLERS, *OPERATORS)), "given", ""]), st.text(max_size=30))
def test_any_text_for_a_spec_is_one_or_refused_in_a_line(name, text):
    for read in (api.parse_operator, lambda spec: presets.sampler_for(spec, Denoise(), 0.0)):
        try:
            read(f"{name}:{text}")
        except RedguiError as error:
            one_line(error)


def test_messages_stay_short_whatever_was_sent():
    for wrong in ("x" * 10**6, ["x" * 10**6], 10**300):
        for name in ("kind", "fraction", "seed", "text"):
            with pytest.raises(RedguiError) as caught:
                knobs.build(Inpaint, {name: wrong})
            one_line(caught.value)
    for spec in ("x" * 10**6, "inpaint:" + "x" * 10**6, "inpaint:" + "x" * 10**6 + "=1"):
        with pytest.raises(RedguiError) as caught:
            api.parse_operator(spec)
        one_line(caught.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"operator": "nothing"}, "there is no degradation 'nothing'"),
        ({"operator": {"a": 1}}, "Degradation is a dropdown"),
        ({"operator": None}, "there is no degradation 'None'"),
        ({"seed": float("nan")}, "seed is a finite number"),
        ({"seed": -1}, "seed lies in"),
        ({"sigma-y": "much"}, "sigma_y is a number, or a part such as 12.75/255; got 'much'"),
        ({"sigma-y": [1]}, "slider of the page"),
        ({"sigma-y": 1e9}, "sigma_y lies in 0 to 1"),
        ({"fit": "zoom"}, "a picture is fitted by"),
        ({"given": "yes"}, "checkbox of the page"),
        ({"prior": "x" * 9000}, "there is no prior"),  # once "File name too long"
        ({"prior": 7}, "there is no prior '7'"),
        ({"inpaint-fraction": True}, "slider of the page"),
        ({"inpaint-kind": "hole"}, "kind is one of"),
    ],
    ids=str,
)
def test_on_the_page_a_value_that_cannot_be_is_one_error_and_the_page_goes_on(home: Served, changed, told):
    page = home.page()
    for handler, where in (("get_ready", "live"), ("preview", "measurement")):
        found = page.call(handler, shows=where, **changed)
        shown = found.outputs.get(where) or {}
        assert told in one_line(found.error or shown.get("message") or shown.get("caption")), handler
    good = page.call("preview", shows="measurement")
    assert good.error is None
    assert good.outputs["measurement"]["src"]


@settings(QUICK, max_examples=8)
@given(st.sampled_from(["operator", "fit", "seed", "sampler", "inpaint-kind", "inpaint-seed", "prior", "mask", "given"]), JSON)
def test_any_json_for_a_control_is_an_outcome_or_an_error_in_a_line(home: Served, name, value):
    page = home.page()
    for handler, where in (("get_ready", "live"), ("choose_sampler", "")):
        found = page.call(handler, shows=where, **{name: value})
        if found.error is not None:
            one_line(found.error)


def test_a_run_that_cannot_be_leaves_the_run_before_it_to_be_gone_on_with(home: Served):
    page = home.page()
    page.values = {"reddiff-steps": 3}
    assert page.call("start", shows="live").outputs["live"]["status"] == "done"
    for steps in (0, float("nan"), "x", 10**9, None):
        wrong = page.call("start", shows="live", **{"reddiff-steps": steps})
        assert "steps" in one_line(wrong.error or wrong.outputs["live"]["message"])
    for more in (-5, float("nan"), "many", True, [1]):
        wrong = page.call("go_on", shows="live", more=more)
        assert one_line(wrong.error or wrong.outputs["live"]["message"])
    again = page.call("go_on", shows="live", more=10).outputs["live"]
    assert (again["status"], again["i"]) == ("done", 13)


# ---- records


def record() -> dict[str, Any]:
    picture = Image.open(api.resolve("example:face-06")).convert("RGB").resize((16, 16))
    made = api.restore(picture, prior="gaussian:size=16", sampler="reddiff:steps=2", device="cpu").record
    return json.loads(made.to_json()) | {"changes": [{"after": 0, "knobs": {"lr": 0.3}}]}


GOOD = record()


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [*([at] if at else []), *(place for key, part in inner for place in places(part, (*at, key)))]


def put(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The JSON value with another one at a path."""
    changed = copy.deepcopy(body)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


@settings(QUICK, max_examples=80)
@given(st.sampled_from(places(GOOD)), JSON)
def test_any_json_anywhere_in_a_record_is_read_or_refused_in_a_line(at, value):
    try:
        found = HOME.record(Record.from_json(json.dumps(put(GOOD, at, value))))
        json.dumps(entry(found, found.problem(), None))
    except RedguiError as error:
        one_line(error)


BAD_RECORDS = [
    ("{", "not valid JSON"),
    (json.dumps(GOOD | {"version": 2}), "is of version 2; this redgui reads version 1. Update redgui."),
    (json.dumps(GOOD | {"colour": 1}), "a field 'colour' that this redgui does not know"),
    (json.dumps(GOOD | {"image": base64.b64encode(BOMB).decode()}), "400 million pixels"),
    (json.dumps(GOOD | {"image": base64.b64encode(png(9, 9)).decode()}), "cannot be read"),
    (json.dumps(GOOD | {"changes": [{"after": 0, "knobs": {"lr": "NaN"}}]}), "lr"),
]


@pytest.mark.parametrize(("text", "told"), BAD_RECORDS, ids=lambda part: part[:20])
def test_a_record_that_cannot_be_is_one_error_by_every_way_and_changes_nothing(home: Served, tmp_path, capsys, text, told):
    (tmp_path / "record.json").write_text(text)
    assert main(["replay", str(tmp_path / "record.json"), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert told in err
    page = home.page()
    before = page.call("preview").outputs["measurement"]
    assert told in one_line(page.call("inspect", event={"record": text}).outputs["history"]["error"])
    opened = page.call("open_record", event={"record": text})
    assert told in one_line(opened.error or "")
    assert opened.outputs == {}
    assert home.host.sessions.of(page.key).state(Kept).opened is None
    assert page.call("preview").outputs["measurement"] == before


# ---- checkpoints


class Code:
    """Unpickled, this would make a directory."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network in diffusers format."""
    folder = tmp_path_factory.mktemp("prior")
    UNet2DModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, down_block_types=("DownBlock2D",), norm_num_groups=4,
        up_block_types=("UpBlock2D",), add_attention=False,
    ).save_pretrained(folder / "unet")  # fmt: skip
    DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder


def copied(prior: Path, to: Path) -> Path:
    for file in files_in(prior):
        place = to / file.relative_to(prior)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    return to


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"conv_in.weight": Code(folder / "trace")}, folder / "unet/diffusion_pytorch_model.bin")


def pickled_as_safetensors(folder: Path) -> None:
    torch.save({"conv_in.weight": Code(folder / "trace")}, folder / WEIGHTS)


def cut_off(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:3000])


def huge_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 2**62) + b"{}")


def other_shapes(folder: Path) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"block_out_channels": [16]}))


@pytest.mark.parametrize("spoil", [pickled, pickled_as_safetensors, cut_off, huge_header, other_shapes])
def test_weights_that_cannot_be_are_one_error_by_every_way_and_run_no_code(home: Served, prior, tmp_path, capsys, spoil):
    folder = copied(prior, tmp_path / "prior")
    spoil(folder)
    assert main(["restore", "example:face-06", "--prior", str(folder), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "cannot be read" in one_line(err.rstrip("\n"))
    page = home.page()
    chosen = page.call("choose_prior", prior=str(folder))
    assert "cannot be read" in one_line(chosen.toasts[0])
    assert chosen.outputs["prior"] == "gaussian:size=16"  # the page is back at what works
    data = ["example:face-06", "blur", 0.0, 0, str(folder), None, False, "crop", None, False, False, None, "gaussian"]
    answer = page.call("degrade", data=data)
    assert "cannot be read" in one_line(answer.error or "")
    assert not (folder / "trace").exists()


@settings(QUICK, max_examples=25)
@given(st.data(), JSON)
def test_any_json_anywhere_in_a_configuration_is_a_prior_or_an_error_in_a_line(prior, data, value):
    file = data.draw(st.sampled_from(["unet/config.json", "scheduler/scheduler_config.json"]))
    good = (prior / file).read_text()
    key = data.draw(st.sampled_from(sorted(json.loads(good))))
    (prior / file).write_text(json.dumps(json.loads(good) | {key: value}))
    try:
        priors._load.cache_clear()
        loaded = priors.load(str(prior), "cpu", "fp32")
        api.restore(SMALL, prior=loaded, operator="denoise", sampler="reddiff:steps=1", device="cpu")
    except RedguiError as error:
        one_line(error)
    finally:
        (prior / file).write_text(good)
