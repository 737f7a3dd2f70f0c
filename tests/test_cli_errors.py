"""Wrong commands: one line on stderr, and a status that tells who is at fault."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import FAST
from PIL import Image

from redgui import api
from redgui.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fit", "zoom"), "a picture is fitted by crop, pad, stretch, native, face; got 'zoom'"),
        (("--fit", "pad", "--size", "128"), "a size goes with the fit native"),
        (("--fit", "native", "--prior", "faces-64"), "this one takes 64x64 alone"),
        (("--operator", "inpant"), "did you mean 'inpaint'"),
        (("--operator", "blur:sise=3"), "did you mean 'size'"),
        (("--operator", "blur:size=4"), "odd"),
        (("--operator", "blur:size=127"), "Use a size of at most"),
        (("--operator", "inpaint:fraction"), "knob=value"),
        (("--operator", "inpaint:kind=mask"), "no mask is painted"),
        (("--operator", "given:of=nothing"), "no operator 'nothing'"),
        (("--sampler", "reddif"), "did you mean 'reddiff'"),
        (("--sampler", "reddiff:lr=9"), "lr lies in 0.0001 to 2; got 9"),
        (("--sampler", "reddiff:lr=fast"), "number"),
        (("--prior", "nowhere"), "no prior 'nowhere'"),
        (("--prior", "gaussian:size=a"), "number"),
        (("--sigma-y", "-1"), "sigma_y lies in 0 to 2"),
        (("--sigma-y", "nan"), "sigma_y lies in 0 to 2"),
        (("--sigma-y", "much"), "sigma_y is a number, or a part such as 12.75/255"),
        (("--seed", "-1"), "the seed lies in"),
        (("--particles", "0"), "particles lie in 1 to 64"),
        (("--mask", "nothing.png"), "nothing.png"),
        (("--mask", "text.txt"), "text.txt"),
        (("--mask", "white.png"), "covers the whole picture"),
        (("--mask", "half.png", "--operator", "blur"), "a mask goes with the operator inpaint"),
        (("--device", "cuda"), "no CUDA device"),
        (("--device", "abacus"), "--device"),
        (("--precision", "fp4"), "--precision"),
        (("--out", "text.txt"), "text.txt"),
        (("--speed", "9"), "--speed"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_persons_error_is_one_line_and_status_2(run, photo, monkeypatch, words, told):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("text.txt").write_text("no picture")
    Image.new("L", (32, 32), 255).save("white.png")
    Image.fromarray(np.repeat(np.array([[0] * 16 + [255] * 16], np.uint8), 32, 0)).save("half.png")
    status, figures, errors = run("restore", photo, *FAST, *words)
    assert (status, figures) == (2, None)
    assert len(errors) == 1
    assert errors[0].startswith("redgui: ")
    assert told in errors[0]
    assert not Path("out/restored.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("restor",), "restor"),
        (("restore",), "IMAGE"),
        (("restore", "nothing.png", *FAST), "no file nothing.png"),
        (("restore", ".", *FAST), "directory"),
        (("restore", "example:nobody", *FAST), "no example 'nobody'"),
        (("replay", "nothing.json"), "nothing.json"),
        (("replay", "bad.json"), "not a redgui record"),
    ],
    ids=lambda words: " ".join(words)[:30] if isinstance(words, tuple) else None,
)
def test_a_wrong_command_is_one_line_and_status_2(run, words, told):
    Path("bad.json").write_text("{}")
    status, figures, errors = run(*words)
    assert (status, figures) == (2, None)
    assert len(errors) == 1
    assert errors[0].startswith("redgui: ")
    assert told in errors[0]


@pytest.mark.parametrize("words", [(), ("app",)])
def test_no_command_opens_the_app(run, monkeypatch, words):
    from redgui import ui

    opened = []
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setattr(ui, "build", lambda *what, public, exact: (*what, public, exact))
    monkeypatch.setattr(ui, "launch", lambda *what, **how: opened.append((*what, how["inbrowser"])))
    monkeypatch.setattr(sys, "argv", ["redgui"])
    assert main(words or None) == 0
    assert opened == [(("faces-64", "auto", "auto", False, False), True)]


def test_ctrl_c_is_status_130(run, photo, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "restore", interrupted)
    status, _, errors = run("restore", photo, *FAST)
    assert status == 130
    assert errors == ["redgui: stopped"]
