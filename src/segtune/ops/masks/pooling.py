"""The mean of a feature map inside each mask: FC-CLIP's and Uni-OVSeg's view of a region."""

from __future__ import annotations

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
    return F.interpolate(mask_logits, size, mode="bilinear", align_corners=False) > 0


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
