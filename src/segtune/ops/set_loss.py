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
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.mask_readers import AtCells, AtPixels, AtPoints, LossPoints, MaskReader
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matching import Match, assign, match_costs


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
        mask_logits: (B, Q, h, w), unbounded.
    """

    class_logits: Tensor
    mask_logits: Tensor


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
    if config.dense and points is None and mask_logits[0, 0].numel() <= config.num_points:
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
            for cost in _costs(head, every.class_ids, counts, reader, config)
        ]
        matches = assign(costs)
        num_targets = _mean_over_processes(len(every), mask_logits.device)
        for i, (head, reader) in enumerate(zip(heads, readers, strict=True)):
            found = matches[i * len(targets) : (i + 1) * len(targets)]
            pairs = _pairs(found, counts, mask_logits.device)
            class_loss = _class_loss(head.class_logits.float(), every.class_ids, pairs, config)
            logits, masks = reader.matched(
                head.mask_logits[pairs.image_ids, pairs.query_ids].float(), pairs.rows
            )
            suffix = "" if i == len(heads) - 1 else f"_{i}"
            losses[f"loss_class{suffix}"] = config.class_weight * class_loss
            mask_loss = (focal_per_mask if config.focal else bce_per_mask)(logits, masks)
            dice_loss = dice_per_mask(logits, masks)
            losses[f"loss_mask{suffix}"] = config.mask_weight * mask_loss.sum() / num_targets
            losses[f"loss_dice{suffix}"] = config.dice_weight * dice_loss.sum() / num_targets
    return losses


def bce_per_mask(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Returns (M,) mean binary cross-entropy of (M, P) logits and (M, P) masks in 0..1."""
    return F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none").mean(1)


def focal_per_mask(
    mask_logits: Tensor, masks: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Returns (M,) mean focal loss (Lin et al. 2017) of (M, P) logits and (M, P) masks in 0..1."""
    bce = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    probs = mask_logits.sigmoid()
    missed = probs * (1 - masks) + (1 - probs) * masks  # 1 - p of the right answer
    return ((alpha * masks + (1 - alpha) * (1 - masks)) * missed**gamma * bce).mean(1)


def dice_per_mask(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Returns (M,) 1 - (2 * sum(p t) + 1) / (sum(p) + sum(t) + 1) of (M, P) logits and masks."""
    probs = mask_logits.sigmoid()
    return 1 - (2 * (probs * masks).sum(1) + 1) / (probs.sum(1) + masks.sum(1) + 1)


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


class _Pairs(NamedTuple):
    """The matches of a batch in a row, (M,) int64 each: image, query, and row among all targets."""

    image_ids: Tensor
    query_ids: Tensor
    rows: Tensor


def _pairs(matches: Sequence[Match], counts: Sequence[int], device: torch.device) -> _Pairs:
    first_rows = [sum(counts[:b]) for b in range(len(counts))]
    image_ids = [torch.full_like(found.query_ids, b) for b, found in enumerate(matches)]
    rows = [found.target_ids + first for found, first in zip(matches, first_rows, strict=True)]
    query_ids = [found.query_ids for found in matches]
    return _Pairs(*(torch.cat(ids).to(device) for ids in (image_ids, query_ids, rows)))


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
def _costs(
    head: SetPrediction,
    class_ids: Tensor,
    counts: Sequence[int],
    reader: MaskReader,
    config: SetLossConfig,
) -> list[Tensor]:
    """Returns the (Q, N) matching costs of every image."""
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


def _class_loss(
    class_logits: Tensor, class_ids: Tensor, pairs: _Pairs, config: SetLossConfig
) -> Tensor:
    """Returns the cross-entropy over all queries, a mean weighted by the weights of the labels."""
    no_object = class_logits.shape[-1] - 1
    labels = torch.full(class_logits.shape[:2], no_object, device=class_logits.device)  # (B, Q)
    labels[pairs.image_ids, pairs.query_ids] = class_ids[pairs.rows]
    weights = class_logits.new_ones(no_object + 1)
    weights[no_object] = config.no_object_weight
    return F.cross_entropy(class_logits.flatten(0, 1), labels.flatten(), weights)


def _mean_over_processes(count: int, device: torch.device) -> Tensor:
    """Returns the mean of a count over all training processes, at least 1."""
    total = torch.tensor(float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total = total / dist.get_world_size()
    return total.clamp(min=1)
