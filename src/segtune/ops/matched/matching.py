"""Which query answers for which annotated object: the cheapest one-to-one assignment.

DETR's bipartite matching with the costs of Mask2Former and SEEM (class, binary cross-entropy and
dice, the last two at points) or of MaskFormer (focal for cross-entropy, at pixels). Everything is
float32 and without gradients; costs of other branches (forbidden pairs, other classes) are changed
between `match_costs` and `assign`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

BROKEN_COST = 1e6
"""Stands for costs that are infinite or not a number: such pairs are taken last."""


class Match(NamedTuple):
    """Pairs of one image; M = min(Q, N). Indices live on the CPU and index any device.

    Attributes:
        query_ids: (M,) int64, ascending.
        target_ids: (M,) int64.
    """

    query_ids: Tensor
    target_ids: Tensor


def match(
    class_logits: Tensor,
    mask_logits: Tensor,
    class_ids: Tensor,
    masks: Tensor,
    *,
    class_weight: float = 2.0,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
) -> Match:
    """Returns the cheapest assignment of the targets of one image to its queries.

    Where there are more targets than queries, the targets that are cheapest to serve are matched.
    Arguments as in `match_costs`; several images in one go: `assign` of a list of costs.

    Example:
        >>> logits = torch.tensor([[4.0, -4.0], [-4.0, 4.0]])  # two queries, two points
        >>> masks = torch.tensor([[False, True]])
        >>> pairs = match(torch.zeros(2, 3), logits, torch.tensor([0]), masks)
        >>> pairs.query_ids.tolist(), pairs.target_ids.tolist()
        ([1], [0])
    """
    costs = match_costs(
        class_logits,
        mask_logits,
        class_ids,
        masks,
        class_weight=class_weight,
        mask_weight=mask_weight,
        dice_weight=dice_weight,
    )
    return assign([costs])[0]


@torch.no_grad()
def match_costs(
    class_logits: Tensor,
    mask_logits: Tensor,
    class_ids: Tensor,
    masks: Tensor,
    *,
    class_weight: float = 2.0,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
    focal: bool = False,
) -> Tensor:
    """Returns (Q, N) float32: class_weight * -p + mask_weight * BCE + dice_weight * dice.

    Args:
        class_logits: (Q, K + 1), unbounded, the last column is "no object".
        mask_logits: (Q, P), unbounded, at P points or pixels.
        class_ids: (N,) int64 in 0..K-1.
        masks: (N, P), bool or 0..1, at the same points.
        focal: MaskFormer's focal loss in place of the binary cross-entropy.
    """
    class_probs = class_logits.float().softmax(-1)
    pixel, dice = mask_costs(mask_logits, masks, focal=focal)
    return class_weight * -class_probs[:, class_ids] + mask_weight * pixel + dice_weight * dice


@torch.no_grad()
def mask_costs(mask_logits: Tensor, masks: Tensor, *, focal: bool = False) -> tuple[Tensor, Tensor]:
    """Returns mean binary cross-entropy and dice of every (query, target) pair, (Q, N) each.

    Dice is 1 - (2 * sum(p t) + 1) / (sum(p) + sum(t) + 1). Matrix products over the points keep
    the (Q, N, P) tensor from ever existing.

    Args:
        mask_logits: (Q, P), unbounded.
        masks: (N, P), bool or 0..1.
        focal: focal loss (Lin et al. 2017; alpha 0.25, gamma 2) in place of the cross-entropy.
    """
    with torch.autocast(mask_logits.device.type, enabled=False):
        logits, masks = mask_logits.float(), masks.float()
        probs = logits.sigmoid()
        if focal:
            outside = 0.75 * probs**2 * F.softplus(logits)  # cost of a pixel that is not wanted
            inside = 0.25 * (1 - probs) ** 2 * F.softplus(-logits)
            pixel = outside.sum(1, keepdim=True) + (inside - outside) @ masks.T
        else:
            # -log σ(x) = softplus(x) - x, so the cross-entropy is softplus(x) - x t
            pixel = F.softplus(logits).sum(1, keepdim=True) - logits @ masks.T
        shared = 2 * (probs @ masks.T) + 1
        sizes = probs.sum(1, keepdim=True) + masks.sum(1) + 1
        return pixel / max(logits.shape[1], 1), 1 - shared / sizes


def assign(costs: Sequence[Tensor]) -> list[Match]:
    """Returns the cheapest assignment of each (Q, N) cost matrix; same costs, same answer.

    The matrices leave the device in one transfer. Entries that are not finite count as
    `BROKEN_COST`, so that a diverged prediction fails in the loss, where it shows, and not here.
    """
    if not costs:
        return []
    flat = torch.cat([cost.detach().float().flatten() for cost in costs])
    flat = flat.nan_to_num(BROKEN_COST, BROKEN_COST, BROKEN_COST).cpu()
    parts = flat.split([cost.numel() for cost in costs])
    found = []
    for part, cost in zip(parts, costs, strict=True):
        query_ids, target_ids = linear_sum_assignment(part.view(cost.shape).numpy())
        found.append(Match(torch.as_tensor(query_ids), torch.as_tensor(target_ids)))
    return found
