"""Key tables: from the official CLIP layouts to the names of `transformers.CLIPModel`.

OpenAI, OpenCLIP (ViT), ZegCLIP and RPN share one naming scheme; they differ in the prefix of the
visual tower ("visual." or "backbone.") and of the text tower ("", "text." or "text_encoder.").
OVSeg keeps a whole CLIP under "clip_adapter.clip_model.", with mask prompts in its visual tower.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import some

BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
VISUAL = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "ln_pre": "vision_model.pre_layrnorm",
    "ln_post": "vision_model.post_layernorm",
}
TEXT = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
}
TRANSPOSED = {"proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
IGNORED = re.compile(r"(^|\.)(attn_mask|context_length|vocab_size|input_resolution)$")

MASK_PROMPTS = "visual.mask_embedding"
"""Key of OVSeg's mask prompts, (D, N, d); they are no part of a CLIP."""
SEGMENTER_PREFIX, PARALLEL_PREFIX = "clip_adapter.clip_model.", "module."

_BLOCK_KEY = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


def _renamed(key: str, table: Mapping[str, str]) -> str | None:
    """Returns `key` with the longest prefix found in `table` replaced, None where none fits."""
    for old, new in table.items():
        if key == old or key.startswith(old + "."):
            return new + key[len(old) :]
    return None


