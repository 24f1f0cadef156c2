"""Official names of image encoders, and the sizes that their tensors tell.

Each table is for the encoder's part of a file, its prefix taken off (`key_tables.keys_under`);
`reversed_rules` of a table leads back to the official names. Sizes that no tensor tells are
arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from segtune.backbones.encoders.davit import DaViTConfig
from segtune.backbones.encoders.focalnet import FocalNetConfig
from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.reading.key_tables import Rules, count_of, shape_of
from segtune.errors import WeightsError

IMAGE_ENCODER_PREFIX = "backbone."
MULTIGRID = (1, 2, 4)
"""Dilations of res5 in every published ResNet with DeepLab's stem."""

SWIN: Rules = (
    (r"^patch_embed\.proj\.", "patches."),
    (r"^patch_embed\.norm\.", "patch_norm."),
    (r"^layers\.(\d+)\.blocks\.", r"stages.\1."),
    (r"^layers\.(\d+)\.downsample\.norm\.", r"merges.\1.norm."),
    (r"^layers\.(\d+)\.downsample\.reduction\.", r"merges.\1.reduce."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.project_out."),
    (r"\.attn\.relative_position_bias_table$", ".attention.bias_table"),
    (r"\.mlp\.fc1\.", ".expand."),
    (r"\.mlp\.fc2\.", ".shrink."),
    (r"^norm(\d)\.", r"output_norms.\1."),
)

RESNET: Rules = (
    (r"^stem\.conv1\.", "stem.0."),
    (r"^stem\.conv2\.", "stem.1."),
    (r"^stem\.conv3\.", "stem.2."),
    (r"^res2\.", "stages.0."),
    (r"^res3\.", "stages.1."),
    (r"^res4\.", "stages.2."),
    (r"^res5\.", "stages.3."),
    (r"\.conv1\.", ".convs.0."),
    (r"\.conv2\.", ".convs.1."),
    (r"\.conv3\.", ".convs.2."),
    (r"(stem\.\d|convs\.\d|shortcut)\.weight$", r"\1.conv.weight"),
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


def encoder_config_from(own: Mapping[str, Tensor]) -> SwinConfig | ResNetConfig:
    """Returns the sizes of an image encoder, read from its tensors under the names of its class.

    Three convolutions in the stem mean the dilated ResNet, as in every published model.
    """
    depths = tuple(count_of(own, rf"stages\.{stage}\.(\d+)\.") for stage in range(4))
    if "patches.weight" in own:
        tables = [
            shape_of(own, f"stages.{i}.0.attention.bias_table", "Swin or ResNet") for i in range(4)
        ]
        hidden, width = shape_of(own, "stages.0.0.expand.weight", "Swin or ResNet")
        return SwinConfig(
            embed_dim=width,
            depths=depths,
            num_heads=tuple(heads for _, heads in tables),
            window=(round(tables[0][0] ** 0.5) + 1) // 2,
            mlp_ratio=hidden / width,
        )
    stem = tuple(
        shape_of(own, f"stem.{i}.conv.weight", "Swin or ResNet")[0]
        for i in range(count_of(own, r"stem\.(\d+)\."))
    )
    is_dilated = len(stem) == 3
    return ResNetConfig(
        depths=depths,
        stem=stem,
        bottleneck=shape_of(own, "stages.0.0.convs.0.conv.weight", "Swin or ResNet")[0],
        out=shape_of(own, "stages.0.0.convs.2.conv.weight", "Swin or ResNet")[0],
        dilations=MULTIGRID[: depths[-1]] if is_dilated else (1,) * depths[-1],
    )


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
    channels, *_ = shape_of(state, "patch_embed.proj.weight", "FocalNet")
    hidden, width = shape_of(state, blocks[0] + "mlp.fc1.weight", "FocalNet")
    contexts = [re.escape(block) + r"modulation\.focal_layers\.(\d+)\." for block in blocks]
    levels = [count_of(state, pattern) for pattern in contexts]
    windows = [
        shape_of(state, block + "modulation.focal_layers.0.0.weight", "FocalNet")[-1]
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
    convs = [shape_of(state, f"convs.{i}.proj.weight", "DaViT") for i in range(len(depths))]
    norms = [shape_of(state, f"convs.{i}.norm.weight", "DaViT")[0] for i in range(len(depths))]
    channels = tuple(conv[0] for conv in convs)
    by_width = tuple(max(width // 32, 1) for width in channels)
    hidden, width = shape_of(state, "blocks.0.0.spatial_block.ffn.fn.net.fc1.weight", "DaViT")
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


def _depths(state: Mapping[str, Tensor], pattern: str, what: str) -> tuple[int, ...]:
    """Returns how many blocks each stage has; the groups of `pattern` are stage and block."""
    compiled = re.compile(pattern)
    found = {(int(m[1]), int(m[2])) for key in state if (m := compiled.match(key))}
    if not found:
        raise WeightsError(f"not a {what}: no block found among {len(state)} keys")
    stages = range(max(stage for stage, _ in found) + 1)
    return tuple(sum(stage == wanted for stage, _ in found) for wanted in stages)
