"""Official names of Mask2Former checkpoints, SegPrompt's included.

Names before the first dot group the parts: `backbone.`, `sem_seg_head.pixel_decoder.` and
`sem_seg_head.predictor.`. SegPrompt adds tensors that only its training reads; without them its
model is an ordinary Mask2Former. `hf_keys` has the names of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from segtune.backbones.decoders.keys import (
    DEFORMABLE,
    MASKED,
    PIXEL_DECODER_PREFIX,
    PREDICTOR_PREFIX,
)
from segtune.backbones.encoders.keys import IMAGE_ENCODER_PREFIX, RESNET, SWIN
from segtune.backbones.reading.key_tables import Rules, keys_under, rename_keys, reversed_rules
from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import some

FILE: Rules = (
    # Files of the first version: no pixel decoder in names, and another word for queries.
    (r"^sem_seg_head\.(?!pixel_decoder\.|predictor\.)", PIXEL_DECODER_PREFIX),
    (r"^sem_seg_head\.predictor\.static_query\.", "sem_seg_head.predictor.query_feat."),
    (r"\.(relative_position_index|attn_mask)$", None),  # follow from the window
    (r"^criterion\d*\.empty_weight$", None),  # class weights of the training loss
    (r"^pixel_(mean|std)$", None),
)
"""From the names of a whole file."""

SEGPROMPT = (
    r"^(id2feat|id2pe|memory_bank|ex2feat|ex2pe|query_repeat_feat|query_repeat_pos|open_class_embed)"
    r"\."
)
"""Tensors of SegPrompt's training: class embeddings, prompt cache, and optional parts."""

PREDICTOR: Rules = (*MASKED, (r"^class_embed\.", "class_linear."), (SEGPROMPT, None))


def state_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint under the names of `Mask2Former`.

    Args:
        state: of Mask2Former or of SegPrompt, of which what only its training reads is left out.

    Raises:
        WeightsError: it holds tensors that are no part of these models; all of them are listed.
    """
    state = rename_keys(state, FILE)
    prefixes = (IMAGE_ENCODER_PREFIX, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX)
    if extra := [key for key in state if not key.startswith(prefixes)]:
        raise WeightsError(f"tensors that are no part of a Mask2Former: {some(extra)}")
    is_swin = f"{IMAGE_ENCODER_PREFIX}patch_embed.proj.weight" in state
    parts = (
        ("image_encoder.", IMAGE_ENCODER_PREFIX, SWIN if is_swin else RESNET),
        ("pixel_decoder.", PIXEL_DECODER_PREFIX, DEFORMABLE),
        ("decoder.", PREDICTOR_PREFIX, PREDICTOR),
    )
    return {
        own + key: value
        for own, official, rules in parts
        for key, value in rename_keys(keys_under(state, official), rules).items()
    }


def segprompt_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what only SegPrompt's training reads, under the official names below the prefix."""
    predictor = keys_under(rename_keys(state, FILE), PREDICTOR_PREFIX)
    return {key: value for key, value in predictor.items() if re.match(SEGPROMPT, key)}


def state_to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state of a `Mask2Former` under the official names; the other way round."""
    is_swin = "image_encoder.patches.weight" in state
    parts = (
        ("image_encoder.", IMAGE_ENCODER_PREFIX, SWIN if is_swin else RESNET),
        ("pixel_decoder.", PIXEL_DECODER_PREFIX, DEFORMABLE),
        ("decoder.", PREDICTOR_PREFIX, PREDICTOR),
    )
    return {
        official + key: value
        for own, official, rules in parts
        for key, value in rename_keys(keys_under(state, own), reversed_rules(rules)).items()
    }
