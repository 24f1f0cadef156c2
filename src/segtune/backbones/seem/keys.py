"""Key table of the text tower of SEEM and X-Decoder checkpoints, and sizes of their parts.

Tables of the other parts: `encoders.keys`, `decoders.keys`, `decoder_keys`.

Each table is for one part of the file, its prefix taken off (`key_tables.keys_under`). The sizes
that a checkpoint tells are read from it; the others are arguments. `reversed_rules` of a table
leads back to the official names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor

from segtune.backbones.reading.key_tables import (
    Rules,
    count_of,
    rename_keys,
    reversed_rules,
    shape_of,
)
from segtune.backbones.seem.text import SeemTextConfig

TEXT_PREFIX = "sem_seg_head.predictor.lang_encoder."

IGNORED: Rules = (
    (r"(^|\.)criterion\.empty_weight$", None),  # class weights of the training loss
    (r"(^|\.)dilation_kernel$", None),  # of the click simulation in training
)

TEXT: Rules = (
    (r"^lang_proj$", "projection"),
    (r"^lang_encoder\.token_embedding\.", "transformer.embeddings.token_embedding."),
    (r"^lang_encoder\.positional_embedding$", "transformer.embeddings.position_embedding.weight"),
    (r"^lang_encoder\.ln_final\.", "transformer.final_layer_norm."),
    (r"^lang_encoder\.resblocks\.(\d+)\.", r"transformer.encoder.layers.\1."),
    (r"\.ln_(\d)\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.attn\.in_proj_(weight|bias)$", r".self_attn.qkv_proj.\1"),
)
"""To names of `SeemText`, except that `qkv_proj` stands for three projections there."""


def text_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the text tower under the names of `SeemText`."""
    converted: dict[str, Tensor] = {}
    for key, value in rename_keys(state, TEXT).items():
        if ".qkv_proj." in key:
            for name, third in zip("qkv", value.chunk(3), strict=True):
                converted[key.replace(".qkv_proj.", f".{name}_proj.")] = third
        else:
            converted[key] = value
    return converted


def text_to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state of a `SeemText` under the official names."""
    fused: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".q_proj." in key:
            parts = [state[key.replace(".q_proj.", f".{name}_proj.")] for name in "qkv"]
            fused[key.replace(".q_proj.", ".qkv_proj.")] = torch.cat(parts)
        elif ".k_proj." not in key and ".v_proj." not in key:
            fused[key] = value
    return rename_keys(fused, reversed_rules(TEXT))


class PixelDecoderSizes(TypedDict):
    """The arguments of `TransformerFpn`."""

    in_channels: tuple[int, ...]
    hidden: int
    mask_dim: int
    num_layers: int
    num_heads: int
    feedforward: int
    groups: int


def pixel_decoder_config_from(
    state: Mapping[str, Tensor], *, num_heads: int = 8, groups: int = 32
) -> PixelDecoderSizes:
    """Returns the arguments of `TransformerFpn` for an official pixel decoder.

    Args:
        state: the part under "sem_seg_head.pixel_decoder.".
        num_heads, groups: not in the weights; the defaults are those of every published model.
    """
    what = "SEEM pixel decoder"
    laterals = [shape_of(state, f"adapter_{i}.weight", what)[1] for i in (1, 2, 3)]
    hidden, coarsest, *_ = shape_of(state, "input_proj.weight", what)
    num_layers = count_of(state, r"transformer\.encoder\.layers\.(\d+)\.")
    first = "transformer.encoder.layers.0.linear1.weight"
    return PixelDecoderSizes(
        in_channels=(*laterals, coarsest),
        hidden=hidden,
        mask_dim=shape_of(state, "mask_features.weight", what)[0],
        num_layers=num_layers,
        num_heads=num_heads,
        feedforward=shape_of(state, first, what)[0] if num_layers else 4 * hidden,
        groups=groups,
    )


def text_config_from(
    state: Mapping[str, Tensor], *, num_heads: int = 8, end_id: int | None = None
) -> SeemTextConfig:
    """Returns the sizes of an official text tower.

    Args:
        state: the part under "sem_seg_head.predictor.lang_encoder.".
        num_heads: not in the weights; 8 in every published model.
        end_id: id of the end-of-text token; None is the last id.
    """
    what, tower = "SEEM text tower", "lang_encoder."
    width, joint_width = shape_of(state, "lang_proj", what)
    return SeemTextConfig(
        width=width,
        num_layers=count_of(state, r"lang_encoder\.resblocks\.(\d+)\."),
        num_heads=num_heads,
        feedforward=shape_of(state, tower + "resblocks.0.mlp.c_fc.weight", what)[0],
        context_length=shape_of(state, tower + "positional_embedding", what)[0],
        vocab_size=shape_of(state, tower + "token_embedding.weight", what)[0],
        joint_width=joint_width,
        end_id=end_id,
    )
