"""What queries say after a layer: masks, classes, and where they look next.

The prediction head of Mask2Former (Cheng et al., CVPR 2022, section 3.2) in pieces, for every
decoder whose masks are products of embeddings and of features: MaskFormer's, the masked-attention
ones, and Uni-OVSeg's.

Shape letters: B images, Q queries, M mask width, k joint image-text width, D decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class DecoderOutput:
    """The answers of one query group after a layer.

    Attributes:
        mask_logits: (B, Q, h, w), unbounded, over the model input, padding included; of P runs per
            image, the queries of all runs one after the other (P * Q).
        class_embeds: (B, Q, k), unit length; None for a decoder with fixed classes.
        class_logits: (B, Q, K + 1), unbounded, last column "no object"; None without text.
        mask_embeds: (B, Q, M), of which `mask_logits` are the products with the mask features.
        states: (B, Q, D), content of the queries before the last LayerNorm.
        aux: the answers before layer 0 and after each layer but the last; empty unless asked for.
    """

    mask_logits: Tensor
    class_embeds: Tensor | None
    class_logits: Tensor | None
    mask_embeds: Tensor
    states: Tensor
    aux: tuple[DecoderOutput, ...] = ()


def mlp(*widths: int) -> nn.Sequential:
    """Returns linear layers through `widths` with ReLUs between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mask_products(mask_embeds: Tensor, features: Tensor) -> Tensor:
    """Returns mask logits (B, Q, h, w) of embeddings (B, Q, M) and features (B, M, h, w)."""
    return (mask_embeds @ features.flatten(2)).unflatten(2, features.shape[-2:])


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns (B, C, h, w) maps at `size`, bilinear; as they are where nothing changes."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    if not maps.shape[1]:  # which interpolate refuses
        return maps.new_empty(*maps.shape[:2], *size)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def inside_masks(mask_logits: Tensor) -> Tensor:
    """Returns where queries may look: inside their masks, or everywhere where a mask is empty.

    Args:
        mask_logits: (B, Q, h, w) at the size of the level.

    Returns:
        (B, Q, h * w) bool; no row is all False.
    """
    return opened(~(mask_logits.sigmoid() < 0.5).flatten(2))


def opened(is_open: Tensor) -> Tensor:
    """Returns (..., S) bool with the rows that are all False made all True.

    Example:
        >>> import torch
        >>> opened(torch.tensor([[False, True], [False, False]])).tolist()
        [[False, True], [True, True]]
    """
    return is_open | ~is_open.any(-1, keepdim=True)
