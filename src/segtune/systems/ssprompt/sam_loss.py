"""Losses of prompted SAM models: class maps pixel by pixel, and matched masks.

Shape letters as in `segtune.systems.ssprompt.sam`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.semantic_loss import nearest_labels
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.loss import require_masks
from segtune.types import IGNORE


def pixel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean cross-entropy of labelled pixels, at the size of the logits.

    Args:
        logits: (B, K, h, w), unbounded.
        labels: (B, H, W) int64 over the same frame, negative where ignored.
    """
    labels = nearest_labels(labels, logits.shape[-2:]).clamp(min=IGNORE)
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def matched_loss(
    class_logits: Tensor,
    mask_logits: Tensor,
    targets: Sequence[MaskTargets],
    config: SSPromptConfig,
) -> dict[str, Tensor]:
    """Returns the losses of matched masks, at every cell of the mask grid.

    Args:
        class_logits: (B, N, K + 1), the last column is "no object".
        mask_logits: (B, N, h, w).
        targets: per image.
    """
    require_masks(targets, config)
    settings = SetLossConfig(
        dice_weight=5.0 if config.dice else 0.0,
        num_points=mask_logits.shape[-2] * mask_logits.shape[-1],
        dense=True,
    )
    return set_loss([SetPrediction(class_logits, mask_logits)], targets, settings)
