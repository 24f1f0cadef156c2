"""The loss of models that predict a set of masks.

Hungarian matching, cross-entropy over all queries, and two losses of matched masks. Mask2Former,
X-Decoder and SEEM take binary cross-entropy and dice at sampled points (the defaults); MaskFormer
takes focal and dice at every pixel (`MASKFORMER`). All predictions and masks lie over the model
input, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched.losses import Pairs, label_loss, mask_losses
from segtune.ops.matched.mask_products import Masks
from segtune.ops.matched.mask_readers import AtCells, AtPixels, AtPoints, LossPoints, MaskReader
from segtune.ops.matched.matching import assign, match_costs
from segtune.ops.processes import mean_over_processes


@dataclass(frozen=True)
class SetLossConfig:
    """Weights and points of the loss; the defaults are the official ones of Mask2Former and SEEM.

    Attributes:
        class_weight, mask_weight, dice_weight: of the three losses and of the same three terms of
            the matching cost. SSPrompt names no dice term: `dice_weight=0` follows its text.
        no_object_weight: weight of the "no object" column in the cross-entropy.
        num_points: points per mask, in the cost and in the loss.
        oversample: candidates per point among which the uncertain ones are searched.
        importance: share of the points that are uncertain ones; the rest is uniform.
        dense: our choice, off in the official code: mask predictions with at most `num_points`
            pixels are compared at all of them, with the mean of the target inside each, which is
            faster than sampling there and needs no randomness. Larger ones are compared as always.
        focal: the mask loss is MaskFormer's focal one in place of binary cross-entropy, and masks
            are compared at every pixel in place of points.
    """

    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    num_points: int = 12544  # 112 x 112
    oversample: float = 3.0
    importance: float = 0.75
    dense: bool = False
    focal: bool = False

    def __post_init__(self) -> None:
        if self.num_points < 1 or self.oversample < 1 or not 0 <= self.importance <= 1:
            raise ValueError(
                f"num_points={self.num_points}, oversample={self.oversample}, importance="
                f"{self.importance}; expected num_points >= 1, oversample >= 1, importance in 0..1"
            )


MASKFORMER = SetLossConfig(class_weight=1.0, mask_weight=20.0, dice_weight=1.0, focal=True)
"""The settings of MaskFormer, OVSeg, SimBaseline and ZegFormer."""


class SetPrediction(NamedTuple):
    """What one prediction head says about a batch.

    Attributes:
        class_logits: (B, Q, K + 1), unbounded, the last column is "no object".
        mask_logits: (B, Q, h, w), unbounded; as products where losses are taken at points, which
            saves most of their memory.
    """

    class_logits: Tensor
    mask_logits: Masks


def set_loss(
    heads: Sequence[SetPrediction],
    targets: Sequence[MaskTargets],
    config: SetLossConfig,
    *,
    generator: torch.Generator | None = None,
    points: Sequence[LossPoints] | None = None,
) -> dict[str, Tensor]:
    """Returns {"loss_class", "loss_mask", "loss_dice"}, weighted; their sum is minimised.

    Each head is matched on its own. Queries without a target learn "no object". The mask losses
    are sums over matched masks divided by the number of targets in the batch (at least 1, the mean
    over processes in distributed training); without targets they are zero, still with a graph.

    Args:
        heads: the last one is the final prediction; the losses of the i-th of the others (deep
            supervision) carry the suffix `_i`.
        targets: one per image, on the device of the predictions.
        generator: draws the points; not needed with `points` or where `config.dense` or
            `config.focal` applies.
        points: one per head, in place of drawn ones.

    Raises:
        ValueError: points have to be drawn and there is no generator.
    """
    mask_logits = heads[-1].mask_logits
    every = _joined(targets)
    readers: list[MaskReader]
    if config.dense and points is None and mask_logits.shape[-2:].numel() <= config.num_points:
        readers = [AtCells(every.masks, mask_logits)] * len(heads)
    elif config.focal:
        readers = [AtPixels(every.masks, mask_logits)] * len(heads)
    elif points is not None:
        readers = [_at_points(every.masks, config, generator, given) for given in points]
    elif generator is not None:
        readers = [_at_points(every.masks, config, generator)] * len(heads)
    else:
        raise ValueError(
            "set_loss draws points but has no generator; pass generator=torch.Generator(), or "
            "SetLossConfig(dense=True) where the predicted masks are small"
        )
    counts = [len(target) for target in targets]
    losses: dict[str, Tensor] = {}
    with torch.autocast(mask_logits.device.type, enabled=False):
        # All costs first: they leave the device for the assignment in one transfer.
        costs = [
            cost
            for head, reader in zip(heads, readers, strict=True)
            for cost in pair_costs(head, every.class_ids, counts, reader, config)
        ]
        matches = assign(costs)
        num_targets = mean_over_processes(len(every), mask_logits.device)
        for i, (head, reader) in enumerate(zip(heads, readers, strict=True)):
            found = matches[i * len(targets) : (i + 1) * len(targets)]
            pairs = Pairs.of(found, counts, mask_logits.device)
            class_logits = head.class_logits.float()
            labels = pairs.labels(
                every.class_ids, class_logits.shape[:2], no_object=class_logits.shape[-1] - 1
            )
            class_loss = label_loss(class_logits, labels, no_object_weight=config.no_object_weight)
            mask_sum, dice_sum = mask_losses(head.mask_logits, pairs, reader, focal=config.focal)
            suffix = "" if i == len(heads) - 1 else f"_{i}"
            losses[f"loss_class{suffix}"] = config.class_weight * class_loss
            losses[f"loss_mask{suffix}"] = config.mask_weight * mask_sum / num_targets
            losses[f"loss_dice{suffix}"] = config.dice_weight * dice_sum / num_targets
    return losses


def _at_points(
    masks: Tensor,
    config: SetLossConfig,
    generator: torch.Generator | None,
    given: LossPoints | None = None,
) -> AtPoints:
    return AtPoints(
        masks,
        num_points=config.num_points,
        oversample=config.oversample,
        importance=config.importance,
        generator=generator,
        given=given,
    )


def _joined(targets: Sequence[MaskTargets]) -> MaskTargets:
    """Returns the targets of all images in a row."""
    if len({target.masks.shape[1:] for target in targets}) != 1:
        sizes = ", ".join(str(tuple(target.masks.shape[1:])) for target in targets)
        raise ValueError(
            f"the masks of one batch have sizes {sizes or 'of no image'}; expected at least one "
            "image and one size, that of the padded model input"
        )
    return MaskTargets(
        torch.cat([target.class_ids for target in targets]),
        torch.cat([target.masks for target in targets]),
    )


@torch.no_grad()
def pair_costs(
    head: SetPrediction,
    class_ids: Tensor,
    counts: Sequence[int],
    reader: MaskReader,
    config: SetLossConfig,
) -> list[Tensor]:
    """Returns the (Q, N) matching costs of every image.

    Args:
        class_ids: of the targets of all images in a row.
        counts: how many targets each image has.
        reader: says where masks are compared, and has the targets.
    """
    pairs = reader.all_pairs(head.mask_logits, counts)
    images = zip(head.class_logits, class_ids.split(list(counts)), pairs, strict=True)
    return [
        match_costs(
            class_logits,
            logits,
            ids,
            masks,
            class_weight=config.class_weight,
            mask_weight=config.mask_weight,
            dice_weight=config.dice_weight,
            focal=config.focal,
        )
        for class_logits, ids, (logits, masks) in images
    ]
