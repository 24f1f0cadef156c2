"""Maps of results, against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.export.trees.base import check_number, label_map, object_map, things_of
from segtune.ops.segments import crop_segment
from segtune.types import IGNORE, Segmentation
from tests.export.results import WORDS, answer


def test_later_objects_lie_above() -> None:
    left, right = np.zeros((3, 5), bool), np.zeros((3, 5), bool)
    left[:, :3], right[1:, 2:4] = True, True
    segments = (crop_segment(left, 0, 1.0), crop_segment(right, 1, 1.0))
    result = Segmentation((3, 5), WORDS, None, segments)
    for y in range(3):
        for x in range(5):
            wanted = 1 if right[y, x] else 0 if left[y, x] else IGNORE
            assert label_map(result)[y, x] == wanted
            assert object_map(list(segments), (3, 5))[y, x] == wanted + 1


def test_a_label_map_is_taken_as_it_is_and_stuff_is_no_object() -> None:
    result = answer()
    assert label_map(result) is result.semantic
    assert [segment.class_id for segment in things_of(result)] == [0]


def test_too_many() -> None:
    check_number(3, most=3, what="it")
    with pytest.raises(SegtuneError, match="it has room for 3, but there are 4"):
        check_number(4, most=3, what="it")
