"""Operators, samplers and priors of others: from a file and from an installed package, and what a wrong one is told.

The registries are read once in a process, so that each test has one of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FOG = TESTS / "plugin_fog.py"
RUN = ("restore", "example:face-06", "--prior", "white:std=0.4", "--operator", "fog:density=2", "--sampler", "descent:steps=3",
       "--device", "cpu")  # fmt: skip


def python(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    told = os.pathsep.join(str(p) for p in (path, TESTS.parent) if p)
    environment = {**os.environ, "PYTHONPATH": told, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120)


def redgui(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "redgui", *words, path=path)


def told(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_a_file_restores_and_its_record_and_command_do_so_again(tmp_path):
    done = redgui(*RUN, "--plugin", FOG, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["prior"], figures["operator"], figures["nfe"]) == ("white:std=0.4", "fog:density=2", 3)
    again = redgui("replay", tmp_path / "record.json", "--plugin", FOG, "--out", tmp_path / "again")
    assert json.loads(again.stdout.splitlines()[-1])["same_pixels"], again.stderr
    without = redgui("replay", tmp_path / "record.json", "--out", tmp_path / "again")
    assert without.returncode == 2
    assert "there is no operator 'fog'" in without.stderr
    asked = f"""
from redgui import plugins
plugins.add({str(FOG)!r})
from redgui import snippets
from redgui.runs.record import Record
record = Record.read({str(tmp_path / "record.json")!r})
print(snippets.command(record)); print(snippets.snippet(record))"""
    said = python("-c", asked).stdout
    assert f"--plugin {FOG}" in said.splitlines()[0]
    assert f'plugins.add("{FOG}")' in said


def test_the_app_has_its_controls_and_a_public_host_refuses_it():
    looked = python("-c", f"""
import json
from redgui import plugins
plugins.add({str(FOG)!r})
from redgui import ui
demo = ui.build("white", device="cpu")
parts = {{c["props"].get("elem_id"): c["props"] for c in demo.get_config_file()["components"]}}
print(json.dumps([parts["operator"]["choices"], parts["sampler"]["choices"], parts["prior"]["choices"]]))
print(sorted(name for name in parts if name and "airlight" in name))
try:
    ui.build(public=True)
except plugins.PluginError as error:
    print(error)
""")  # fmt: skip
    assert looked.returncode == 0, looked.stderr
    choices, controls, refused = looked.stdout.splitlines()[-3:]
    operators, samplers, priors = json.loads(choices)
    assert ["Fog", "fog"] in operators
    assert ["Descent", "descent"] in samplers
    assert ["white", "white"] in priors
    assert controls != "[]"
    assert "a public host takes no --plugin" in refused


def test_an_installed_package_is_there_by_its_entry_points_and_a_broken_one_is_left_out(tmp_path):
    (tmp_path / "fogs.py").write_text(FOG.read_text())
    info = tmp_path / "fogs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fogs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[redgui.operators]\nfog = fogs:Fog\nnone = fogs:Missing\n[redgui.samplers]\ndescent = fogs:Descent\n"
        "wrong = fogs:Fog\n[redgui.priors]\nwhite = fogs:White\n"
    )
    listed = redgui("list", "--json", path=tmp_path)
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    last = [found[group][-1]["name"] for group in ("samplers", "priors")]
    assert last == ["descent", "white"]
    assert "fog" in [one["name"] for one in found["operators"]]
    assert "fogs:Missing of fogs is left out of redgui.operators" in listed.stderr
    assert "'Fog' is no Sampler" in listed.stderr


OPERATOR = """
from dataclasses import dataclass
from redgui.knobs import knob
from redgui.operators.base import Operator
@dataclass(frozen=True, kw_only=True)
class Mine(Operator):
    name, label, about = {name!r}, "Mine", "A test."
    size: int = knob({size}, 1, 9, help="any")
    def __call__(self, x): return x
    def start(self, y): return y
"""

WRONG = {
    "no-class": ("x = 1", "it defines no operator, sampler or prior"),
    "fails": ("1 / 0", "ZeroDivisionError: division by zero"),
    "syntax": ("def", "SyntaxError"),
    "taken": (OPERATOR.format(name="blur", size=1), "the name 'blur' is taken"),
    "name": (OPERATOR.format(name="My blur", size=1), "a name is of lower case letters, digits and hyphens"),
    "bounds": (OPERATOR.format(name="mine", size=10), "size lies in 1 to 9; got 10"),
    "thawed": (OPERATOR.format(name="mine", size=1).replace("@dataclass(frozen=True, kw_only=True)\n", ""), "is no @dataclass"),
    "registry": ("from redgui.samplers import SAMPLERS\n" + OPERATOR.format(name="mine", size=1), "it reads a registry"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line(case, tmp_path):
    text, wanted = WRONG[case]
    file = told(tmp_path / "mine.py", text)
    done = python("-c", f"from redgui.cli import main; raise SystemExit(main(['list', '--plugin', {str(file)!r}]))")
    assert done.returncode == 2
    assert wanted in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_no_file_or_comes_too_late_is_refused(tmp_path):
    from redgui import plugins, samplers

    assert samplers.SAMPLERS
    with pytest.raises(plugins.PluginError, match="in use already; add plugins before all"):
        plugins.add(FOG)
    for path in (tmp_path / "none.py", tmp_path):
        done = python("-c", f"from redgui import plugins; plugins.add({str(path)!r})")
        assert "a plugin is a Python file; got" in done.stderr
