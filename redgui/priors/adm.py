"""Checkpoints of guided-diffusion ("ADM", arXiv 2105.05233) as `diffusers` folders.

    convert("256x256_diffusion_uncond.pt", "imagenet-256")        # python -m redgui convert-adm

A checkpoint is a state dict without its configuration. Widths, levels, blocks, attention, classes, scale-shift norm and the
way of resampling show in the shapes. Attention heads, the order of q, k and v, the noise schedule and the size of the pictures
do not; they come from the published table, whose line is recognised by the shapes, or are said by hand.
"""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redgui import knobs
from redgui.errors import in_short
from redgui.knobs import KnobError
from redgui.priors.adm_network import CLASS, Adm, Layout, State, empty, layout_of, renamed, unet_config
from redgui.priors.base import PriorError

# name: configuration, and the form of a checkpoint with it. Flags of github.com/openai/guided-diffusion (README); FFHQ of
# DPS (arXiv 2209.14687). The unconditional ImageNet-256 and LSUN, as CelebA-HQ and Places of RePaint, are of one form.
_256, _ATTENTION = (1, 1, 2, 2, 4, 4), (False, False, False, True, True, True)
PUBLISHED: dict[str, tuple[Adm, tuple[Any, ...]]] = {
    "imagenet-64": (Adm(size=64, order="new", betas="cosine"), ((1, 2, 3, 4), 3, (False, True, True, True), True)),
    "imagenet-128": (Adm(size=128, head_channels=0, heads=4), ((1, 1, 2, 3, 4), 2, (False, False, True, True, True), True)),
    "imagenet-256": (Adm(size=256), (_256, 2, _ATTENTION, True)),
    "imagenet-256-uncond": (Adm(size=256), (_256, 2, _ATTENTION, False)),
    "imagenet-512": (Adm(size=512), ((0.5, 1, 1, 2, 2, 4, 4), 2, (False, *_ATTENTION), True)),
    "lsun-256": (Adm(size=256), (_256, 2, _ATTENTION, False)),
    "ffhq-256": (Adm(size=256), (_256, 1, (False, False, False, False, True, False), False)),
}


def convert(checkpoint: str | Path, out: str | Path, config: str = "auto") -> dict[str, Any]:
    """Writes a `.pt` of guided-diffusion as a `diffusers` folder: unet/, scheduler/, model_index.json.

    Args:
        checkpoint: a state dict; read with weights_only, so that a pickle with code in it is refused unread.
        out: the folder to make.
        config: auto, a name of PUBLISHED, or `adm`; with `NAME:knob=value,...` to change what it says.

    Returns what was found: config, size, classes, parameters.

    Raises:
        PriorError: it cannot be read or is no denoiser of pictures.
        KnobError: the configuration is not one.
    """
    state = read(Path(checkpoint))
    layout = layout_of(state)
    name, chosen = choose(config, layout)
    folder = Path(out)
    if (folder / "unet").exists() or (folder / "model_index.json").exists():
        raise PriorError(f"{folder} holds a prior already; give another folder.")
    settings = unet_config(layout, chosen)
    net = empty(settings)
    weights = renamed(state, layout, chosen)
    wanted = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    got = {key: tuple(value.shape) for key, value in weights.items()}
    if wanted != got:
        wrong = sorted(key for key in wanted.keys() | got.keys() if wanted.get(key) != got.get(key))
        raise PriorError(f"the checkpoint does not fit the network of configuration {name}: {', '.join(wrong[:3])} ...")

    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from safetensors.torch import save_file

    (folder / "unet").mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})
    _write(folder / "unet/config.json", settings)
    schedule: dict[str, Any] = dict(num_train_timesteps=chosen.steps, prediction_type="epsilon", clip_sample=True,
                    variance_type="learned_range" if layout.out == 2 * layout.inputs else "fixed_large")  # fmt: skip
    if chosen.betas == "linear":  # 1e-4 to 0.02 at a thousand steps, as much noise in the end at any other number
        schedule |= dict(beta_schedule="linear", beta_start=0.1 / chosen.steps, beta_end=20 / chosen.steps)
    else:
        schedule |= dict(beta_schedule="squaredcos_cap_v2")
    DDPMScheduler(**schedule).save_pretrained(folder / "scheduler")
    library = ["diffusers", "UNet2DModel"] if settings["_class_name"] != CLASS else ["redgui", CLASS]
    index = {"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"], "unet": library}
    _write(folder / "model_index.json", index)
    count = sum(w.numel() for w in weights.values())
    return {"config": name, "size": chosen.size, "classes": layout.classes, "parameters": count, "out": str(folder)}


def read(path: Path) -> State:
    """The tensors of a checkpoint by name, float32. Raises PriorError; runs no code that is in the file."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise PriorError(f"there is no file {path}; give the path of a checkpoint (.pt).") from None
    except pickle.UnpicklingError as error:
        raise PriorError(
            f"{path} is not a plain state dict of tensors: what else is pickled in it could be code, and is not run "
            f"({in_short(error)})."
        ) from None
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise PriorError(f"{path} cannot be read as a checkpoint: {in_short(error)}") from None
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in loaded.items()):
        raise PriorError(f"{path} does not hold a state dict (names and tensors); export the network's weights alone.")
    return {key.removeprefix("module."): value.float() for key, value in loaded.items()}


def choose(config: str, layout: Layout) -> tuple[str, Adm]:
    """The configuration of a text, with its name; `auto` recognises a published one."""
    name, given = knobs.parse(config)
    if name == "auto":
        found = [known for known, (_, form) in PUBLISHED.items() if form == layout.form]
        if not found and "size" not in given:
            factors = ", ".join(f"{w / layout.channels:g}" for w in layout.widths)
            raise PriorError(
                f"no published configuration has levels of {factors} x {layout.channels} channels, {layout.blocks} blocks each "
                "and this attention. Say it: --config adm:size=256,head_channels=64,order=legacy,betas=linear."
            )
        name = found[0] if found else "adm"
    if name != "adm" and name not in PUBLISHED:
        raise KnobError(f"there is no configuration {name!r}. Choose auto, adm or one of: {', '.join(PUBLISHED)}.")
    base = knobs.values(PUBLISHED[name][0]) if name != "adm" else {}
    if "heads" in given:
        base |= {"head_channels": 0}
    elif "head_channels" in given:
        base |= {"heads": 0}
    chosen = knobs.build(Adm, {**base, **given})
    if name != "adm" and PUBLISHED[name][1] != layout.form:
        raise PriorError(f"the checkpoint is not of configuration {name}: its levels, blocks, attention or classes differ.")
    for width, there in zip((*layout.widths, layout.widths[-1]), (*layout.attention, True), strict=True):
        if there and width % (chosen.head_channels or chosen.heads):
            raise PriorError(f"{width} channels cannot be divided into heads of the configuration {knobs.spec(chosen)}.")
    if chosen.size % 2 ** (len(layout.widths) - 1):
        raise PriorError(f"pictures of {chosen.size} cannot be halved {len(layout.widths) - 1} times; change size.")
    return name, chosen


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
