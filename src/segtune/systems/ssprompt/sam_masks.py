"""What the masks of a SAM are called: by class maps inside of them, or by nothing but quality.

Shape letters as in `segtune.systems.ssprompt.sam`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segtune.ops.boxes import mask_nms
from segtune.types import Geometry, MaskPrediction

MAX_OVERLAP = 0.7
"""Of two masks without names that overlap by more, the one of lower quality goes."""
MIN_PROB = 1e-6
"""Smallest probability whose logarithm is taken."""


def name_masks(mask_logits: Tensor, quality: Tensor, maps: Tensor) -> Tensor:
    """Returns class logits (B, N, K + 1) of masks: the mean class probabilities inside of each.

    Args:
        mask_logits: (B, N, h, w), unbounded.
        quality: (B, N), 0..1; what is missing to 1 is "no object".
        maps: (B, K, h, w), unbounded, class logits of every pixel.
    """
    inside = mask_logits.sigmoid().flatten(2)  # (B, N, P)
    probs = maps.softmax(1).flatten(2)  # (B, K, P)
    mean = inside @ probs.transpose(1, 2) / inside.sum(2, keepdim=True).clamp(min=MIN_PROB)
    quality = quality[..., None]
    return torch.cat([quality * mean, 1 - quality], 2).clamp(min=MIN_PROB).log()


def without_names(frame: Geometry, mask_logits: Tensor, quality: Tensor) -> MaskPrediction:
    """Returns masks (N, h, w) of one image, near copies removed, as answers to the only word."""
    best = mask_nms(mask_logits > 0, quality, MAX_OVERLAP)
    return MaskPrediction(
        frame, mask_logits=mask_logits[best], class_logits=quality_logits(quality[best])
    )


def quality_logits(quality: Tensor) -> Tensor:
    """Returns (..., 2) logits whose softmax is the quality and what is missing to one."""
    return torch.stack([quality.logit(), torch.zeros_like(quality)], -1)
