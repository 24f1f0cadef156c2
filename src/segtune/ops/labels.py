"""Label maps for zero-shot training: which pixels are labelled, ignored or self-labelled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segtune.types import IGNORE

PSEUDO = -2
"""Value of pixels whose class a system may choose itself during self-training."""


def inductive_labels(labels: Tensor, seen_ids: Sequence[int]) -> Tensor:
    """Returns labels as indices into the seen classes; pixels of other classes become `IGNORE`.

    Args:
        labels: any shape, integer class ids of the full vocabulary or `IGNORE`.
        seen_ids: class ids in the order in which training sees them.
    """
    size = max([*seen_ids, int(labels.max()) if labels.numel() else 0, 0]) + 2
    table = torch.full((size,), IGNORE, dtype=labels.dtype, device=labels.device)
    seen = torch.as_tensor(list(seen_ids), device=labels.device)
    table[seen] = torch.arange(len(seen_ids), dtype=labels.dtype, device=labels.device)
    return table[labels.clamp(min=-1)]  # -1 reads the last entry, which is never a class


def transductive_labels(labels: Tensor, unseen_ids: Sequence[int]) -> Tensor:
    """Returns labels in which the pixels of unseen classes are marked `PSEUDO`; others stay.

    Only pixels that truly belong to an unseen class are marked (the dagger rule of ZegCLIP);
    unlabelled pixels stay ignored.
    """
    unseen = torch.as_tensor(list(unseen_ids), dtype=labels.dtype, device=labels.device)
    return torch.where(torch.isin(labels, unseen), torch.full_like(labels, PSEUDO), labels)


def fill_pseudo_labels(labels: Tensor, class_logits: Tensor, pseudo_ids: Sequence[int]) -> Tensor:
    """Returns labels whose `PSEUDO` pixels carry the best of the classes `pseudo_ids`.

    Args:
        labels: (B, H, W) integer.
        class_logits: (B, K, H, W), at the size of the labels.
        pseudo_ids: class ids that may be chosen.
    """
    ids = torch.as_tensor(list(pseudo_ids), dtype=labels.dtype, device=labels.device)
    best = ids[class_logits[:, list(pseudo_ids)].argmax(1)]
    return torch.where(labels == PSEUDO, best, labels)
