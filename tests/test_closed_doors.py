"""What strangers cannot reach: files of the machine, addresses, priors that are not listed, code that would run."""

import ast
import http.client
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image
from wire import Served, degrade, restore

from redgui import priors
from redgui.priors import hub

ROOT = Path(__file__).parents[1]
FACE = ROOT / "assets/examples/face-06.png"
SECRET = "of nobody's business"


# ---- files of the machine


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private picture, outside of the app's folders."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    Image.open(FACE).save(path)
    return path


ROUTES = ("/gradio_api/file=", "/static/")


@pytest.mark.parametrize("host", ["home", "public"])
def test_no_file_outside_of_the_uploads_is_served(request, host, secret, kept):
    served: Served = request.getfixturevalue(host)
    aside = kept.parent / "beside.txt"
    aside.write_text(SECRET)
    inside = "x/" * 3
    wanted = [
        "/etc/passwd", "../../../../etc/passwd", f"{kept}/../beside.txt", f"{kept}/{inside}../../../../beside.txt", str(secret),
        "app.py", str(ROOT / "app.py"), "redgui/api.py", str(ROOT / "assets/priors/faces-64/unet/config.json"), ".git/config",
        "file:///etc/passwd", "\\\\host\\share\\x", "%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd", str(kept), f"{kept}/",
        "/proc/self/environ",
    ]  # fmt: skip
    raw = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=60)  # which leaves ../ as it is
    for path in wanted:
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/") if path.count("..") else ROUTES:
            raw.request("GET", f"{route}{path}")
            answer = raw.getresponse()
            assert SECRET.encode() not in answer.read()
            assert answer.status in (400, 403, 404, 422), (route, path)
    raw.close()
    aside.unlink()
    config = served.http.get("/config").text
    assert str(ROOT) not in config  # nor does the page tell where the app lies


def test_an_uploads_name_leads_nowhere_else(home: Served, kept: Path):
    names = ["../../../x.png", "/etc/cron.d/x", "..\\..\\x.png", "..", ".", "a/../../b.png", "x" * 4000 + ".png", "con\x01.png"]
    for name in names:
        answer = home.page().upload(name, FACE.read_bytes())
        if answer.status_code == 200:
            path = Path(answer.json()[0])
            assert path.resolve().is_relative_to(kept.resolve())
            assert ".." not in path.parts
            path.unlink()
    assert not any((folder / name).exists() for folder in kept.parents for name in ("x.png", "b.png"))
    assert not Path("/etc/cron.d/x").exists()


def test_uploads_that_a_browser_would_run_are_handed_out_as_downloads(home: Served):
    for name, content in {"x.html": b"<script>alert(1)</script>", "x.svg": b"<svg onload='alert(1)'/>", "x.js": b"1"}.items():
        path = home.page().upload(name, content).json()[0]
        answer = home.http.get(f"/gradio_api/file={path}")
        assert answer.headers["content-disposition"].startswith("attachment"), name
        assert answer.headers["content-type"].startswith("application/octet-stream")
        Path(path).unlink()


