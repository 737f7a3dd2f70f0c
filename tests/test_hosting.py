"""What a Hugging Face Space needs: the README's front matter, and a page that says what differs there."""

import re
from pathlib import Path

import gradio as gr
import yaml
from gradio import networking
from wire import serving

from redgui.runs import zero_gpu as host

ROOT = Path(__file__).parents[1]


def front_matter() -> dict:
    text = (ROOT / "README.md").read_text()
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


# ---- the front matter


def test_the_front_matter_is_what_a_space_takes():
    found = front_matter()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    known = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "pinned", "license",
             "short_description", "suggested_hardware", "tags"}  # fmt: skip
    assert set(found) == known
    assert found["sdk"] == "gradio"
    assert {found["colorFrom"], found["colorTo"]} <= colours
    assert 0 < len(found["short_description"]) <= 60
    assert (ROOT / found["app_file"]).is_file()
    assert found["license"] == re.search(r'license = "(.*)"', (ROOT / "pyproject.toml").read_text())[1].lower()
    assert found["suggested_hardware"] in {"cpu-basic", "cpu-upgrade", "t4-small", "zero-a10g"}
    assert all(isinstance(tag, str) for tag in found["tags"])
    assert found["pinned"] is False


def test_its_versions_are_those_of_the_requirements():
    found = front_matter()
    least, most = re.search(r"gradio>=([\d.]+),<(\d+)", (ROOT / "requirements.txt").read_text()).groups()
    numbers = [int(n) for n in found["sdk_version"].split(".")]
    assert numbers[: least.count(".") + 1] == [int(n) for n in least.split(".")]
    assert numbers[0] < int(most)
    lo, hi = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text()).groups()
    assert isinstance(found["python_version"], str)  # 3.10 without quotes is the number 3.1
    assert int(lo) <= int(found["python_version"].split(".")[1]) < int(hi)


# ---- where it runs


def test_only_a_space_with_zero_gpu_is_one(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not host.on_zero_gpu()
    assert host.device_here("auto", "bf16") == ("auto", "bf16")
    with gr.Blocks() as page:
        host.note()
    assert not page.blocks


def test_on_zero_gpu_the_serving_process_stays_off_cuda_and_the_page_says_what_differs(zero_gpu):
    assert host.on_zero_gpu()
    assert host.device_here("auto", "auto") == ("cpu", "fp32")
    with gr.Blocks() as page:
        host.note()
    assert [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)] == [host.NOTE]


# ---- a machine whose cores all compute


def test_it_is_served_where_gradio_cannot_see_its_page_in_time(kept, monkeypatch):
    monkeypatch.setattr(networking, "url_ok", lambda url: False)
    with serving() as served:
        assert served.http.get("/").status_code == 200
