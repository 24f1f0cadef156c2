import numpy as np
import pytest

from segtune.data.masks.components import WithObjects, connected_objects, grouped
from segtune.errors import SegtuneError
from segtune.types import Sample, Vocabulary

LABELS = np.array([[0, 1, 1, 0], [1, 0, 0, 2], [0, 0, 2, 2]], np.int32)


def test_regions_touch_at_corners_and_small_ones_are_left_out():
    assert [int(x.mask.sum()) for x in connected_objects(LABELS, [1, 2])] == [3, 3]
    assert [x.class_id for x in connected_objects(LABELS, [2])] == [2]
    assert connected_objects(LABELS, [1, 2], min_area=4) == ()
    assert connected_objects(LABELS, []) == ()


def test_a_loader_adds_objects_where_there_is_a_label_map():
    def load(record: bool) -> Sample:
        return Sample("a", np.zeros((3, 4, 3), np.uint8), LABELS if record else None)

    assert len(WithObjects(load, (1, 2), 1)(True).instances) == 2
    assert WithObjects(load, (1, 2), 1)(False).instances == ()


def test_groups_of_things():
    found = grouped(Vocabulary.of("road", "car", "sign"), ("car", "sign"), ("car",))
    assert [concept.group for concept in found] == [None, "known", "unseen"]
    assert [concept.kind for concept in found] == ["stuff", "thing", "thing"]
    with pytest.raises(SegtuneError, match="road"):
        grouped(found, ("car", "sign"), ("road",))
