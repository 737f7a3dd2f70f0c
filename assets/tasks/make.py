"""Makes the finished results of the tasks (`redgui/tasks.py`) with the bundled prior, so that the app can show them at once.

    python -m assets.tasks.make              all whose stored setting is not the current one
    python -m assets.tasks.make NAME ...     these; --all: all of them

Writes NAME-measurement.png and NAME-restored.png beside this file, and settings and figures into tasks.json.
"""

import json
import sys

from redgui import bundled, images
from redgui.api import restore
from redgui.tasks import PRIOR, TASKS, Task, find

FIGURES = ("psnr", "ssim", "psnr_measurement", "ssim_measurement", "aligned", "residual", "nfe", "backward", "seconds", "steps")


def make(task: Task) -> dict:
    """Runs a task and writes its pictures; what tasks.json has of it."""
    result = restore(
        str(task.example), prior=PRIOR, operator=task.build_operator(), sampler=task.sampler, sigma_y=task.sigma_y,
        particles=task.particles(), seed=task.seed, device="cpu", precision="fp32",
    )  # fmt: skip
    # The sampler's own estimate, of which the figures are.
    for what, picture in (("measurement", result.problem.H.picture(result.problem.y)), ("restored", result.raw)):
        images.to_pil(picture).save(bundled.TASKS / f"{task.name}-{what}.png", optimize=True)
    kept = {key: result.figures[key] for key in FIGURES if key in result.figures}
    return {"setting": task.setting(), "figures": {k: round(v, 4) if isinstance(v, float) else v for k, v in kept.items()}}


def main(words: list[str]) -> None:
    path = bundled.TASKS / "tasks.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    chosen = [find(word) for word in words if word != "--all"] or list(TASKS)
    if not words:
        chosen = [task for task in TASKS if stored.get(task.name, {}).get("setting") != task.setting()]
    for task in chosen:
        stored[task.name] = make(task)
        figures = stored[task.name]["figures"]
        print(f"{task.name:10} {figures['psnr_measurement']:6.2f} -> {figures['psnr']:6.2f} dB, {figures['seconds']:5.1f} s")
    names = [task.name for task in TASKS]
    for old in bundled.TASKS.glob("*.png"):
        if old.stem.rsplit("-", 1)[0] not in names:
            old.unlink()
    path.write_text(json.dumps({name: stored[name] for name in names if name in stored}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
