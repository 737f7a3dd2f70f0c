"""What the tests share: small priors, small pictures, a machine without a network, and the app as it is served."""

import json
import mmap
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pretend import pretend
from torch import Tensor
from wire import Served, serving

from redgui import devices, priors
from redgui.cli import main
from redgui.priors import GaussianPrior
from redgui.runs import zero_gpu as host

# The tensors are small: threads would only wait for each other, and with one of them sums have one order everywhere.
torch.set_num_threads(1)


@pytest.fixture
def gaussian() -> GaussianPrior:
    """The closed-form prior on pictures of 16x16: no weights, deterministic, microseconds."""
    return GaussianPrior(size=16)


@pytest.fixture
def drawn(gaussian: GaussianPrior) -> Callable[[int], Tensor]:
    """drawn(n): n pictures (n, 3, 16, 16) of the closed-form prior."""
    return lambda n: gaussian.sample(n, torch.Generator().manual_seed(5)).clamp(-1, 1)


@pytest.fixture
def x_true(drawn: Callable[[int], Tensor]) -> Tensor:
    """One picture (1, 3, 16, 16) of the closed-form prior."""
    return drawn(1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """The path of a smooth colour picture, 40 pixels wide and 36 high."""
    y, x = np.mgrid[0:36, 0:40]
    path = tmp_path / "photo.png"
    Image.fromarray(np.stack([x * 6, y * 7, 255 - x * 3 - y * 3], -1).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """run(*words) in an empty folder: status, the JSON of stdout's last line (or None), stderr's lines."""
    monkeypatch.chdir(tmp_path)

    def run_(*words: object) -> tuple[int, dict | None, list[str]]:
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        last = out.splitlines()[-1] if out.strip() else ""
        return status, json.loads(last) if last.startswith("{") else None, [line for line in err.split("\n") if line.strip()]

    return run_


@pytest.fixture(params=["cuda", "mps"])
def kind(request) -> Iterator[str]:
    """A machine with a device of a kind; nothing that was loaded for another is left."""
    priors._load.cache_clear()
    devices.agrees.cache_clear()
    with pretend(request.param):
        yield request.param
    priors._load.cache_clear()
    devices.agrees.cache_clear()


@pytest.fixture(scope="session")
def kept() -> Iterator[Path]:
    """The folder of uploads, of these tests' own."""
    own = tempfile.mkdtemp(prefix="redgui-tests-")
    folder = os.environ.setdefault("GRADIO_TEMP_DIR", own)
    yield Path(folder)
    shutil.rmtree(own, ignore_errors=True)


@pytest.fixture(scope="session")
def home(kept: Path) -> Iterator[Served]:
    """The app as on a person's own machine, with the closed-form prior."""
    with serving() as served:
        yield served


@pytest.fixture(scope="session")
def public(kept: Path) -> Iterator[Served]:
    """The app as strangers have it."""
    with serving(public=True, prior="gaussian") as served:
        yield served


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be opened."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network is cut off in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def forgetful() -> None:
    """No prior of another test is taken for one of the same name."""
    priors._load.cache_clear()
    priors._text_to_image.cache_clear()


@pytest.fixture
def zero_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """This process as one of a Space with ZeroGPU, its package replaced by the stand-in."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "zero_gpu"))
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    import spaces

    monkeypatch.setattr(host, "_lent", spaces.GPU(duration=host._seconds)(host._work))
    monkeypatch.setattr(host.Wishes, "_memory", mmap.mmap(-1, host.SLOTS * host.SLOT_BYTES))
    monkeypatch.setattr(host.Wishes, "_free", list(range(host.SLOTS)))
    yield spaces
    assert len(host.Wishes._free) == host.SLOTS  # every job gave its slot back


# Files of browser tests in which nothing is timed: they may run beside another page.
PATIENT = ("test_canvas", "test_components", "test_learn", "test_learn_loop", "test_links", "test_mask_tools")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `pytest -n 2`: files whole, and most browser tests on one process, so that few pages are looked at at a time.

    The others of them go to the other process, so that both end at about the same time.
    """
    from xdist.scheduler import LoadFileScheduling

    class BrowserApart(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return file if "/browser/" not in file else "patient" if Path(file).stem in PATIENT else "browser"

    config.option.loadscopereorder = False  # the browser's take longest, and are the first that are collected
    return BrowserApart(config, log)
