"""Official names of the decoders that several code bases share, all built on Mask2Former's.

Each table is for one part of a file, its prefix taken off (`key_tables.keys_under`). Sizes are read
from the shapes; `reversed_rules` of a table leads back to the official names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from torch import Tensor

from segtune.backbones.reading.key_tables import Rules, count_of, shape_of
from segtune.errors import WeightsError

PIXEL_DECODER_PREFIX = "sem_seg_head.pixel_decoder."
PREDICTOR_PREFIX = "sem_seg_head.predictor."

DEFORMABLE: Rules = (
    (r"^input_proj\.", "inputs."),
    (r"^transformer\.level_embed$", "level_embeds"),
    (r"^pe_layer\.positional_encoding_gaussian_matrix$", "positions.frequencies"),  # Uni-OVSeg
    (r"^transformer\.encoder\.layers\.(\d+)\.", r"layers.\1."),
    (r"\.self_attn\.sampling_offsets\.", ".attention.offsets."),
    (r"\.self_attn\.attention_weights\.", ".attention.shares."),
    (r"\.self_attn\.value_proj\.", ".attention.values."),
    (r"\.self_attn\.output_proj\.", ".attention.project_out."),
    (r"\.linear1\.", ".expand."),
    (r"\.linear2\.", ".shrink."),
    (r"^(adapter|layer)_1\.weight$", r"\1_1.conv.weight"),
    (r"^adapter_1\.", "laterals.0."),
    (r"^layer_1\.", "outputs.0."),
)
"""`DeformablePixelDecoder` of Mask2Former, SegPrompt and Uni-OVSeg: three levels, one FPN step."""

FPN: Rules = (
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
"""`Fpn` of MaskFormer, and `TransformerFpn` of SEEM and X-Decoder, with the encoder on top."""

MASKED: Rules = (
    (r"^query_feat\.weight$", "query_content"),
    (r"^query_embed\.weight$", "query_position"),
    (r"^level_embed\.weight$", "level_embeds"),
    (r"^decoder_norm\.", "norm."),
    (r"^mask_embed\.layers\.0\.", "mask_mlp.0."),
    (r"^mask_embed\.layers\.1\.", "mask_mlp.2."),
    (r"^mask_embed\.layers\.2\.", "mask_mlp.4."),
    (
        r"^transformer_cross_attention_layers\.(\d+)\.multihead_attn\.in_proj_(weight|bias)$",
        r"layers.\1.cross.qkv.\2",
    ),
    (
        r"^transformer_cross_attention_layers\.(\d+)\.multihead_attn\.out_proj\.",
        r"layers.\1.cross.project_out.",
    ),
    (r"^transformer_cross_attention_layers\.(\d+)\.norm\.", r"layers.\1.cross.norm."),
    (
        r"^transformer_self_attention_layers\.(\d+)\.self_attn\.in_proj_(weight|bias)$",
        r"layers.\1.self_attention.qkv.\2",
    ),
    (
        r"^transformer_self_attention_layers\.(\d+)\.self_attn\.out_proj\.",
        r"layers.\1.self_attention.project_out.",
    ),
    (r"^transformer_self_attention_layers\.(\d+)\.norm\.", r"layers.\1.self_attention.norm."),
    (r"^transformer_ffn_layers\.(\d+)\.linear1\.", r"layers.\1.feedforward.expand."),
    (r"^transformer_ffn_layers\.(\d+)\.linear2\.", r"layers.\1.feedforward.shrink."),
    (r"^transformer_ffn_layers\.(\d+)\.norm\.", r"layers.\1.feedforward.norm."),
)
"""What the decoders of Mask2Former, SegPrompt, X-Decoder and SEEM have in common."""


WHAT = "deformable pixel decoder"


class DeformableSizes(TypedDict):
    """The arguments of `DeformablePixelDecoder` that are sizes."""

    in_channels: tuple[int, ...]
    hidden: int
    mask_dim: int
    num_layers: int
    num_heads: int
    feedforward: int
    num_levels: int
    num_points: int
    groups: int


def deformable_sizes_from(
    own: Mapping[str, Tensor], *, num_heads: int = 8, groups: int = 32
) -> DeformableSizes:
    """Returns the arguments of a `DeformablePixelDecoder` from its tensors under our names.

    Args:
        own: the renamed part of a checkpoint; see `DEFORMABLE`.
        num_heads, groups: not in the weights; the defaults are those of every published model.

    Raises:
        WeightsError: it is no such pixel decoder, or the heads do not fit the shapes.
    """
    num_levels, hidden = shape_of(own, "level_embeds", WHAT)
    coarse = [shape_of(own, f"inputs.{i}.0.weight", WHAT)[1] for i in range(num_levels)]
    num_steps = count_of(own, r"laterals\.(\d+)\.")
    fine = [shape_of(own, f"laterals.{i}.conv.weight", WHAT)[1] for i in range(num_steps)]
    num_layers = count_of(own, r"layers\.(\d+)\.")
    num_points = 4
    if num_layers:
        count, _ = shape_of(own, "layers.0.attention.shares.weight", WHAT)
        if count % (num_heads * num_levels):
            raise WeightsError(
                f"a pixel decoder with {count} points per position and {num_levels} levels cannot "
                f"have {num_heads} heads; pass the num_heads of its config"
            )
        num_points = count // (num_heads * num_levels)
    return DeformableSizes(
        in_channels=tuple((coarse + fine)[::-1]),
        hidden=hidden,
        mask_dim=shape_of(own, "mask_features.weight", WHAT)[0],
        num_layers=num_layers,
        num_heads=num_heads,
        feedforward=shape_of(own, "layers.0.expand.weight", WHAT)[0] if num_layers else 4 * hidden,
        num_levels=num_levels,
        num_points=num_points,
        groups=groups,
    )
