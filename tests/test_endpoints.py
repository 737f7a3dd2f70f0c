"""The named endpoints, over loopback, as docs/api.md has them."""

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from redgui import api, images
from redgui.runs.record import Record

ROOT = Path(__file__).parents[1]
FACE = api.resolve("example:face-06")


@pytest.fixture(scope="module")
def served() -> Iterator[Client]:
    """The app on the closed-form prior, and a client of it."""
    folder = tempfile.mkdtemp(prefix="redgui-tests-")
    os.environ["GRADIO_TEMP_DIR"] = os.environ.get("GRADIO_TEMP_DIR") or folder
    from redgui.ui import build, launch

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = build("gaussian:size=64", device="cpu")
    launch(demo, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, ssr_mode=False)
    yield Client(f"http://127.0.0.1:{port}", verbose=False, download_files=tempfile.mkdtemp(dir=folder))
    demo.close(verbose=False)
    shutil.rmtree(folder, ignore_errors=True)


def pixels(shown: str) -> np.ndarray:
    """Of a data: URL, h w 3."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))).convert("RGB"))


def wrong(client: Client, endpoint: str = "/restore", **call: object) -> str:
    with pytest.raises(AppError) as caught:
        client.predict(**{"picture": "example:face-06", **call}, api_name=endpoint)
    return str(caught.value)


def test_the_three_endpoints_are_named_and_typed_and_no_others(served: Client):
    told = served.view_api(return_format="dict", print_info=False)
    assert set(told["named_endpoints"]) == {"/list", "/degrade", "/restore"}
    assert told["unnamed_endpoints"] == {}
    types = {p["parameter_name"]: p["type"] for p in told["named_endpoints"]["/restore"]["parameters"]}
    texts = [{"type": "number"}, {"type": "string"}, {"type": "null"}]  # auto, or a number in other units: 12.75/255
    assert types["sigma_y"] == {"anyOf": texts}
    assert types["seed"] == {"type": "integer"}
    assert types["fit"] == {"enum": ["crop", "pad", "stretch", "native", "face"]}
    assert len(told["named_endpoints"]["/restore"]["returns"]) == 3


def test_the_snippet_of_the_docs_runs_and_gives_the_pixels_of_the_python_interface(served: Client, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "api.md").read_text()
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []
    snippet = snippet.replace("http://127.0.0.1:7860", served.src.rstrip("/"))
    # More steps than the closed-form prior makes between two pictures.
    snippet = snippet.replace("reddiff:steps=100", "reddiff:steps=900")
    snippet = snippet.replace("it\n    print(", "it\n    seen.append(picture)\n    print(")
    exec(compile(snippet, "docs/api.md", "exec"), {"seen": seen})
    assert len(set(seen)) >= 3
    found = api.restore("example:face-06", operator="superres:factor=4", sampler="reddiff:steps=900", seed=3,
                        prior="gaussian:size=64", device="cpu")  # fmt: skip
    assert np.array_equal(
        images.to_uint8(images.to_tensor(images.read(tmp_path / "restored.png"))), images.to_uint8(found.restored)
    )
    assert Record.read(tmp_path / "record.json").result["pixels_sha256"] == found.record.result["pixels_sha256"]


def test_the_list_is_that_of_the_command_line(served: Client):
    assert served.predict(api_name="/list") == json.loads(json.dumps(api.listing()))


def test_an_upload_and_a_data_url_are_the_same_picture(served: Client):
    sent = "data:image/png;base64," + base64.b64encode(FACE.read_bytes()).decode()
    call = dict(operator="blur", sigma_y=0.1, seed=5, api_name="/degrade")
    (a, told), (b, _) = served.predict(handle_file(FACE), **call), served.predict(sent, **call)
    assert np.array_equal(pixels(a), pixels(b))
    assert told["sigma_y"] == 0.1
    wanted = api.restore(FACE, operator="blur", sigma_y=0.1, seed=5, prior="gaussian:size=64", sampler="reddiff:steps=1")
    assert told["psnr_measurement"] == pytest.approx(wanted.figures["psnr_measurement"])
    assert np.array_equal(pixels(a), images.to_uint8(wanted.problem.H.picture(wanted.problem.y)))


def test_a_mask_a_damaged_picture_a_fit_and_a_file(served: Client, tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    picture, figures, record = served.predict(
        handle_file(FACE), mask=handle_file(tmp_path / "mask.png"), sampler="reddiff:steps=3", as_file=True, api_name="/restore"
    )
    assert np.asarray(Image.open(picture)).shape == (64, 64, 3)
    assert record["operator"]["knobs"]["kind"] == "mask"
    assert record["sampler"]["knobs"]["steps"] == figures["steps"] == 3
    wide = tmp_path / "wide.png"
    Image.open(FACE).convert("RGB").resize((100, 50)).save(wide)
    picture, figures, record = served.predict(
        handle_file(wide),
        operator="denoise",
        given=True,
        fit="pad",
        sigma_y=0.1,
        sampler="reddiff:steps=3",
        api_name="/restore",
    )
    assert pixels(picture).shape == (50, 100, 3)
    assert figures["psnr"] is None
    assert record["given"]
    assert record["fit"] == "pad"


def test_noise_of_another_kind_and_noise_that_is_measured(served: Client, tmp_path):
    call = dict(operator="denoise", noise="poisson:photons=20", seed=5)
    *_, (_, figures, record) = served.submit(handle_file(FACE), sampler="reddiff:steps=2", **call, api_name="/restore")
    wanted = api.restore(FACE, prior="gaussian:size=64", sampler="reddiff:steps=2", **call)
    assert figures["noise"] == record["noise"] == "poisson:photons=20"
    assert record["result"]["pixels_sha256"] == wanted.record.result["pixels_sha256"]
    noisy = tmp_path / "noisy.png"
    face = np.asarray(Image.open(FACE).convert("RGB")) + np.random.default_rng(0).normal(0, 25, (64, 64, 3))
    Image.fromarray(face.clip(0, 255).round().astype(np.uint8)).save(noisy)
    for said in ({}, {"sigma_y": "auto"}):
        _, told = served.predict(handle_file(noisy), operator="denoise", given=True, **said, api_name="/degrade")
        assert told["sigma_y"] == pytest.approx(50 / 255, rel=0.1)
    assert "it would come back as it is" in wrong(served, operator="denoise", given=True, sigma_y=0)


def test_a_cancelled_call_ends_and_frees_its_place(served: Client):
    job = served.submit("example:face-06", sampler="reddiff:steps=5000", api_name="/restore")
    until = time.monotonic() + 20
    while not job.outputs() and time.monotonic() < until:
        time.sleep(0.05)
    job.cancel()
    began = time.monotonic()
    served.predict("example:face-06", sampler="reddiff:steps=1", api_name="/restore")
    assert time.monotonic() - began < 15


def test_errors_come_in_the_words_of_the_command_line(served: Client):
    assert "did you mean 'superres'" in wrong(served, operator="superress")
    assert "steps lies in 1 to 5000; got 0" in wrong(served, sampler="reddiff:steps=0")
    assert "sigma_y is a number, or a part such as 12.75/255; got 'much'" in wrong(served, sigma_y="much")
    assert "particles lies in 1 to 16" in wrong(served, particles=17)
    assert "ΠGDM needs a" in wrong(served, sampler="pigdm", operator="hdr")
    assert "operator is a text" in wrong(served, operator=3)
    assert "given is true or false" in wrong(served, "/degrade", given="yes")
    assert "size is a whole number" in wrong(served, "/degrade", size=1.5)
    assert "there is no prior" in wrong(served, "/degrade", prior="none-of-them")


@pytest.mark.parametrize("picture", [str(FACE), {"path": str(FACE)}, "http://127.0.0.1/a.png", {"path": "http://127.0.0.1/a.png"},
                                     {"path": None, "url": "http://127.0.0.1/a.png"}, 3, "data:image/png,x"])  # fmt: skip
def test_no_path_and_no_address_is_opened(served: Client, picture: object):
    message = wrong(served, "/degrade", picture=picture)
    assert "must be uploaded first" in message or "No path or address" in message or "a data: URL is" in message


def test_a_public_host_offers_the_priors_of_its_list_alone():
    from redgui.priors import PriorError
    from redgui.ui.host.host import Host

    public = Host("faces-64", "cpu", "fp32", public=True)
    assert public.prior_named(None).name == "faces-64"
    for name in (str(ROOT / "assets" / "priors" / "faces-64"), "someone/model", "empirical:folder=/etc"):
        with pytest.raises(PriorError, match="not offered here"):
            public.prior_named(name)


def test_mcp_without_its_package_says_what_to_install():
    hide = (
        "import importlib.util as u, runpy, sys; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'mcp' else f(n, *a)"
    )
    code = f"{hide}; sys.argv = ['app.py', '--mcp']; runpy.run_path('app.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'gradio[mcp]" in done.stderr


def test_a_kernel_is_uploaded_and_no_path_of_the_server_is_read(served: Client, tmp_path):
    taps = np.arange(1.0, 25.0).reshape(4, 6)
    np.save(tmp_path / "k.npy", taps)
    call = dict(picture="example:face-06", operator="blur:kind=file", sigma_y="12.75/255", seed=5, api_name="/degrade")
    shown, figures = served.predict(kernel=handle_file(tmp_path / "k.npy"), **call)
    wanted = api.restore("example:face-06", operator="blur", kernel=taps, sigma_y=0.1, seed=5, prior="gaussian:size=64",
                         sampler="reddiff:steps=1").problem  # fmt: skip
    assert np.array_equal(pixels(shown), images.to_uint8(wanted.H.picture(wanted.y)))
    assert figures["sigma_y"] == 0.1
    assert figures["operator"].startswith("blur:kind=file,taps=7x7:")
    assert "no knob 'path'" in wrong(served, operator=f"blur:kind=file,path={tmp_path / 'k.npy'}")
    assert "there is no kernel" in wrong(served, operator="blur:kind=file")
    assert "one kernel goes with" in wrong(served, operator="inpaint", kernel=handle_file(tmp_path / "k.npy"))


def test_a_damaged_picture_with_a_blur_is_a_frame_over_http_too(served: Client):
    call = dict(picture="example:face-06", operator="blur:kind=disc,size=5", sampler="reddiff:steps=2", given=True)
    *_, last = served.submit(**call, api_name="/restore")
    record = Record.from_json(json.dumps(last[2]))
    assert record.settings.H.border == "valid"
    assert pixels(last[0]).shape == (64, 64, 3)
