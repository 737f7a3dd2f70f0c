"""The code's style and types, by the settings of pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (("ruff", "check"), ("basedpyright", "--pythonpath", sys.executable))


@pytest.mark.parametrize("words", CHECKS, ids=lambda words: words[0])
def test_there_is_nothing_to_complain_about(words: tuple[str, ...]):
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
