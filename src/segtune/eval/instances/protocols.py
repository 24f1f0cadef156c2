"""Protocols of average precision and recall, read from one table of predictions and objects.

- `coco`: predictions of a class find objects of that class;
- `class_agnostic`: any prediction finds any object, or those of a group, where the other objects
  are dropped, or take the predictions that match them out of the list (the cross-category protocol
  of Kim et al., Learning Open-World Object Proposals, RA-L 2022);
- `open_world`: LVIS-OW (SegPrompt, ICCV 2023): the objects of one class at a time against the best
  predictions of any class.

Shape letters: T overlap thresholds, R recalls, K classes, A area ranges, L limits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from segtune.errors import SegtuneError
from segtune.eval.instances.matching import REGULAR, TAKEN_OUT, Matches, Pairs, match, ranks_within
from segtune.eval.instances.tables import JoinedTable, curves, ranks_of_the_rest

AreaRanges = Mapping[str, tuple[float, float]]
"""Name -> lowest and highest area in pixels of the original image, both included."""
Others = Literal["drop", "take out"]
Crowds = Literal["ignore", "drop"]


def coco(
    table: JoinedTable,
    thresholds: np.ndarray,
    *,
    num_classes: int,
    limits: Sequence[int],
    areas: AreaRanges,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision (T, R, K, A, L) and recall (T, K, A, L); NaN without an object.

    Args:
        table: a class id of `num_classes` is no class.
        thresholds: (T,) overlaps, ascending, above 0.
        limits: predictions per image and class.
    """
    stride = num_classes + 1
    pairs = table.pairs_in(table.object_images * stride + table.object_classes)
    named = table.object_classes[pairs.objects] < num_classes
    same = table.pred_classes[pairs.preds] == table.object_classes[pairs.objects]
    ranks = ranks_within(table.pred_images * stride + table.pred_classes)
    kinds = table.object_kinds(areas)
    matches = matches_within(table, pairs.where(named & same), ranks, kinds, limits, thresholds)
    return curves(table, matches, ranks, kinds, limits=limits, areas=areas, num_classes=num_classes)


def class_agnostic(
    table: JoinedTable,
    thresholds: np.ndarray,
    *,
    limits: Sequence[int],
    areas: AreaRanges,
    only: Collection[int] | None,
    others: Others,
    crowds: Crowds,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision (T, R, 1, A, L) and recall (T, 1, A, L) as if there were one class.

    Args:
        table: with the pairs of predictions and objects of different classes.
        limits: predictions per image.
        only, others, crowds: see `InstanceEvaluator.class_agnostic`.
    """
    if crowds == "drop":
        table = table.with_objects(~table.is_crowd)
    is_asked = np.full(len(table.is_crowd), only is None)
    if only is not None:
        is_asked = np.isin(table.object_classes, list(only))
    if others == "drop":
        table, is_asked = table.with_objects(is_asked), is_asked[is_asked]
    # What leaves the list depends on the area range, so each range then has its own list.
    parts = [{name: area} for name, area in areas.items()] if others == "take out" else [areas]
    table = table.without_classes()
    pairs = table.pairs_in(table.object_images)
    found = []
    for part in parts:
        kinds = table.object_kinds(part)
        kinds[~is_asked] = TAKEN_OUT
        ranks = ranks_within(table.pred_images)
        matches = matches_within(table, pairs, ranks, kinds, limits, thresholds)
        if others == "take out":
            ranks = ranks_of_the_rest(table, matches, ranks, limit=max(limits))
        found.append(curves(table, matches, ranks, kinds, limits=limits, areas=part, num_classes=1))
    precision, recall = (np.concatenate(part, axis=-2) for part in zip(*found, strict=True))
    return precision, recall


def open_world(
    tables: Iterable[JoinedTable],
    thresholds: np.ndarray,
    *,
    num_classes: int,
    limits: Sequence[int],
    areas: AreaRanges,
) -> np.ndarray:
    """Returns the recall (T, K, A, L) of each class among the best predictions of any class.

    Crowds and objects without a class are dropped.

    Args:
        tables: of some images each, with the pairs of predictions and objects of different classes.
        limits: predictions per image, whatever their class.
    """
    shape = (num_classes, len(areas), len(thresholds))
    total, hits = np.zeros((*shape[:2], 1)), np.zeros((len(limits), *shape))
    for table in tables:
        table = table.with_objects(~table.is_crowd & (table.object_classes < num_classes))
        ranks, kinds = ranks_within(table.pred_images), table.object_kinds(areas)
        pairs = table.pairs_in(table.object_images * num_classes + table.object_classes)
        matches = matches_within(table, pairs, ranks, kinds, limits, thresholds)
        np.add.at(total[..., 0], table.object_classes, kinds == REGULAR)
        for number, limit in enumerate(limits):
            within = ranks[matches.preds] < limit
            classes = matches.units[within] % num_classes
            np.add.at(hits[number], classes, matches.kinds[within] == REGULAR)
    with np.errstate(invalid="ignore"):
        return (hits / total).transpose(3, 1, 2, 0)


def matches_within(
    table: JoinedTable,
    pairs: Pairs,
    ranks: np.ndarray,
    kinds: np.ndarray,
    limits: Sequence[int],
    thresholds: np.ndarray,
) -> Matches:
    """Returns the matching of the predictions within the largest limit.

    Args:
        ranks: (N,), place of each prediction in its list.
    """
    if not len(limits) or min(limits) < 1:
        raise SegtuneError(f"limits={limits}: expected numbers of predictions, at least 1")
    pairs = pairs.where(ranks[pairs.preds] < max(limits))
    return match(pairs, kinds, is_crowd=table.is_crowd, thresholds=thresholds)
