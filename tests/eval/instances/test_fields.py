"""Fields of segments, instances and COCO entries."""

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.eval.instances.fields import are_crowds, areas_of, classes_of, scores_of
from segtune.types import IGNORE, Instance, Segment

MASK = np.array([[True, False], [True, True]])
SEGMENTS = [Segment(1, 0.5, (0, 0, 2, 2), MASK), Segment(IGNORE, 0.25, (0, 0, 2, 2), MASK)]
INSTANCES = [Instance(1, MASK, is_crowd=True), Instance(0, ~MASK)]
ENTRIES = [
    {"category_id": 7, "score": 0.5, "iscrowd": 1, "area": 2.5},
    {"category_id": 9, "score": 1},
]


def test_classes_that_are_none_are_the_last_one() -> None:
    options = {"num_classes": 2, "may_be_unknown": False}
    assert classes_of(SEGMENTS, {}, **options).tolist() == [1, 2]
    assert classes_of(INSTANCES, {}, **options).tolist() == [1, 0]
    assert classes_of([], {}, **options).tolist() == []
    assert classes_of(ENTRIES, {9: 0, 7: 1}, **options).tolist() == [1, 0]
    known = classes_of(ENTRIES, {9: 0}, num_classes=2, may_be_unknown=True)
    assert known.tolist() == [2, 0]
    with pytest.raises(SegtuneError, match="category 7 is not in the vocabulary"):
        classes_of(ENTRIES, {9: 0}, **options)
    with pytest.raises(SegtuneError, match=r"class ids 0\.\.1 are not in the vocabulary of 1"):
        classes_of(INSTANCES, {}, num_classes=1, may_be_unknown=True)


def test_scores_crowds_and_areas() -> None:
    assert scores_of(SEGMENTS).tolist() == [0.5, 0.25]
    assert scores_of(ENTRIES).tolist() == [0.5, 1]
    assert are_crowds(INSTANCES).tolist() == are_crowds(ENTRIES).tolist() == [True, False]
    assert areas_of(INSTANCES, np.zeros(2)).tolist() == [3, 1]
    assert areas_of(ENTRIES, np.array([8.0, 9.0])).tolist() == [2.5, 9]
    with pytest.raises(SegtuneError, match="score inf; expected a finite number"):
        scores_of([Segment(0, float("inf"), (0, 0, 2, 2), MASK)])
