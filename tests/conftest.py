"""What the tests share: small priors, small pictures, and a machine without a network."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from redgui.priors import GaussianPrior

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
def photo(tmp_path: Path) -> Path:
    """The path of a smooth colour picture, 40 pixels wide and 36 high."""
    y, x = np.mgrid[0:36, 0:40]
    path = tmp_path / "photo.png"
    Image.fromarray(np.stack([x * 6, y * 7, 255 - x * 3 - y * 3], -1).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket can be opened."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network is cut off in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
