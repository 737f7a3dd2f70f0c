"""Texts encoded by a model's own tokenizers and encoders: those of each layout, as its own pipeline has them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from text_models import XL, flow_model, make
from tiny import load, noise

from redgui import priors
from redgui.priors import PriorError, prompts

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("forgetful")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLIP, PROJECTED, T5 = "CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"
LAYOUTS: dict[str, tuple[str, list[tuple[str, int, int]]]] = {  # encoders with their widths, and of what is projected
    "sd": ("StableDiffusionPipeline", [(CLIP, 12, 10)]),
    "xl": ("StableDiffusionXLPipeline", [(CLIP, 4, 10), (PROJECTED, 8, 10)]),
    "sd3": ("StableDiffusion3Pipeline", [(PROJECTED, 4, 4), (PROJECTED, 8, 6), (T5, 12, 0)]),
    "sd3 without T5": ("StableDiffusion3Pipeline", [(PROJECTED, 4, 4), (PROJECTED, 8, 6)]),
    "flux": ("FluxPipeline", [(CLIP, 10, 10), (T5, 12, 0)]),
}


def tokenizer(place: Path, kind: str) -> None:
    """A tokenizer of letters, in files as published models have them."""
    place.mkdir()
    if kind == T5:
        from tokenizers import Tokenizer, models, pre_tokenizers, processors

        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in LETTERS)]
        made = Tokenizer(models.Unigram(pieces, 2))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        made.save(str(place / "tokenizer.json"))
        told: dict[str, Any] = dict(
            tokenizer_class="T5Tokenizer", extra_ids=0, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        )
    else:
        tokens = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
        (place / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
        (place / "merges.txt").write_text("#version: 0.2\n")
        told = dict(tokenizer_class="CLIPTokenizer", bos_token=tokens[-2], eos_token=tokens[-1], pad_token=tokens[-1],
                    unk_token=tokens[-1])  # fmt: skip
    (place / "tokenizer_config.json").write_text(json.dumps(told | dict(model_max_length=9)))


def encoder(kind: str, width: int, projected: int) -> Any:
    """A random text encoder."""
    torch.manual_seed(width)
    if kind == T5:
        config = transformers.T5Config(vocab_size=30, d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    else:
        config = transformers.CLIPTextConfig(vocab_size=54, hidden_size=width, intermediate_size=16, num_hidden_layers=2,
                                             num_attention_heads=2, max_position_embeddings=9, bos_token_id=52,
                                             eos_token_id=53, projection_dim=projected)  # fmt: skip
    return getattr(transformers, kind)(config).eval()


def with_encoders(folder: Path, layout: str) -> None:
    """A model's tokenizers and text encoders, and the index by which its pipeline finds them."""
    pipeline, encoders = LAYOUTS[layout]
    index: dict[str, Any] = {"_class_name": pipeline, "scheduler": ["diffusers", "DDIMScheduler"]}
    if layout in ("sd3", "sd3 without T5", "flux"):
        index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
        index["transformer"] = ["diffusers", "FluxTransformer2DModel" if layout == "flux" else "SD3Transformer2DModel"]
    for k, (kind, *widths) in enumerate(encoders, 1):
        which = f"_{k}" if k > 1 else ""
        tokenizer(folder / f"tokenizer{which}", kind)
        encoder(kind, *widths).save_pretrained(folder / f"text_encoder{which}")
        index[f"text_encoder{which}"] = ["transformers", kind]
        index[f"tokenizer{which}"] = ["transformers", "T5TokenizerFast" if kind == T5 else "CLIPTokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_text_is_encoded_as_by_its_pipeline_and_then_runs_without_its_encoders(tmp_path, layout):
    import diffusers

    if layout in ("sd", "xl"):
        make(tmp_path, texts=(), **(XL if layout == "xl" else {}))
    else:
        flow_model(tmp_path, layout[:4].strip(), texts=())
    with_encoders(tmp_path, layout)
    prior = load(f"{tmp_path}:prompt=a cup:negative=blur:guidance=2")
    known = prompts.read(tmp_path)

    missing = dict(text_encoder_3=None, tokenizer_3=None) if layout.endswith("without T5") else {}
    missing |= dict(unet=None, safety_checker=None, feature_extractor=None) if layout == "sd" else {}
    missing |= dict(unet=None) if layout == "xl" else {}
    pipeline = getattr(diffusers, LAYOUTS[layout][0]).from_pretrained(tmp_path, vae=None, **missing)
    for text in ("a cup", "blur"):
        given = dict(prompt=text, device="cpu", num_images_per_prompt=1)
        if layout == "flux":
            states, pooled, _ = pipeline.encode_prompt(**given, max_sequence_length=256)
        elif layout == "sd":
            (states, _), pooled = pipeline.encode_prompt(**given, do_classifier_free_guidance=False), None
        else:
            further = {} if layout == "xl" else dict(prompt_2=None, prompt_3=None)
            states, _, pooled, _ = pipeline.encode_prompt(**given, **further, do_classifier_free_guidance=False)
        torch.testing.assert_close(known[text], states[0], rtol=0, atol=1e-6)
        if pooled is not None:
            torch.testing.assert_close(known[text + prompts.POOLED], pooled[0], rtol=0, atol=1e-6)
    assert not torch.equal(known["a cup"], known["blur"])

    for file in tmp_path.glob("text_encoder*/*"):
        file.unlink()
    priors._load.cache_clear()
    priors._text_to_image.cache_clear()
    x = noise(1, 4, 8, 8)
    assert torch.equal(load(prior.name).denoise(x, 1.0), prior.denoise(x, 1.0))
    with pytest.raises(PriorError, match=r"the text encoders in .* cannot be read"):
        load(f"{tmp_path}:prompt=another")


def test_of_a_repository_the_encoders_are_fetched_without_the_third():
    files = ["text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder_2/model.safetensors.index.json",
             "text_encoder_2/model-00001-of-00002.safetensors", "tokenizer_2/tokenizer.json"]  # fmt: skip
    others = ["text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin", "text_encoder_3/model.safetensors",
              "tokenizer_3/tokenizer.json", "text_encoder/flax_model.msgpack", "safety_checker/model.safetensors"]  # fmt: skip
    assert prompts.wanted(files + others) == files
