"""The documentation site is built without a warning, has a page of every sampler, and fetches nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from redgui import operators, samplers

ROOT = Path(__file__).parents[1]
pytest.importorskip("mkdocs")
pytest.importorskip("material")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_sampler_has_a_page_with_its_knobs_and_every_degradation_a_part(site):
    for cls in samplers.OWN:
        text = (site / "samplers" / cls.name / "index.html").read_text()
        assert "<code>steps</code>" in text or not hasattr(cls(), "steps")
    text = (site / "degradations/index.html").read_text()
    assert all(f"<code>{cls.name}</code>" in text for cls in operators.OWN)
    assert len(re.findall("<img[^>]*restored.png", text)) == len(operators.OWN) - 1  # quantisation has no card


def test_nothing_on_a_page_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=[\"']?(https?:[^\"' >]+)", page.read_text())
        assert not [url for url in fetched if "canonical" not in url], page
