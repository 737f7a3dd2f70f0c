"""Text-to-image latents: a UNet2DConditionModel (Stable Diffusion 1.x, 2.x and what was distilled from them) with its prompt.

    F_g = F(x, t, negative) + g (F(x, t, prompt) - F(x, t, negative))            classifier-free guidance, arXiv 2207.12598

in one call of twice the batch; g = 1 and g = 0 are one text alone, in a call of the batch itself. D is affine in F, so this is
the guidance of D, too. A latent consistency model with an embedding of the guidance (arXiv 2310.04378, w = g - 1) is told g
and has no negative prompt.

The embeddings of texts lie in the model's folder, in prompt.safetensors: a tensor (tokens, width) by the text itself. Texts
that are not there are encoded once, with `transformers` and the model's own tokenizer/ and text_encoder/, and written there;
a folder with its file runs without either.
"""

import contextlib
import importlib.util
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redgui.errors import in_short
from redgui.knobs import shown
from redgui.priors.base import PriorError
from redgui.priors.folder import network_folder, read_json

CLASS = "UNet2DConditionModel"
FILE = "prompt.safetensors"
FURTHER = ("addition_embed_type", "encoder_hid_dim_type", "class_embed_type", "num_class_embeds")  # inputs that are not given
ENCODER = ("text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/tokenizer_config.json",
           "tokenizer/special_tokens_map.json", "tokenizer/vocab.json", "tokenizer/merges.txt")  # fmt: skip
MISSING = "pip install 'redgui[text]'"


class Prompted(nn.Module):
    """A UNet2DConditionModel with its texts, called as a UNet2DModel.

    Args:
        net: the network.
        positive, negative: (tokens, width) of the texts; a text that the guidance leaves out may be None.
        guidance: g.
    """

    def __init__(self, net: nn.Module, positive: Tensor | None, negative: Tensor | None, guidance: float):
        super().__init__()
        self.net, self.guidance = net, guidance
        given = [text for text in (negative, positive) if text is not None]
        self.register_buffer("texts", torch.stack(given).float(), persistent=False)
        width = getattr(net, "config", {}).get("time_cond_proj_dim")
        self.register_buffer("told", None if width is None else embedded(guidance - 1, width), persistent=False)

    def forward(self, x: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """F_g for x (b, c, h, w) at times t (b,)."""
        b, texts, told = len(x), self.texts, self.told
        assert isinstance(texts, Tensor)
        n = len(texts)
        given: dict[str, Any] = {"encoder_hidden_states": texts.to(x.dtype).repeat_interleave(b, 0)}
        if isinstance(told, Tensor):
            given["timestep_cond"] = told.to(x.dtype).expand(n * b, -1)
        out = self.net(x.repeat(n, 1, 1, 1), t.repeat(n), **given, return_dict=False)[0]
        if n == 2:
            without, with_it = out.float().chunk(2)  # their difference, g times, is more than bf16 has digits for
            out = without + self.guidance * (with_it - without)
        return (out,)


def is_text_to_image(folder: Path) -> bool:
    """Whether the denoiser of a folder is a UNet2DConditionModel. Raises PriorError where it has no configuration."""
    return read_json(network_folder(folder) / "config.json").get("_class_name") == CLASS


def prompted(net: nn.Module, folder: Path, prompt: str, negative: str, guidance: float) -> Prompted:
    """The network of a folder with texts. Raises PriorError where one of them is not at hand."""
    config: Any = net.config
    embeds = config.get("time_cond_proj_dim") is not None
    wanted = [None if guidance == 0 and not embeds else prompt, None if guidance == 1 or embeds else negative]
    found = embeddings(folder, [text for text in wanted if text is not None])
    width = config["cross_attention_dim"]
    for text, tensor in found.items():
        if tensor.ndim != 2 or tensor.shape[1] != width or not bool(tensor.isfinite().all()):
            raise PriorError(
                f"the text {shown(text)} in {folder / FILE} is (tokens, {width}) finite numbers; got {tuple(tensor.shape)}."
            )
    if len({len(tensor) for tensor in found.values()}) > 1:
        raise PriorError(f"the texts in {folder / FILE} have different numbers of tokens; encode them alike.")
    positive, other = (None if text is None else found[text] for text in wanted)
    return Prompted(net, positive, other, guidance)


def check(unet_config: dict[str, Any], folder: object) -> None:
    """Raises PriorError where a UNet2DConditionModel wants more than a text."""
    further = [key for key in FURTHER if unet_config.get(key) is not None]
    if further or not isinstance(unet_config.get("cross_attention_dim", 1280), int):
        raise PriorError(
            f"{folder} is a text-to-image model with further inputs ({', '.join(further) or 'texts of several widths'}; "
            "SDXL has such); redgui reads those of Stable Diffusion 1.x and 2.x."
        )


def files() -> tuple[str, ...]:
    """What of a text-to-image model is wanted for its texts; of its encoder nothing where it could not be used."""
    return (FILE, *(ENCODER if importlib.util.find_spec("transformers") else ()))


def embeddings(folder: Path, texts: Iterable[str]) -> dict[str, Tensor]:
    """The embeddings (tokens, width) of texts, from prompt.safetensors or encoded and written there. Raises PriorError."""
    known = read(folder)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        known |= encoded(folder, missing)
        with contextlib.suppress(OSError):  # a folder that is not ours to write in
            write(folder, known)
    return {text: known[text] for text in texts}


def read(folder: Path) -> dict[str, Tensor]:
    """What lies in a folder's prompt.safetensors, by text. Raises PriorError where it cannot be read."""
    from safetensors.torch import load_file

    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise PriorError(f"{path} cannot be read: {in_short(error)}") from error


def write(folder: Path, known: dict[str, Tensor]) -> Path:
    """prompt.safetensors with embeddings by their texts; a file that was there stays whole until the new one is."""
    from safetensors.torch import save_file

    path = folder / FILE
    part = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        save_file({text: tensor.contiguous() for text, tensor in known.items()}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def encoded(folder: Path, texts: list[str]) -> dict[str, Tensor]:
    """Texts by the model's own encoder, which is freed again, each (tokens, width) float32. Raises PriorError."""
    if importlib.util.find_spec("transformers") is None:
        raise PriorError(
            f"the text {shown(texts[0])} is not in {folder / FILE}, and without transformers it cannot be encoded: {MISSING}."
        )
    import transformers  # pyright: ignore[reportMissingImports]

    transformers.logging.set_verbosity_error()
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        encoder = transformers.CLIPTextModel.from_pretrained(
            folder / "text_encoder", use_safetensors=True, local_files_only=True
        )
        longest = tokenizer.model_max_length
        ids = tokenizer(texts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            states = encoder.eval().float()(ids)[0]
    except Exception as error:  # of many kinds: what is missing, damaged, or of another model
        raise PriorError(f"the text encoder in {folder} cannot be read: {in_short(error)}") from error
    return dict(zip(texts, states.clone().unbind(), strict=True))


def embedded(w: float, width: int) -> Tensor:
    """The sinusoidal embedding of a guidance w, (1, width), as latent consistency models were trained with."""
    half = width // 2
    angles = 1000 * w * torch.exp(torch.arange(half) * (-math.log(10000.0) / max(half - 1, 1)))
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()])[None], (0, width % 2))
