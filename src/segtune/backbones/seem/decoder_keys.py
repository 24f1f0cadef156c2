"""Key table of the decoder part of SEEM and X-Decoder checkpoints, and the sizes it tells.

Those of the other parts: `keys`, `decoders.keys`, `encoders.keys`. The prefix taken off is
"sem_seg_head.predictor.".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict

from torch import Tensor

from segtune.backbones.decoders.keys import MASKED, PREDICTOR_PREFIX
from segtune.backbones.reading.key_tables import Rules, keys_under, rename_keys, reversed_rules
from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import some

POINTS_PREFIX = "points."

CAPTIONING = re.compile(r"^(caping_embed|pos_embed_caping|self_attn_mask)(\.|$)")
"""Tensors that only X-Decoder has; captions are not part of this library."""

DECODER: Rules = (
    (r"^lang_encoder\.lang_", None),  # the text tower, see `keys.TEXT`
    (r"^(caping_embed|pos_embed_caping|self_attn_mask)", None),
    (r"^lang_encoder\.logit_scale$", "logit_scale"),
    (r"^class_embed$", "class_projection"),
    *MASKED,
    # Point prompts; "sptial" is the official spelling.
    (r"^mask_sptial_embed\.(\d+)$", r"points.level_projections.\1"),
    (r"^pn_indicator\.weight$", "points.signs"),
    (r"^spatial_featured\.weight$", "points.slot_content"),
    (r"^spatial_embed\.weight$", "points.slot_position"),
)


class DecoderSizes(TypedDict):
    """The arguments of `MaskedDecoder` that a checkpoint tells, and `num_heads`."""

    hidden: int
    num_queries: int
    num_layers: int
    num_heads: int
    feedforward: int
    mask_dim: int
    joint_width: int


def decoder_sizes_from(state: Mapping[str, Tensor], *, num_heads: int = 8) -> DecoderSizes:
    """Returns the arguments of `MaskedDecoder` for an official decoder.

    Args:
        state: the part under "sem_seg_head.predictor.".
        num_heads: not in the weights; 8 in every published model.

    Raises:
        WeightsError: it is no SEEM or X-Decoder decoder.
    """
    needed = ("query_feat.weight", "class_embed", "mask_embed.layers.2.weight")
    if missing := [key for key in needed if key not in state]:
        raise WeightsError(
            f"not a SEEM decoder: {some(missing)} missing among {len(state)} keys; give the "
            f"part of an official SEEM or X-Decoder checkpoint under {PREDICTOR_PREFIX!r}"
        )
    num_queries, hidden = state["query_feat.weight"].shape
    layers = [key for key in state if re.match(r"transformer_ffn_layers\.\d+\.linear1\.w", key)]
    return DecoderSizes(
        hidden=hidden,
        num_queries=num_queries,
        num_layers=len(layers),
        num_heads=num_heads,
        feedforward=state[layers[0]].shape[0] if layers else 4 * hidden,
        mask_dim=state["mask_embed.layers.2.weight"].shape[0],
        joint_width=state["class_embed"].shape[1],
    )


def is_x_decoder(state: Mapping[str, Tensor]) -> bool:
    """Returns whether the last query is an image-level token: the layout of X-Decoder.

    Args:
        state: the part under "sem_seg_head.predictor.".
    """
    return any(CAPTIONING.match(key) for key in state)


def decoder_from_official(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the tensors of a `MaskedDecoder` and of its `PointPrompts` (maybe none)."""
    renamed = rename_keys(state, DECODER)
    points = keys_under(renamed, POINTS_PREFIX)
    decoder = {k: v for k, v in renamed.items() if not k.startswith(POINTS_PREFIX)}
    return decoder, points


def decoder_to_official(
    decoder: Mapping[str, Tensor], points: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Returns the states of a `MaskedDecoder` and its `PointPrompts` under the official names."""
    joined = dict(decoder) | {POINTS_PREFIX + key: value for key, value in points.items()}
    return rename_keys(joined, reversed_rules(DECODER))
