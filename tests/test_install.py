"""redgui installed: a wheel is whole, and works where there is no checkout."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import wire

from redgui import tasks

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE", "redgui", "assets")


def ran(*words: object, cwd: Path) -> str:
    """What a program prints; it knows nothing of the checkout, and one that fails shows what it said."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=clean(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean() -> dict[str, str]:
    """The environment without a path to the checkout."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy, so that no build of the checkout mixes with it."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(ROOT / name, copy)
    ran(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", built, copy, cwd=built)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that has the wheel, and this one's packages."""
    home = tmp_path_factory.mktemp("home") / "venv"
    ran(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    ran(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home.parent)
    packages = ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home.parent).strip()
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(Path(pytest.__file__).parents[1])}
    (Path(packages) / "tests.pth").write_text("\n".join(own))
    return programs


def test_a_wheel_has_all_that_comes_with_redgui(wheel: Path):
    within = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code, assets = (
        {p.relative_to(ROOT).as_posix() for p in (ROOT / top).rglob("*") if p.is_file() and p.suffix not in left_out}
        for top, left_out in (("redgui", (".pyc",)), ("assets", (".py", ".pyc")))
    )
    assert within == code | {f"redgui/{name}" for name in assets if not name.startswith("assets/readme/")}
    assert wheel.stat().st_size < 25e6


def test_the_command_restores_and_lists_where_there_is_no_checkout(installed: Path, tmp_path: Path):
    code = "import redgui, redgui.cli as c; print(redgui.__file__); c.main(['list']); c.main()"  # in one process
    words = ("restore", "example:face-06", "--sampler", "reddiff:steps=3", "--device", "cpu")
    said = ran(installed / "python", "-c", code, *words, cwd=tmp_path).splitlines()
    assert Path(said[0]).is_relative_to(installed.parent)
    assert any("example:face-06" in line for line in said)
    figures = json.loads(said[-1])
    assert (figures["prior"], figures["steps"]) == ("faces-64", 3)
    assert (tmp_path / "out/restored.png").is_file()


@contextlib.contextmanager
def running(*words: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs until it is looked at no longer."""
    pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen([str(word) for word in words], cwd=cwd, env=clean(), **pipes)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_app_is_served_where_there_is_no_checkout(installed: Path, tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(installed / "redgui", "app", "--no-browser", "--port", port, "--prior", "gaussian", cwd=tmp_path) as process:
        page, until = "", time.monotonic() + 60
        while not page and time.monotonic() < until:
            assert process.poll() is None, process.stderr and process.stderr.read()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 200
                page = answer.read().decode()
            time.sleep(0.2)
    assert '"title":"redgui"' in page


def test_the_package_is_light_until_it_is_used():
    heavy = "{'torch', 'numpy', 'PIL', 'gradio', 'matplotlib', 'diffusers'} & set(sys.modules)"
    code = f"import redgui, redgui.cli, sys; redgui.cli.parser(); print(sorted({heavy}))"
    assert ran(sys.executable, "-c", code, cwd=ROOT).strip() == "[]"


def test_a_list_is_made_without_what_only_runs_and_pages_need(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where none is remembered
    heavy = "{'gradio', 'diffusers', 'transformers', 'accelerate', 'scipy', 'skimage', 'matplotlib', 'huggingface_hub', "
    heavy += "'redgui.api', 'redgui.runs.engine', 'redgui.train.loop'} & set(sys.modules)"
    code = f"import sys; from redgui.cli import main; main(['list']); print(sorted({heavy}))"
    assert ran(sys.executable, "-c", code, cwd=ROOT).splitlines()[-1] == "[]"


def test_the_names_of_the_package_are_those_of_its_modules():
    import redgui
    from redgui import api, load_prior, priors, replay, restore, sweep

    assert (restore, replay, sweep, load_prior) == (api.restore, api.replay, api.sweep, priors.load)
    assert set(redgui.__all__) == {"restore", "replay", "sweep", "load_prior"}
    with pytest.raises(AttributeError, match="no attribute 'restor'"):
        _ = redgui.restor


def test_bundled_pictures_are_shown_where_the_app_is_started_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Gradio gives out files below the folder it was started in, and others where the app says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with wire.serving(prior="faces-64") as served:
        opened = served.page().call("choose", shows="taken", event={"name": tasks.TASKS[1].name})
    assert opened.error is None
    assert opened.outputs["picture"]["orig_name"] == tasks.TASKS[1].example.name
