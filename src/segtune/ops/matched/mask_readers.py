"""Where the masks of a set loss are compared: at sampled points, at cells, or at every pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.matched.mask_products import Masks, at_points, formed
from segtune.ops.matched.point_sampling import random_points, sample_points, uncertain_points
from segtune.ops.resize import bilinear


class LossPoints(NamedTuple):
    """Points of one head for a loss without randomness; (x, y) in 0..1.

    Attributes:
        matching: (B, P, 2), or (1, P, 2) for all images.
        losses: (M, P, 2) for the M matched masks, image by image, queries ascending in each.
    """

    matching: Tensor
    losses: Tensor


class MaskReader(Protocol):
    """Reads predictions and targets at the same P places; made for the targets of one batch."""

    def all_pairs(
        self, mask_logits: Masks, counts: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields per image (Q, P) logits of all queries and (N, P) masks of its targets.

        Args:
            mask_logits: (B, Q, h, w).
            counts: number of targets of each image.
        """
        ...

    def matched(self, mask_logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (M, P) logits and masks of (M, h, w) logits and the targets at `rows`."""
        ...


class AtCells:
    """Compares masks at every pixel of the predictions; targets are means inside each pixel."""

    def __init__(self, masks: Tensor, like: Masks) -> None:
        height, width = like.shape[-2:]
        self.masks = F.adaptive_avg_pool2d(masks.float(), (height, width)).flatten(1)

    def all_pairs(
        self, mask_logits: Masks, counts: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(formed(mask_logits).flatten(2), self.masks.split(list(counts)), strict=True)

    def matched(self, mask_logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return mask_logits.flatten(1), self.masks[rows]


class AtPixels:
    """Compares masks at every pixel, as MaskFormer does.

    Costs at the size of the predictions, with targets shrunk by nearest neighbours; losses at the
    size of the targets, with predictions enlarged bilinearly.
    """

    def __init__(self, masks: Tensor, like: Masks) -> None:
        self.masks = masks
        small = F.interpolate(masks[:, None].float(), size=like.shape[-2:], mode="nearest")
        self.small_masks = small[:, 0].flatten(1)

    def all_pairs(
        self, mask_logits: Masks, counts: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(
            formed(mask_logits).flatten(2), self.small_masks.split(list(counts)), strict=True
        )

    def matched(self, mask_logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.masks.shape[-2:]
        large = bilinear(mask_logits, (height, width))
        return large.flatten(1), self.masks[rows].float().flatten(1)


class AtPoints:
    """Compares masks at points: uniform ones for the cost, mostly uncertain ones for the loss."""

    def __init__(
        self,
        masks: Tensor,
        *,
        num_points: int,
        oversample: float,
        importance: float,
        generator: torch.Generator | None,
        given: LossPoints | None,
    ) -> None:
        self.masks, self.generator, self.given = masks, generator, given
        self.num_points, self.oversample, self.importance = num_points, oversample, importance

    def all_pairs(
        self, mask_logits: Masks, counts: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        num_images, device = len(mask_logits), mask_logits.device
        if self.given is not None:
            points = self.given.matching.expand(num_images, -1, -1)
        else:
            assert self.generator is not None
            points = random_points(
                num_images, self.num_points, generator=self.generator, device=device
            )
        masks = self.masks.split(list(counts))
        for image, (targets, at) in enumerate(zip(masks, points, strict=True)):
            yield at_points(mask_logits, image, at), sample_points(targets, at[None])

    def matched(self, mask_logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if self.given is not None:
            points = self.given.losses
        else:
            assert self.generator is not None
            points = uncertain_points(
                mask_logits,
                self.num_points,
                generator=self.generator,
                oversample=self.oversample,
                importance=self.importance,
            )
        return sample_points(mask_logits, points), sample_points(self.masks[rows], points)
