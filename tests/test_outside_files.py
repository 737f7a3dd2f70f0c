"""Files of others are read as what they are: resized, compressed, grey, clipped, kernels; and noise in other units."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data
from torch import Tensor

from redgui import api, files, fitting, images, knobs
from redgui.errors import RedguiError
from redgui.knobs import KnobError
from redgui.operators import JPEG, OperatorError, build, kernels, packed
from redgui.operators.jpeg import told
from redgui.priors import GaussianPrior
from redgui.runs.record import Record
from redgui.runs.settings import Settings
from redgui.snippets import command, read_link

FAST = dict(prior=GaussianPrior(size=32), sampler="reddiff:steps=2")
LEVEL = 2 / 255
LOPSIDED = np.arange(1.0, 25.0).reshape(4, 6)  # of even sides, and not symmetric


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """A photograph of 240x192."""
    return Image.fromarray(data.astronaut()).crop((40, 20, 280, 212))


def rms(x: Tensor) -> float:
    """In 8-bit levels."""
    return float(x.square().mean().sqrt()) / LEVEL


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", **options)
    return buffer.getvalue()


# ---- made smaller ----


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 8, 16])
def test_pillows_resizing_is_ours_and_a_mirror_is_not_what_lies_beyond(astronaut, factor):
    w, h = 240 // factor, 192 // factor
    image = astronaut.crop((0, 0, factor * w, factor * h))
    x = images.to_tensor(image)
    for way in (image.resize((w, h), Image.Resampling.BOX), image.reduce(factor)):
        # Rounding to whole levels is 0.29; twice, and halves always up, 0.62 at most.
        assert rms(build(f"superres:factor={factor}")(x) - images.to_tensor(way)) < 0.65
    y = images.to_tensor(image.resize((w, h), Image.Resampling.BICUBIC))
    frame = build(f"superres:factor={factor},kernel=bicubic,border=valid")(x)
    assert rms(frame - y[..., 2:-2, 2:-2]) < 0.7  # rounding, and what overshoots is clipped
    # A whole picture has nothing beyond it, but Pillow does not mirror it either: what is around the frame is to be found.
    mirrored = build(f"superres:factor={factor},kernel=bicubic")(x) - y
    assert rms(mirrored[..., 0, :]) > rms(mirrored[..., 2:-2, 2:-2])


@pytest.mark.parametrize("factor", [3, 5, 16])
@pytest.mark.parametrize("kernel", ["mean", "bicubic"])
def test_any_factor_goes_with_a_prior_of_64_pixels(factor, kernel):
    size = 64 // factor
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))
    prior = GaussianPrior(size=64)
    for operator in (f"superres:factor={factor},kernel={kernel}", f"given:of=superres,factor={factor},kernel={kernel}"):
        for picture in (small, small.resize((64, 64))):
            found = api.restore(picture, prior=prior, operator=operator, sampler="ddrm:steps=2")
            assert found.problem.y.shape[-1] == size
            assert found.restored.shape[-1] == (size * factor if "given" in operator else 64)


# ---- JPEG ----


@pytest.mark.parametrize(("number", "name"), [(0, "444"), (1, "422"), (2, "420")])
@pytest.mark.parametrize("quality", [15, 50, 85])
def test_a_jpeg_of_pillow_is_within_its_cells_and_tells_how_it_was_made(astronaut, quality, number, name):
    file = Image.open(io.BytesIO(jpeg(astronaut, quality=quality, subsampling=number)))
    assert told(file) == {"quality": quality, "subsampling": name}
    H, y = JPEG(**told(file)), images.to_tensor(file.convert("RGB"))
    x = images.to_tensor(astronaut)
    assert rms(H.residual(x, y)) < 0.2
    assert float((H(x) - y).abs().mean()) < 0.8 * LEVEL  # our own encoder gives about the same file
    worse = JPEG(quality=quality, subsampling="420" if name == "444" else "444")
    assert rms(worse.residual(x, y)) > (1.2 if name == "444" else 1.8) * rms(H.residual(x, y)) or quality == 85


def test_a_file_with_tables_of_its_own_is_read_by_them(astronaut):
    tables = [[min(255, 3 + n) for n in range(64)], [min(255, 5 + 2 * n) for n in range(64)]]
    raw = jpeg(astronaut, qtables=tables, subsampling=2)
    known = told(Image.open(io.BytesIO(raw)))
    assert known["tables"].startswith("8x16:")
    y, x = images.to_tensor(images.read(raw)), images.to_tensor(astronaut)
    assert rms(JPEG(**known).residual(x, y)) < 0.25 < rms(JPEG(quality=75).residual(x, y))
    with pytest.raises(OperatorError, match="from 1 to 255"):
        JPEG(tables=packed.text(8, 16, bytes(128)))
    with pytest.raises(OperatorError, match="pair of tables"):
        JPEG(tables="nonsense")


def test_blocks_that_are_in_part_beyond_the_picture_say_less(astronaut):
    picture = astronaut.crop((0, 0, 230, 187))
    H = JPEG(quality=20)
    fitted = fitting.plan((187, 230), (64, 64), "native", multiple=8, H=H, given=True)
    H = H.placed(*fitted.solved, fitted.shown)
    file = images.read(jpeg(picture, quality=20))
    x, y = (images.to_tensor(fitted.apply(image)) for image in (picture, file))
    assert rms(H.residual(x, y)) < 0.2
    assert rms(JPEG(quality=20).residual(x, y)) > 0.3  # as if the mirrored blocks had been those of the file


def test_the_file_tells_its_quality_on_the_way_in_and_a_resized_jpeg_is_refused(astronaut, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(astronaut.crop((0, 0, 48, 40)), quality=33, subsampling=0))
    for picture in (tmp_path / "a.jpg", Image.open(tmp_path / "a.jpg")):
        found = api.restore(picture, operator="given:of=jpeg", fit="native", **FAST)
        assert found.figures["operator"] == "jpeg:quality=33,subsampling=444"
    found = api.restore(tmp_path / "a.jpg", operator="given:of=jpeg,quality=60", fit="native", **FAST)
    assert found.problem.H.quality == 60  # what is said counts
    with pytest.raises(OperatorError, match=r"48x40 was to be made 32x32.*multiples of 8"):
        api.restore(tmp_path / "a.jpg", operator="given:of=jpeg", **FAST)
    assert files.of_picture("jpeg", images.read(tmp_path / "a.jpg")) == ("jpeg", ())  # what is simulated is not told of


# ---- grey, clipped ----


def test_a_grey_file_is_luma_and_a_simulated_one_the_mean(astronaut):
    grey, x = astronaut.convert("L"), images.to_tensor(astronaut)
    H = build("colorize").placed(192, 240, (0, 0, 240, 192))
    assert rms(H(x) - H.measurement_of(images.to_tensor(grey))) < 0.35
    assert rms(build("colorize")(x) - H.measurement_of(images.to_tensor(grey))) > 3
    assert build("colorize").placed(192, 240) == build("colorize")
    assert build("colorize:weights=mean").placed(192, 240, (0, 0, 240, 192)).weights == "mean"
    found = api.restore(grey, operator="given:of=colorize", **FAST)
    assert found.figures["operator"] == "colorize:weights=luma"


def test_what_a_file_clips_is_no_misfit_of_the_truth(astronaut):
    x = images.to_tensor(astronaut)
    linear = np.asarray(astronaut, dtype=float) * 2 - 127
    y = images.to_tensor(Image.fromarray(linear.round().clip(0, 255).astype(np.uint8)))
    assert rms(build("hdr").residual(x, y)) < 0.51  # half a level, by which the middle of 256 levels lies beside one


# ---- kernels ----


def test_a_kernel_of_any_size_is_scipys():
    x = np.random.default_rng(0).random((20, 22))
    for k in (LOPSIDED, LOPSIDED[:3], LOPSIDED[:, :5], LOPSIDED[:1, :1], LOPSIDED.astype(np.uint8)):
        H = build("blur:kind=file,taps=" + kernels.encode(kernels.whole(k)))
        assert H.kernel().sum() == pytest.approx(1)
        wanted = ndimage.convolve(x, k / k.sum(), mode="wrap")
        np.testing.assert_allclose(H(torch.tensor(x)[None, None])[0, 0].numpy(), wanted, atol=1e-7)


def test_a_kernel_comes_as_a_picture_an_array_or_a_file(tmp_path):
    grey = Image.fromarray((LOPSIDED * 10).astype(np.uint8))
    grey.save(tmp_path / "k.png")
    grey.convert("RGB").save(tmp_path / "colour.png")
    Image.fromarray((LOPSIDED * 2000).astype(np.uint16)).save(tmp_path / "deep.png")
    np.save(tmp_path / "k.npy", LOPSIDED)
    wanted = kernels.whole(LOPSIDED)
    pictures = [tmp_path / "k.png", tmp_path / "deep.png", str(tmp_path / "colour.png")]
    stored = (tmp_path / "k.npy").read_bytes()
    given = (LOPSIDED, torch.tensor(LOPSIDED), Image.open(tmp_path / "k.png"), io.BytesIO(stored))
    for source in (*pictures, stored, *given):
        np.testing.assert_allclose(kernels.read(source), wanted, atol=1e-7)
    np.testing.assert_allclose(kernels.decode(kernels.encode(wanted)), wanted, atol=1e-8)
    (tmp_path / "odd.npy").write_bytes(b"\x93NUMPY nonsense")
    arrays = ((np.zeros((3, 3)), "white on black"), (np.ones((200, 3)), "1 to 127"), (np.ones(5), "shape"),
              (np.full((3, 3), np.nan), "finite"), (np.array([["a"]]), "numbers"))  # fmt: skip
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    paths = ((tmp_path / "none.png", "no file"), (tmp_path / "odd.npy", "odd.npy is damaged"))
    for bad, message in (*arrays, *paths, (tmp_path / "pickled.npy", "an array of object"), (7, "a path.* got int")):
        with pytest.raises(RedguiError, match=message):
            kernels.read(bad)


def test_records_links_and_commands_hold_the_kernel_and_no_path(tmp_path):
    np.save(tmp_path / "secret.npy", LOPSIDED)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    for spec, kernel in ((f"blur:kind=file,path={tmp_path / 'secret.npy'}", None), ("blur", tmp_path / "secret.npy"),
                         (f"given:of=blur,kind=file,path={tmp_path / 'secret.npy'}", None)):  # fmt: skip
        found = api.restore(picture, operator=spec, kernel=kernel, **FAST)
        np.testing.assert_allclose(found.problem.H.kernel(), kernels.whole(LOPSIDED), atol=1e-7)
        record = Record.from_json(found.record.to_json())
        assert "secret" not in record.to_json()
        assert "secret" not in command(record)
        same, exactly = api.replay(record)
        assert exactly
        assert torch.equal(same.restored, found.restored)
    words = Settings.of(record).words()
    assert read_link(f"?operator={words['operator']}&given=1").H.taps == found.problem.H.taps


def test_only_who_may_read_files_has_paths(tmp_path):
    np.save(tmp_path / "k.npy", LOPSIDED)
    spec = f"blur:kind=file,path={tmp_path / 'k.npy'}"
    assert "taps" in str(files.told(spec))
    assert files.told(spec, paths=False) == spec
    with pytest.raises(KnobError, match="no knob 'path'"):  # as pages, links and calls read it
        Settings.read({"operator": spec})
    for wrong in (dict(operator="inpaint", kernel=LOPSIDED), dict(operator="blur:kind=disc", kernel=LOPSIDED),
                  dict(operator=build("blur"), kernel=LOPSIDED), dict(operator=spec, kernel=LOPSIDED)):  # fmt: skip
        with pytest.raises(RedguiError, match="kernel"):
            api.restore(Image.new("RGB", (32, 32)), **wrong, **FAST)
    with pytest.raises(OperatorError, match="there is no kernel"):
        build("blur:kind=file")


# ---- noise in other units ----


@pytest.mark.parametrize("text", ["12.75/255", "0.05/1", "0.1/2", "0.1", " 3276.75/65535 "])
def test_noise_in_the_units_of_others(text):
    assert Settings.read({"sigma_y": text}).sigma_y == pytest.approx(0.1)
    assert api.restore(Image.new("RGB", (32, 32)), sigma_y=text, **FAST).figures["sigma_y"] == pytest.approx(0.1)


@pytest.mark.parametrize("text", ["12/0", "a/255", "1/2/3", "300/255", "-1/255", "/255"])
def test_noise_that_is_none(text):
    with pytest.raises(KnobError, match=r"12\.75/255|lies in 0 to 2|finite"):
        Settings.read({"sigma_y": text})
    with pytest.raises(KnobError, match="number"):
        knobs.build(type(build("blur")), {"width": "1/2"})  # of a knob whose units nobody else has


def test_the_command_line_takes_a_kernel_and_such_noise(tmp_path):
    np.save(tmp_path / "k.npy", LOPSIDED)
    words = ["restore", "example:face-06", "--prior", "gaussian:size=32", "--sampler", "reddiff:steps=2", "--operator", "blur",
             "--kernel", str(tmp_path / "k.npy"), "--sigma-y", "12.75/255", "--out", str(tmp_path / "out")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "redgui", *words], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["sigma_y"] == 0.1
    assert figures["operator"].startswith("blur:kind=file,taps=7x7:")


def test_a_kernel_that_is_uploaded_on_the_page_becomes_text_and_its_file_goes(kept: Path, monkeypatch):
    import gradio as gr

    from redgui.operators import Blur
    from redgui.ui.parts import controls
    from redgui.ui.parts.controls import Controls
    from redgui.ui.restore import own_kernel

    with gr.Blocks() as demo:
        parts = controls.draw(Blur, "blur", {})
        parts |= own_kernel.draw(parts)
    read = next(event.fn for event in demo.fns.values() if event.fn is not None)
    file = kept / "upload" / "k.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, LOPSIDED)
    updates = read({"path": str(file)})
    assert not file.exists()
    values = {part: getattr(part, "value", None) for part in parts.values()} | updates
    H = Controls(Blur, parts).build(values)
    np.testing.assert_allclose(H.kernel(), kernels.whole(LOPSIDED), atol=1e-7)
    assert Controls(Blur, parts).show(H)[parts["taps"]] == H.taps
    said = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: said.append(text))
    assert parts["taps"] not in read({"path": "/etc/passwd"})  # no file of the server's own
    assert "uploaded" in said[0]
