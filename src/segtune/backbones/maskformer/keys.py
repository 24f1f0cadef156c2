"""Key tables of MaskFormer checkpoints: OVSeg, SimBaseline (zsseg) and ZegFormer.

Each table is for one part of the file, its prefix taken off (`key_tables.keys_under`). Sizes are
read from the shapes; `reversed_rules` of a table leads back to the official names, those of OVSeg.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segtune.backbones.decoders.keys import FPN, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX
from segtune.backbones.encoders.keys import IMAGE_ENCODER_PREFIX, RESNET, SWIN, encoder_config_from
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.model import MaskFormerConfig
from segtune.backbones.reading.key_tables import (
    Rules,
    count_of,
    keys_under,
    rename_keys,
    reversed_rules,
    shape_of,
)
from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import some

WHAT = "MaskFormer of OVSeg, SimBaseline or ZegFormer"
NO_OBJECT = "clip_adapter.non_object_embedding"

FILE: Rules = (
    # What a head writes whose version metadata got lost (zsseg issue 13): same tensors.
    (r"^sem_seg_head\.pixel_decoder\.pixel_decoder\.", PIXEL_DECODER_PREFIX),
    (r"^sem_seg_head\.predictor\.bg_feature$", NO_OBJECT),  # ZegFormer
    (r"^sem_seg_head\.predictor\.logit_scale$", None),  # ZegFormer; the temperature is fixed
    (r"\.(relative_position_index|attn_mask)$", None),  # follow from the window
    (r"^criterion\.empty_weight$", None),  # class weights of the training loss
    (r"^clip_adapter\.(?!non_object_embedding$)", None),  # CLIP
    (r"^_?region_clip_adapter\.", None),  # SimBaseline's CLIP for regions
)
"""From the names of a whole file; drops what belongs to the CLIP of the second stage."""

PREDICTOR: Rules = (
    (r"^query_embed\.weight$", "query_decoder.query_position"),
    (r"^input_proj\.", "query_decoder.input."),
    (r"^transformer\.decoder\.layers\.(\d+)\.", r"query_decoder.layers.\1."),
    (r"^transformer\.decoder\.norm\.", "query_decoder.norm."),
    (r"\.self_attn\.in_proj_(weight|bias)$", r".self_attention.qkv.\1"),
    (r"\.self_attn\.out_proj\.", ".self_attention.project_out."),
    (r"\.multihead_attn\.in_proj_(weight|bias)$", r".cross.qkv.\1"),
    (r"\.multihead_attn\.out_proj\.", ".cross.project_out."),
    (r"\.linear1\.", ".feedforward.expand."),
    (r"\.linear2\.", ".feedforward.shrink."),
    (r"\.norm1\.", ".self_attention.norm."),
    (r"\.norm2\.", ".cross.norm."),
    (r"\.norm3\.", ".feedforward.norm."),
    (r"^mask_embed\.layers\.0\.", "mask_head.0."),
    (r"^mask_embed\.layers\.1\.", "mask_head.2."),
    (r"^mask_embed\.layers\.2\.", "mask_head.4."),
)

CLASS_MLP: Rules = (
    (r"^class_embed\.layers\.0\.", "text_head.0."),
    (r"^class_embed\.layers\.1\.", "text_head.2."),
)
"""OVSeg and SimBaseline."""

CLASS_LINEAR: Rules = ((r"^projection_layer\.", "text_head.0."),)
"""ZegFormer."""


def state_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the proposal model's tensors under the names of `MaskFormer`.

    Args:
        state: a whole checkpoint of OVSeg, SimBaseline or ZegFormer, or of its first stage alone.

    Raises:
        WeightsError: it holds tensors that are no part of these systems; all of them are listed.
    """
    state = rename_keys(state, FILE)
    prefixes = (IMAGE_ENCODER_PREFIX, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX, NO_OBJECT)
    if extra := [key for key in state if not key.startswith(prefixes)]:
        raise WeightsError(f"tensors that are no part of a MaskFormer: {some(extra)}")
    parts = {
        "image_encoder.": rename_keys(
            keys_under(state, IMAGE_ENCODER_PREFIX), _encoder_rules(state)
        ),
        "pixel_decoder.": rename_keys(keys_under(state, PIXEL_DECODER_PREFIX), FPN),
        "": rename_keys(
            keys_under(state, PREDICTOR_PREFIX), (*PREDICTOR, *CLASS_MLP, *CLASS_LINEAR)
        ),
    }
    converted = {
        prefix + key: value for prefix, part in parts.items() for key, value in part.items()
    }
    if NO_OBJECT in state:
        converted["no_object"] = state[NO_OBJECT].flatten()
    return converted


def state_to_official(state: Mapping[str, Tensor], config: MaskFormerConfig) -> dict[str, Tensor]:
    """Returns the state of a `MaskFormer` under the official names; `state_from_official` back."""
    is_swin = isinstance(config.image_encoder, SwinConfig)
    head = CLASS_LINEAR if config.class_hidden is None else CLASS_MLP
    encoder = keys_under(state, "image_encoder.")
    pixel = keys_under(state, "pixel_decoder.")
    rest = {
        key: value
        for key, value in state.items()
        if not key.startswith(("image_encoder.", "pixel_decoder.")) and key != "no_object"
    }
    parts = {
        IMAGE_ENCODER_PREFIX: rename_keys(encoder, reversed_rules(SWIN if is_swin else RESNET)),
        PIXEL_DECODER_PREFIX: rename_keys(pixel, reversed_rules(FPN)),
        PREDICTOR_PREFIX: rename_keys(rest, reversed_rules((*PREDICTOR, *head))),
    }
    official = {
        prefix + key: value for prefix, part in parts.items() for key, value in part.items()
    }
    is_zegformer = config.class_hidden is None
    name = f"{PREDICTOR_PREFIX}bg_feature" if is_zegformer else NO_OBJECT
    return official | {name: state["no_object"][None]}


def _encoder_rules(state: Mapping[str, Tensor]) -> Rules:
    return SWIN if f"{IMAGE_ENCODER_PREFIX}patch_embed.proj.weight" in state else RESNET


def config_from_official(
    state: Mapping[str, Tensor], *, num_heads: int = 8, groups: int = 32
) -> MaskFormerConfig:
    """Returns the sizes of an official checkpoint, read from its shapes.

    Args:
        state: a whole checkpoint.
        num_heads: of the query decoder; not in the weights, 8 in every published model.
        groups: of every GroupNorm; not in the weights, 32 in every published model.
    """
    own = state_from_official(state)
    width, _ = shape_of(own, "query_decoder.layers.0.feedforward.shrink.weight", WHAT)
    num_queries, _ = shape_of(own, "query_decoder.query_position", WHAT)
    hidden, *_ = shape_of(own, "text_head.0.weight", WHAT)
    has_mlp = "text_head.2.weight" in own
    mask_dim, fpn_width, *_ = shape_of(own, "pixel_decoder.mask_features.weight", WHAT)
    return MaskFormerConfig(
        image_encoder=encoder_config_from(keys_under(own, "image_encoder.")),
        fpn_width=fpn_width,
        mask_dim=mask_dim,
        hidden=width,
        num_heads=num_heads,
        feedforward=shape_of(own, "query_decoder.layers.0.feedforward.expand.weight", WHAT)[0],
        num_layers=count_of(own, r"query_decoder\.layers\.(\d+)\."),
        num_queries=num_queries,
        joint_width=shape_of(own, "text_head.2.weight", WHAT)[0] if has_mlp else hidden,
        class_hidden=hidden if has_mlp else None,
        groups=groups,
    )
