"""The files of a model in `diffusers` format: configurations, and the one set of weights to read. No file's code is run."""

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from redgui.errors import in_short
from redgui.priors.base import PriorError

NETWORKS = ("unet_ema", "unet", "transformer")  # folders of the denoiser; averaged weights draw better pictures
AUTOENCODERS = ("vqvae", "vae")
LARGEST_SIDE = 4096
STEM = "diffusion_pytorch_model"
VARIANTS = ("", "fp32", "fp16", "bf16", "ema")  # of one network's weights, the first that is there; then any other
WEIGHTS = re.compile(
    rf"{STEM}(\.(?P<variant>\w+))??(-\d+-of-(?P<shards>\d+))?(\.(?P<old>\w+))??\.(?P<kind>safetensors|bin)"  # old: of shards
)


def chosen_weights(names: Iterable[str]) -> tuple[list[str], bool, str | None] | None:
    """Of the names of files in a folder the one set of weights to read: its files, whether they are safetensors, its variant.

    Weights in full precision are preferred to a variant (`variant="fp16"` of save_pretrained), safetensors to .bin, one file to
    shards with their index. None where no set is whole.
    """
    names = set(names)
    found: dict[tuple[str, str], dict[bool, list[str]]] = {}
    counts: dict[tuple[str, str], int] = {}
    for name in sorted(names):
        if part := WEIGHTS.fullmatch(name):
            key = part["variant"] or part["old"] or "", part["kind"]
            found.setdefault(key, {}).setdefault(part["shards"] is not None, []).append(name)
            counts[key] = int(part["shards"] or 0) or counts.get(key, 0)

    def rank(key: tuple[str, str]) -> tuple[int, str, bool]:
        variant, kind = key
        return (VARIANTS.index(variant) if variant in VARIANTS else len(VARIANTS)), variant, kind == "bin"

    for variant, kind in sorted(found, key=rank):
        sets, safe, named = found[variant, kind], kind == "safetensors", variant or None
        if whole := sets.get(False):
            return whole[:1], safe, named
        index = f"{STEM}.{kind}.index.{variant}.json" if variant else f"{STEM}.{kind}.index.json"
        if index in names and len(sets[True]) == counts[variant, kind]:
            return [index, *sets[True]], safe, named
    return None


def unread(names: Iterable[str]) -> str:
    """Why a model with these files is not read, where they are of another format; empty where that is not the reason."""
    names = list(names)
    if any(name.endswith(".gguf") for name in names):
        return " GGUF holds weights rounded for other programs; take the model in diffusers format that they were made of."
    if any(name.endswith((".ckpt", ".safetensors")) and not WEIGHTS.fullmatch(Path(name).name) for name in names):
        return " A checkpoint in one file does not say which network it is; take the model in diffusers format (a folder)."
    return ""


def load_model(folder: Path, make: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    """A network of a folder with config.json and weights, float32 or as saved.

    Args:
        make: `from_pretrained` of a class of diffusers, or what takes the folder and its options.

    Raises:
        PriorError: the weights are missing or cannot be read.
    """
    read = chosen_weights(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else None
    if read is None:
        reason = unread(p.name for p in folder.iterdir()) if folder.is_dir() else ""
        raise PriorError(f"{folder} has no weights; it needs {STEM}.safetensors.{reason}")
    _, safe, variant = read
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    # Without safetensors diffusers reads the .bin with weights_only=True, so that no code in it can run.
    given = dict(use_safetensors=safe, variant=variant, low_cpu_mem_usage=False, local_files_only=True)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return make(folder, **given)
    except Exception as error:
        raise PriorError(f"the network in {folder} cannot be read: {in_short(error)}") from error


def network_folder(folder: Path) -> Path:
    """Where a model's denoiser lies: unet_ema/ (averaged weights, where there are any), unet/, or the folder itself."""
    for name in NETWORKS:
        if (folder / name / "config.json").is_file():
            return folder / name
    flat = (folder / "config.json").is_file() and not (folder / "unet").is_dir()
    return folder if flat else folder / "unet"


def scheduler_folder(folder: Path) -> Path:
    """Where a model's scheduler lies: scheduler/, or the folder itself."""
    beside = (folder / "scheduler_config.json").is_file() and not (folder / "scheduler").is_dir()
    return folder if beside else folder / "scheduler"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a configuration file. Raises PriorError that names the file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise PriorError(f"{path} is missing; a prior is a folder in diffusers format (unet/ and scheduler/).") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PriorError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise PriorError(f"{path} should hold a JSON object; it holds a {type(content).__name__}.")
    return content


def index_of(folder: Path) -> dict[str, Any]:
    """The content of a folder's model_index.json, empty where there is none. Raises PriorError."""
    path = folder / "model_index.json"
    return read_json(path) if path.is_file() else {}


def sides_of(size: Any, where: object) -> tuple[int, int]:
    """Height and width in a configuration's sample_size. Raises PriorError."""
    if size is None:
        raise PriorError(f"{where}/config.json has no sample_size; add the side of the training pictures.")
    sides: Any = size if isinstance(size, list) and len(size) == 2 else [size, size]
    if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise PriorError(
            f"the sample_size in {where} is a side, or height and width, of 1 to {LARGEST_SIDE}; got {str(size)[:40]}."
        )
    return sides[0], sides[1]
