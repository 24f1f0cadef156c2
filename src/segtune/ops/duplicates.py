"""Which masks of an image are the same, so that what depends on the mask alone is done once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def equal_masks(masks: Tensor) -> Tensor:
    """Returns (N,) int64: for every mask the first one that is equal to it.

    Masks are compared as packed bits, by hash first; the result is exact.

    Args:
        masks: (N, h, w) bool.

    Example:
        >>> a, b = torch.tensor([[True, False]]), torch.tensor([[True, True]])
        >>> equal_masks(torch.stack([a, b, a])).tolist()
        [0, 1, 0]
    """
    packed = np.packbits(masks.flatten(1).cpu().numpy(), axis=1)
    first: dict[bytes, int] = {}
    leaders = [first.setdefault(row.tobytes(), number) for number, row in enumerate(packed)]
    return torch.tensor(leaders, dtype=torch.long, device=masks.device)


def similar_masks(masks: Tensor, iou: float) -> Tensor:
    """Returns (N,) int64: for every mask the first one before it that it overlaps by `iou` or more.

    A mask that follows another leads nobody, so chains do not drift apart.

    Args:
        masks: (N, h, w) bool, the more important ones first.
        iou: intersection over union, 0..1; two empty masks count as equal.

    Example:
        >>> a, b = torch.tensor([[True, True, False]]), torch.tensor([[True, True, True]])
        >>> similar_masks(torch.stack([a, b]), 0.6).tolist()
        [0, 0]
    """
    flat = masks.flatten(1).float()
    common = flat @ flat.T
    area = flat.sum(1)
    union = area[:, None] + area - common
    overlap = torch.where(union > 0, common / union.clamp(min=1), 1.0).cpu()
    leaders: list[int] = []
    for number in range(len(masks)):
        leading = [other for other in range(number) if leaders[other] == other]
        close = [other for other in leading if overlap[number, other] >= iou]
        leaders.append(close[0] if close else number)
    return torch.tensor(leaders, dtype=torch.long, device=masks.device)
