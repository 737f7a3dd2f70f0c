"""The tasks: every setting builds, and the finished results are those of the current settings."""

import dataclasses
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from redgui import api, bundled, cli, images, knobs, metrics, presets, tasks
from redgui.runs.settings import Settings
from redgui.samplers import SAMPLERS
from redgui.tasks import TASKS, Task, TaskError

EVERY = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
WANTED = {"inpaint", "superres", "blur", "denoise", "colorize", "hdr", "phase", "nonlinear-blur", "jpeg",
          "compressed-sensing", "fourier", "compose"}  # fmt: skip


def test_there_is_one_for_every_kind_of_degradation():
    made = [task.build_operator() for task in TASKS]
    assert {H.name for H in made} >= WANTED
    kinds = {(H.name, getattr(H, "kind", "")) for H in made}
    assert kinds >= {("inpaint", "box"), ("inpaint", "text"), ("inpaint", "freeform"), ("blur", "gaussian"), ("blur", "motion")}
    assert len({task.name for task in TASKS}) == len({task.label for task in TASKS}) == len(TASKS)


@EVERY
def test_its_setting_builds_and_fits(task):
    H, sampler = task.build_operator(), task.build_sampler()
    sampler.check_fit(H, SAMPLERS)
    wanted = presets.preset(sampler.name, H.name, getattr(H, "kind", None), task.sigma_y, task.prior)
    assert {name: getattr(sampler, name) for name in wanted} == wanted
    assert task.particles() == presets.particles(sampler, H)
    problem = task.problem()
    assert problem.x_true.shape == (1, 3, *((64, 64) if task.prior == tasks.PRIOR else (128, 128)))
    assert float(metrics.psnr(problem.start(), problem.x_true)) < 40  # there is something to restore
    assert knobs.spec(api.parse_operator(task.setting()["operator"])[0]) == task.setting()["operator"]


@EVERY
def test_its_finished_result_is_of_this_setting(task):
    stored = tasks.finished(task)
    assert stored.setting == task.setting(), f"run `python -m assets.tasks.make {task.name}`"
    problem = task.problem()
    y = images.to_uint8(problem.H.picture(problem.y))
    np.testing.assert_allclose(np.asarray(Image.open(stored.measurement).convert("RGB"), int), y, atol=1)
    restored = images.to_tensor(images.read(stored.restored))
    psnr = float(metrics.psnr(problem.aligned(restored), problem.x_true))
    assert psnr == pytest.approx(stored.figures["psnr"], abs=0.05)
    assert stored.figures["psnr"] > stored.figures["psnr_measurement"]
    sheet = images.read(stored.film)  # its iterates side by side; the last is the result
    last = images.to_tensor(sheet.crop((sheet.width - sheet.width // len(stored.frames), 0, sheet.width, sheet.height)))
    assert float(metrics.psnr(last, restored)) > 25
    assert [stored.frames[-1][0], len(stored.frames) * restored.shape[-1]] == [stored.figures["steps"], sheet.width]


@pytest.mark.parametrize("name", ["motion"])
def test_a_run_gives_the_recorded_figures(name):
    task = tasks.find(name)
    stored = tasks.finished(task)
    result = api.restore(
        str(task.example), operator=task.operator, sampler=task.sampler, sigma_y=task.sigma_y, seed=task.seed, device="cpu",
        precision="fp32",
    )  # fmt: skip
    assert result.figures["nfe"] == stored.figures["nfe"]
    assert result.figures["psnr"] == pytest.approx(stored.figures["psnr"], abs=0.1)
    shown = images.to_tensor(images.read(stored.restored))
    assert float(metrics.psnr(result.restored, shown)) > 40


def test_they_take_little_room_and_nothing_is_left_over():
    files = set(bundled.TASKS.iterdir()) - {bundled.TASKS / "__pycache__"}
    assert sum(path.stat().st_size for path in files) < 800_000
    wanted = {path for found in map(tasks.finished, TASKS) for path in (found.measurement, found.restored, found.film)}
    assert files == wanted | {bundled.TASKS / "make.py", bundled.TASKS / "tasks.json"}
    assert list(json.loads((bundled.TASKS / "tasks.json").read_text())) == [task.name for task in TASKS]


@EVERY
def test_its_command_line_is_the_same_setting(task, monkeypatch):
    asked = {}

    def restore(image, **given):
        asked.update(given, image=image)
        raise TaskError("enough")

    monkeypatch.setattr(api, "restore", restore)
    cli.main(shlex.split(task.command)[3:])
    assert asked["image"] == f"example:{task.picture}"
    read = Settings.read({name: asked[name] for name in ("operator", "sampler", "sigma_y", "noise", "seed", "prior")})
    assert (read.H, read.sampler) == (task.build_operator(), task.build_sampler())
    assert (read.sigma_y, read.noise, read.seed) == (task.sigma_y, "gaussian", task.seed)


def test_an_unknown_name_and_a_missing_result_say_what_to_do():
    with pytest.raises(TaskError, match="Choose one of: box, text"):
        tasks.find("nonsense")
    new = dataclasses.replace(TASKS[0], name="new")
    with pytest.raises(TaskError, match=r"python -m assets.tasks.make new"):
        tasks.finished(new)


def test_a_changed_setting_is_noticed():
    box = tasks.find("box")
    stored = tasks.finished(box).setting
    for change in (dict(sigma_y=0.1), dict(seed=1), dict(picture="face-11"), dict(sampler="reddiff:lr=0.2"),
                   dict(operator="inpaint:kind=box,fraction=0.5")):  # fmt: skip
        assert stored != dataclasses.replace(box, **change).setting()


def test_the_module_is_light():
    code = "import sys, redgui.tasks; print([m for m in ('torch', 'PIL', 'gradio', 'numpy', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert isinstance(TASKS[0], Task)
