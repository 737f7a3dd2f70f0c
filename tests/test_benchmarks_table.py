"""The README's table of speed is that of docs/benchmarks.json, and is made by one command."""

import copy
import json
import os
import platform
from pathlib import Path

import pytest
import table

ROOT = Path(__file__).resolve().parents[1]
KEPT = json.loads(table.KEPT.read_text())


def test_the_readme_has_the_table_of_the_json():
    readme = table.README.read_text()
    assert table.replaced(readme, KEPT) == readme, "python benchmarks/table.py --render"
    assert readme.count("## Speed") == 1


def test_the_table_shows_what_was_measured():
    other = copy.deepcopy(KEPT)
    other["runs"]["overhead"]["result"]["run_over_network"] = 7.125
    other["runs"]["scaling"]["result"]["sides"][-1]["iteration_ms"] = 98765.4
    lines = zip(table.rendered(KEPT).splitlines(), table.rendered(other).splitlines(), strict=True)
    changed = [new for old, new in lines if new != old]
    assert len(changed) == 2
    assert "×7.12" in changed[0]
    assert "98765 ms" in changed[1]


def test_every_run_is_there_as_json_with_its_command_and_no_name_of_the_machine():
    assert list(KEPT["runs"]) == list(table.RUNS)
    for name, run in KEPT["runs"].items():
        assert run["command"].removeprefix("python benchmarks/") in table.RUNS[name]
        assert (ROOT / run["command"].split()[1]).exists()
    assert set(KEPT["machine"]) == set(table.machine()) >= {"cores", "cpu", "torch"}
    assert "/" not in json.dumps(table.machine()["system"])
    assert platform.node() not in table.machine().values()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A README and a JSON to write to, and scripts that say one line each, as the real ones have said it."""
    monkeypatch.setattr(table, "README", tmp_path / "README.md")
    monkeypatch.setattr(table, "KEPT", tmp_path / "benchmarks.json")
    monkeypatch.setattr(table, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{table.BEGIN}an older table\n{table.END}\nafter\n")
    for name, run in KEPT["runs"].items():
        script = run["command"].split()[1]
        body = f"print('a line that is not kept')\nprint({json.dumps(run['result'])!r})\n"
        (tmp_path / script).write_text(body)
        assert name in table.RUNS
    return tmp_path


def test_one_command_measures_and_writes_both(copied):
    table.main(["--quick"])
    kept = json.loads((copied / "benchmarks.json").read_text())
    assert {name: run["result"] for name, run in kept["runs"].items()} == {n: r["result"] for n, r in KEPT["runs"].items()}
    assert kept["quick"] is True
    assert kept["machine"]["cores"] <= os.cpu_count()
    written = (copied / "README.md").read_text()
    assert written.startswith("before\n" + table.BEGIN)
    assert written.endswith(table.END + "\nafter\n")
    assert "an older table" not in written
    assert table.rendered(kept) in written
    # One of them again, on the same machine; then on another.
    script = copied / "benchmarks" / "cold_start.py"
    script.write_text(script.read_text().replace('"first_iterate": ', '"first_iterate": 77'))
    table.main(["--only", "cold_start"])
    assert " 77" in (copied / "README.md").read_text()
    kept["machine"]["cpu"] = "another"
    (copied / "benchmarks.json").write_text(json.dumps(kept))
    with pytest.raises(SystemExit, match="another machine"):
        table.main(["--only", "cold_start"])


def test_a_benchmark_that_fails_writes_nothing(copied):
    (copied / "benchmarks" / "memory.py").write_text("raise SystemExit('no memory at all')")
    before = (copied / "README.md").read_text()
    with pytest.raises(SystemExit, match=r"memory\.py .* failed(?s:.*)no memory at all"):
        table.main([])
    assert (copied / "README.md").read_text() == before
    assert not (copied / "benchmarks.json").exists()


def test_a_readme_without_its_markers_is_left_alone():
    with pytest.raises(SystemExit, match="once each"):
        table.replaced("no markers", KEPT)
