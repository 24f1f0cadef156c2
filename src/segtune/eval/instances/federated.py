"""LVIS's protocol: of every image, only some classes are known to be there or not.

Classes with an object in the image, and those that are listed as absent, were looked for; nothing
is known of all others, so predictions of these do not count. Of some of the classes that were
looked for, not every object is annotated: a prediction of such a class that finds none is no error
(Gupta et al., LVIS, CVPR 2019, section 3.2).

Numbers equal those of the public `lvis` package, with NaN in place of its -1. One difference:
crowds, which LVIS does not have, are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from segtune.eval.instances.protocols import AreaRanges, matches_within
from segtune.eval.instances.tables import JoinedTable, curves

JUDGED, LENIENT, UNKNOWN = 0, 1, 2
"""What is known of a class in an image: all objects, some of them, nothing."""


def marks_of(
    pred_classes: np.ndarray,
    object_classes: np.ndarray,
    *,
    absent: Collection[int] | None,
    not_exhaustive: Collection[int],
) -> np.ndarray:
    """Returns (D,) int8 `JUDGED`, `LENIENT` or `UNKNOWN` of every prediction.

    Args:
        pred_classes, object_classes: (D,) and (G,), of one image.
        absent: classes that are known not to be in the image; None where all classes are judged.
        not_exhaustive: classes of which some objects may lack.

    Example:
        >>> marks_of(np.array([0, 1, 2, 3]), np.array([0, 3]), absent=[1], not_exhaustive=[3])
        array([0, 0, 2, 1], dtype=int8)
    """
    marks = np.full(len(pred_classes), JUDGED, dtype=np.int8)
    if not_exhaustive:
        marks[np.isin(pred_classes, list(not_exhaustive))] = LENIENT
    if absent is not None:
        known = np.concatenate([object_classes, np.array(list(absent), dtype=np.int64)])
        marks[~np.isin(pred_classes, known)] = UNKNOWN
    return marks


def federated(
    table: JoinedTable,
    thresholds: np.ndarray,
    *,
    num_classes: int,
    limits: Sequence[int],
    areas: AreaRanges,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision (T, R, K, A, L) and recall (T, K, A, L); NaN without an object.

    Args:
        thresholds: (T,) overlaps, ascending, above 0.
        limits: predictions per image, whatever their class, those of unknown classes included.
    """
    table = table.with_objects(~table.is_crowd & (table.object_classes < num_classes))
    kinds = table.object_kinds(areas)
    pairs = table.pairs_in(table.object_images * num_classes + table.object_classes)
    same = table.pred_classes[pairs.preds] == table.object_classes[pairs.objects]
    ranks = np.where(table.pred_marks == UNKNOWN, np.iinfo(np.int64).max, table.pred_places)
    matches = matches_within(table, pairs.where(same), ranks, kinds, limits, thresholds)
    return curves(
        table,
        matches,
        ranks,
        kinds,
        limits=limits,
        areas=areas,
        num_classes=num_classes,
        may_be_wrong=table.pred_marks == JUDGED,
    )