def _tower(
    state: Mapping[str, torch.Tensor], prefix: str, table: Mapping[str, str], tower: str
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Converts one tower; returns the converted tensors and the keys that were used."""
    converted: dict[str, torch.Tensor] = {}
    used: set[str] = set()
    for key, value in state.items():
        if not key.startswith(prefix):
            continue
        short = key[len(prefix) :]
        match = _BLOCK_KEY.fullmatch(short)
        if match:
            layer, rest = f"{tower}.encoder.layers.{match[1]}.", match[2]
            if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
                part = rest.rsplit("_", 1)[1]
                for name, third in zip("qkv", value.chunk(3), strict=True):
                    converted[f"{layer}self_attn.{name}_proj.{part}"] = third
            elif (new := _renamed(rest, BLOCK)) is not None:
                converted[layer + new] = value
            else:
                continue
        elif (new := _renamed(short, table)) is not None:
            converted[new] = value
        elif short in TRANSPOSED and TRANSPOSED[short].startswith(
            "visual" if tower == "vision_model" else "text"
        ):
            converted[TRANSPOSED[short]] = value.T
        else:
            continue
        used.add(key)
    return converted, used


def visual_from_official(
    state: Mapping[str, torch.Tensor], *, prefix: str = "visual."
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Returns the visual tower under Hugging Face names, and the official keys it came from.

    Args:
        state: an official state dict; keys without `prefix`, or unknown ones, are left alone.
        prefix: "visual." for OpenAI and OpenCLIP, "backbone." for ZegCLIP and RPN, "" for a tower.
    """
    return _tower(state, prefix, VISUAL, "vision_model")


def text_from_official(
    state: Mapping[str, torch.Tensor], *, prefix: str = ""
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Returns the text tower under Hugging Face names, and the official keys it came from."""
    return _tower(state, prefix, TEXT, "text_model")


def bare_clip_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the CLIP of a checkpoint without the prefix of its keys.

    An OVSeg or SimBaseline segmenter has it under "clip_adapter.clip_model."; data-parallel
    training puts "module." before all keys. Other keys stay as they are.
    """
    inside = {k: v for k, v in state.items() if k.startswith(SEGMENTER_PREFIX)}
    if inside:
        return {key.removeprefix(SEGMENTER_PREFIX): value for key, value in inside.items()}
    if all(key.startswith(PARALLEL_PREFIX) for key in state):
        return {key.removeprefix(PARALLEL_PREFIX): value for key, value in state.items()}
    return dict(state)


def clip_from_official(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns a whole OpenAI or OpenCLIP ViT state dict under Hugging Face names, strictly.

    Mask prompts, which have no name there, are left out.

    Raises:
        WeightsError: a key of the file is not known; all of them are listed.
    """
    text_prefix = "text." if "text.token_embedding.weight" in state else ""
    visual, used_visual = visual_from_official(state)
    text, used_text = text_from_official(state, prefix=text_prefix)
    converted = {**visual, **text}
    if "logit_scale" in state:
        converted["logit_scale"] = state["logit_scale"].reshape(())
    left = set(state) - used_visual - used_text - {"logit_scale", MASK_PROMPTS}
    if left := {key for key in left if not IGNORED.search(key)}:
        raise WeightsError(
            f"{len(left)} keys are not of an OpenAI or OpenCLIP ViT: {some(sorted(left))}"
        )
    return converted


def clip_config_from_official(
    state: Mapping[str, torch.Tensor],
    *,
    quick_gelu: bool = True,
    vision_heads: int | None = None,
    text_heads: int | None = None,
) -> dict[str, dict[str, int | float | str]]:
    """Returns the sizes of an official state dict as keyword arguments for `CLIPConfig`.

    Heads are 64 wide in every published CLIP ViT; `vision_heads` and `text_heads` override that.

    Returns:
        "vision_config" and "text_config", each where the tower is present.
    """
    activation = "quick_gelu" if quick_gelu else "gelu"
    visual, _ = visual_from_official(state)
    text_prefix = "text." if "text.token_embedding.weight" in state else ""
    text, _ = text_from_official(state, prefix=text_prefix)
    config: dict[str, dict[str, int | float | str]] = {}
    for tower, needed in ((visual, _NEEDED_VISUAL), (text, _NEEDED_TEXT)):
        if tower and (absent := [key for key in needed if key not in tower]):
            raise WeightsError(f"not a whole CLIP ViT: nothing stands for {some(absent)}")
    if visual:
        config["vision_config"] = _tower_sizes(visual, "vision_model", vision_heads) | {
            "hidden_act": activation
        }
    if text:
        tokens = text["text_model.embeddings.token_embedding.weight"]
        positions = text["text_model.embeddings.position_embedding.weight"]
        config["text_config"] = _tower_sizes(text, "text_model", text_heads) | {
            "hidden_act": activation,
            "vocab_size": tokens.shape[0],
            "max_position_embeddings": positions.shape[0],
            # 2 makes the pooling take the largest id, as the official code does.
            "eos_token_id": 49407 if tokens.shape[0] == 49408 else 2,
        }
    return config


_NEEDED_VISUAL = (
    "visual_projection.weight",
    "vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "vision_model.encoder.layers.0.mlp.fc1.weight",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.embeddings.position_embedding.weight",
)
_NEEDED_TEXT = (
    "text_projection.weight",
    "text_model.encoder.layers.0.self_attn.q_proj.weight",
    "text_model.encoder.layers.0.mlp.fc1.weight",
    "text_model.embeddings.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight",
)
"""Keys that the sizes of a tower are read from."""


def _tower_sizes(
    tower: Mapping[str, torch.Tensor], name: str, heads: int | None
) -> dict[str, int | float | str]:
    layers = {int(m[1]) for key in tower if (m := re.search(r"encoder\.layers\.(\d+)\.", key))}
    width = tower[f"{name}.encoder.layers.0.self_attn.q_proj.weight"].shape[0]
    projection = tower["visual_projection.weight" if "vision" in name else "text_projection.weight"]
    sizes: dict[str, int | float | str] = {
        "hidden_size": width,
        "intermediate_size": tower[f"{name}.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": heads or max(width // 64, 1),
        "projection_dim": projection.shape[0],
    }
    if "vision" in name:
        patch = tower["vision_model.embeddings.patch_embedding.weight"].shape[-1]
        positions = tower["vision_model.embeddings.position_embedding.weight"].shape[0]
        sizes |= {"patch_size": patch, "image_size": round((positions - 1) ** 0.5) * patch}
    return sizes
