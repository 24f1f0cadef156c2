"""Which masks of a point answer for which annotated masks: many to many (spec of the criterion).

A point lies in many annotated masks, a part and its wholes; its K predictions are assigned to up to
K of them, and one annotated mask is learned by all points inside it. No public source of the
authors' own repository states the matching; `official` is their later criterion.

Shape letters: P points, K masks of a point, N annotated masks, h w grid that they are compared on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.matched.matching import BROKEN_COST, Match, assign, mask_costs

Matching = Literal["official", "contained"]
"""How the targets that do not contain a point take part.

official: they stay in the problem at a price; left-over predictions take them, are dropped, and so
influence which prediction gets a target that does contain the point.
contained: they take no part; the result is the cheapest among the others.
"""
SHRINK = 8
"""Masks are compared at an eighth of the input."""


class PointMatches(NamedTuple):
    """Pairs of one image, point by point.

    Attributes:
        slot_ids: (M,) int64, the prediction among P * K: point * K + slot.
        target_ids: (M,) int64.
        dice: (M,) 0..1, the dice coefficient of the pair at an eighth of the input; what the
            predicted quality is compared with.
    """

    slot_ids: Tensor
    target_ids: Tensor
    dice: Tensor


@torch.no_grad()
def match_points(
    mask_logits: Tensor,
    masks: Tensor,
    points_px: Tensor,
    *,
    mask_weight: float = 2.0,
    dice_weight: float = 1.0,
    matching: Matching = "official",
) -> PointMatches:
    """Returns which predictions of each point answer for which annotated masks of one image.

    Args:
        mask_logits: (P, K, h, w), unbounded, at an eighth of the input; see `at_an_eighth`.
        masks: (N, H, W) bool, over the input.
        points_px: (P, 2), (x, y) in pixels of the input; a mask contains the pixel that they are
            in.
        mask_weight, dice_weight: of cross-entropy and dice in the cost.

    Raises:
        SegtuneError: the sizes do not fit together.
    """
    num_points, num_slots = mask_logits.shape[:2]
    grid = (mask_logits.shape[-2], mask_logits.shape[-1])
    if grid != tuple(side // SHRINK for side in masks.shape[-2:]):
        raise SegtuneError(
            f"predictions are {grid} but annotated masks {tuple(masks.shape[-2:])}; expected "
            f"predictions at an eighth of that"
        )
    small = F.interpolate(masks[:, None].float(), size=grid, mode="nearest").flatten(1)
    pixel, dice = mask_costs(mask_logits.flatten(0, 1).flatten(1), small)
    costs = (mask_weight * pixel + dice_weight * dice).unflatten(0, (num_points, num_slots))
    x, y = points_px.floor().long().unbind(-1)
    inside = masks[:, y, x].T  # (P, N)
    slot_ids, target_ids = _pairs(costs, inside, matching)
    return PointMatches(slot_ids, target_ids, 1 - dice[slot_ids, target_ids])


def at_an_eighth(mask_logits: Tensor) -> Tensor:
    """Returns masks (..., h / 2, w / 2) of masks (..., h, w) at a quarter of the input."""
    planes = mask_logits.flatten(0, -3)[None]
    small = F.interpolate(planes, scale_factor=0.5, mode="bilinear", align_corners=False)[0]
    return small.unflatten(0, mask_logits.shape[:-2])


def _pairs(costs: Tensor, inside: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
    """Returns the ids of the pairs: predictions among P * K, and targets."""
    num_slots, device = costs.shape[1], costs.device
    if matching == "official":
        found = assign(list(costs + BROKEN_COST * ~inside[:, None]))
        columns: Sequence[Tensor] = [torch.arange(costs.shape[2])] * len(costs)
    elif matching == "contained":
        columns = [row.nonzero()[:, 0] for row in inside.cpu()]
        found = assign([cost[:, ids.to(device)] for cost, ids in zip(costs, columns, strict=True)])
    else:
        raise SegtuneError(f"matching={matching!r}; expected official or contained")
    slots = [match.query_ids + point * num_slots for point, match in enumerate(found)]
    targets = [ids[match.target_ids] for ids, match in zip(columns, found, strict=True)]
    empty = torch.zeros(0, dtype=torch.long)
    slot_ids, target_ids = (torch.cat([empty, *ids]).to(device) for ids in (slots, targets))
    allowed = inside[slot_ids // num_slots, target_ids]
    return slot_ids[allowed], target_ids[allowed]


@torch.no_grad()
def match_by_overlap(mask_logits: Tensor, masks: Tensor, *, min_iou: float) -> Match:
    """Returns the one-to-one pairs of masks with the greatest overlaps, of one image.

    For data whose masks have names.

    Args:
        mask_logits: (Q, h, w), unbounded, at an eighth of the input.
        masks: (N, H, W) bool, over the input.
        min_iou: pairs that overlap less are dropped.
    """
    grid = (mask_logits.shape[-2], mask_logits.shape[-1])
    small = F.interpolate(masks[:, None].float(), size=grid, mode="nearest").flatten(1)
    found = (mask_logits > 0).flatten(1).float()
    shared = found @ small.T
    union = found.sum(1, keepdim=True) + small.sum(1) - shared
    iou = shared / union.clamp(min=1)
    (match,) = assign([1 - iou])
    good = iou.cpu()[match.query_ids, match.target_ids] >= min_iou
    return Match(match.query_ids[good], match.target_ids[good])
