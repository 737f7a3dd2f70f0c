"""`redgui space` puts on the Hub what a Space needs, and nothing else; what it is refused for is one line."""

import json

import pytest
from hub_server import Hub

from redgui.cli import main, space


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants, hf_api

    server = Hub()
    for module in (constants, hf_api):
        monkeypatch.setattr(module, "ENDPOINT", server.url, raising=False)
    monkeypatch.setattr(hf_api.api, "endpoint", server.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield server
    server.close()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small one, with what must stay at home."""
    files = ["README.md", "LICENSE", "app.py", "requirements.txt", "redgui/a.py", "redgui/ui/b.js", "redgui/__pycache__/a.pyc",
             "assets/style.css", "assets/readme/big.png", "tests/test_a.py", ".venv/lib/c.py", "out/record.json"]  # fmt: skip
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
    (tmp_path / "assets/w.safetensors").write_bytes(bytes(range(256)) * 40)
    return tmp_path


def test_what_a_space_needs_is_uploaded_in_one_commit(hub, checkout):
    assert space.upload("me/redgui", root=checkout) == f"{hub.url}/spaces/me/redgui"
    assert set(hub.committed) == {"README.md", "LICENSE", "app.py", "requirements.txt", "redgui/a.py", "redgui/ui/b.js",
                                  "assets/style.css", "assets/w.safetensors"}  # fmt: skip
    assert hub.committed["redgui/a.py"] == b"redgui/a.py"
    assert hub.committed["assets/w.safetensors"] == bytes(range(256)) * 40
    assert len(hub.stored) == 1  # weights came by the Hub's own storage
    assert sum("/commit/" in path for _, path, _ in hub.asked) == 1


def test_the_command_says_where_it_is(hub, checkout, monkeypatch, capsys):
    monkeypatch.setattr(space.upload, "__kwdefaults__", {"private": False, "root": checkout})
    assert main(["space", "me/redgui"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"space": "me/redgui", "url": f"{hub.url}/spaces/me/redgui"}


def test_this_checkout_has_what_a_space_needs():
    wanted = [file for file in space.NEEDED if any(space.ROOT.glob(file))]
    assert wanted == list(space.NEEDED)


def test_what_is_refused_is_one_line(hub, checkout, tmp_path, monkeypatch):
    with pytest.raises(space.SpaceError, match="called OWNER/NAME; got 'redgui'"):
        space.upload("redgui")
    with pytest.raises(space.SpaceError, match="called OWNER/NAME"):
        space.upload("a/b/c")
    with pytest.raises(space.SpaceError, match="is no checkout of redgui"):
        space.upload("me/redgui", root=tmp_path / "redgui")
    with pytest.raises(space.SpaceError, match="the Hub did not take it"):
        space.upload("others/redgui", root=checkout)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(space.SpaceError, match="hf auth login"):
        space.upload("me/redgui", root=checkout)
    assert hub.committed == {}
