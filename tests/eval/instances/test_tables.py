"""Tables of images, joined and cut."""

import numpy as np

from segtune.eval.instances import tables
from segtune.eval.instances.matching import IGNORED, REGULAR
from segtune.eval.instances.overlaps import OverlapPairs
from segtune.eval.instances.tables import ImageTable, JoinedTable, is_inside


def image(scores, object_classes, pairs, *, crowds=None) -> ImageTable:
    """A table whose predictions have the class 0 and 10 pixels each, objects 10, 20, ..."""
    preds, objects, ious = (np.array(column) for column in zip(*pairs, strict=True))
    count = len(object_classes)
    return ImageTable(
        scores=np.array(scores),
        pred_classes=np.zeros(len(scores), np.int64),
        pred_areas=np.full(len(scores), 10.0),
        pred_places=np.arange(len(scores)),
        pred_marks=np.zeros(len(scores), np.int8),
        object_classes=np.array(object_classes),
        object_areas=10.0 * np.arange(1, count + 1),
        is_crowd=np.zeros(count, bool) if crowds is None else np.array(crowds),
        pairs=OverlapPairs(preds, objects, ious),
    )


TABLE = JoinedTable.of(
    {
        "b": image([0.9, 0.8], [0, 1], [(0, 0, 0.6), (1, 1, 0.7)]),
        3: image([0.5], [1, 1, 2], [(0, 1, 0.9), (0, 2, 0.5)], crowds=[False, True, False]),
    }
)


def test_images_follow_each_other_numbers_first() -> None:
    assert TABLE.scores.tolist() == [0.5, 0.9, 0.8]
    assert TABLE.pred_images.tolist() == [0, 1, 1]
    assert TABLE.pred_places.tolist() == [0, 0, 1]
    assert TABLE.object_images.tolist() == [0, 0, 0, 1, 1]
    assert TABLE.object_classes.tolist() == [1, 1, 2, 0, 1]
    assert TABLE.pair_preds.tolist() == [0, 0, 1, 2]
    assert TABLE.pair_objects.tolist() == [1, 2, 3, 4]
    empty = JoinedTable.of({})
    assert len(empty.scores) == len(empty.pair_ious) == 0


def test_objects_that_leave_take_their_pairs_along() -> None:
    kept = TABLE.with_objects(~TABLE.is_crowd)
    assert kept.object_classes.tolist() == [1, 2, 0, 1]
    assert kept.pair_objects.tolist() == [1, 2, 3]
    assert kept.pair_ious.tolist() == [0.5, 0.6, 0.7]
    assert kept.scores.tolist() == TABLE.scores.tolist()


def test_kinds_and_areas() -> None:
    areas = {"all": (0, 1e10), "small": (0, 15), "edge": (20, 20)}
    kinds = TABLE.object_kinds(areas)
    assert (kinds == REGULAR).tolist() == [
        [True, True, False],
        [False, False, False],  # a crowd
        [True, False, False],
        [True, True, False],
        [True, False, True],
    ]
    assert set(kinds[kinds != REGULAR].tolist()) == {IGNORED}
    assert is_inside(np.array([15.0, 15.5]), areas)[:, 1].tolist() == [True, False]


def test_without_classes_all_are_one() -> None:
    plain = TABLE.without_classes()
    assert not plain.object_classes.any()
    assert plain.pairs_in(plain.object_images).units.tolist() == [0, 0, 1, 1]


def test_blocks_have_every_image_once(monkeypatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", 2)
    images = {name: image([0.5], [0], [(0, 0, 0.6)]) for name in range(5)}
    blocks = list(JoinedTable.blocks(images))
    assert [len(block.is_crowd) for block in blocks] == [2, 2, 1]
    assert list(JoinedTable.blocks({})) == []
