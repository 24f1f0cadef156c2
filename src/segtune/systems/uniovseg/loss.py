"""The losses of masks without names (equation 4), for points and for boxes.

Only matched predictions are compared; the others go free. Beside cross-entropy and dice at
uncertain points, the predicted quality learns the dice coefficient of its pair (the released
"IoU" head).

Shape letters: M pairs, h w at a quarter of the input, H W input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.ops.matched.losses import bce_per_mask, dice_per_mask
from segtune.ops.matched.matching import mask_costs
from segtune.ops.matched.point_sampling import sample_points, uncertain_points
from segtune.systems.uniovseg.matching import Matching


@dataclass(frozen=True)
class MaskLossConfig:
    """Weights and points of the loss; [P] the paper, [C] the released config.

    Attributes:
        mask_weight, dice_weight, iou_weight: of the three losses, and the first two of the cost.
        num_points: points per pair.
        oversample: candidates per point among which the uncertain ones are searched.
        importance: share of the points that are uncertain ones; the rest is uniform.
        matching: of points; see `matching.Matching`.
    """

    mask_weight: float = 2.0  # [P]
    dice_weight: float = 1.0  # [P]
    iou_weight: float = 1.0  # [C]
    num_points: int = 12544
    oversample: float = 3.0
    importance: float = 0.75
    matching: Matching = "official"


class MaskLosses(NamedTuple):
    """Three losses, each a sum over pairs divided by their number."""

    mask: Tensor
    dice: Tensor
    iou: Tensor

    def weighted(self, config: MaskLossConfig) -> Tensor:
        """Returns their weighted sum."""
        weights = (config.mask_weight, config.dice_weight, config.iou_weight)
        return torch.stack(list(self)) @ self.mask.new_tensor(weights)


@dataclass(frozen=True)
class PointSource:
    """Where pairs are compared: drawn, mostly where a mask is uncertain.

    Attributes:
        config: how many.
        generator: of the draws.
    """

    config: MaskLossConfig = field(default_factory=MaskLossConfig)
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __call__(self, mask_logits: Tensor) -> Tensor:
        """Returns (M, points, 2), (x, y) in 0..1, for masks (M, h, w)."""
        return uncertain_points(
            mask_logits,
            self.config.num_points,
            generator=self.generator,
            oversample=self.config.oversample,
            importance=self.config.importance,
        )


def pair_losses(
    mask_logits: Tensor,
    ious: Tensor,
    masks: Tensor,
    dice: Tensor,
    *,
    points_norm: Tensor,
    num_pairs: Tensor | float,
) -> MaskLosses:
    """Returns the losses of matched pairs of one layer.

    Args:
        mask_logits: (M, h, w), unbounded.
        ious: (M,), 0..1, the predicted qualities.
        masks: (M, H, W) bool, the annotated mask of each.
        dice: (M,), 0..1, what the qualities should be; no gradients.
        points_norm: (M, points, 2), where pairs are compared.
        num_pairs: what sums are divided by: the mean number over processes, at least 1.
    """
    logits = sample_points(mask_logits.float(), points_norm)
    targets = sample_points(masks.float(), points_norm)
    return MaskLosses(
        bce_per_mask(logits, targets).sum() / num_pairs,
        dice_per_mask(logits, targets).sum() / num_pairs,
        F.smooth_l1_loss(ious.float(), dice.detach().float(), reduction="sum") / num_pairs,
    )


@torch.no_grad()
def box_dice(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Returns (M,), the dice coefficients of pairs at the size of the predictions.

    Boxes are answered in the order of the annotated masks, so there is nothing to match; the
    coefficient is computed anew in every layer.

    Args:
        mask_logits: (M, h, w), unbounded.
        masks: (M, H, W) bool.
    """
    grid = (mask_logits.shape[-2], mask_logits.shape[-1])
    small = F.interpolate(masks[:, None].float(), size=grid, mode="nearest").flatten(1)
    _, cost = mask_costs(mask_logits.flatten(1), small)
    return 1 - cost.diagonal()


def summed(losses: Sequence[MaskLosses], config: MaskLossConfig) -> dict[str, Tensor]:
    """Returns the weighted losses of all layers by name, the last without a number."""
    names = [*(f"masks_{layer}" for layer in range(len(losses) - 1)), "masks"]
    return {name: each.weighted(config) for name, each in zip(names, losses, strict=True)}