def test_a_call_that_names_a_file_of_the_machine_is_refused(home: Served, secret):
    page = home.page()
    for path in (str(secret), "/etc/passwd", str(FACE), "../x.png", "", None, 3):
        for picture in ({"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}):
            assert degrade(page, picture).error
            assert degrade(page, "example:face-06", mask=picture).error
        opened = page.call("open_picture", picture={"path": path})
        assert opened.toasts or not path or opened.error
        added = page.call("add_pictures", **{"compare-upload": [{"path": path, "meta": {"_type": "gradio.FileData"}}]})
        assert added.error or (added.toasts and not any(row["removable"] for row in added.outputs["compare-pictures"]["rows"]))
        assert home.host.sessions.of(page.key).files == set()


# ---- addresses


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and what was asked of it."""
    asked: list[str] = []

    class Noted(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(FACE.read_bytes())

        def do_HEAD(self) -> None:
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Noted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_no_address_that_a_caller_names_is_fetched(home: Served, canary):
    url, asked = canary
    page = home.page()
    meta = {"_type": "gradio.FileData"}
    for picture in (url, {"path": url}, {"path": None, "url": url}, {"path": "x.png", "url": url, "meta": meta},
                    {"path": url, "url": url, "meta": meta, "is_stream": True}):  # fmt: skip
        assert degrade(page, picture).error
        page.call("open_picture", picture=picture)
        page.call("get_ready", shows="live", picture=picture, mask=picture, prior=url)
    for route in (f"file={url}/a.png", f"proxy={url}/a", f"proxy={url.replace('http://', '')}", f"file=//{url[7:]}/a"):
        assert home.http.get(f"/gradio_api/{route}").status_code in (400, 403, 404)
    assert asked == []


CLOSED = ("process_recording", "stream/x", "component_server", "vibe-edit", "deep_link?session_hash=x", "run-history/buckets",
          "dev/reload", "custom_component/x/client/component/y", "file=http://example.org/a.png", "file=https://example.org/a",
          "proxy=http://example.org")  # fmt: skip


@pytest.mark.parametrize("route", CLOSED)
def test_gradios_routes_that_the_app_does_not_use_are_not_there(public: Served, route):
    for method, before in (("GET", ""), ("POST", ""), ("GET", "/some/where")):
        answer = public.http.request(method, f"{before}/gradio_api/{route}")
        assert (answer.status_code, answer.json()["error"]) == (404, "this app has no such route.")
    assert public.http.get("/monitoring/summary").status_code == 403


# ---- priors and code


FOREIGN = ("someone/model", "empirical:folder=/etc", "../x", "/etc", "gaussian:size=512", "faces-64:label=1",
           "./assets/priors/photos", {"a": 1}, ["x"], "x" * 9000)  # fmt: skip


def test_on_a_public_host_no_event_reaches_a_prior_that_is_not_listed(public: Served, monkeypatch):
    loaded: list[str] = []
    real = priors._load
    monkeypatch.setattr(priors, "_load", lambda name, *more: (loaded.append(name), real(name, *more))[1])
    monkeypatch.setattr(hub, "download", lambda name: loaded.append(name))
    handlers = {}
    for number, fn in public.demo.fns.items():
        if any(getattr(part, "elem_id", "") == "prior" for part in fn.inputs):
            handlers.setdefault((fn.fn.__name__, fn.fn.__qualname__), number)
    assert len(handlers) > 15
    page = public.page()
    for (name, _), _number in handlers.items():
        for prior in FOREIGN[:2] if name in ("tune", "preview", "get_ready") else FOREIGN[:1]:
            page.call(name, prior=prior, event={"record": "{}", "query": "?x=1", "name": "x", "sigma": 1.0, "index": 0})
    for prior in FOREIGN:
        assert degrade(page, "example:face-06", prior=prior).error
        assert restore(page, "reddiff:steps=1", prior=prior).error
    assert set(loaded) <= {"gaussian", "faces-64"}, loaded


def test_a_record_or_a_link_that_names_a_folder_is_refused_on_a_public_host(public: Served, home: Served):
    from bad import GOOD

    page = public.page()
    for prior in ("/etc", "someone/model"):
        opened = page.call("open_record", event={"record": json.dumps(GOOD | {"prior": prior})})
        assert "is not offered here" in (opened.error or "")
        linked = page.call("open_link", event={"query": f"?example=face-06&prior={prior}&operator=blur&sampler=reddiff"})
        assert "cannot be opened" in (linked.error or "")
    at_home = home.page().call("open_link", event={"query": "?example=face-06&prior=/etc&operator=blur&sampler=reddiff"})
    assert "cannot be opened" in (at_home.error or "")


RUNS = ("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "os.system", "os.popen", "yaml.load",
        "spec.loader.exec_module")  # fmt: skip


def test_nothing_in_the_package_unpickles_evaluates_or_starts_programs():
    # What the app's own process has pickled, in memory of its own.
    # A plugin is code that the person at the machine has named, or installed.
    allowed = {("plugins.py", "spec.loader.exec_module"), ("zero_gpu.py", "pickle.loads"), ("remote.py", "pickle.loads")}
    found = set()
    for path in (*ROOT.glob("redgui/**/*.py"), ROOT / "app.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
            if name == "np.load":
                assert any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords), path
            if name in RUNS or name.startswith(("subprocess.", "marshal.", "shelve.", "dill.")):
                found.add((path.name, name))
            assert not any(k.arg == "trust_remote_code" for k in node.keywords), path
    assert found <= allowed
    for path in ROOT.glob("redgui/ui/*/*.js"):
        dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert not re.search(dangerous, path.read_text()), path


def test_a_training_checkpoint_with_code_in_it_is_refused(tmp_path):
    from bad import Code

    from redgui.train import state
    from redgui.train.recipe import TrainError

    for content in ({"version": 1, "more": Code(tmp_path / "trace")}, [1]):
        torch.save(content, tmp_path / "checkpoint.pt")
        with pytest.raises(TrainError, match=r"cannot be read|holds no state"):
            state.load(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_what_a_stranger_wrote_is_text_on_the_page(home: Served):
    evil = "<img src=x onerror=alert(1)>"
    page = home.page()
    noted = page.call("describe", **{"sweep-rows-values": evil})
    assert "<img" not in json.dumps(noted.outputs)
    assert noted.error is None
    from bad import GOOD

    for event in ({"record": json.dumps(GOOD | {evil: 1})}, {"record": json.dumps(GOOD | {"prior": evil})}):
        opened = page.call("open_record", event=event)
        assert "&lt;img" in (opened.error or "")
        assert "<img" not in (opened.error or "")
