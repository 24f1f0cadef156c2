"""Released layouts of SegPrompt: what only its training reads, in both directions.

<prefix>id2feat, id2pe            class embeddings          class_content, class_position
<prefix>memory_bank               cache                     cache.rows
<prefix>ex2feat, ex2pe            maps of the cache         cache_content, cache_position
<prefix>query_repeat_feat, _pos   own additions             repeat_content, repeat_position
<prefix>open_class_embed          own classifier            class_linear
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from segtune.backbones.mask2former.keys import SEGPROMPT, segprompt_tensors
from segtune.backbones.reading.key_tables import (
    Rules,
    load_strictly,
    rename_keys,
    reversed_rules,
    shape_of,
)
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.prompts import SegPrompts

NAMES: Rules = (
    (r"^id2feat\.", "class_content."),
    (r"^id2pe\.", "class_position."),
    (r"^ex2feat\.", "cache_content."),
    (r"^ex2pe\.", "cache_position."),
    (r"^query_repeat_feat\.weight$", "repeat_content"),
    (r"^query_repeat_pos\.weight$", "repeat_position"),
    (r"^open_class_embed\.", "class_linear."),
    (r"^memory_bank\.weight$", "cache.rows"),
)
FLAGS = ("cache.is_initialised", "cache.counts")
"""Parts of the cache that released files do not have."""


def prompts_from_official(state: Mapping[str, Tensor], config: SegPromptConfig) -> SegPrompts:
    """Returns the prompts of a checkpoint; which optional parts there are is read from its names.

    Rows of the cache that are all zero count as never seen; how many examples a row was made of is
    in no released file, and stays 0.

    Args:
        state: of a whole file, or of the part under "sem_seg_head.predictor.".
        config: what tensors do not tell.

    Raises:
        WeightsError: there is no cache, or something does not fit.
    """
    found = segprompt_tensors(state)
    found = found or {key: value for key, value in state.items() if re.match(SEGPROMPT, key)}
    own = rename_keys(found, NAMES)
    rows, width = shape_of(own, "cache.rows", "SegPrompt")
    config = replace(
        config,
        class_rows="learned" if "class_content.weight" in own else "none",
        project_cache="cache_content.weight" in own,
        own_repeats="repeat_content" in own,
        own_classifier="class_linear.weight" in own,
    )
    labels = own["class_linear.weight"].shape[0] - 1 if config.own_classifier else 1
    prompts = SegPrompts(config, num_classes=rows - 1, width=width, num_labels=labels)
    flags = {
        "cache.is_initialised": (own["cache.rows"] != 0).any(1),
        "cache.counts": torch.zeros(rows, dtype=torch.int64),
    }
    load_strictly(prompts, {**own, **flags}, "SegPrompt")
    return prompts


def prompts_to_official(prompts: SegPrompts) -> dict[str, Tensor]:
    """Returns the tensors of `prompts` under the official names below the prefix."""
    state = {key: value for key, value in prompts.state_dict().items() if key not in FLAGS}
    return rename_keys(state, reversed_rules(NAMES))


def strip_for_inference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns an official checkpoint without what only training reads: a plain Mask2Former."""
    extra = SEGPROMPT.removeprefix("^")
    return {
        key: value
        for key, value in state.items()
        if not re.match(rf"^(sem_seg_head\.predictor\.)?{extra}", key)
    }
