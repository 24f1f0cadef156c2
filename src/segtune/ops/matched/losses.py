"""Losses of predictions that know their targets: masks of matched pairs, and labels of queries.

The pieces of which `set_loss` is made. Trainings with other rules of matching (several branches,
targets in a given order) put them together in their own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.matched.mask_products import MaskProducts, Masks
from segtune.ops.matched.mask_readers import MaskReader
from segtune.ops.matched.matching import Match


@dataclass(frozen=True)
class Pairs:
    """The matches of a batch in a row, image by image, queries ascending in each.

    Attributes:
        image_ids, query_ids: (M,) int64.
        rows: (M,) int64, of the targets of all images in a row.
        counts: pairs of each image.
    """

    image_ids: Tensor
    query_ids: Tensor
    rows: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(
        cls, matches: Sequence[Match], num_targets: Sequence[int], device: torch.device
    ) -> Pairs:
        """Returns the pairs of a batch.

        Args:
            matches: one per image; any part of an assignment.
            num_targets: how many targets each image has, matched or not.
        """
        first_rows = [sum(num_targets[:b]) for b in range(len(num_targets))]
        image_ids = [torch.full_like(found.query_ids, b) for b, found in enumerate(matches)]
        rows = [found.target_ids + first for found, first in zip(matches, first_rows, strict=True)]
        query_ids = [found.query_ids for found in matches]
        counts = tuple(len(found.query_ids) for found in matches)
        parts = [torch.cat(ids).to(device) for ids in (image_ids, query_ids, rows)]
        return cls(parts[0], parts[1], parts[2], counts)

    def masks(self, mask_logits: Masks) -> Tensor:
        """Returns the (M, h, w) float32 logits of the matched queries."""
        if isinstance(mask_logits, MaskProducts):
            return mask_logits.rows(self.query_ids, self.counts).float()
        return mask_logits[self.image_ids, self.query_ids].float()

    def labels(self, class_ids: Tensor, shape: Sequence[int], *, no_object: int) -> Tensor:
        """Returns (B, Q) int64: the class of the target of each query, or `no_object`.

        Args:
            class_ids: of the targets of all images in a row.
            shape: (B, Q).
        """
        labels = torch.full(tuple(shape), no_object, device=class_ids.device)
        labels[self.image_ids, self.query_ids] = class_ids[self.rows]
        return labels


def mask_losses(
    mask_logits: Masks,
    pairs: Pairs,
    reader: MaskReader,
    *,
    focal: bool = False,
) -> tuple[Tensor, Tensor]:
    """Returns the mask loss and the dice loss, each a sum over pairs.

    Without pairs both are zero, still with a graph. What they are divided by is the number of
    targets, in distributed training its `mean_over_processes`.

    Args:
        mask_logits: (B, Q, h, w), unbounded.
        reader: says where masks are compared, and has the targets.
        focal: focal loss in place of binary cross-entropy.
    """
    logits, masks = reader.matched(pairs.masks(mask_logits), pairs.rows)
    per_mask = focal_per_mask if focal else bce_per_mask
    return per_mask(logits, masks).sum(), dice_per_mask(logits, masks).sum()


def label_loss(class_logits: Tensor, labels: Tensor, *, no_object_weight: float = 0.1) -> Tensor:
    """Returns the cross-entropy over all queries, a mean weighted by the weights of the labels.

    Args:
        class_logits: (B, Q, K + 1), unbounded, the last column is "no object".
        labels: (B, Q) int64 in 0..K.
        no_object_weight: of label K; the others weigh 1.
    """
    weights = class_logits.new_ones(class_logits.shape[-1])
    weights[-1] = no_object_weight
    return F.cross_entropy(class_logits.flatten(0, 1), labels.flatten(), weights)


def bce_per_mask(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Returns (M,) mean binary cross-entropy of (M, P) logits and (M, P) masks in 0..1."""
    return F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none").mean(1)


def focal_per_mask(
    mask_logits: Tensor, masks: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Returns (M,) mean focal loss (Lin et al. 2017) of (M, P) logits and (M, P) masks in 0..1."""
    bce = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    probs = mask_logits.sigmoid()
    missed = probs * (1 - masks) + (1 - probs) * masks  # 1 - p of the right answer
    return ((alpha * masks + (1 - alpha) * (1 - masks)) * missed**gamma * bce).mean(1)


def dice_per_mask(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Returns (M,) 1 - (2 * sum(p t) + 1) / (sum(p) + sum(t) + 1) of (M, P) logits and masks."""
    probs = mask_logits.sigmoid()
    return 1 - (2 * (probs * masks).sum(1) + 1) / (probs.sum(1) + masks.sum(1) + 1)
