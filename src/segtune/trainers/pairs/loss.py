"""The contrastive loss between regions and words (OVSeg's code: that of CLIP, over the batch)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Targets = Literal["identity", "same_text"]


def contrast(
    regions: Tensor,
    texts: Tensor,
    logit_scale: Tensor,
    *,
    text_ids: Tensor | None = None,
    targets: Targets = "identity",
) -> Tensor:
    """Returns the symmetric cross-entropy of B regions with the B texts of the same rows.

        L = (CE(s U T^t, G) + CE(s T U^t, G)) / 2

    With "identity" G is the identity: a region and the same word of another row count as wrong for
    each other, as in the released code. With "same_text" a row of G is spread evenly over all rows
    with the same text (ours).

    Args:
        regions: (B, k), unit length.
        texts: (B, k), unit length.
        logit_scale: scalar s > 0, the factor of the cosine.
        text_ids: (B,) int64, equal for equal texts; needed for "same_text".

    Example:
        >>> import torch
        >>> rows = torch.eye(2)
        >>> twice = torch.tensor([0, 0])
        >>> float(contrast(rows[[0, 0]], rows[[0, 0]], torch.tensor(1.0))) > 0.6
        True
        >>> float(contrast(rows, rows, torch.tensor(99.0), text_ids=twice, targets="same_text"))
        49.5
    """
    logits = logit_scale.float() * regions.float() @ texts.float().T  # (B, B)
    if targets == "identity":
        wanted = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2
    if text_ids is None:
        raise ValueError("targets='same_text' needs text_ids")
    same = (text_ids[:, None] == text_ids).float()
    shares = same / same.sum(1, keepdim=True)  # symmetric, as equal rows have equal sums
    return (F.cross_entropy(logits, shares) + F.cross_entropy(logits.T, shares)) / 2
