"""The embeddings of prompts: read from prompt.safetensors in a model's folder, or made once by its encoders and kept there.

The file has a tensor (tokens, width) by the text itself and, of a model that wants one, the pooled (width,) by the text and
POOLED. What is not in it is encoded with `transformers`, by `encode_prompt` of the model's own pipeline of `diffusers`, around
nothing but the model's tokenizers and text encoders. These are read for that and freed again, so that a folder with its file
runs without them.
"""

import contextlib
import importlib
import importlib.util
import inspect
import os
import re
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
CLIP, CLIP_PROJECTED, T5 = "CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"
OF_ENCODERS = re.compile(  # of a model's files; SD3's third encoder, a T5 of 9.5 GB that it can do without, is not among them
    r"tokenizer(_2)?/((tokenizer|tokenizer_config|special_tokens_map|vocab)\.json|merges\.txt|spiece\.model)"
    r"|text_encoder(_2)?/((config|model\.safetensors\.index)\.json|model(-\d+-of-\d+)?\.safetensors)"
)


class Embedding(NamedTuple):
    """A text: (tokens, width), and of a model that wants it the pooled one, (width,)."""

    states: Tensor
    pooled: Tensor | None


class Encoders(NamedTuple):
    """How a kind of model has its texts encoded.

    Attributes:
        pipeline: its class of diffusers.
        parts: the class of transformers of text_encoder/, text_encoder_2/, ...; a third may be missing.
        told: what `encode_prompt` is told beside the texts.
        pooled: where in its answer the pooled texts are; None of a model that wants none.
    """

    pipeline: str
    parts: tuple[str, ...]
    told: dict[str, Any]
    pooled: int | None = None


ALONE = dict(do_classifier_free_guidance=False)  # a negative prompt is a text as any other
SD = Encoders("StableDiffusionPipeline", (CLIP,), ALONE)
XL = Encoders("StableDiffusionXLPipeline", (CLIP, CLIP_PROJECTED), ALONE, 2)
SD3 = Encoders("StableDiffusion3Pipeline", (CLIP_PROJECTED, CLIP_PROJECTED, T5), ALONE | dict(prompt_2=None, prompt_3=None), 2)
FLUX = Encoders("FluxPipeline", (CLIP, T5), {}, 1)
SCHNELL = FLUX._replace(told=dict(max_sequence_length=256))  # as it was distilled


def wanted(files: Iterable[str]) -> list[str]:
    """Of a model's files those that are wanted for its texts; of the encoders none where they could not be used."""
    usable = importlib.util.find_spec("transformers") is not None
    return [file for file in files if file == FILE or (usable and OF_ENCODERS.fullmatch(file))]


def embeddings(folder: Path, texts: Iterable[str], encoders: Encoders, net: Any = None) -> dict[str, Embedding]:
    """Texts as a model's encoders have them, from prompt.safetensors or encoded and written there.

    Args:
        net: its network, whose configuration says how wide texts are where SD3's third encoder is missing.

    Raises:
        PriorError: a text is not there, and cannot be encoded.
    """
    pooled = encoders.pooled is not None
    texts = tuple(dict.fromkeys(texts))
    known = read(folder)
    missing = [text for text in texts if text not in known or (pooled and text + POOLED not in known)]
    if missing:
        known |= encoded(folder, missing, encoders, net)
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


def encoded(folder: Path, texts: list[str], encoders: Encoders, net: Any = None) -> dict[str, Tensor]:
    """Texts by a model's own encoders, as prompt.safetensors has them, float32; on the CPU. Raises PriorError."""
    if importlib.util.find_spec("transformers") is None:
        raise PriorError(
            f"the text {shown(texts[0])} is not in {folder / FILE}, and without transformers it cannot be encoded: {PIP}."
        )
    told = dict(device=torch.device("cpu"), num_images_per_prompt=1) | encoders.told
    found: dict[str, Tensor] = {}
    try:
        pipeline = _pipeline(folder, encoders, net)
        for text in texts:  # one at a time: the bits of a text depend on no other
            with torch.no_grad():
                answer = pipeline.encode_prompt(prompt=text, **told)
            found[text] = answer[0][0].float()
            if encoders.pooled is not None:
                found[text + POOLED] = answer[encoders.pooled][0].float()
    except Exception as error:  # of many kinds: what is missing, damaged, or of another model
        raise PriorError(f"the text encoders in {folder} cannot be read: {in_short(error)}") from error
    return found


def _pipeline(folder: Path, encoders: Encoders, net: Any) -> Any:
    """The pipeline with its tokenizers and text encoders alone. It is put together here, since `from_pretrained` would import
    whatever modules model_index.json names."""
    import diffusers

    transformers: Any = importlib.import_module("transformers")  # an extra
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    cls = getattr(diffusers, encoders.pipeline)
    given = {name: None for name, p in inspect.signature(cls).parameters.items() if p.default is p.empty}
    if "transformer" in given:
        given["transformer"] = net
    for k, part in enumerate(encoders.parts, 1):
        which = f"_{k}" if k > 1 else ""
        place = folder / f"text_encoder{which}"
        if k == 3 and not place.is_dir():
            continue
        encoder = getattr(transformers, part).from_pretrained(
            place, use_safetensors=True, local_files_only=True, torch_dtype="auto"
        )
        # A T5 stays as it was saved: in float32 it would be of 19 GB.
        given[f"text_encoder{which}"] = encoder.eval() if part == T5 else encoder.eval().float()
        tokenizer = transformers.T5TokenizerFast if part == T5 else transformers.CLIPTokenizer
        given[f"tokenizer{which}"] = tokenizer.from_pretrained(folder / f"tokenizer{which}", local_files_only=True)
    return cls(**given)
