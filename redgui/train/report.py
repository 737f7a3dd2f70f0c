"""The exported prior: its folder, its card, and the pictures that show what was learnt."""

import copy
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from redgui import images, schedule
from redgui.priors import calibration, schedulers
from redgui.priors.base import Prior
from redgui.priors.network import OWN, DiffusersPrior
from redgui.train import data
from redgui.train.measure import LEVELS, SIGMAS, heldout
from redgui.train.objective import tensor
from redgui.train.recipe import Recipe, TrainError

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

LOOKED_AT = 200  # held-out pictures for the table of the errors
SAMPLES, STEPS, LIMIT = 36, 50, 240.0  # pictures of the sheet, levels each, seconds after which it stays shorter
STARTER = (0.0872, 0.1657, 0.2510, 0.3744, 0.5053, 0.5241)  # the first bundled faces-64, by `measure.heldout`, seed 0


def copy_of(net: "UNet2DModel") -> "UNet2DModel":
    """A copy for evaluation, on the same device."""
    return copy.deepcopy(net).eval().requires_grad_(False)


def export(
    folder: Path,
    net: "UNet2DModel",
    schedule_config: dict[str, Any],
    recipe: Recipe,
    figures: dict[str, Any],
    pictures: int,
    paths: list[str],
    watched: list[Any],
) -> DiffusersPrior:
    """Writes a `diffusers` folder with float16 weights that `redgui.priors.load` takes, and returns it loaded."""
    import diffusers

    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "unet.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    copy.deepcopy(net).half().cpu().save_pretrained(fresh, max_shard_size="15MB", safe_serialization=True)
    _without_paths(fresh / "config.json")
    shutil.rmtree(folder / "unet", ignore_errors=True)
    fresh.rename(folder / "unet")
    kind = schedulers.known(schedule_config)
    scheduler: Any = getattr(diffusers, kind)
    scheduler.from_config({key: v for key, v in schedule_config.items() if not key.startswith("_")}).save_pretrained(
        folder / "scheduler"
    )
    # Of flow and EDM networks alone diffusers has no pipeline.
    pipeline = "DDPMPipeline" if kind in schedulers.BETAS else "DiffusionPipeline"
    index = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    index |= {"scheduler": ["diffusers", kind], "unet": list(kind_of(net))}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    prior = DiffusersPrior.from_folder(folder, name=folder.name, device=next(net.parameters()).device)
    write_card(folder, prior, recipe, figures, pictures, paths, watched, drawn=())
    return prior


def kind_of(net: torch.nn.Module) -> tuple[str, str]:
    """The library and the class of a network, as model_index.json and the card name them."""
    name = type(net).__name__
    return ("redgui" if name in OWN else "diffusers"), name


def _without_paths(config: Path) -> None:
    """Takes out where the weights that a training started from lay: nobody's business but the machine's."""
    kept = {key: value for key, value in json.loads(config.read_text()).items() if key != "_name_or_path"}
    config.write_text(json.dumps(kept, indent=2) + "\n")


def report(
    folder: Path,
    prior: DiffusersPrior,
    recipe: Recipe,
    figures: dict[str, Any],
    pictures: data.Pictures,
    held: data.Pictures,
    paths: list[str],
    curve: list[Any],
    watched: list[Any],
) -> dict[str, Any]:
    """Held-out errors of the exported prior, the sheets and curves, and the card with them; returns {"rmse": ...}."""
    rmse = dict(zip(map(str, SIGMAS), (round(r, 5) for r in heldout(prior, held.some())), strict=True))
    if len(held):
        errors = heldout(prior, held.some(LOOKED_AT), calibration.LEVELS)
        calibration.write(folder, {f"{s:g}": float(f"{r:.4g}") for s, r in zip(calibration.LEVELS, errors, strict=True)})
    drawn = samples(prior, seed=recipe.seed)
    images.row(list(drawn.split(1)), per_row=6).save(folder / "samples.png")
    near = neighbours(drawn, pictures)
    pairs = [p for x, n in list(zip(drawn.split(1), near.split(1), strict=True))[:18] for p in (x, n)]
    images.row(pairs, per_row=6).save(folder / "neighbours.png")
    plot(folder / "loss.png", curve, watched)
    write_card(
        folder, prior, recipe, figures | {"rmse": rmse}, len(pictures), paths, watched, ("samples", "neighbours", "loss")
    )
    return {"rmse": rmse}


def evaluate(paths: list[str], out: str, *, device: str = "auto", precision: str = "auto", **given: Any) -> dict[str, Any]:
    """The held-out errors of the prior in the folder `out`; trains and writes nothing."""
    from redgui.devices import device_of, precision_of

    where = device_of(device)
    # The errors are those of the weights: in float32 where that costs only time.
    name = "fp32" if precision == "auto" and where.type == "cpu" else precision_of(precision, where)
    prior = DiffusersPrior.from_folder(Path(out), name=out, device=where, precision=name)
    recipe = Recipe(**given)
    size = recipe.size or prior.shape[1]
    memory = recipe.memory * 2**20
    _, held = data.find(paths, size, scales=recipe.scales, memory=memory, held_out=recipe.held_out, seed=recipe.seed)
    if not len(held):
        raise TrainError("there are no held-out pictures to evaluate on; give data with val/, or a --held-out above 0.")
    began = time.monotonic()
    rmse = heldout(prior, held.some())
    keys = map(str, SIGMAS)
    return dict(
        steps=0,
        pictures=len(held),
        seconds=round(time.monotonic() - began, 1),
        pictures_per_second=round(len(held) * len(SIGMAS) / (time.monotonic() - began), 2),
        loss=None,
        rmse=dict(zip(keys, (round(r, 5) for r in rmse), strict=True)),
        parameters=sum(p.numel() for p in prior.net.parameters()),
        device=str(where),
        precision=name,
    )


