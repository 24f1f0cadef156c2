"""Which of many overlapping masks stay: Uni-OVSeg's suppression, on masks packed into bits.

A mask goes where a better one that stays overlaps it, or holds most of it. Areas and intersections
are counted exactly, 64 pixels at a time, so that neither a score nor the number of masks matters
for the result.

Shape letters: N masks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segtune.ops.boxes import suppress

ROWS = 64
"""Masks that are compared with all others at a time."""


def shared_areas(masks: Tensor) -> Tensor:
    """Returns the (N, N) int64 numbers of pixels that two masks share; areas on the diagonal.

    Args:
        masks: (N, h, w) bool, on any device; the result is there too.

    Example:
        >>> shared_areas(torch.tensor([[[True, True, False]], [[False, True, True]]])).tolist()
        [[2, 1], [1, 2]]
    """
    flat = masks.flatten(1)
    if flat.device.type != "cpu":  # a product of zeros and ones is exact up to 2^24 pixels
        return (flat.float() @ flat.float().T).long()
    packed = np.packbits(flat.numpy(), axis=1)
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    shared = np.zeros((len(packed), len(packed)), dtype=np.int64)
    for row, bits in enumerate(packed):
        for start in range(row, len(packed), ROWS):
            part = slice(start, start + ROWS)
            shared[row, part] = np.bitwise_count(packed[part] & bits).sum(1, dtype=np.int64)
    return torch.from_numpy(np.triu(shared) + np.triu(shared, 1).T)


def overlaps(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Returns two (N, N) tables of masks i, j: |i and j| / |i or j|, and |i and j| / |j|.

    Empty masks overlap nothing.
    """
    shared = shared_areas(masks)
    areas = shared.diagonal()
    union = areas[:, None] + areas - shared
    return shared / union.clamp(min=1), shared / areas.clamp(min=1)


def mask_suppression(
    masks: Tensor,
    scores: Tensor,
    *,
    max_iou: float = 0.5,
    max_inside: float | None = 0.7,
    group_ids: Tensor | None = None,
) -> Tensor:
    """Returns the ids of the masks that stay, (M,) int64, best first.

    Args:
        masks: (N, h, w) bool.
        scores: (N,); of equal scores the first mask wins.
        max_iou: a mask goes where its IoU with a better one that stays is this or more.
        max_inside: and where this share of it or more lies in a better one that stays: parts
            vanish in a better whole. None keeps parts.
        group_ids: (N,) int, such as classes; only masks of one group compete. None is one group.

    Example:
        >>> whole, part = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[True] + [False] * 3])
        >>> masks, scores = torch.stack([whole, part]), torch.tensor([0.9, 0.8])
        >>> mask_suppression(masks, scores).tolist()
        [0]
        >>> mask_suppression(masks, scores, max_inside=None).tolist()
        [0, 1]
    """
    iou, inside = overlaps(masks)
    covers = iou >= max_iou
    if max_inside is not None:
        covers |= inside >= max_inside
    if group_ids is not None:
        covers &= (group_ids[:, None] == group_ids).to(covers.device)
    keep = suppress(covers.cpu().float(), scores.cpu(), 0.5)
    return keep.to(scores.device)


def grid_points(columns: int, rows: int) -> Tensor:
    """Returns the (columns * rows, 2) centres (x, y) of a grid of cells, 0..1, row by row.

    Example:
        >>> grid_points(2, 1).tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """
    y, x = torch.meshgrid(
        (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"
    )
    return torch.stack([x, y], -1).flatten(0, 1)


def stability(mask_logits: Tensor, *, threshold: float = 0.0, offset: float = 1.0) -> Tensor:
    """Returns, per mask (..., h, w), its area above `threshold + offset` over that above the minus.

    0 where even the larger area is empty.
    """
    strict = (mask_logits > threshold + offset).flatten(-2).sum(-1)
    loose = (mask_logits > threshold - offset).flatten(-2).sum(-1)
    return strict / loose.clamp(min=1)
