"""Runs the benchmarks of speed, start and memory, and writes docs/benchmarks.json and the table of README.md from it.

    python benchmarks/table.py [--quick] [--only NAME ...]     # all takes some minutes on two cores; the machine should be idle
    python benchmarks/table.py --render                        # only the table, from the JSON that is there

Each benchmark is a process of its own, whose last line, one JSON object, is kept with its command and a description of the
machine. Nothing is written unless all of them have ended well. `--only` keeps the other lines, if they are of the same machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README, KEPT = ROOT / "README.md", ROOT / "docs" / "benchmarks.json"
BEGIN, END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->"
LIMIT_S = 400

# Words of each command: as they are, and with --quick.
RUNS: dict[str, tuple[str, str]] = {
    "speed": ("speed.py --steps 60 --rounds 5", "speed.py --steps 20 --rounds 3"),
    "overhead": ("overhead.py --steps 60 --rounds 5 --browser", "overhead.py --steps 30 --rounds 3 --browser"),
    "compare": ("compare.py --rounds 2 --browser", "compare.py --rounds 2 --browser"),
    "sweep": ("sweep.py --steps 12 --rounds 3", "sweep.py --steps 10 --rounds 2"),
    "cold_start": ("cold_start.py --rounds 3", "cold_start.py --rounds 1"),
    "first_paint": ("first_paint.py --rounds 5", "first_paint.py --rounds 2"),
    "memory": ("memory.py --batches 1 8", "memory.py --batches 1 8"),
    "scaling": ("scaling.py --steps 6", "scaling.py --batches 1 4 16 --sides 64 128 256 --steps 4 --rounds 2"),
}

Result = dict[str, Any]


def lines_of(results: dict[str, Result]) -> list[tuple[str, str, str]]:
    """What was measured, the figures, and by which script, in the table's order."""
    speed, overhead, compare, sweep, cold, paint, memory, scaling = (results[name] for name in RUNS)
    race = f"×{compare['race_over_solo']:.2f}, in a browser ×{compare['browser_over_solo']:.2f}"
    painted = (paint["first_contentful_paint"], paint["run_visible"], paint["measurement_visible"])
    told = [
        ("speed", "RED-diff on one 64x64 picture, as it comes", f"{speed['automatic_per_second']:.0f} iterations/s "
         f"({speed['precision']}), in eager fp32 {speed['eager_fp32_per_second']:.0f}"),
        ("overhead", "a run over its bare network calls", f"×{overhead['run_over_network']:.2f}"),
        ("overhead", "the same, watched in a browser",
         f"×{overhead['watched_over_network']:.2f}, first preview after {overhead['first_preview_seconds']:.2f} s"),
        ("compare", "five samplers at once over one after the other",
         f"{race} with {compare['browser_previews_per_second']:.0f} previews/s"),
        ("sweep", "a 3x3 sweep over a batch of nine",
         f"×{sweep['sweep_over_batch']:.2f}, watched ×{sweep['watched_over_batch']:.2f}"),
        ("cold_start", "process start to first iteration",
         f"{cold['first_iterate']:.1f} s, ×{cold['over_torch']:.1f} of importing torch alone"),
        ("first_paint", "page painted, Run there, first answer", "{}, {}, {} ms".format(*painted)),
        ("memory", "peak memory of a run over a forward, by batch",
         _each(memory["rows"], "batch", lambda row: f"×{row['run_over_forward']:.2f}, +{row['run']:.0f} MiB")),
        ("scaling", "an iteration by batch",
         _each(scaling["batches"], "batch", lambda row: f"{row['iteration_ms']:.0f} ms (×{row['per_picture']:.2f} a picture)")),
        ("scaling", "an iteration by side of the picture (`photos`)",
         _each(scaling["sides"], "side", lambda row: f"{row['iteration_ms']:.0f} ms (×{row['per_pixel']:.2f} a pixel)")),
    ]  # fmt: skip
    return [(what, figure, f"`{RUNS[name][0].partition(' ')[0]}`") for name, what, figure in told]


def _each(rows: list[Result], key: str, text: Callable[[Result], str]) -> str:
    return "; ".join(f"{row[key]}: {text(row)}" for row in rows)


def rendered(kept: dict[str, Any]) -> str:
    """The Markdown between the two markers of README.md."""
    machine = kept["machine"]
    lines = ["## Speed", "", "Measured anew, on the machine at hand, by `python benchmarks/table.py`.", ""]
    lines += ["| what | measured | by |", "|---|---|---|"]
    lines += [f"| {' | '.join(cells)} |" for cells in lines_of({name: run["result"] for name, run in kept["runs"].items()})]
    how = "few rounds (`--quick`), " if kept["quick"] else ""
    foot = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} of them used, torch {machine['torch']}, {how}"
        f"load per core {machine['load_per_core']:.1f} at the start. A × is a ratio within one process or one run, so that a "
        "machine's speed cancels; [docs/benchmarks.json](docs/benchmarks.json) has all figures and commands."
    )
    return "\n".join([*lines, "", foot, ""])


def replaced(readme: str, kept: dict[str, Any]) -> str:
    """README.md with its table made anew. Raises SystemExit where the markers are not there once each, in order."""
    if not (readme.count(BEGIN) == readme.count(END) == 1 and readme.index(BEGIN) < readme.index(END)):
        raise SystemExit(f"README.md needs the lines {BEGIN.strip()} and {END} once each, in this order.")
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + rendered(kept) + "\n" + END + rest.split(END)[1]


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    threads = int(os.environ.get("OMP_NUM_THREADS") or cores)
    found = {"cpu": cpu, "cores": cores, "threads": threads, "load_per_core": round(load / cores, 2)}
    return found | {"system": platform.system(), "python": platform.python_version(), "torch": version("torch")}


def run(words: str) -> Result:
    """The JSON of a benchmark's last line. Raises SystemExit with what it said when it fails."""
    script, *rest = words.split()
    try:
        done = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / script, *rest], capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{words} took more than {LIMIT_S} s; nothing is written.") from None
    if done.returncode:
        raise SystemExit(f"{words} failed; nothing is written.\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for a look, not for figures")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--render", action="store_true", help="run nothing")
    chosen = parser.parse_args(words)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"machine": {}, "quick": False, "runs": {}}
    replaced(README.read_text(), kept) if kept["runs"] else None  # the markers are there, before minutes are spent
    if not chosen.render:
        here, load = machine(), "load_per_core"
        partly = set(chosen.only) != set(RUNS)
        if partly and any(kept["machine"].get(key) != value for key, value in here.items() if key != load):
            raise SystemExit("docs/benchmarks.json is of another machine; leave --only out.")
        runs = dict(kept["runs"]) if partly else {}
        for name in chosen.only:
            command, began = RUNS[name][chosen.quick], time.perf_counter()
            runs[name] = {"command": f"python benchmarks/{command}", "result": run(command)}
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        kept = {
            "machine": here,
            "quick": chosen.quick or (partly and kept["quick"]),
            "runs": {name: runs[name] for name in RUNS},
        }
        text = replaced(README.read_text(), kept)
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    else:
        text = replaced(README.read_text(), kept)
    README.write_text(text)
    print(rendered(kept))


if __name__ == "__main__":
    main()
