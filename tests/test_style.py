"""The code's style and types, by the settings of pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (("ruff", "check"), ("basedpyright", "--pythonpath", sys.executable))


def test_no_file_of_the_project_has_more_than_300_lines():
    files = [path for folder in ("redgui", "assets", "benchmarks", "tests") for path in (ROOT / folder).rglob("*")]
    lengths = {
        str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files if path.suffix in (".py", ".js", ".css")
    }
    assert len(lengths) > 300
    assert {path: length for path, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("words", CHECKS, ids=lambda words: words[0])
def test_there_is_nothing_to_complain_about(words: tuple[str, ...]):
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
