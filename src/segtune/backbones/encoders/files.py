"""Image encoders trained on ImageNet, as their own authors and transformers publish them.

| given | layout |
|---|---|
| file | Swin: the official one (`patch_embed.proj.weight`, ...) |
| file | ResNet: that of detectron2 (`stem.conv1.weight`, ...), as MaskFormer's conversions write |
| folder or hub name | Swin or ResNet of transformers, with or without its classifier |

Classifiers are left out. LayerNorms on the four outputs of a Swin belong to dense prediction and
are in no classifier; they keep the values they have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from segtune.backbones.encoders.keys import RESNET, SWIN
from segtune.backbones.encoders.resnet import ResNet
from segtune.backbones.encoders.swin import Swin
from segtune.backbones.reading.key_tables import Rules, load_strictly, rename_keys
from segtune.errors import WeightsError
from segtune.storage.json_files import read_settings
from segtune.storage.weights import read_state
from segtune.storage.weights.state_dicts import some

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
"""Weights in a folder; the second is that of older folders."""

FILE: Rules = (
    (r"^backbone\.", ""),
    (r"\.(relative_position_index|attn_mask)$", None),  # follow from the window
    (r"^norm\.", None),  # before Swin's classifier
    (r"^(head|fc|linear|stem\.fc)\.", None),  # classifiers
    (r"num_batches_tracked$", None),
)
"""From a file of either kind to the names that `keys` knows."""

SWIN_HF: Rules = (
    (r"^swin\.", ""),
    (r"relative_position_index$", None),
    (r"^(layernorm|classifier|pooler)\.", None),
    (r"^embeddings\.patch_embeddings\.projection\.", "patches."),
    (r"^embeddings\.norm\.", "patch_norm."),
    (r"^encoder\.layers\.(\d+)\.blocks\.", r"stages.\1."),
    (r"^encoder\.layers\.(\d+)\.downsample\.norm\.", r"merges.\1.norm."),
    (r"^encoder\.layers\.(\d+)\.downsample\.reduction\.", r"merges.\1.reduce."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attention.project_out."),
    (r"\.attention\.self\.relative_position_bias_table$", ".attention.bias_table"),
    (r"\.intermediate\.dense\.", ".expand."),
    (r"\.output\.dense\.", ".shrink."),
    (r"^hidden_states_norms\.stage1\.", "output_norms.0."),
    (r"^hidden_states_norms\.stage2\.", "output_norms.1."),
    (r"^hidden_states_norms\.stage3\.", "output_norms.2."),
    (r"^hidden_states_norms\.stage4\.", "output_norms.3."),
)
"""Queries, keys and values stay apart; see `joined_attention`."""

RESNET_HF: Rules = (
    (r"^resnet\.", ""),
    (r"^classifier\.", None),
    (r"num_batches_tracked$", None),
    (r"^embedder\.embedder\.", "stem.0."),
    (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.", r"stages.\1.\2.convs.\3."),
    (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.", r"stages.\1.\2.shortcut."),
    (r"\.convolution\.", ".conv."),
    (r"\.normalization\.", ".norm."),
)

TRANSFORMERS: Mapping[str, Rules] = {"swin": SWIN_HF, "resnet": RESNET_HF}
"""`model_type` in config.json -> table."""


def load_image_encoder(encoder: Swin | ResNet, path: Path) -> list[str]:
    """Copies the weights of a classifier into an image encoder; returns what keeps its values.

    Args:
        encoder: changed in place.
        path: file, or folder of transformers; see the module docstring.

    Returns:
        Names of the parameters that `path` does not have: the output norms of a Swin, or none.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, it is another kind of encoder, or
            tensors are missing, left over, or of another shape; all of them are listed.
    """
    state = _from_folder(path) if path.is_dir() else _from_file(read_state(path))
    if _is_swin(state) != isinstance(encoder, Swin):
        found = "Swin" if _is_swin(state) else "ResNet"
        raise WeightsError(f"{path} is a {found}, but the encoder is a {type(encoder).__name__}")
    own = encoder.state_dict()
    kept = [key for key in own if key.startswith("output_norms.") and key not in state]
    load_strictly(encoder, {**state, **{key: own[key] for key in kept}}, str(path))
    return kept


def _is_swin(state: Mapping[str, Tensor]) -> bool:
    return "patches.weight" in state


def _from_file(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = rename_keys(state, FILE)
    return rename_keys(state, SWIN if "patch_embed.proj.weight" in state else RESNET)


def _from_folder(path: Path) -> dict[str, Tensor]:
    config = path / "config.json"
    found = [path / name for name in (SAFE, PICKLED) if (path / name).is_file()]
    if not (config.is_file() and found):
        raise WeightsError(
            f"{path} has no config.json with model.safetensors; give a folder of a Swin or ResNet "
            "of transformers, or a .pth file"
        )
    kind = read_settings(config).get("model_type", "nameless")
    if kind not in TRANSFORMERS:
        expected = " or ".join(TRANSFORMERS)
        raise WeightsError(f"{path} is a {kind!r} model; an image encoder is a {expected}")
    return joined_attention(rename_keys(read_state(found[0]), TRANSFORMERS[kind]))


def joined_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state with queries, keys and values of every attention as one layer.

    Args:
        state: renamed by `SWIN_HF`; that of a ResNet stays as it is.

    Raises:
        WeightsError: some of the three are missing.
    """
    joined = {key: value for key, value in state.items() if ".attention.self." not in key}
    for key in state:
        if match := re.search(r"\.attention\.self\.query\.(weight|bias)$", key):
            parts = [key.replace(".self.query.", f".self.{n}.") for n in ("query", "key", "value")]
            if missing := [part for part in parts if part not in state]:
                raise WeightsError(f"not a Swin: {some(missing)} are missing")
            name = f"{key[: match.start()]}.attention.qkv.{match[1]}"
            joined[name] = torch.cat([state[part] for part in parts])
    return joined


def split_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state with queries, keys and values apart; `joined_attention` leads back."""
    split: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".attention.qkv." in key:
            for name, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                split[key.replace(".attention.qkv.", f".attention.self.{name}.")] = third
        else:
            split[key] = value
    return split