@torch.no_grad()
def samples(prior: Prior, count: int = SAMPLES, steps: int = STEPS, seed: int = 0, limit: float = LIMIT) -> Tensor:
    """Pictures from pure noise by DDIM (arXiv 2010.02502, eta = 0), (n, c, h, w); fewer than `count` where time runs out."""
    generator, began, drawn = torch.Generator().manual_seed(seed), time.monotonic(), []
    while sum(map(len, drawn)) < count and (not drawn or time.monotonic() - began < limit):
        z = torch.randn(min(6, count - sum(map(len, drawn))), *prior.shape, generator=generator).to(prior.device)
        x = prior.sigmas[-1].item() * z
        for sigma, after in schedule.descent(prior.sigmas, steps):
            x0_hat = prior.denoise(x, sigma).clamp(-1, 1)
            x = x0_hat + after / sigma * (x - x0_hat)
        drawn.append(x.clamp(-1, 1).cpu())
    return torch.cat(drawn)


def neighbours(drawn: Tensor, pictures: data.Pictures, most: int = 20000) -> Tensor:
    """The nearest of up to `most` training pictures of each sample, in pixel distance, fitted to the size; same shape.

    A network that memorised its data has samples that equal their neighbours.
    """
    size = pictures.size
    best = torch.full((len(drawn),), float("inf"))
    found = torch.zeros_like(drawn)
    order = np.random.default_rng(0).permutation(len(pictures))[:most]
    for start in range(0, len(order), 500):
        whole = (images.Image.fromarray(pictures[int(k)]) for k in order[start : start + 500])
        near = tensor(np.stack([np.asarray(images.fit(picture, size, size)) for picture in whole]))
        least, which = torch.cdist(drawn.flatten(1), near.flatten(1)).min(1)
        closer = least < best
        best = torch.where(closer, least, best)
        found[closer] = near[which[closer]]
    return found


def plot(path: Path, curve: list[Any], watched: list[Any]) -> None:
    """The training loss over steps, the held-out loss, and the last held-out loss per part of the noise levels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([s for s, _ in curve], [v for _, v in curve], lw=0.8, color="#9aa5c4", label="training")
    if watched:
        left.plot(
            [s for s, _ in watched],
            [np.nanmean(v) for _, v in watched],
            "o-",
            ms=3,
            color="#c2377f",
            label="held out, averaged weights",
        )
        right.bar(range(LEVELS), watched[-1][1], color="#c2377f")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    right.set(xlabel="tenth of the noise levels, low to high", ylabel="held-out loss", yscale="log")
    figure.savefig(path, dpi=100)


def write_card(
    folder: Path,
    prior: DiffusersPrior,
    recipe: Recipe,
    figures: dict[str, Any],
    pictures: int,
    paths: list[str],
    watched: list[Any],
    drawn: tuple[str, ...],
) -> None:
    """MODEL_CARD.md: the data, its terms, the recipe and the figures."""
    _, h, w = prior.shape
    named = recipe.data_name or ", ".join(Path(p).stem for p in paths)
    start = f"from the prior {Path(recipe.init).name}, " if recipe.init else ""
    library, network = kind_of(prior.net)
    levels = f"{recipe.lognormal:.0%} log-normal, the rest even" if recipe.lognormal else "even over the timesteps"
    lines = [
        f"# {folder.name}",
        "",
        f"A diffusion prior for pictures of {w}x{h}, made by `redgui train`.",
        "",
        "| | |",
        "|---|---|",
        f"| network | `{library}` `{network}`, {figures['parameters'] / 1e6:.1f} M parameters, float16 |",
        f"| prediction | {prior.prediction} on {len(prior.sigmas)} noise levels |",
        f"| data | {named}: {pictures:,} pictures |",
        f"| recipe | {start}{figures['steps']:,} steps of {recipe.batch} ({figures['pictures']:,} pictures seen), AdamW, "
        f"lr {recipe.lr:g} with warm-up and cosine, averaged weights ({recipe.ema:g}), "
        f"dropout {recipe.dropout:g}, {figures['precision']}, noise levels {levels} |",
        f"| time | {figures['seconds']:,.0f} s on {figures['device']} |",
        f"| terms | {recipe.terms} |",
        "",
    ]
    if figures.get("rmse"):
        header = "| sigma | " + " | ".join(figures["rmse"]) + " |\n" + "|---" * (len(SIGMAS) + 1) + "|"
        row = "| RMSE | " + " | ".join(f"{r:.4f}" for r in figures["rmse"].values()) + " |"
        starter = "| starter of faces-64, on its own faces | " + " | ".join(f"{r:g}" for r in STARTER) + " |"
        lines += ["Root-mean-square error of D(x, sigma) against x0 on the held-out pictures:", "", header, row, starter, ""]
    if watched:
        parts = ", ".join(f"{v:.4f}" for v in watched[-1][1])
        lines += [f"Held-out loss in tenths of the noise levels, low to high: {parts}.", ""]
    lines += [f"![{name}]({name}.png)" for name in drawn]
    (folder / "MODEL_CARD.md").write_text("\n".join(lines).rstrip() + "\n")
