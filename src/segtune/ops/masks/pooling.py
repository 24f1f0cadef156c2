"""The mean of a feature map inside each mask: FC-CLIP's and Uni-OVSeg's view of a region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-8


def masks_at(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the masks (B, Q, h, w), bool, at the size of a map: logits above 0 after resizing.

    Args:
        mask_logits: (B, Q, H, W), unbounded, over the same frame as the map.
    """
    if mask_logits.shape[-2:] == size:
        return mask_logits > 0
    if not mask_logits.shape[1]:
        return mask_logits.new_zeros(*mask_logits.shape[:2], *size, dtype=torch.bool)
    return F.interpolate(mask_logits, size, mode="bilinear", align_corners=False) > 0


def small_ones_kept(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the masks with those that vanish at the size of a map widened to its places.

    Such a mask takes the places that it covers most of; the released code pools nothing there.

    Args:
        mask_logits: (B, Q, H, W), unbounded; sides are multiples of those of the map.

    Example:
        >>> mask = torch.full((1, 1, 4, 8), -1.0)
        >>> mask[..., 0, 5] = 1
        >>> masks_at(mask, (1, 2)).tolist()
        [[[[False, False]]]]
        >>> masks_at(small_ones_kept(mask, (1, 2)), (1, 2)).tolist()
        [[[[False, True]]]]
    """
    vanished = ~masks_at(mask_logits, size).flatten(2).any(-1)
    if not vanished.any():
        return mask_logits
    share = F.adaptive_avg_pool2d((mask_logits > 0).float(), size)
    best = (share == share.amax((2, 3), keepdim=True)) & (share > 0)
    places = F.interpolate(best.to(mask_logits), mask_logits.shape[-2:], mode="nearest")
    return torch.where(vanished[:, :, None, None], 2 * places - 1, mask_logits)


def pool_inside(features: Tensor, masks: Tensor) -> Tensor:
    """Returns (B, Q, C): the mean of the features inside each mask, zeros for an empty one.

    Gradients reach the features. Sums and counts are float32: in half precision the small number
    that guards the division would be zero.

    Args:
        features: (B, C, h, w).
        masks: (B, Q, h, w) bool.

    Example:
        >>> import torch
        >>> features = torch.tensor([[[[1.0, 3.0, 8.0]]]])
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, False]]]])
        >>> pool_inside(features, masks).tolist()
        [[[2.0], [0.0]]]
    """
    inside = masks.float().flatten(2)  # (B, Q, S)
    sums = inside @ features.float().flatten(2).mT
    return sums / (inside.sum(-1, keepdim=True) + EPSILON)
