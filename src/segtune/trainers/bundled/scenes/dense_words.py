"""Words against single pixels: a loss that teaches the image side long before masks are found."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.types import Vocabulary

SCALE = 20.0
"""Factor of the cosine similarities between words and single pixels."""


def seen_classes(vocabulary: Vocabulary) -> tuple[list[int], Vocabulary]:
    """Returns the ids of the classes that a model may learn, all but the unseen ones, and them."""
    class_ids = [i for i, concept in enumerate(vocabulary) if concept.group != "unseen"]
    return class_ids, vocabulary.subset(class_ids)


def pixel_loss(
    mask_features: Tensor, labels: Tensor, head: nn.Module, words: Tensor, *, pixels_per_image: int
) -> Tensor:
    """Returns the cross-entropy of random cells against the words; rare classes are drawn more.

    Args:
        mask_features: (B, C, h, w).
        labels: (B, H, W) int64 in 0..K-1 at a multiple of that size, negative where unlabelled.
        head: from C to k.
        words: (K, k), unit length.
        pixels_per_image: cells that are drawn, with repetition.
    """
    cells = _labels_of_cells(labels, mask_features.shape[-2:]).flatten(1)  # (B, h w)
    rows, picked = [], []
    for image, own in enumerate(cells):
        counts = torch.bincount(own[own >= 0], minlength=len(words))
        odds = torch.where(own >= 0, counts.clamp(min=1)[own.clamp(min=0)] ** -0.5, 0.0)
        if odds.sum() == 0:
            continue
        index = torch.multinomial(odds, pixels_per_image, replacement=True)
        rows.append(mask_features[image].flatten(1).T[index])
        picked.append(own[index])
    if not rows:
        return mask_features.sum() * 0
    embeds = F.normalize(head(torch.cat(rows)), dim=-1)
    return F.cross_entropy(SCALE * embeds @ words.T, torch.cat(picked))


def _labels_of_cells(labels: Tensor, size: torch.Size) -> Tensor:
    stride = labels.shape[-2] // size[0]
    return labels[:, stride // 2 :: stride, stride // 2 :: stride]
