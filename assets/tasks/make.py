"""Makes the finished results of the tasks (`redgui/tasks.py`) with the bundled prior, so that the app can show them at once.

    python -m assets.tasks.make              all whose stored setting is not the current one
    python -m assets.tasks.make NAME ...     these; --all: all of them

Writes NAME-measurement.png, NAME-restored.png and NAME-film.webp beside this file, and settings and figures into tasks.json.
"""

import json
import sys
from urllib.request import urlopen

from PIL import Image

from redgui import bundled, images
from redgui.api import restore
from redgui.runs.film import Film
from redgui.tasks import TASKS, Task, find

FIGURES = ("psnr", "ssim", "psnr_measurement", "ssim_measurement", "aligned", "residual", "nfe", "backward", "seconds", "steps")
FRAMES = 16  # iterates of a film, at most


def make(task: Task) -> dict:
    """Runs a task and writes its pictures; what tasks.json has of it."""
    film = Film(most=FRAMES)
    result = restore(
        str(task.example), prior=task.prior, operator=task.build_operator(), sampler=task.sampler, sigma_y=task.sigma_y,
        particles=task.particles(), seed=task.seed, device="cpu", precision="fp32",
        watch=film.remember,
    )  # fmt: skip
    # The sampler's own estimate, of which the figures are.
    for what, picture in (("measurement", result.problem.H.picture(result.problem.y)), ("restored", result.raw)):
        images.to_pil(picture).save(bundled.TASKS / f"{task.name}-{what}.png", optimize=True)
    tiles = [Image.open(urlopen(frame.src)) for frame in film.frames]  # data: URLs
    sheet = Image.new("RGB", (sum(tile.width for tile in tiles), tiles[0].height))
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k * tile.width, 0))
    sheet.save(bundled.TASKS / f"{task.name}-film.webp", quality=82, method=6)
    kept = {key: result.figures[key] for key in FIGURES if key in result.figures}
    figures = {k: round(v, 4) if isinstance(v, float) else v for k, v in kept.items()}
    frames = [(frame.i, round(frame.sigma, 4), frame.psnr and round(frame.psnr, 2)) for frame in film.frames]
    return {"setting": task.setting(), "figures": figures, "frames": frames}


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
    for old in (*bundled.TASKS.glob("*.png"), *bundled.TASKS.glob("*.webp")):
        if old.stem.rsplit("-", 1)[0] not in names:
            old.unlink()
    path.write_text(json.dumps({name: stored[name] for name in names if name in stored}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
