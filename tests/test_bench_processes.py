"""The benchmark in processes of its own: killed in the middle, and two at a time."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from redgui import bench, cli
from redgui.bench import processes, report
from redgui.bench.processes import Share

ROOT = Path(__file__).resolve().parents[1]
ASKED = ["bench", "--prior", "gaussian:size=16", "--operators", "blur", "--sigma-y", "0.1", "--metrics", "--device", "cpu",
         "--limit", "5", "--batch", "2", "--samplers", "reddiff:steps=3", "dps:steps=2", "rsd:steps=2"]  # fmt: skip
# The command line, up to a line of its rows: there it kills itself in the middle of writing, or waits for its end.
CUT = """
import os, signal, sys
from redgui import cli
from redgui.bench import rows

class Cut:
    def __init__(self, file):
        self.file, self.left = file, 9  # the second of its batch
    def __enter__(self):
        return self
    def write(self, line):
        self.left -= 1
        if not self.left:
            within = sys.argv[1] == "within a line"
            self.file.write(line[: len(line) // 2 if within else 0])
            self.file.flush()
            if within:
                os.kill(os.getpid(), signal.SIGKILL)
            print("here", flush=True)
            sys.stdin.read()
        self.file.write(line)
    def flush(self):
        self.file.flush()
    def __exit__(self, *_):
        self.file.close()

opened = rows.opened
rows.opened = lambda path: Cut(opened(path))
cli.main(sys.argv[2:])
"""


def start(code: list[str], *words: object, **environment: object) -> subprocess.Popen[str]:
    """A process with one thread, as the tests have, so that its sums are in their order."""
    own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | {name: str(value) for name, value in environment.items()}
    command = [sys.executable, *code, *map(str, words)]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen(command, cwd=ROOT, text=True, env=os.environ | own, **pipes)


def compared(folder: Path) -> dict[str, dict]:
    """All rows by key, to the bit, without what is a time."""
    found = {}
    for path in folder.glob("rows-*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            assert row["key"] not in found, "nothing is counted twice"
            del row["seconds"], row["record"]["result"]["seconds"]
            found[row["key"]] = row
    return found


@pytest.fixture(autouse=True, scope="module")
def no_plots() -> Iterator[None]:
    """Plots take longer than these runs, and are looked at elsewhere."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "budget_plot", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that nothing has disturbed."""
    out = tmp_path_factory.mktemp("bench") / "whole"
    assert cli.main([*ASKED, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("where", ["within a line", "between two"])
def test_a_killed_run_goes_on_and_counts_nothing_twice(where, whole, tmp_path, capsys):
    process = start(["-c", CUT, where], *ASKED, "--out", tmp_path)
    if where == "between two":
        assert process.stdout.readline() == "here\n"
        process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    left = (tmp_path / "rows-0.jsonl").read_bytes()
    assert left.count(b"\n") == 8
    assert left.endswith(b"\n") == (where == "between two")
    assert len(bench.read(tmp_path)) == 8
    assert not (tmp_path / "results.csv").exists()
    assert cli.main([*ASKED, "--out", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["n"] for row in rows] == [5, 5, 5]
    assert compared(tmp_path) == compared(whole)


def test_two_processes_find_the_rows_of_one(whole, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # What `accelerate launch` and `torchrun` set.
    launched = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [start(["-m", "redgui"], *ASKED, "--out", tmp_path, RANK=rank, LOCAL_RANK=rank, **launched) for rank in range(2)]
    said = [process.communicate(timeout=120) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    shares = [len((tmp_path / f"rows-{rank}.jsonl").read_text().splitlines()) for rank in range(2)]
    assert min(shares) >= 5
    assert sum(shares) == 15
    assert compared(tmp_path) == compared(whole)
    assert said[1][0] == "", "the first process speaks for all"
    rows = json.loads(said[0][0].splitlines()[-1])["rows"]
    assert [row["n"] for row in rows] == [5, 5, 5]
    assert (tmp_path / "table.md").exists()


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, Share(0, 1, 0)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Share(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Share(5, 8, 1)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, Share(1, 2, 1)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, Share(3, 4, 3)),
    ],
)
def test_which_process_this_is(environment, share, monkeypatch):
    for name in itertools.chain(*processes.NAMES):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Share.of_environment() == share


def test_every_process_has_a_gpu_of_its_own(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for share in (Share(6, 8, 2), Share(1, 2, 1), Share()):
        share.take_device()
    assert taken == [2, 1], "a lone process takes what torch gives it"
