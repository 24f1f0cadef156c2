"""The losses of SegPrompt: three groups of queries, each with targets of its own.

Zhu et al., ICCV 2023, in terms of Mask2Former's losses:

- learned queries are matched with all known objects, which are all of one class;
- prompt queries are matched with objects of the class that they ask for; where masks of a class are
  not learned, its queries learn only whether it is in the image;
- example queries know their object.

In several processes sums are divided by global means, so that these give the same losses as one
with the whole batch. (The released cross-entropy is a mean in each process.)

Shape letters: B images, Q queries, N objects, P prompt queries, E example queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched.losses import Pairs, mask_losses
from segtune.ops.matched.mask_readers import AtCells, AtPoints, LossPoints, MaskReader
from segtune.ops.matched.matching import Match, assign
from segtune.ops.processes import mean_over_processes
from segtune.ops.set_loss import SetLossConfig, SetPrediction, pair_costs
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.model import Answers
from segtune.systems.segprompt.prompts import PromptCache
from segtune.systems.segprompt.similarity import similarity_losses
from segtune.systems.segprompt.targets import TrainingTargets

OTHER_CLASS_COST = 1000.0
"""Of a prompt query and an object of another class than the one that it asks for."""


class Answered(NamedTuple):
    """What one prediction of a group should have been.

    Attributes:
        labels: (B, Q) int64, the last class is "no object".
        pairs: queries with the masks that they should show.
    """

    labels: Tensor
    pairs: Pairs


def segprompt_losses(
    answers: Answers,
    targets: TrainingTargets,
    config: SegPromptConfig,
    set_config: SetLossConfig,
    *,
    generator: torch.Generator | None = None,
    cache: PromptCache | None = None,
) -> dict[str, Tensor]:
    """Returns the weighted losses of the three groups, each the sum over all predictions.

    Names are "<group>_<kind>" of the groups learned, prompt, example and of the kinds class, mask,
    dice. Example queries draw their points first, then prompt queries, then learned ones.

    Args:
        generator: draws points; not needed where `set_config.dense` applies.
        cache: for the losses of similarity.
    """
    losses: dict[str, Tensor] = {}
    if config.example_loss and config.num_examples:
        terms = example_losses(answers.examples, targets, config, set_config, generator=generator)
        losses |= summed("example", terms)
    if config.num_prompts:
        terms = prompt_losses(answers.prompts, targets, config, set_config, generator=generator)
        losses |= summed("prompt", terms)
    if config.cache_loss or config.batch_loss:
        assert cache is not None
        by_cache, by_batch = similarity_losses(answers.example_states, targets.example_ids, cache)
        losses["cache_similarity"] = config.cache_loss * by_cache
        losses["batch_similarity"] = config.batch_loss * by_batch
    terms = learned_losses(
        answers.learned, targets.learned, config, set_config, generator=generator
    )
    return losses | summed("learned", terms)


def learned_losses(
    heads: Sequence[SetPrediction],
    targets: Sequence[MaskTargets],
    config: SegPromptConfig,
    set_config: SetLossConfig,
    *,
    generator: torch.Generator | None = None,
    points: Sequence[LossPoints] | None = None,
) -> dict[str, Tensor]:
    """Returns the losses of learned queries, by kind and prediction as `set_loss` names them.

    Args:
        heads: the last one is the final prediction.
        targets: objects per image.
        generator, points: as in `set_loss`.
    """
    every = _joined([_unnamed(x, config) for x in targets])
    counts = [len(x) for x in targets]
    readers = _readers(every.masks, heads, set_config, generator, points)
    steps = []
    found = _matches(heads, every, counts, readers, set_config)
    for head, matches in zip(heads, found, strict=True):
        pairs = Pairs.of(matches, counts, head.class_logits.device)
        shape, no_object = head.class_logits.shape[:2], head.class_logits.shape[-1] - 1
        steps.append(Answered(pairs.labels(every.class_ids, shape, no_object=no_object), pairs))
    count = mean_over_processes(len(every), heads[-1].class_logits.device)
    return _losses(heads, steps, readers, count, set_config)


def prompt_losses(
    heads: Sequence[SetPrediction],
    targets: TrainingTargets,
    config: SegPromptConfig,
    set_config: SetLossConfig,
    *,
    generator: torch.Generator | None = None,
    points: Sequence[LossPoints] | None = None,
) -> dict[str, Tensor]:
    """Returns the losses of prompt queries; see `learned_losses`.

    Args:
        targets: of which objects of classes that no query asks for are left out.
    """
    asked = [
        _of_classes(objects, ids)
        for objects, ids in zip(targets.prompts, targets.class_ids, strict=True)
    ]
    every = _joined([_unnamed(x, config) for x in asked])
    counts = [len(x) for x in asked]
    readers = _readers(every.masks, heads, set_config, generator, points)
    differs = [
        ids[:, None] != objects.class_ids
        for ids, objects in zip(targets.class_ids, asked, strict=True)
    ]
    steps = []
    found = _matches(heads, every, counts, readers, set_config, forbidden=differs)
    for head, matches in zip(heads, found, strict=True):
        same = [
            _where(match, ~apart[match.query_ids, match.target_ids])
            for match, apart in zip(matches, differs, strict=True)
        ]
        shown = [
            _where(match, has_masks[match.query_ids])
            for match, has_masks in zip(same, targets.has_masks, strict=True)
        ]
        labels = prompt_labels(same, targets, config, no_object=head.class_logits.shape[-1] - 1)
        steps.append(Answered(labels, Pairs.of(shown, counts, labels.device)))
    by_query = config.repeat == 1
    count = mean_over_processes(
        targets.has_masks.sum() if by_query else len(every), heads[-1].class_logits.device
    )
    own = replace(set_config, no_object_weight=config.prompt_no_object)
    terms = _losses(heads, steps, readers, count, own)
    weights = dict(zip(("class", "mask", "dice"), config.prompt_weights, strict=True))
    return {name: weights[name.split("_")[1]] * value for name, value in terms.items()}


def prompt_labels(
    matches: Sequence[Match],
    targets: TrainingTargets,
    config: SegPromptConfig,
    *,
    no_object: int,
) -> Tensor:
    """Returns (B, P) int64: the class, or "object", where a query should find something.

    Every query of a class that is present should; with `only_matched` and repeats, of the classes
    whose masks are learned only the matched ones.

    Args:
        matches: per image, of queries and objects of their class.
    """
    finds = ~targets.is_absent
    if config.only_matched and config.repeat > 1:
        matched = torch.zeros_like(finds)
        for row, match in zip(matched, matches, strict=True):
            row[match.query_ids] = True
        finds = torch.where(targets.has_masks, matched, finds)
    names = torch.zeros_like(targets.class_ids) if config.binary else targets.class_ids
    return torch.where(finds, names, no_object)


def example_losses(
    heads: Sequence[SetPrediction],
    targets: TrainingTargets,
    config: SegPromptConfig,
    set_config: SetLossConfig,
    *,
    generator: torch.Generator | None = None,
    points: Sequence[LossPoints] | None = None,
) -> dict[str, Tensor]:
    """Returns the losses of example queries, the i-th of which answers for the i-th object."""
    every = _joined([_unnamed(x, config) for x in targets.examples])
    counts = [len(x) for x in targets.examples]
    readers = _readers(every.masks, heads, set_config, generator, points)
    device = heads[-1].class_logits.device
    pairs = Pairs.of([Match(torch.arange(n), torch.arange(n)) for n in counts], counts, device)
    steps = []
    for head in heads:
        shape, no_object = head.class_logits.shape[:2], head.class_logits.shape[-1] - 1
        steps.append(Answered(pairs.labels(every.class_ids, shape, no_object=no_object), pairs))
    return _losses(heads, steps, readers, mean_over_processes(len(every), device), set_config)


def _losses(
    heads: Sequence[SetPrediction],
    steps: Sequence[Answered],
    readers: Sequence[MaskReader],
    count: Tensor,
    config: SetLossConfig,
) -> dict[str, Tensor]:
    """Returns {"loss_class", "loss_mask", "loss_dice"}, weighted; `_i` behind earlier ones."""
    losses: dict[str, Tensor] = {}
    for i, (head, step, reader) in enumerate(zip(heads, steps, readers, strict=True)):
        suffix = "" if i == len(heads) - 1 else f"_{i}"
        with torch.autocast(count.device.type, enabled=False):
            class_loss = global_label_loss(
                head.class_logits.float(), step.labels, no_object_weight=config.no_object_weight
            )
            mask_sum, dice_sum = mask_losses(head.mask_logits, step.pairs, reader)
        losses[f"loss_class{suffix}"] = config.class_weight * class_loss
        losses[f"loss_mask{suffix}"] = config.mask_weight * mask_sum / count
        losses[f"loss_dice{suffix}"] = config.dice_weight * dice_sum / count
    return losses


def global_label_loss(class_logits: Tensor, labels: Tensor, *, no_object_weight: float) -> Tensor:
    """Returns the weighted cross-entropy over the weight of all labels, a mean over processes.

    Args:
        class_logits: (B, Q, K + 1), unbounded, the last column is "no object".
        labels: (B, Q) int64 in 0..K.
        no_object_weight: of label K; the others weigh 1.
    """
    weights = class_logits.new_ones(class_logits.shape[-1])
    weights[-1] = no_object_weight
    total = F.cross_entropy(class_logits.flatten(0, 1), labels.flatten(), weights, reduction="sum")
    return total / mean_over_processes(weights[labels].sum().detach(), at_least=1e-6)


def _matches(
    heads: Sequence[SetPrediction],
    every: MaskTargets,
    counts: Sequence[int],
    readers: Sequence[MaskReader],
    config: SetLossConfig,
    *,
    forbidden: Sequence[Tensor] | None = None,
) -> list[list[Match]]:
    """Returns the matches of every prediction and image; all leave the device in one transfer.

    Args:
        forbidden: per image (Q, N) bool, pairs that are taken last.
    """
    costs: list[Tensor] = []
    for head, reader in zip(heads, readers, strict=True):
        found = pair_costs(head, every.class_ids, counts, reader, config)
        if forbidden is not None:
            found = [
                cost.masked_fill(apart, OTHER_CLASS_COST)
                for cost, apart in zip(found, forbidden, strict=True)
            ]
        costs += found
    matches = assign(costs)
    size = len(counts)
    return [matches[i * size : (i + 1) * size] for i in range(len(heads))]


def _readers(
    masks: Tensor,
    heads: Sequence[SetPrediction],
    config: SetLossConfig,
    generator: torch.Generator | None,
    points: Sequence[LossPoints] | None,
) -> list[MaskReader]:
    like = heads[-1].mask_logits
    if points is None and config.dense and like.shape[-2:].numel() <= config.num_points:
        return [AtCells(masks, like)] * len(heads)
    if points is None and generator is None:
        raise ValueError("the losses draw points but have no generator; pass one, or dense=True")
    every: Sequence[LossPoints | None] = points or [None] * len(heads)
    return [
        AtPoints(
            masks,
            num_points=config.num_points,
            oversample=config.oversample,
            importance=config.importance,
            generator=generator,
            given=given,
        )
        for given in every
    ]


def _joined(targets: Sequence[MaskTargets]) -> MaskTargets:
    return MaskTargets(
        torch.cat([x.class_ids for x in targets]), torch.cat([x.masks for x in targets])
    )


def _unnamed(targets: MaskTargets, config: SegPromptConfig) -> MaskTargets:
    if not config.binary:
        return targets
    return MaskTargets(torch.zeros_like(targets.class_ids), targets.masks)


def _of_classes(targets: MaskTargets, class_ids: Tensor) -> MaskTargets:
    asked = torch.isin(targets.class_ids, class_ids)
    return MaskTargets(targets.class_ids[asked], targets.masks[asked])


def _where(match: Match, keep: Tensor) -> Match:
    keep = keep.to(match.query_ids.device)
    return Match(match.query_ids[keep], match.target_ids[keep])


def summed(group: str, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns {"<group>_class", "<group>_mask", "<group>_dice"}, sums over all predictions."""
    return {
        f"{group}_{kind}": torch.stack(
            [value for name, value in terms.items() if name.startswith(f"loss_{kind}")]
        ).sum()
        for kind in ("class", "mask", "dice")
    }
