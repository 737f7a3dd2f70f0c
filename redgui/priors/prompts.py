"""The embeddings of prompts: read from prompt.safetensors in a model's folder, or made once by its encoders and kept there.

The file has a tensor (tokens, width) by the text itself and, of a model that wants one, the pooled (width,) by the text and
POOLED. What is not in it is encoded with `transformers` and the model's own tokenizer/ and text_encoder/ (SDXL: also
tokenizer_2/ and text_encoder_2/), which are freed again; a folder with its file runs without them.
"""

import contextlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from redgui.errors import in_short
from redgui.knobs import shown
from redgui.priors.base import PriorError

FILE = "prompt.safetensors"
POOLED = " [pooled]"
PIP = "pip install 'redgui[text]'"


class Embedding(NamedTuple):
    """A text: (tokens, width), and of a model that wants it the pooled one, (width,)."""

    states: Tensor
    pooled: Tensor | None


def files() -> list[str]:
    """What of a model's files is wanted for its texts; of the encoders nothing where they could not be used."""
    encoder = ("config.json", "model.safetensors")
    tokenizer = ("tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
    usable = importlib.util.find_spec("transformers") is not None
    parts = {f"{part}{which}": names for which in ("", "_2") for part, names in
             (("tokenizer", tokenizer), ("text_encoder", encoder)) if usable}  # fmt: skip
    return [FILE, *(f"{part}/{name}" for part, names in parts.items() for name in names)]


def embeddings(folder: Path, texts: Iterable[str], pooled: bool = False, encode: bool = True) -> dict[str, Embedding]:
    """Texts as a model's encoders have them, from prompt.safetensors or encoded and written there.

    Args:
        pooled: the model wants pooled texts, too.
        encode: its encoders are read here.

    Raises:
        PriorError: a text is not there, and cannot be encoded.
    """
    texts = tuple(dict.fromkeys(texts))
    known = read(folder)
    missing = [text for text in texts if text not in known or (pooled and text + POOLED not in known)]
    if missing and not encode:
        raise PriorError(
            f"the text {shown(missing[0])} is not in {folder / FILE}, and the encoders of this kind of model are not read "
            "here; docs/models.md has the lines that write it."
        )
    if missing:
        known |= encoded(folder, missing, pooled)
        with contextlib.suppress(OSError):  # a folder that is not ours to write in
            write(folder, known)
    return {text: Embedding(known[text], known[text + POOLED] if pooled else None) for text in texts}


def read(folder: Path) -> dict[str, Tensor]:
    """What lies in a folder's prompt.safetensors. Raises PriorError where it cannot be read."""
    from safetensors.torch import load_file

    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise PriorError(f"{path} cannot be read: {in_short(error)}") from error


def write(folder: Path, known: dict[str, Tensor]) -> Path:
    """Writes prompt.safetensors; a file that was there stays whole until the new one is."""
    from safetensors.torch import save_file

    path = folder / FILE
    part = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        save_file({text: tensor.contiguous() for text, tensor in known.items()}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def encoded(folder: Path, texts: list[str], pooled: bool = False) -> dict[str, Tensor]:
    """Texts by a model's own encoders, as prompt.safetensors has them, float32. Raises PriorError.

    Of one encoder it is the last state, of SDXL's two the last but one of each, side by side, and the projection of the second.
    """
    if importlib.util.find_spec("transformers") is None:
        raise PriorError(
            f"the text {shown(texts[0])} is not in {folder / FILE}, and without transformers it cannot be encoded: {PIP}."
        )
    try:
        if not pooled:
            states = _states(folder, texts, "", "CLIPTextModel")[0]
            return dict(zip(texts, states.unbind(), strict=True))
        _, hidden = _states(folder, texts, "", "CLIPTextModel")
        projected, hidden_2 = _states(folder, texts, "_2", "CLIPTextModelWithProjection")
        states = torch.cat([hidden, hidden_2], -1)
    except Exception as error:  # of many kinds: what is missing, damaged, or of another model
        raise PriorError(f"the text encoder in {folder} cannot be read: {in_short(error)}") from error
    found = dict(zip(texts, states.unbind(), strict=True))
    return found | {text + POOLED: each for text, each in zip(texts, projected.unbind(), strict=True)}


def _states(folder: Path, texts: list[str], which: str, kind: str) -> tuple[Tensor, Tensor]:
    """What an encoder gives first, and its last state but one."""
    import transformers  # pyright: ignore[reportMissingImports]

    transformers.logging.set_verbosity_error()
    tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(folder / f"tokenizer{which}", local_files_only=True)
    encoder = getattr(transformers, kind).from_pretrained(
        folder / f"text_encoder{which}", use_safetensors=True, local_files_only=True
    )
    longest = tokenizer.model_max_length
    ids = tokenizer(texts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        out = encoder.eval().float()(ids, output_hidden_states=True)
    return out[0].clone(), out.hidden_states[-2].clone()
