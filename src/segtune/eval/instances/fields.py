"""What an instance evaluation reads of segments, instances and the entries of COCO files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segtune.errors import SegtuneError
from segtune.eval.instances.overlaps import are_entries
from segtune.types import IGNORE


def classes_of(
    items: Sequence[Any],
    class_of_category: Mapping[int, int],
    *,
    num_classes: int,
    may_be_unknown: bool,
) -> np.ndarray:
    """Returns (N,) int64 class ids, `num_classes` where there is no class.

    Args:
        class_of_category: of entries.
        may_be_unknown: a category that is not in it is no error.
    """
    unknown = num_classes
    if not are_entries(items):
        ids = np.array([item.class_id for item in items], dtype=np.int64)
        if len(ids) and not IGNORE <= ids.min() <= ids.max() < unknown:
            raise SegtuneError(
                f"class ids {ids.min()}..{ids.max()} are not in the vocabulary of {unknown} "
                "classes; score with the vocabulary that was used"
            )
        return np.where(ids == IGNORE, unknown, ids)
    known = class_of_category
    ids = np.array([known.get(x["category_id"], unknown) for x in items], dtype=np.int64)
    if not may_be_unknown and unknown in ids:
        category = items[ids.tolist().index(unknown)]["category_id"]
        raise SegtuneError(
            f"category {category} is not in the vocabulary; pass the data set's category_ids "
            "to the evaluator"
        )
    return ids


def scores_of(items: Sequence[Any]) -> np.ndarray:
    """Returns (N,) float64, finite."""
    given = [x["score"] for x in items] if are_entries(items) else [x.score for x in items]
    scores = np.array(given, dtype=np.float64)
    if not np.isfinite(scores).all():
        wrong = scores[~np.isfinite(scores)][0]
        raise SegtuneError(f"a prediction has the score {wrong}; expected a finite number")
    return scores


def are_crowds(items: Sequence[Any]) -> np.ndarray:
    """Returns (N,) bool."""
    is_entry = are_entries(items)
    return np.array([x.get("iscrowd", 0) if is_entry else x.is_crowd for x in items], dtype=bool)


def areas_of(items: Sequence[Any], pixels: np.ndarray) -> np.ndarray:
    """Returns (N,) float64: annotated areas, or those of the masks even where boxes count.

    Args:
        pixels: (N,), areas of the regions, for entries without one.
    """
    if not are_entries(items):
        return np.array([np.count_nonzero(x.mask) for x in items], dtype=np.float64)
    areas = [x.get("area", area) for x, area in zip(items, pixels.tolist(), strict=True)]
    return np.array(areas, dtype=np.float64)
