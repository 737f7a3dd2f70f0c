"""Commands, snippets and links make the run of their record again, to the pixel; what they cannot say is a replay."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_record import made

import redgui
from redgui import api, cli, presets, snippets
from redgui.errors import RedguiError
from redgui.runs.record import Record
from redgui.runs.settings import Settings, picture_number
from redgui.snippets import LinkError

PRIOR = "gaussian:size=16,std=0.4"
RECORDS = [
    dict(image="example:face-11", sampler="reddiff:steps=3"),
    dict(image="example:face-11", fit="stretch", operator="blur:size=5", sigma_y=0.1, sampler="diffpir:steps=3", seed=4),
    dict(image="photo", operator="superres:factor=2", sigma_y=1 / 30, sampler="dps:steps=3,zeta=0.123456789", particles=2),
    dict(image="photo", fit="pad", mask="drawn", sampler="reddiff:steps=3,lam=0"),
    dict(image="photo", fit="native", operator="colorize", sampler="ddrm:steps=3"),
    dict(image="photo", operator=r"inpaint:kind=text,text=it's $HOME\, \\ `a` \"b\"", sampler="ddnm:steps=3"),
    dict(image="photo", operator="compose:of=inpaint(kind=half;side=top)>blur(size=3)", sampler="reddiff:steps=3"),
    dict(image="photo", operator="phase", sampler="reddiff:steps=2"),
    dict(image="photo", operator="given:of=superres,factor=2", sampler="reddiff:steps=3", sigma_y=0.05),
    dict(image="photo", operator="given", mask="drawn", sampler="reddiff:steps=3"),
    dict(image="photo", operator="given:of=inpaint,kind=box", sampler="reddiff:steps=3"),
    dict(image="photo", mask="drawn", operator="inpaint:grow=2", sampler="reddiff:steps=3"),
]


@pytest.fixture
def drawn_mask(tmp_path) -> Path:
    hole = np.zeros((36, 40), np.uint8)
    hole[8:20, 11:30] = 255
    Image.fromarray(hole).save(tmp_path / "drawn.png")
    return tmp_path / "drawn.png"


@pytest.fixture
def recorded(photo, drawn_mask):
    """recorded(**options of restore): the record of a run."""

    def run(image: str, mask: str | None = None, **options) -> Record:
        where = photo if image == "photo" else image
        options |= {} if mask is None else {"mask": drawn_mask}
        result = api.restore(where, prior=PRIOR, device="cpu", precision="fp32", **options)
        return Record.from_json(result.record.to_json())

    return run


def written(record: Record, folder: Path) -> Path:
    folder.mkdir()
    for name, data in snippets.files(record).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("options", RECORDS, ids=lambda o: f"{o.get('operator', 'mask')[:12]}-{o['sampler'][:8]}")
def test_command_and_snippet_make_the_very_pixels(options, recorded, tmp_path, monkeypatch, capsys):
    record = recorded(**options)
    monkeypatch.chdir(written(record, tmp_path / "elsewhere"))
    assert not snippets.only_replay(record)
    # As a shell splits it.
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {snippets.command(record)}"], capture_output=True, check=True)
    argv = words.stdout.decode().split("\0")[:-1]
    assert argv[:4] == ["python", "-m", "redgui", "restore"]
    assert cli.main(argv[3:]) == 0
    by_command = Record.read("out/record.json")
    assert by_command.result["pixels_sha256"] == record.result["pixels_sha256"]
    assert by_command.result["psnr"] == record.result["psnr"]
    (tmp_path / "elsewhere/out/record.json").unlink()
    exec(compile(snippets.snippet(record), "snippet", "exec"), {})
    assert Record.read("out/record.json").result["pixels_sha256"] == record.result["pixels_sha256"]
    # The replay of the record that lies beside them.
    assert cli.main(snippets.replay_command().split()[3:]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["same_pixels"] is True


def test_in_processes_of_their_own(recorded, tmp_path):
    record = recorded("photo", mask="drawn", sampler="reddiff:steps=3")
    folder = written(record, tmp_path / "elsewhere")
    (folder / "snippet.py").write_text(snippets.snippet(record))
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(Path(redgui.__file__).parents[1])}
    for line in (snippets.command(record), "python snippet.py"):
        subprocess.run(["bash", "-ec", line], cwd=folder, env={**os.environ, **paths}, check=True, capture_output=True)
        assert Record.read(folder / "out/record.json").result["pixels_sha256"] == record.result["pixels_sha256"]
        (folder / "out/record.json").unlink()


def test_they_are_short_and_name_what_differs_from_the_presets(recorded):
    record = recorded("example:face-11", sampler="reddiff:steps=3")
    assert snippets.command(record) == (
        "python -m redgui restore example:face-11 --operator inpaint --sampler reddiff:steps=3 "
        "--prior gaussian:size=16,std=0.4 --device cpu --precision fp32 --threads 1"
    )
    assert snippets.files(record).keys() == {"record.json"}
    kept = recorded("photo", mask="drawn", sampler="reddiff:steps=3")
    assert "restore picture.png " in snippets.command(kept)
    assert " --mask mask.png " in snippets.command(kept)
    assert snippets.files(kept).keys() == {"record.json", "picture.png", "mask.png"}


@pytest.mark.parametrize(("prior", "said"), [("photos", True), ("some/model", True), ("faces-64", False), ("gaussian", False)])
def test_a_crop_is_said_where_a_bare_command_may_take_a_picture_at_its_own_size(prior, said):
    record, _ = made()
    record = dataclasses.replace(record, settings=dataclasses.replace(record.settings, prior=prior))
    assert ("--fit crop" in snippets.command(record)) == said


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (made(changes={2: {"lam": 0.0}})[0], "changed in mid-run"),
        (made(stop=4)[0], "stopped after 5 of 8 steps"),
        (made(operator="compose", given=True)[0], "composition"),
    ],
)
def test_what_only_a_replay_does_again(record, reason, tmp_path, monkeypatch, capsys):
    assert reason in snippets.only_replay(record)
    assert snippets.command(record) == snippets.replay_command() == "python -m redgui replay record.json"
    monkeypatch.chdir(written(record, tmp_path / "there"))
    exec(compile(snippets.snippet(record), "snippet", "exec"), {})
    assert "the very pixels of the record: True" in capsys.readouterr().out
    assert Record.read("out/record.json").result["pixels_sha256"] == record.result["pixels_sha256"]


def test_a_record_from_before_the_planned_steps():
    stopped, _ = made(stop=4)
    result = {name: value for name, value in stopped.result.items() if name != "planned"}
    assert "stopped after 5 of 8" in snippets.only_replay(dataclasses.replace(stopped, result=result))


@pytest.mark.parametrize("options", RECORDS, ids=lambda o: f"{o.get('operator', 'mask')[:12]}-{o['sampler'][:8]}")
def test_a_link_has_all_settings(options, recorded):
    record = recorded(**options)
    link = snippets.link(record)
    assert link.startswith("?")
    assert link.isascii()
    assert not set(link) & set(" \"'<>`\\$")
    settings = snippets.read_link(link)
    assert settings == Settings.of(record)
    assert record.settings.H == settings.H
    assert settings.sampler == record.settings.sampler
    if options["image"] == "photo":
        assert settings.picture == picture_number(record)
        assert record.image not in link
    else:
        assert settings.example == "face-11"


def test_a_link_that_would_be_cut_off_is_not_made(recorded, photo, tmp_path):
    noise = np.random.default_rng(0).random((300, 300)) < 0.5
    Image.fromarray(noise).save(tmp_path / "drawn.png")
    record = recorded("photo", fit="native", sampler="reddiff:steps=1")
    from redgui.operators import masks

    painted = dataclasses.replace(record.settings.H, kind="mask", painted=masks.encode(noise))
    with pytest.raises(LinkError, match=r"send record\.json"):
        snippets.link(dataclasses.replace(record, settings=dataclasses.replace(record.settings, H=painted)))


def test_a_short_link_has_the_presets():
    settings = snippets.read_link("?sampler=ddrm&operator=blur&__theme=dark&view=api")
    assert settings.sampler == presets.sampler_for("ddrm", settings.H)
    assert (settings.H.name, settings.sigma_y, settings.seed, settings.particles) == ("blur", 0.0, 0, 1)
    assert snippets.read_link("?operator=phase").particles == presets.SEVERAL


@pytest.mark.parametrize("query", ["", "?", "?__theme=dark", "?__sign=abc&logs=container"])
def test_an_address_that_is_no_link(query):
    assert snippets.read_link(query) is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?utm_source=x", "'utm_source', which this app does not know"),
        ("?seed=1&seed=2", "'seed' twice"),
        ("?seed=1.5", "seed is a whole number"),
        ("?seed=-1", "seed is a whole number from 0"),
        ("?sigma_y=nan", "sigma_y is a number from 0 to 2"),
        ("?sigma_y=5", "sigma_y is a number"),
        ("?particles=65", "particles is a whole number from 1 to 64"),
        ("?given=yes", "given is 0 or 1"),
        ("?fit=zoom", "fit is one of"),
        ("?operator=blurr", "no operator 'blurr'"),
        ("?operator=given:of=blur", "given=1"),
        ("?operator=superres:factor=99", "factor"),
        ("?sampler=reddiff:lr=x", "lr is a number"),
        ("?sampler=nothing", "no sampler"),
        ("?example=../../etc/passwd", "no example"),
        ("?picture=abc", "16 hexadecimal"),
        ("?picture=0123456789abcdef&example=face-11", "not beside an example"),
        ("?seed=" + "9" * 5000, "seed is a whole number"),
        ("?text=" + "x" * 70_000, "characters"),
    ],
)
def test_a_link_that_was_made_by_hand(query, message):
    with pytest.raises(RedguiError, match=message):
        snippets.read_link(query)
