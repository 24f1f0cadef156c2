"""Predicted masks as products of query embeddings and image features, not formed as a whole.

A loss at sampled points needs few of the Q * h * w logits of an image: sampling is linear, so the
features are sampled and multiplied there; only matched masks are formed. The same values up to
rounding for a part of the memory (Q = 405, h = w = 256: 106 MB per image and prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtune.ops.matched.point_sampling import sample_points


@dataclass(frozen=True)
class MaskProducts:
    """Mask logits (B, Q, h, w), unbounded, of which each is asked for when it is needed.

    Attributes:
        embeds: (B, Q, M).
        features: (B, M, h, w).

    Example:
        >>> masks = MaskProducts(torch.ones(1, 3, 2), torch.ones(1, 2, 4, 5))
        >>> masks.shape, masks.formed()[0, 0, 0, 0].item()
        (torch.Size([1, 3, 4, 5]), 2.0)
    """

    embeds: Tensor
    features: Tensor

    @property
    def shape(self) -> torch.Size:
        """(B, Q, h, w)."""
        return torch.Size((*self.embeds.shape[:2], *self.features.shape[2:]))

    @property
    def device(self) -> torch.device:
        return self.embeds.device

    def __len__(self) -> int:
        return len(self.embeds)

    def formed(self) -> Tensor:
        """Returns all of them, (B, Q, h, w)."""
        return (self.embeds @ self.features.flatten(2)).unflatten(2, self.features.shape[2:])

    def at_points(self, image: int, points_norm: Tensor) -> Tensor:
        """Returns (Q, P) logits of one image at (P, 2) points, in their precision."""
        return self.embeds[image].to(points_norm) @ sample_points(
            self.features[image], points_norm[None]
        )

    def rows(self, query_ids: Tensor, counts: Sequence[int]) -> Tensor:
        """Returns (M, h, w) of chosen queries.

        Args:
            query_ids: (M,) int64, image by image.
            counts: how many of them each image has.
        """
        parts = zip(self.embeds, self.features, query_ids.split(list(counts)), strict=True)
        products = [embeds[ids] @ features.flatten(1) for embeds, features, ids in parts]
        return torch.cat(products).unflatten(1, self.features.shape[2:])


Masks = Tensor | MaskProducts
"""(B, Q, h, w) mask logits in either form."""


def formed(masks: Masks) -> Tensor:
    """Returns masks as a tensor (B, Q, h, w)."""
    return masks.formed() if isinstance(masks, MaskProducts) else masks


def at_points(masks: Masks, image: int, points_norm: Tensor) -> Tensor:
    """Returns (Q, P) logits of one image at (P, 2) points; see `sample_points`."""
    if isinstance(masks, MaskProducts):
        return masks.at_points(image, points_norm)
    return sample_points(masks[image], points_norm[None])
