"""Key tables of SEEM and X-Decoder checkpoints: image encoders, pixel decoder and text tower.

Each table is for one part of the file, its prefix taken off (`key_tables.keys_under`). The sizes
that a checkpoint tells are read from it; the others are arguments. `reversed_rules` of a table
leads back to the official names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor

from segtune.backbones.encoders.davit import DaViTConfig
from segtune.backbones.encoders.focalnet import FocalNetConfig
from segtune.backbones.reading.key_tables import Rules, rename_keys, reversed_rules
from segtune.backbones.seem.text import SeemTextConfig
from segtune.errors import WeightsError

IMAGE_ENCODER_PREFIX = "backbone."
PIXEL_DECODER_PREFIX = "sem_seg_head.pixel_decoder."
TEXT_PREFIX = "sem_seg_head.predictor.lang_encoder."

IGNORED: Rules = (
    (r"(^|\.)criterion\.empty_weight$", None),  # class weights of the training loss
    (r"(^|\.)dilation_kernel$", None),  # of the click simulation in training
)

FOCALNET: Rules = (
    (r"^patch_embed\.proj\.", "stem.conv."),
    (r"^patch_embed\.norm\.", "stem.norm."),
    (r"^layers\.(\d+)\.downsample\.", r"downsamples.\1."),
    (r"^downsamples\.(\d+)\.proj\.", r"downsamples.\1.conv."),
    (r"^layers\.(\d+)\.blocks\.", r"stages.\1."),
    (r"\.dw(\d)\.", r".conv\1."),
    (r"\.gamma_(\d)$", r".scale\1"),
    (r"\.modulation\.f\.", ".modulation.project_in."),
    (r"\.modulation\.focal_layers\.(\d+)\.0\.", r".modulation.contexts.\1."),
    (r"\.modulation\.h\.", ".modulation.mix."),
    (r"\.modulation\.proj\.", ".modulation.project_out."),
    (r"\.mlp\.fc1\.", ".mlp.expand."),
    (r"\.mlp\.fc2\.", ".mlp.shrink."),
    (r"^norm(\d)\.", r"output_norms.\1."),
)

DAVIT: Rules = (
    (r"^convs\.(\d+)\.proj\.", r"convs.\1.conv."),
    (r"^blocks\.", "stages."),
    (r"\.conv(\d)\.fn\.dw\.", r".conv\1."),
    (r"\.spatial_block\.window_attn\.norm\.", ".spatial_block.norm1."),
    (r"\.channel_block\.channel_attn\.norm\.", ".channel_block.norm1."),
    (r"_attn\.fn\.", "_attn."),
    (r"\.ffn\.norm\.", ".norm2."),
    (r"\.ffn\.fn\.net\.", ".ffn."),
)

PIXEL_DECODER: Rules = (
    (r"^transformer\.encoder\.layers\.(\d+)\.", r"layers.\1."),
    (r"\.self_attn\.in_proj_(weight|bias)$", r".qkv.\1"),
    (r"\.self_attn\.out_proj\.", ".project_out."),
    (r"\.linear1\.", ".expand."),
    (r"\.linear2\.", ".shrink."),
    (r"^(adapter|layer)_(\d)\.weight$", r"\1_\2.conv.weight"),
    # Official numbers count from the finest map, ours from the coarsest.
    (r"^adapter_3\.", "laterals.0."),
    (r"^adapter_2\.", "laterals.1."),
    (r"^adapter_1\.", "laterals.2."),
    (r"^layer_4\.", "outputs.0."),
    (r"^layer_3\.", "outputs.1."),
    (r"^layer_2\.", "outputs.2."),
    (r"^layer_1\.", "outputs.3."),
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


def focalnet_config_from(
    state: Mapping[str, Tensor], *, post_norm: bool = True, scaled_modulator: bool = True
) -> FocalNetConfig:
    """Returns the sizes of an official FocalNet; the "focal_dw" form is known by its keys.

    Args:
        state: the part under "backbone.".
        post_norm, scaled_modulator: not in the weights; true in every published model.
    """
    depths = _depths(state, r"layers\.(\d+)\.blocks\.(\d+)\.", "FocalNet")
    blocks = [f"layers.{stage}.blocks.0." for stage in range(len(depths))]
    channels, *_ = _shape(state, "patch_embed.proj.weight", "FocalNet")
    hidden, width = _shape(state, blocks[0] + "mlp.fc1.weight", "FocalNet")
    contexts = [re.escape(block) + r"modulation\.focal_layers\.(\d+)\." for block in blocks]
    levels = [len(_indices(state, pattern)) for pattern in contexts]
    windows = [
        _shape(state, block + "modulation.focal_layers.0.0.weight", "FocalNet")[-1]
        for block in blocks
    ]
    return FocalNetConfig(
        embed_dim=channels,
        depths=depths,
        focal_levels=tuple(levels),
        focal_windows=tuple(windows),
        depthwise=blocks[0] + "dw1.weight" in state,
        post_norm=post_norm,
        layer_scale=1e-4 if blocks[0] + "gamma_1" in state else None,
        scaled_modulator=scaled_modulator,
        mlp_ratio=hidden / width,
    )


def davit_config_from(
    state: Mapping[str, Tensor],
    *,
    num_heads: tuple[int, ...] | None = None,
    num_groups: tuple[int, ...] | None = None,
    window_size: int = 7,
) -> DaViTConfig:
    """Returns the sizes of an official DaViT.

    Args:
        state: the part under "backbone.".
        num_heads, num_groups: not in the weights; None makes each 32 channels wide, as in every
            published model.
        window_size: not in the weights either.
    """
    depths = _depths(state, r"blocks\.(\d+)\.(\d+)\.", "DaViT")
    convs = [_shape(state, f"convs.{i}.proj.weight", "DaViT") for i in range(len(depths))]
    norms = [_shape(state, f"convs.{i}.norm.weight", "DaViT")[0] for i in range(len(depths))]
    channels = tuple(conv[0] for conv in convs)
    by_width = tuple(max(width // 32, 1) for width in channels)
    hidden, width = _shape(state, "blocks.0.0.spatial_block.ffn.fn.net.fc1.weight", "DaViT")
    return DaViTConfig(
        channels=channels,
        depths=depths,
        num_heads=num_heads or by_width,
        num_groups=num_groups or by_width,
        patch_sizes=tuple(conv[-1] for conv in convs),
        patch_strides=(4, *(2 for _ in convs[1:])),
        patch_padding=tuple((conv[-1] - 1) // 2 for conv in convs),
        patch_prenorm=tuple(norm == conv[1] for norm, conv in zip(norms, convs, strict=True)),
        window_size=window_size,
        mlp_ratio=hidden / width,
    )


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
    what = "pixel decoder"
    laterals = [_shape(state, f"adapter_{i}.weight", what)[1] for i in (1, 2, 3)]
    hidden, coarsest, *_ = _shape(state, "input_proj.weight", what)
    layers = _indices(state, r"transformer\.encoder\.layers\.(\d+)\.")
    first = "transformer.encoder.layers.0.linear1.weight"
    return PixelDecoderSizes(
        in_channels=(*laterals, coarsest),
        hidden=hidden,
        mask_dim=_shape(state, "mask_features.weight", what)[0],
        num_layers=len(layers),
        num_heads=num_heads,
        feedforward=_shape(state, first, what)[0] if layers else 4 * hidden,
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
    what, tower = "text tower", "lang_encoder."
    width, joint_width = _shape(state, "lang_proj", what)
    return SeemTextConfig(
        width=width,
        num_layers=len(_indices(state, r"lang_encoder\.resblocks\.(\d+)\.")),
        num_heads=num_heads,
        feedforward=_shape(state, tower + "resblocks.0.mlp.c_fc.weight", what)[0],
        context_length=_shape(state, tower + "positional_embedding", what)[0],
        vocab_size=_shape(state, tower + "token_embedding.weight", what)[0],
        joint_width=joint_width,
        end_id=end_id,
    )


def _shape(state: Mapping[str, Tensor], key: str, what: str) -> tuple[int, ...]:
    if key not in state:
        raise WeightsError(
            f"not a SEEM {what}: {key} is missing among {len(state)} keys; give the part of an "
            "official SEEM or X-Decoder checkpoint, its prefix taken off"
        )
    return tuple(state[key].shape)


def _indices(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """Returns the different numbers that the first group of `pattern` matches, sorted."""
    compiled = re.compile(pattern)
    return sorted({int(match[1]) for key in state if (match := compiled.match(key))})


def _depths(state: Mapping[str, Tensor], pattern: str, what: str) -> tuple[int, ...]:
    """Returns how many blocks each stage has; the groups of `pattern` are stage and block."""
    compiled = re.compile(pattern)
    found = {(int(m[1]), int(m[2])) for key in state if (m := compiled.match(key))}
    if not found:
        raise WeightsError(f"not a {what}: no block found among {len(state)} keys")
    stages = range(max(stage for stage, _ in found) + 1)
    return tuple(sum(stage == wanted for stage, _ in found) for wanted in stages)
