"""Losses of ZegCLIP and RPN: focal + dice over sigmoids, or cross-entropy.

The focal term runs over all classes and all pixels: ignored pixels, and in the inductive setting
pixels of unseen classes, act as negatives of every class, as in both official projects;
`mask_ignored=True` is the strict alternative.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from segtune.ops.processes import mean_over_processes
from segtune.types import IGNORE

CLASSES_AT_ONCE = 32
"""Classes whose full-resolution maps exist at the same time during the loss."""


def sigmoid_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    focal_weight: float = 100.0,
    dice_weight: float = 1.0,
    mask_ignored: bool = False,
    alpha: float = 0.25,
    classes_at_once: int = CLASSES_AT_ONCE,
) -> dict[str, Tensor]:
    """Returns {"loss_mask", "loss_dice"}: focal and dice loss of mask logits, weighted.

    Logits are brought to the label size bilinearly. Both sums are divided by the number of
    (image, class) pairs that occur. Dice counts only those pairs, with the plain denominator
    sum(p) + sum(t) of the code, not the squared one that the paper prints. Images without a
    labelled pixel only take part in the focal term, as zero targets.

    Args:
        logits: (B, K, h, w), unbounded.
        labels: (B, H, W) int64 in 0..K-1, negative where ignored.
        focal_weight, dice_weight: 100 and 1 in the published settings.
        mask_ignored: leave ignored pixels out of the focal term.
        alpha: focal weight of positives.
        classes_at_once: larger vocabularies are processed in chunks that are recomputed in the
            backward pass; the result is the same.
    """
    num_classes = logits.shape[1]
    present = _classes_present(labels, num_classes)  # (B, K)
    num_pairs = mean_over_processes(present.sum().clamp(min=1))  # as in the official code
    focal = dice = logits.new_zeros((), dtype=torch.float32)
    for start in range(0, num_classes, classes_at_once):
        part = slice(start, start + classes_at_once)
        arguments = (logits[:, part], labels, start, present[:, part], mask_ignored, alpha)
        if num_classes > classes_at_once and logits.requires_grad:
            sums = checkpoint(_chunk_sums, *arguments, use_reentrant=False)
        else:
            sums = _chunk_sums(*arguments)
        focal, dice = focal + sums[0], dice + sums[1]
    return {
        "loss_mask": focal_weight * focal / num_pairs,
        "loss_dice": dice_weight * dice / num_pairs,
    }


def _classes_present(labels: Tensor, num_classes: int) -> Tensor:
    """Returns (B, K) bool: which class occurs in which image."""
    present = torch.zeros(len(labels), num_classes + 1, dtype=torch.bool, device=labels.device)
    columns = torch.where(labels < 0, num_classes, labels).flatten(1)  # the last column is dropped
    return present.scatter_(1, columns, True)[:, :num_classes]


def _chunk_sums(
    logits: Tensor, labels: Tensor, first: int, present: Tensor, mask_ignored: bool, alpha: float
) -> tuple[Tensor, Tensor]:
    """Focal and dice sums of consecutive classes, starting at class `first`."""
    logits = F.interpolate(logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False)
    ids = torch.arange(first, first + logits.shape[1], device=labels.device)
    targets = (labels[:, None] == ids[None, :, None, None]).to(logits.dtype)  # (B, c, H, W)
    probs = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    miss = probs + targets - 2 * probs * targets  # 1 - p_t
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    focal = balance * miss**2 * bce
    if mask_ignored:
        labelled = (labels >= 0)[:, None]
        focal = (focal * labelled).flatten(2).sum(2) / labelled.flatten(2).sum(2).clamp(min=1)
    else:
        focal = focal.flatten(2).mean(2)
    probs, targets = probs.flatten(2), targets.flatten(2)
    dice = 1 - (2 * (probs * targets).sum(2) + 1) / (probs.sum(2) + targets.sum(2) + 1)
    return focal.sum(), (dice * present).sum()


def softmax_loss(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Returns {"loss_ce"}: cross-entropy over the vocabulary, ignored pixels left out.

    Args:
        logits: (B, K, h, w), resized bilinearly to the labels.
        labels: (B, H, W) int64, negative where ignored. A batch without labels gives zero.
    """
    logits = F.interpolate(logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False)
    labels = labels.clamp(min=IGNORE)
    if not (labels >= 0).any():
        return {"loss_ce": logits.sum() * 0}
    return {"loss_ce": F.cross_entropy(logits, labels, ignore_index=IGNORE)}
